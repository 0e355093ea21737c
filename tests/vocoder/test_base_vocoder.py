"""The shipped base speaks voices of any pitch; one trained on the demo's voices alone is unvoiced above 200 Hz."""

from pathlib import Path

import numpy as np
import pytest

from rtmri_speech.evaluation.metrics import score_pair
from rtmri_speech.signal.mel import log_mel
from rtmri_speech.vocoder.engine import load_vocoder

BASE = Path(__file__).parents[2] / "models" / "base_vocoder"


@pytest.fixture(scope="module")
def base():
    (checkpoint,) = BASE.glob("g_*")
    return load_vocoder(checkpoint)


@pytest.mark.parametrize("pitch", [90, 120, 180, 220, 280])
def test_a_gliding_voice_stays_voiced_at_its_pitch(base, pitch):
    rate, hop = base.spec.sampling_rate, base.spec.hop_length
    time = np.arange(60 * hop) / rate
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * time))) / rate
    harmonics = range(1, int(0.45 * rate / pitch))
    voice = 0.3 * sum(np.sin(n * phase) / n**2 for n in harmonics) * np.sin(np.pi * time / time[-1])
    made = base.synthesise(log_mel(base.spec.mel(voice)))
    scores = score_pair(voice.astype(np.float32), made, rate, hop, spec=base.spec, f0_range=(60.0, 400.0))
    assert scores["vuv_error"] < 0.2
    assert scores["f0_correlation"] > 0.8
