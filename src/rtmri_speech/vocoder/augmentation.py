"""Augmentation of training excerpts: recording conditions of audio, and smoothing of mels as by a mel predictor.

A vocoder trained only on clean speech fails on recordings with another spectral balance and noise floor, such as a
scanner's, and stays unvoiced on predicted mels, whose harmonics are smooth.
"""

from __future__ import annotations

import dataclasses

import numpy as np

LOW_CUT_HZ, LOW_CUT_DB_PER_OCTAVE, LOW_CUT_MOST_DB = (150, 800), (2, 14), (8, 30)
TILT_DB_PER_OCTAVE, TILT_FROM_HZ = (-8, 5), 2000
RIPPLE_HZ, RIPPLE_DB = (50, 150, 400, 800, 1600, 3000, 5700), 4
NOISE_DB, NOISE_SLOPE = (-90, -48), (0, 1)
"""Level of the noise floor re full scale; exponent of its magnitude's decrease with frequency (0: white)."""
TONES, TONE_HZ, TONE_DB = 3, (40, 5000), (-85, -55)
PAUSE_DB = -45
"""Level below the loudest moment at which a gated recording is silent."""

_PEAK = 0.98
_LEAST_HZ = 20


@dataclasses.dataclass(frozen=True)
class Smoothing:
    """Random blur of training mels, up to that of a mel predictor.

    Parameters
    ----------
    share : probability that a mel is blurred.
    bins, frames : maximum standard deviation of the Gaussian in frequency and in time.
    noise : maximum standard deviation of the blurred noise added to the natural-log mel.
    """

    share: float
    bins: float = 3.5
    frames: float = 1.2
    noise: float = 0.15

    def __call__(self, mel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a log mel, float32 ``(n_mels, F)``, blurred or unchanged."""
        if rng.random() >= self.share:
            return mel
        blurred = _blurred(mel, rng.uniform(0, self.bins), rng.uniform(0, self.frames))
        noise = _blurred(rng.standard_normal(mel.shape), rng.uniform(0, self.bins), rng.uniform(0, self.frames))
        blurred = blurred + rng.uniform(0, self.noise) * noise / max(noise.std(), 1e-9)
        return blurred.astype(np.float32)


def _blurred(values: np.ndarray, bins: float, frames: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(values, (bins, frames), mode="nearest")


def recorded(audio: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return speech with the effect of a random microphone, room and denoiser: filtered, noisy or gated.

    Parameters
    ----------
    audio : float32 ``(L,)``, full scale 1.
    sampling_rate : Hz.
    """
    audio = _filtered(audio, sampling_rate, rng)
    if rng.random() < 0.75:
        audio = audio + _noise(len(audio), sampling_rate, rng)
    elif rng.random() < 0.5:
        audio = audio * _gate(audio, sampling_rate)
    if rng.random() < 0.2:
        time = np.arange(len(audio)) / sampling_rate
        for _ in range(TONES):
            phase = 2 * np.pi * (rng.uniform(*TONE_HZ) * time + rng.random())
            audio = audio + _gain(rng.uniform(*TONE_DB)) * np.sin(phase)
    return (audio * min(1.0, _PEAK / max(np.abs(audio).max(), 1e-9))).astype(np.float32)


def _filtered(audio: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``audio`` filtered by a random low cut, tilt and ripple."""
    frequencies = np.maximum(np.fft.rfftfreq(len(audio), 1 / sampling_rate), _LEAST_HZ)
    decibels = rng.uniform(*TILT_DB_PER_OCTAVE) * np.maximum(np.log2(frequencies / TILT_FROM_HZ), 0)
    knots = rng.uniform(-RIPPLE_DB, RIPPLE_DB, len(RIPPLE_HZ))
    decibels += np.interp(np.log2(frequencies), np.log2(RIPPLE_HZ), knots)
    if rng.random() < 0.65:
        octaves = np.maximum(np.log2(rng.uniform(*LOW_CUT_HZ) / frequencies), 0)
        decibels -= np.minimum(rng.uniform(*LOW_CUT_DB_PER_OCTAVE) * octaves, rng.uniform(*LOW_CUT_MOST_DB))
    return np.fft.irfft(np.fft.rfft(audio) * _gain(decibels), len(audio))


def _noise(length: int, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise of a random level and colour."""
    frequencies = np.maximum(np.fft.rfftfreq(length, 1 / sampling_rate), _LEAST_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(length)) * frequencies ** -rng.uniform(*NOISE_SLOPE)
    noise = np.fft.irfft(spectrum, length)
    return _gain(rng.uniform(*NOISE_DB)) * noise / noise.std()


def _gate(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Return a gain of 0 in pauses and 1 elsewhere, with ramps of 10 ms."""
    from scipy.ndimage import uniform_filter1d

    width = round(0.03 * sampling_rate)
    energy = uniform_filter1d(audio.astype(np.float64) ** 2, width)
    loud = (energy > energy.max() * _gain(PAUSE_DB) ** 2).astype(np.float64)
    return uniform_filter1d(loud, round(0.01 * sampling_rate))


def _gain(decibels: float | np.ndarray) -> float | np.ndarray:
    return 10 ** (decibels / 20)
