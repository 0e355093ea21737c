"""Normalises raw recordings: rotation, crop, gray, uniform size and contrast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import audio_blocks, track_rate
from rtmri_speech.signal.video import frames_at_rate, normalise_frames, probe, resize, write_video

_CRF = 12
"""Rate factor of H.264: higher quality than for viewing, because models are trained on the result."""


def normalise_video(
    source: str | Path,
    target: str | Path,
    *,
    size: tuple[int, int] = (256, 256),
    crop: tuple[int, int, int, int] | None = None,
    rotation: float = 0.0,
    own_rate: float | None = None,
) -> None:
    """Write a raw recording as a normalised mp4 with the same frame rate and sound.

    Each frame is converted to gray, rotated, cropped and scaled, then normalised individually (`normalise_frames`,
    ``frame``) at the file's full depth. A variable frame rate is resampled to the declared one. Uses constant memory.

    Parameters
    ----------
    source : the recording; gray or colour, of any size, depth and codec.
    target : the mp4, written atomically.
    size : height and width of the result, pixels.
    crop : left, top, width and height in pixels of the turned picture; None for all of it.
    rotation : degrees counter-clockwise about the picture's centre; by quarter turns the picture's sides change
        places, by any other angle it keeps its size and what comes in from outside is black.
    own_rate : frames per second of a recording that does not say it (`signal.frame_store`).

    Raises
    ------
    UserError
        The recording is unreadable, the box exceeds the picture, or ``target`` is ``source`` or not an mp4.
    """
    source, target = Path(source), Path(target)
    if target.suffix.lower() != ".mp4":
        raise UserError(target, "does not end in .mp4", "normalised videos are mp4; use that suffix")
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(target, "is the raw recording itself", "name another output, so that the recording stays")
    info = probe(source, own_rate)

    def pictures() -> Iterator[np.ndarray]:
        for frame in frames_at_rate(source, info.rate, "nearest", depth=16, own_rate=own_rate):
            picture = resize(_cropped(source, _turned(frame, rotation), crop), size)
            yield np.rint(normalise_frames(picture, "frame") * 255).astype(np.uint8)

    sampling_rate = track_rate(source)
    sound = None if sampling_rate is None else audio_blocks(source, sampling_rate=sampling_rate)
    write_video(target, pictures(), info.rate, sound, sampling_rate, _CRF)


def _turned(picture: np.ndarray, degrees: float) -> np.ndarray:
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(picture, int(degrees // 90) % 4))
    height, width = picture.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return cv2.warpAffine(picture, turn, (width, height), flags=cv2.INTER_LINEAR)


def _cropped(source: Path, picture: np.ndarray, box: tuple[int, int, int, int] | None) -> np.ndarray:
    if box is None:
        return picture
    left, top, width, height = box
    if (
        min(left, top) < 0
        or min(width, height) < 1
        or left + width > picture.shape[1]
        or top + height > picture.shape[0]
    ):
        raise UserError(
            source,
            f"its picture of {picture.shape[1]}x{picture.shape[0]} does not hold the crop box {width}x{height} at"
            f" {left},{top}",
            "give left, top, width and height of a box inside the turned picture",
        )
    return picture[top : top + height, left : left + width]
