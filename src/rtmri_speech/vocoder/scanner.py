"""Augmentation of training excerpts as recordings from MRI scanners after noise cancellation.

The gradient coils make a noise that repeats with the pulse sequence, whose spectrum is thus a comb, and that is louder
than speech. Noise cancellation reduces it, and leaves part of it, holes in the speech, musical noise and silent pauses.
"""

from __future__ import annotations

import numpy as np

LOW_CUT_HZ, LOW_CUT_DB_PER_OCTAVE, LOW_CUT_MOST_DB = (100, 350), (12, 36), (10, 40)
REPETITION_HZ = (8, 200)
"""Of the noise: an interleaved sequence repeats every 5 to 120 ms."""
RESONANCES, RESONANCE_OCTAVES = 3, 0.7
"""Number of peaks in the comb's envelope, and the standard deviation of their width."""
COMB_DB, BROADBAND_DB = (-25, 10), (-35, -5)
"""Levels of the two noises before the cancellation, re the root mean square of the excerpt."""
CANCELLED = 0.8
"""Share of excerpts with cancellation; the others' noise is lower by `UNCANCELLED_DB`."""
UNCANCELLED_DB = -15
WINDOW_SECONDS, OVERSUBTRACTION, FLOOR_DB = (0.02, 0.1), (0.7, 2.5), (-45, -10)
"""Of the spectral subtraction: window, factor of the noise's power, and least gain."""
GATED, GATE_BELOW_DB, GATE_DB = 0.5, (-30, -15), (-60, -15)
"""Share of excerpts whose quiet moments are attenuated, their level re the loudest moment, and the attenuation."""

_PEAK = 0.98
_LEAST_HZ = 20
_TABLE = 4096


def in_scanner(audio: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return speech with a low cut, and with the noise of a random pulse sequence, mostly cancelled.

    Parameters
    ----------
    audio : float32 ``(L,)``, full scale 1.
    sampling_rate : Hz.
    """
    audio = _low_cut(audio.astype(np.float64), sampling_rate, rng)
    level = max(np.sqrt((audio**2).mean()), 1e-6)
    noise = level * _gain(rng.uniform(*COMB_DB)) * gradient_noise(len(audio), sampling_rate, rng)
    noise += level * _gain(rng.uniform(*BROADBAND_DB)) * rng.standard_normal(len(audio))
    if rng.random() < CANCELLED:
        audio = subtracted(audio + noise, noise, sampling_rate, rng)
    else:
        audio = audio + _gain(UNCANCELLED_DB) * noise
    if rng.random() < GATED:
        audio = audio * _gate(audio, sampling_rate, rng.uniform(*GATE_BELOW_DB), rng.uniform(*GATE_DB))
    return (audio * min(1.0, _PEAK / max(np.abs(audio).max(), 1e-9))).astype(np.float32)


def gradient_noise(length: int, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return a signal of root mean square 1, float64 ``(length,)``, that repeats at a random rate (`REPETITION_HZ`).

    Its lines have random amplitudes under an envelope with `RESONANCES`.
    """
    repetition = np.exp(rng.uniform(*np.log(REPETITION_HZ)))
    lines = np.arange(1, min(int(sampling_rate / 2 / repetition), _TABLE // 2 - 1) + 1)
    octaves = np.log2(lines * repetition)
    peaks = rng.uniform(np.log2(200), np.log2(sampling_rate / 2), (RESONANCES, 1))
    envelope = np.exp(-(((octaves - peaks) / RESONANCE_OCTAVES) ** 2) / 2).sum(axis=0) + 0.03
    spectrum = np.zeros(_TABLE // 2 + 1, complex)
    spectrum[lines] = envelope * (rng.standard_normal(len(lines)) + 1j * rng.standard_normal(len(lines)))
    period = np.fft.irfft(spectrum)
    phase = (np.arange(length) * repetition / sampling_rate + rng.random()) % 1
    noise = np.interp(phase * _TABLE, np.arange(_TABLE + 1), [*period, period[0]])
    return noise / max(noise.std(), 1e-9)


def subtracted(noisy: np.ndarray, noise: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``noisy`` after a spectral subtraction of the mean power of ``noise``, both ``(L,)``.

    Source: Berouti, Schwartz and Makhoul 1979, with random window, factor and floor.
    """
    from scipy.signal import istft, stft

    window = round(rng.uniform(*WINDOW_SECONDS) * sampling_rate)
    _, _, mixed = stft(noisy, nperseg=window)
    _, _, reference = stft(noise, nperseg=window)
    power = (np.abs(reference) ** 2).mean(axis=1, keepdims=True)
    left = 1 - rng.uniform(*OVERSUBTRACTION) * power / np.maximum(np.abs(mixed) ** 2, 1e-20)
    gain = np.maximum(np.sqrt(np.maximum(left, 0)), _gain(rng.uniform(*FLOOR_DB)))
    return istft(mixed * gain, nperseg=window)[1][: len(noisy)]


def _low_cut(audio: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    frequencies = np.maximum(np.fft.rfftfreq(len(audio), 1 / sampling_rate), _LEAST_HZ)
    octaves = np.maximum(np.log2(rng.uniform(*LOW_CUT_HZ) / frequencies), 0)
    cut = np.minimum(rng.uniform(*LOW_CUT_DB_PER_OCTAVE) * octaves, rng.uniform(*LOW_CUT_MOST_DB))
    return np.fft.irfft(np.fft.rfft(audio) * _gain(-cut), len(audio))


def _gate(audio: np.ndarray, sampling_rate: int, below_db: float, gate_db: float) -> np.ndarray:
    """Return a gain of ``gate_db`` where the level is ``below_db`` under the loudest moment, with ramps of 20 ms."""
    from scipy.ndimage import uniform_filter1d

    energy = uniform_filter1d(audio**2, round(0.04 * sampling_rate))
    quiet = (energy < energy.max() * _gain(below_db) ** 2).astype(np.float64)
    return _gain(gate_db * uniform_filter1d(quiet, round(0.02 * sampling_rate)))


def _gain(decibels: float | np.ndarray) -> float | np.ndarray:
    return 10 ** (decibels / 20)
