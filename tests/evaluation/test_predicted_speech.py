"""Vocoders whose speech is known: the recording itself, one of another pitch, and silence."""

from types import SimpleNamespace

import numpy as np
import pytest

from rtmri_speech.acoustic.context import Prediction
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.evaluation.ablation import HeldOut
from rtmri_speech.evaluation.predicted_speech import speech_scores, vocoder_table
from rtmri_speech.signal.audio import read_audio, write_wav

FRAMES = 60


def voice(length, rate, pitch=150.0):
    time = np.arange(length) / rate
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.2 * np.sin(2 * np.pi * time))) / rate
    loud = 0.02 * sum(np.sin(n * phase) for n in range(1, 15)) * (1 + 0.5 * np.sin(2 * np.pi * 3 * time))
    return loud.astype(np.float32)


@pytest.fixture
def data(make_tiny_processed, tmp_path):
    directory = make_tiny_processed(tmp_path / "processed", (("training", (FRAMES, FRAMES)), ("validation", (FRAMES,))))
    (directory / "hifigan_filelists" / "test.txt").touch()
    spec = load_mel_spec(directory)
    (directory / "wavs").mkdir()
    for folder in (directory / "samples").iterdir():
        write_wav(
            directory / "wavs" / f"{folder.name}.wav",
            voice(FRAMES * spec.hop_length, spec.sampling_rate),
            spec.sampling_rate,
        )
    return HeldOut(directory)


def test_speech_is_scored_by_what_is_heard_in_it(data):
    (id,) = data.ids("validation")
    clip, spec = open_sample(data.processed_dir, id), data.spec
    samples, given = FRAMES * spec.hop_length, []
    heard = {
        "perfect": read_audio(data.processed_dir / "wavs" / f"{id}.wav", sampling_rate=spec.sampling_rate),
        "higher": voice(samples, spec.sampling_rate, 225.0),
        "silent": np.zeros(samples, np.float32),
    }

    def vocoder(audio):
        return SimpleNamespace(synthesise=lambda log_mel, f0: given.append((log_mel, f0)) or audio)

    found = speech_scores(
        data, lambda mri: Prediction(clip.mel_db, None), {name: vocoder(audio) for name, audio in heard.items()}
    )
    scores = {name: parts["validation"] for name, parts in found.items()}
    assert scores["perfect"]["estoi"] > 0.99 > scores["higher"]["estoi"]
    assert scores["perfect"]["vuv_error"] == 0 and scores["perfect"]["f0_correlation"] > 0.99
    assert scores["higher"]["f0_correlation"] > 0.95, "a correlation has no level"
    truth = data.known_f0.spoken(clip)
    assert scores["silent"] == {"vuv_error": pytest.approx((truth[~np.isnan(truth)] > 0).mean())}
    log_mel, f0 = given[0]
    np.testing.assert_allclose(log_mel, spec.log_from_db(clip.mel_db).T, rtol=1e-5)
    np.testing.assert_array_equal(f0, data.known_f0.ridge.predict(clip.mri))
    lines = vocoder_table({"Ridge regression": [found, found]}).splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == [*heard]
    assert lines[2].endswith("0.00 (0.00 – 0.00) | – | – | – |"), "there are no test clips"
