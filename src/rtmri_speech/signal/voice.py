"""Which frames of a recording are speech, and their F0 and voicing."""

from __future__ import annotations

import math

import numpy as np

SPEECH_RANGE_DB = 40.0
"""Range below the clip's loudest frame in which a frame counts as speech, dB."""

SILENCE_DBFS = -80.0
"""Level below which a frame is silence in any clip."""

F0_SEARCH_HZ = (71.0, 800.0)
"""WORLD's default range of F0, for an unknown speaker."""

VOICED_CORRELATION = 0.3
"""Minimum correlation of adjacent periods of voiced speech; Praat's 0.45 assumes no scanner noise."""

_PERIOD_TOLERANCE = 0.05
_PERIODS, _LEAST_WINDOW_S = 2, 0.02


def speech_frames(audio: np.ndarray, hop: int) -> np.ndarray:
    """Return which frames are speech, bool ``(N // hop,)``.

    Frame t is the samples ``[t hop, (t + 1) hop)``; it is speech if its RMS is within `SPEECH_RANGE_DB` of the loudest
    frame's and above `SILENCE_DBFS` re full scale. Otherwise the clip's overall level has no effect.
    """
    count = len(audio) // hop
    level = np.sqrt(np.mean(np.asarray(audio[: count * hop], np.float64).reshape(count, hop) ** 2, axis=1))
    threshold = max(level.max(initial=0) * 10 ** (-SPEECH_RANGE_DB / 20), 10 ** (SILENCE_DBFS / 20))
    return level >= threshold


def harvest_f0(
    audio: np.ndarray, sampling_rate: int, hop: int, f0_range: tuple[float, float] = F0_SEARCH_HZ
) -> tuple[np.ndarray, np.ndarray]:
    """Return Harvest's F0 in Hz, 0 where unvoiced, at the middle of each frame, and those times in s; ``(N // hop,)``.

    Frame t is the samples ``[t hop, (t + 1) hop)``, as in `speech_frames`. Library pyworld (Morise, *Harvest*, 2017). A
    frame is voiced if Harvest finds an F0 and the signal is periodic at it (`period_correlation` of at least
    `VOICED_CORRELATION`); Harvest alone finds an F0 in nearly all speech. Of the unvoiced speech frames Harvest alone
    detects 25 % on clips of the embedded corpus and 9 % on a scanner recording, with the correlation 59 % and 50 %; of
    the voiced frames 99 % and 95 %, with the correlation 96 % and 80 %.
    """
    import pyworld

    signal = np.ascontiguousarray(audio, np.float64)
    low, high = f0_range
    # Harvest's times are multiples of frame_period from 0: with half a frame, every odd one is a frame's middle.
    f0, times = pyworld.harvest(
        signal, sampling_rate, f0_floor=low, f0_ceil=high, frame_period=1000 * hop / sampling_rate / 2
    )
    middles = slice(1, 2 * (len(signal) // hop), 2)
    f0, times = np.ascontiguousarray(f0[middles]), np.ascontiguousarray(times[middles])
    f0[period_correlation(signal, sampling_rate, f0, times) < VOICED_CORRELATION] = 0
    return f0, times


def period_correlation(audio: np.ndarray, sampling_rate: int, f0: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the correlation of the signal with itself one period of ``f0`` later, at most 1, float64 ``(T,)``.

    Pearson's correlation of a window of two periods, or of 20 ms if that is longer, with the window one period later,
    both centred on the frame; the maximum over periods within 5 % of ``1 / f0``. 0 without F0 and near the signal's
    ends.

    Parameters
    ----------
    audio : ``(N,)``.
    f0, times : Hz, 0 where unvoiced, and seconds; ``(T,)``.
    """
    found = np.zeros(len(f0))
    for frame in np.flatnonzero(f0 > 0):
        period = sampling_rate / f0[frame]
        width = math.ceil(max(_PERIODS * period, _LEAST_WINDOW_S * sampling_rate))
        middle = round(times[frame] * sampling_rate)
        low, high = (round(period * (1 + tolerance)) for tolerance in (-_PERIOD_TOLERANCE, _PERIOD_TOLERANCE))
        for lag in range(low, high + 1):
            first = middle - (width + lag) // 2
            if first < 0 or first + width + lag > len(audio):
                continue
            a, b = audio[first : first + width], audio[first + lag : first + lag + width]
            a, b = a - a.mean(), b - b.mean()
            energy = math.sqrt(float(a @ a) * float(b @ b))
            found[frame] = max(found[frame], float(a @ b) / energy if energy > 0 else 0.0)
    return found
