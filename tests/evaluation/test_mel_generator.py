"""Errors of the mel generator on held-out clips against sums written out."""

import numpy as np
import pytest

from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.evaluation import mel_generator as module
from rtmri_speech.signal.audio import write_wav


class Bundle:
    """A stand-in model that predicts the true mel if the frames are in order."""

    def __init__(self, directory):
        self.scaler = Scaler.load(directory / "scaler.json")
        self.clips = [open_sample(directory, f"a{number}") for number in range(6)]
        self.seen = tuple(f"a{number}" for number in range(5))
        self.mel = load_mel_spec(directory)

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


def test_f0_is_that_of_a_recording_whose_pitch_follows_the_picture(make_tiny_processed, tmp_path, monkeypatch):
    """Pulses at a pitch that the bar's height sets; the row without a picture has no correlation."""
    lengths = (("training", (120, 110)), ("validation", (8,)), ("test", (90,)))
    directory = make_tiny_processed(tmp_path / "processed", lengths)
    spec = load_mel_spec(directory)
    (directory / "wavs").mkdir()
    for path in sorted((directory / "samples").iterdir()):
        frames = open_sample(directory, path.name).mri
        height = frames.astype(float).mean(2).argmax(1) / frames.shape[1]
        pitch = np.repeat(120 + 120 * np.convolve(height, np.ones(5) / 5, "same"), spec.hop_length)
        phase = np.cumsum(pitch / spec.sampling_rate)
        wave = sum(np.sin(2 * np.pi * harmonic * phase) / harmonic for harmonic in range(1, 8))
        write_wav(directory / "wavs" / f"{path.name}.wav", 0.1 * wave, spec.sampling_rate)
    parts, training = {"test": ["a3"], "validation": []}, ["a0", "a1"]
    pictures = module.Pictures(directory, training)
    found = module._pitch_errors(directory, training, parts, spec, (80.0, 400.0), pictures)
    assert list(found) == ["test"]
    ridge, constant = (found["test"][name] for name in (module.RIDGE, module.ALWAYS_VOICED))
    assert ridge["f0_correlation"] > 0.7
    assert ridge["f0_rmse_cents"] < 0.8 * constant["f0_rmse_cents"]
    assert constant["f0_correlation"] is None
    monkeypatch.setattr(module, "missing_libraries", lambda: {"pyworld": "F0"})
    assert module._pitch_errors(directory, training, parts, spec, None, pictures) == {}
