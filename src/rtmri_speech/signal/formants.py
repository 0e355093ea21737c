"""Formants of speech by linear prediction."""

from __future__ import annotations

import numpy as np

HIGHEST_HZ = 5500.0
"""Highest formant sought; five are expected below it, as Praat's default for a woman's voice."""

FORMANTS = 5

_WINDOW_S = 0.025
_PREEMPHASIS_HZ = 50.0
_WIDEST_HZ = 400.0
"""Bandwidth above which a pole is not a formant."""

_LOWEST_HZ = 90.0


def formant_tracks(audio: np.ndarray, sampling_rate: int, hop: int, count: int = 3) -> np.ndarray:
    """Return the lowest ``count`` formants at the middle of each frame, Hz, ``(N // hop, count)``; NaN where none is.

    The angles of the poles of a linear predictor of order 12 (Markel and Gray, *Linear Prediction of Speech*, 1976),
    resampled to 11 kHz if the sound has a higher rate: pre-emphasis of 6 dB per octave from 50 Hz, Gaussian windows of
    25 ms, poles from 90 Hz on with a bandwidth of at most 400 Hz. Frame t is the samples ``[t hop, (t + 1) hop)``.

    Parameters
    ----------
    audio : ``(N,)``.
    """
    import librosa

    signal = np.asarray(audio, np.float64)
    frames = len(signal) // hop
    rate = min(float(sampling_rate), 2 * HIGHEST_HZ)
    if rate < sampling_rate:
        signal = librosa.resample(signal, orig_sr=sampling_rate, target_sr=rate, res_type="soxr_hq")
    signal = np.append(signal[:1], signal[1:] - np.exp(-2 * np.pi * _PREEMPHASIS_HZ / rate) * signal[:-1])
    half = round(_WINDOW_S * rate)
    # The Gaussian is cut where it is down to 4 %, at twice the nominal length.
    window = np.exp(-12 * (np.arange(-half, half) / (2 * half)) ** 2)
    padded = np.pad(signal, half)
    tracks = np.full((frames, count), np.nan)
    for frame in range(frames):
        middle = round((frame + 0.5) * hop / sampling_rate * rate)
        windowed = padded[middle : middle + 2 * half] * window
        if np.ptp(windowed) == 0:
            continue
        poles = np.roots(librosa.lpc(windowed, order=2 * FORMANTS + 2))
        poles = poles[poles.imag > 0]
        hertz, width = np.angle(poles) * rate / (2 * np.pi), -np.log(np.abs(poles)) * rate / np.pi
        found = np.sort(hertz[(hertz > _LOWEST_HZ) & (width < _WIDEST_HZ) & (hertz < rate / 2 - 50)])[:count]
        tracks[frame, : len(found)] = found
    return tracks
