"""Errors of the mel generator on held-out clips against sums written out."""

from types import SimpleNamespace

import numpy as np
import pytest

from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.evaluation import mel_generator as module
from rtmri_speech.evaluation.ridge import Pictures
from rtmri_speech.signal.audio import write_wav


class Bundle:
    """A stand-in model that predicts the true mel if the frames are in order."""

    def __init__(self, directory):
        self.scaler = Scaler.load(directory / "scaler.json")
        self.clips = [open_sample(directory, f"a{number}") for number in range(6)]
        self.seen = tuple(f"a{number}" for number in range(5))
        self.mel = load_mel_spec(directory)
        self.model = SimpleNamespace(network=SimpleNamespace(pitch=True))
        self.speakers = {}

    def spoken_by(self, speaker):
        return self

    def predict(self, mri, context):
        for clip in self.clips:
            if np.array_equal(clip.mri, mri):
                return clip.mel_db + (1.0 if context == "causal" else 0.0)
        return np.broadcast_to(self.scaler.mean, (len(mri), len(self.scaler.mean)))


def spoken(frames):
    return np.arange(frames) % 2 == 1


@pytest.fixture
def errors(tiny_processed, monkeypatch):
    bundle = Bundle(tiny_processed)
    (tiny_processed / "wavs").mkdir()
    for clip in bundle.clips:
        # A tone in every other frame; the sound ends before the video does.
        level = np.repeat(0.3 * spoken(len(clip.mri)), bundle.mel.hop_length)[: -bundle.mel.hop_length // 2]
        wave = level * np.sin(np.arange(len(level)) / 3)
        write_wav(tiny_processed / "wavs" / f"{clip.id}.wav", wave, bundle.mel.sampling_rate)
    monkeypatch.setattr(module, "predict_db", lambda bundle, mri, context: bundle.predict(mri, context))
    monkeypatch.setattr(module.context, "predict", lambda *_: SimpleNamespace(f0=np.full(len(_[1]), 120.0)))
    return bundle, module.mel_generator_errors(bundle, tiny_processed, ["validation", "test"])


def test_a_set_seen_in_training_is_reported(errors):
    _, found = errors
    assert [found[part]["held_out"] for part in ("validation", "test")] == [False, True]


def test_the_mean_mels_error_is_the_variance_of_the_standardised_mel(errors):
    bundle, found = errors
    standardised, speech = [], []
    for clip in bundle.clips[3:5]:
        heard = clip.sound_mask > 0
        standardised.append(((clip.mel_db - bundle.scaler.mean) / bundle.scaler.std)[heard])
        speech.append(spoken(len(clip.mri))[heard])
    squares, loud = np.concatenate(standardised) ** 2, np.concatenate(speech)
    floor = found["validation"]["systems"]["mean mel"]
    assert floor["all"] == pytest.approx(squares.mean(), rel=1e-5)
    assert floor["speech"] == pytest.approx(squares[loud].mean(), rel=1e-5)
    assert (found["validation"]["clips"], found["validation"]["frames"]) == (2, 19)


def test_a_perfect_model_has_no_error_unless_frames_are_shuffled(errors):
    bundle, found = errors
    for part in found.values():
        assert part["systems"]["model, sequence"]["all"] == 0
        off_by_one_db = (1 / bundle.scaler.std**2).mean()
        assert part["systems"]["model, causal"]["all"] == pytest.approx(off_by_one_db, rel=1e-4)
        assert part["systems"]["control: model, frames shuffled"]["all"] > 0.1


def test_f0_of_the_model_is_measured_beside_its_baselines(make_tiny_processed, tmp_path, monkeypatch):
    """A voice of 200 Hz: a model that says so has no error, the median neither, and neither moves."""
    directory = make_tiny_processed(tmp_path / "processed", (("training", (60, 60)), ("validation", (60,))))
    bundle = SimpleNamespace(mel=load_mel_spec(directory), model=SimpleNamespace(network=SimpleNamespace(pitch=True)))
    (directory / "wavs").mkdir()
    time = np.arange(60 * bundle.mel.hop_length) / bundle.mel.sampling_rate
    for path in (directory / "samples").iterdir():
        voice = 0.1 * sum(np.sin(2 * np.pi * 200 * k * time) / k for k in range(1, 15))
        write_wav(directory / "wavs" / f"{path.name}.wav", voice, bundle.mel.sampling_rate)
    known = module.find_f0(directory, ["a0", "a1"], bundle.mel, (80, 400), Pictures(directory, ["a0", "a1"]))
    said = {"sequence": 200.0, "window": 100.0, "causal": 0.0}
    monkeypatch.setattr(
        module.context, "predict", lambda _, mri, name: SimpleNamespace(f0=np.full(len(mri), said[name]))
    )
    found = module._f0_errors(known, bundle, ["a2"])
    assert found["model, sequence"]["f0_rmse_cents"] == pytest.approx(0, abs=10)
    assert found["model, window"]["f0_rmse_cents"] == pytest.approx(1200, abs=10)
    assert found["model, causal"]["vuv_error"] > 0.8 and found["model, causal"]["f0_rmse_hz"] is None
    assert found[module.ALWAYS_VOICED]["f0_rmse_cents"] == pytest.approx(0, abs=10)
    bundle.model.network.pitch = False
    assert set(module._f0_errors(known, bundle, ["a2"])) == {module.RIDGE, module.ALWAYS_VOICED}
