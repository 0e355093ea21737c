"""F0 without a network: regressed, constant and of the recording."""

import numpy as np
import pytest

from rtmri_speech.dataset.f0 import write_f0
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.evaluation.known_f0 import find_f0
from rtmri_speech.evaluation.metrics import f0_errors
from rtmri_speech.evaluation.ridge import Pictures
from rtmri_speech.signal.audio import write_wav


@pytest.fixture
def dataset(make_tiny_processed, tmp_path):
    """Pulses at a pitch that the bar's height sets."""
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
    return directory


def test_the_regression_follows_a_pitch_that_the_picture_shows(dataset):
    """The source that ignores the picture has no correlation."""
    training, clip = ["a0", "a1"], open_sample(dataset, "a3")
    known = find_f0(dataset, training, load_mel_spec(dataset), (80.0, 400.0), Pictures(dataset, training))
    truth = known.spoken(clip)
    speech = ~np.isnan(truth)
    ridge, constant = (f0_errors(truth, source(clip.mri), speech) for source in (known.ridge.predict, known.constant))
    assert ridge["f0_correlation"] > 0.7
    assert ridge["f0_rmse_cents"] < 0.8 * constant["f0_rmse_cents"]
    assert np.isnan(constant["f0_correlation"])
    assert known.median == pytest.approx(180, abs=30)


def test_without_a_voice_there_is_none(dataset):
    for path in (dataset / "wavs").iterdir():
        write_wav(path, np.zeros(20000), load_mel_spec(dataset).sampling_rate)
    pictures = Pictures(dataset, ["a0", "a1"])
    assert find_f0(dataset, ["a0", "a1"], load_mel_spec(dataset), (80.0, 400.0), pictures) is None


def test_tracks_made_before_are_read_and_others_tracked(dataset, tmp_path):
    training, spec = ["a0", "a1"], load_mel_spec(dataset)
    f0_dir = tmp_path / "f0"
    write_f0(dataset, ["a0"], f0_dir, spec, (80.0, 400.0))
    np.save(f0_dir / "a1.npy", np.full(len(open_sample(dataset, "a1").mri), 300, np.float32))
    pictures = Pictures(dataset, training)
    read = find_f0(dataset, training, spec, (80.0, 400.0), pictures, f0_dir)
    tracked = find_f0(dataset, training, spec, (80.0, 400.0), pictures)
    for id in ("a0", "a3"):
        clip = open_sample(dataset, id)
        np.testing.assert_array_equal(read.spoken(clip), tracked.spoken(clip))
    assert (read.spoken(open_sample(dataset, "a1")) == 300).all()
    assert read.median > tracked.median + 20
