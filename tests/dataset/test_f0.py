"""F0 tracks of clips: of their speech, with as many frames as the clip."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtmri_speech.dataset.f0 import read_f0, spoken_f0
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.signal.audio import write_wav

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "track_f0.py"


@pytest.fixture
def dataset(make_tiny_processed, tmp_path):
    """Each clip is silent, then a voice of 200 Hz, then a hiss; its sound ends a frame before the picture."""
    directory = make_tiny_processed(tmp_path / "processed", (("training", (60, 60)), ("validation", (60,))))
    spec = load_mel_spec(directory)
    (directory / "wavs").mkdir()
    for path in (directory / "samples").iterdir():
        third = 20 * spec.hop_length
        time = np.arange(third) / spec.sampling_rate
        voice = 0.1 * sum(np.sin(2 * np.pi * 200 * k * time) / k for k in range(1, 15))
        hiss = np.random.default_rng(0).normal(0, 0.05, third - spec.hop_length)
        write_wav(directory / "wavs" / f"{path.name}.wav", np.concatenate([0 * time, voice, hiss]), spec.sampling_rate)
    return directory


def test_a_voice_has_its_f0_a_hiss_none_and_silence_is_left_out(dataset):
    track = spoken_f0(dataset, open_sample(dataset, "a0"), load_mel_spec(dataset), (80, 400))
    assert track.shape == (60,) and track.dtype == np.float32
    assert np.isnan(track[:19]).all() and np.isnan(track[59])
    np.testing.assert_allclose(track[24:36], 200, rtol=0.01)
    assert np.mean(track[42:58] == 0) > 0.8


def test_the_script_writes_the_tracks_of_training_and_validation(dataset, tmp_path):
    command = [sys.executable, SCRIPT, "--processed_dir", dataset, "--output_dir", tmp_path / "f0"]
    done = subprocess.run([*command, "--f0_range", "80", "400"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "f0").iterdir()) == ["a0.npy", "a1.npy", "a2.npy"]
    clip = open_sample(dataset, "a2")
    expected = spoken_f0(dataset, clip, load_mel_spec(dataset), (80, 400))
    np.testing.assert_array_equal(read_f0(tmp_path / "f0", clip), expected)
    refused = subprocess.run([*command, "--f0_range", "300", "200"], capture_output=True, text=True)
    assert refused.returncode == 2 and "f0_range: is 300 to 200 Hz" in refused.stderr
