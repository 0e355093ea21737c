"""Checked on signals whose spectrum is known: a comb, tones, noise and silence."""

import numpy as np
import pytest

from rtmri_speech.vocoder.scanner import REPETITION_HZ, gradient_noise, in_scanner, subtracted

RATE = 11413


def level_db(audio):
    return 10 * np.log10((np.asarray(audio, np.float64) ** 2).mean() + 1e-20)


def speech_like():
    """Harmonics of 120 Hz for half a second, then silence."""
    time = np.arange(RATE) / RATE
    audio = 0.02 * sum(np.sin(2 * np.pi * 120 * k * time) for k in range(1, 40))
    audio[RATE // 2 :] = 0
    return audio.astype(np.float32)


@pytest.mark.parametrize("seed", range(6))
def test_gradient_noise_repeats_at_a_rate_within_its_range(seed):
    noise = gradient_noise(2 * RATE, RATE, np.random.default_rng(seed))
    assert noise.std() == pytest.approx(1, abs=0.02)
    lags = np.arange(int(RATE / REPETITION_HZ[1]), int(RATE / REPETITION_HZ[0]) + 2)
    alike = [np.corrcoef(noise[:RATE], noise[lag : lag + RATE])[0, 1] for lag in lags]
    # A period that is not a whole number of samples is missed by half a sample at most.
    assert max(alike) > 0.7


def test_subtraction_takes_the_noise_and_leaves_a_louder_tone():
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    noise = 0.05 * rng.standard_normal(RATE)
    taken, kept = [], []
    for seed in range(12):
        left = subtracted(tone + noise, noise, RATE, np.random.default_rng(seed))
        assert left.shape == tone.shape
        gain = left @ tone / (tone @ tone)
        kept.append(gain)
        taken.append(level_db(left - gain * tone) - level_db(noise))
    assert min(kept) > 0.95
    assert np.median(taken) < -3 and max(taken) < 0.5


def test_a_scanners_recordings_keep_length_and_are_not_clipped():
    audio = speech_like()
    for seed in range(40):
        made = in_scanner(audio, RATE, np.random.default_rng(seed))
        assert made.shape == audio.shape and made.dtype == np.float32
        assert np.abs(made).max() <= 0.981


def test_pauses_are_from_noisy_to_silent_and_lows_are_cut():
    audio = speech_like()
    pauses, lows = [], []
    for seed in range(60):
        made = in_scanner(audio, RATE, np.random.default_rng(seed))
        speech = made[RATE // 8 : 3 * RATE // 8]
        pauses.append(level_db(made[5 * RATE // 8 : 7 * RATE // 8]) - level_db(speech))
        spectrum = np.abs(np.fft.rfft(speech * np.hanning(len(speech))))
        # A quarter of a second: bins of 4 Hz.
        lows.append(20 * np.log10(spectrum[29:32].max() / spectrum[298:303].max()))
    assert min(pauses) < -65 and max(pauses) > -12
    assert min(lows) < -20


def test_silence_stays_finite():
    assert np.isfinite(in_scanner(np.zeros(RATE, np.float32), RATE, np.random.default_rng(0))).all()
