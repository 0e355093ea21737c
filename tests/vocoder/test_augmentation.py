"""Checked on signals whose spectrum is known: tones, noise and steps."""

import numpy as np
import pytest

from rtmri_speech.vocoder.augmentation import Smoothing, recorded

RATE = 11413


def harmonics(f0=120.0, seconds=1.0):
    time = np.arange(round(seconds * RATE)) / RATE
    return 0.02 * sum(np.sin(2 * np.pi * f0 * k * time) for k in range(1, 40)).astype(np.float32)


def many(audio, count=60):
    return [recorded(audio, RATE, np.random.default_rng(seed)) for seed in range(count)]


def magnitude_db(audio, hertz):
    """Level of the line at ``hertz``, of a signal of one second."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return 20 * np.log10(spectrum[round(hertz) - 2 : round(hertz) + 3].max() + 1e-12)


def test_a_recording_keeps_its_length_and_pitch_and_is_not_clipped():
    audio = harmonics()
    for made in many(audio):
        assert made.shape == audio.shape and made.dtype == np.float32
        assert np.abs(made).max() <= 0.981
        assert magnitude_db(made, 960) > magnitude_db(made, 1020) + 12, "a harmonic stands above what is between two"


def test_recordings_differ_in_their_low_frequencies_and_in_their_tilt():
    low, high = [], []
    for made in many(harmonics()):
        middle = magnitude_db(made, 1560)
        low.append(magnitude_db(made, 120) - middle)
        high.append(magnitude_db(made, 4680) - middle)
    assert np.ptp(low) > 20 and np.ptp(high) > 10
    assert min(low) < -20 and max(low) < 10, "a low cut takes, and nothing but a ripple gives"


def test_pauses_have_noise_floors_of_many_levels_or_none():
    audio = harmonics()
    audio[RATE // 2 :] = 0
    pause = slice(3 * RATE // 4 - RATE // 8, 3 * RATE // 4 + RATE // 8)
    levels = np.array([10 * np.log10((made[pause].astype(np.float64) ** 2).mean() + 1e-20) for made in many(audio)])
    assert np.percentile(levels, 90) > -60 and np.percentile(levels, 40) < -60
    assert (levels < -150).any(), "a gated recording is silent in pauses"


def test_equal_random_numbers_make_equal_recordings():
    audio = harmonics(seconds=0.5)
    one, other = (recorded(audio, RATE, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_the_share_of_blurred_mels_is_the_settings():
    mel = np.random.default_rng(0).normal(size=(64, 20)).astype(np.float32)
    rng = np.random.default_rng(1)
    blurred = np.mean([(Smoothing(0.3)(mel, rng) != mel).any() for _ in range(600)])
    assert blurred == pytest.approx(0.3, abs=0.06)


def test_blurring_takes_harmonics_and_leaves_the_envelope():
    bins = np.arange(64)
    envelope = np.repeat(-3 - 0.03 * bins[:, None], 20, axis=1)
    comb = np.where(bins % 2, 1.0, -1.0)[:, None]
    contrast, offsets = [], []
    for seed in range(100):
        made = Smoothing(1.0, noise=0.0)((envelope + comb).astype(np.float32), np.random.default_rng(seed))
        assert made.dtype == np.float32
        inner = made[8:-8] - envelope[8:-8]
        contrast.append((inner * comb[8:-8]).mean())
        offsets.append(np.abs(inner.mean()))
    assert np.percentile(contrast, 50) < 0.1 and max(contrast) > 0.8, "some are hardly blurred"
    assert max(offsets) < 0.02


def test_the_noise_on_a_mel_is_within_its_bound_and_often_smooth():
    flat = np.full((64, 200), -4, np.float32)
    deviations, neighbours = [], []
    for seed in range(60):
        noise = Smoothing(1.0, noise=0.2)(flat, np.random.default_rng(seed)) + 4
        deviations.append(noise.std())
        neighbours.append(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1])
    assert max(deviations) <= 0.201 and np.mean(deviations) == pytest.approx(0.1, abs=0.02)
    assert min(neighbours) < 0.3 and max(neighbours) > 0.9
