"""The F0 range is derived from the speakers of the clips, despite tones in their pauses."""

import numpy as np
import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.f0_range import propose_f0_range, require_f0_range
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.voice import F0_SEARCH_HZ

RATE, HOP = 16000, 400


def clip(path, f0):
    """Two seconds of a harmonic voice from 0.9 to 1.1 of ``f0``, with 500 Hz at -50 dB in the pauses."""
    time = np.arange(2 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(f0 * (1 + 0.1 * np.sin(2 * np.pi * time / 0.9))) / RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 15))
    write_wav(path, 0.1 * np.where(time % 0.5 < 0.3, voice, 0.005 * np.sin(2 * np.pi * 500 * time)), RATE)
    return path


def test_the_range_is_around_the_quartiles_of_every_voice(tmp_path):
    wavs = [clip(tmp_path / f"{f0}.wav", f0) for f0 in (100, 110, 200, 220)]
    low, high = propose_f0_range(wavs, RATE, HOP)
    # Quartiles of a sine are 0.707 of its swing off the middle.
    assert low == pytest.approx(0.75 * 0.93 * 103, rel=0.05)
    assert high == pytest.approx(1.5 * 1.07 * 214, rel=0.05)
    assert high < 500


def test_without_voiced_frames_no_range_is_proposed(tmp_path):
    write_wav(tmp_path / "hiss.wav", 0.1 * np.random.default_rng(0).standard_normal(RATE), RATE)
    assert propose_f0_range([tmp_path / "hiss.wav", tmp_path / "missing.wav"], RATE, HOP) == F0_SEARCH_HZ
    assert propose_f0_range([], RATE, HOP) == F0_SEARCH_HZ


@pytest.mark.parametrize("given", [(250, 75), (100, 110), (5, 200), (100, 4001), (float("nan"), 100)])
def test_an_unsearchable_range_is_refused(given):
    with pytest.raises(UserError, match="between 20 and 4000 Hz"):
        require_f0_range(*given, RATE)
    require_f0_range(75, 250, RATE)
