"""Audio files in and out: wav, flac, ogg or a video's own track, as mono at the wanted rate."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from rtmri_speech.atomic import replacing
from rtmri_speech.errors import UserError

FULL_SCALE = 32767
"""The 16-bit sample that stands for 1.0."""


def write_wav(path: str | Path, audio: np.ndarray, sampling_rate: int) -> None:
    """Write a mono 16-bit wav, whole or not at all.

    Parameters
    ----------
    path : the file to write.
    audio : samples in [-1, 1], float ``(N,)``; rounded to 1/32767, and clipped beyond the range.
    sampling_rate : Hz.

    Raises
    ------
    UserError
        A sample is NaN or infinite.
    """
    audio = np.asarray(audio)
    if not np.isfinite(audio).all():
        raise UserError(path, "would hold samples that are NaN or infinite", "correct the signal before it is written")
    # wave on a file of our own: a full disk is then an OSError that names itself.
    with replacing(path) as temporary, temporary.open("wb") as file, wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(sampling_rate)
        out.writeframes(_to_int16(audio))


def _to_int16(audio: np.ndarray) -> bytes:
    return np.clip(np.rint(audio * FULL_SCALE), -FULL_SCALE - 1, FULL_SCALE).astype("<i2").tobytes()
