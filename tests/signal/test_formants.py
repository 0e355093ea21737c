"""Formants are found where the resonances of a synthetic vowel are."""

import numpy as np
import pytest
from scipy.signal import lfilter

from rtmri_speech.signal.formants import formant_tracks


def vowel(resonances, rate, f0=120.0, seconds=1.0):
    """A train of pulses through two-pole resonators (Klatt, 1980), with a glottal slope of -12 dB per octave."""
    pulses = np.zeros(round(seconds * rate))
    pulses[np.arange(0, len(pulses), rate / f0).astype(int)] = 1
    sound = lfilter([1], [1, -0.95], pulses)
    for hertz, width in resonances:
        radius = np.exp(-np.pi * width / rate)
        sound = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hertz / rate), radius**2], sound)
    return sound / np.abs(sound).max()


@pytest.mark.parametrize("rate", [11413, 22050])
@pytest.mark.parametrize(
    "resonances", [[(500, 60), (1500, 90), (2500, 120), (3500, 150)], [(300, 60), (2200, 90), (2900, 120), (3600, 150)]]
)
def test_the_resonances_of_a_vowel_are_its_formants(resonances, rate):
    hop = round(rate / 27)
    tracks = formant_tracks(vowel(resonances, rate), rate, hop)
    assert tracks.shape == (rate // hop, 3)
    for number, (hertz, _) in enumerate(resonances[:3]):
        assert np.nanmedian(tracks[:, number]) == pytest.approx(hertz, rel=0.08), number


def test_silence_has_no_formants():
    assert np.isnan(formant_tracks(np.zeros(4000), 16000, 400)).all()
