"""The picture half of a sample: a clip's video as ``mri.npy``, every frame once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from rtmri_speech.atomic import save_npy_rows
from rtmri_speech.dataset.clip import Clip
from rtmri_speech.errors import UserError
from rtmri_speech.signal.video import frames_at_rate


def write_frames(
    target: str | Path,
    clip: Clip,
    rate: Fraction,
    size: tuple[int, int] = (256, 256),
    resampling: str = "refuse",
    sampling_rate: int | None = None,
) -> int:
    """Decode a clip's video to ``mri.npy``, uint8 ``(T, height, width)`` gray, and return T.

    Parameters
    ----------
    target : the ``.npy`` file to write; memory in use does not grow with its length.
    clip : which video and which stretch of it.
    rate : frames per second of the result, the mel's.
    size : height and width, pixels; frames are shrunk by area.
    resampling : what to do with a video of another rate: ``refuse``, ``nearest`` or ``mean``.
    sampling_rate : of the mel, Hz; with it a refusal names a mel that would fit.

    Raises
    ------
    UserError
        The video is missing, unreadable, of another rate (``refuse``), or holds no frame in the stretch.
    """
    frames = frames_at_rate(
        clip.video, rate, resampling, size=size, start=clip.start, end=clip.end, sampling_rate=sampling_rate
    )
    return save_frames(target, frames, size)


def save_frames(target: str | Path, frames: Iterable[np.ndarray], size: tuple[int, int]) -> int:
    """Write a stream of uint8 ``size`` frames as one ``.npy`` array and return how many there were."""
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise UserError(target, "would hold no frame", "give an interval that contains video frames")
    return save_npy_rows(target, itertools.chain([first], frames), size, np.uint8)
