"""Video part of a sample: writes a clip's frames as ``mri.npy``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from rtmri_speech.atomic import save_npy_rows
from rtmri_speech.dataset.clip import Clip
from rtmri_speech.errors import UserError
from rtmri_speech.settings.data import Resampling
from rtmri_speech.signal.video import frames_at_rate


def write_frames(
    target: str | Path,
    clip: Clip,
    rate: Fraction,
    size: tuple[int, int] = (256, 256),
    resampling: Resampling = "refuse",
    sampling_rate: int | None = None,
) -> int:
    """Decode a clip's video to ``mri.npy``, uint8 ``(T, height, width)`` gray, and return T.

    Parameters
    ----------
    target : the ``.npy`` file, written in constant memory.
    clip : video and interval.
    rate : frames per second of the result, the mel's.
    size : height and width, pixels; frames are shrunk by area.
    resampling : handling of a video of another rate: ``refuse``, ``nearest`` or ``mean``.
    sampling_rate : of the mel, Hz; if given, an error suggests a suitable mel.

    Raises
    ------
    UserError
        The video is missing, unreadable, of another rate (``refuse``), or has no frame in the interval.
    """
    frames = frames_at_rate(
        clip.video,
        rate,
        resampling,
        size=size,
        start=clip.start,
        end=clip.end,
        sampling_rate=sampling_rate,
        own_rate=clip.frame_rate,
    )
    return save_frames(target, frames, size)


def save_frames(target: str | Path, frames: Iterable[np.ndarray], size: tuple[int, int]) -> int:
    """Write an iterable of uint8 ``size`` frames as one ``.npy`` array and return their number."""
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise UserError(target, "would hold no frame", "give an interval that contains video frames")
    return save_npy_rows(target, itertools.chain([first], frames), size, np.uint8)
