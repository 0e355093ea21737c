"""Darkens an articulator in the video, to test how much the speech depends on it.

The polygons are the lab's, in the coordinates of its 256×256 pictures; they are scaled to the video's size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.untrusted import read_json

REFERENCE_SIZE = 256
"""Height and width of the polygons' coordinate system, pixels."""

FARTHEST = 10 * REFERENCE_SIZE
"""Largest plausible coordinate."""

LIP = ((8, 84), (43, 84), (45, 156), (8, 156))
TONGUE = ((36.1, 102.7), (63.4, 90.9), (122.7, 111.5), (133.4, 172.2), (47.6, 155.0))
ARTICULATORS = {"lip": (LIP,), "tongue": (TONGUE,)}
"""Polygons by name, as sequences of (x, y): column from the left, row from the top."""

BLUR_KERNEL = 11
"""Size of the Gaussian that softens the edge, pixels; the lab's."""

_SUBPIXEL_BITS = 8

Polygon = Sequence[tuple[float, float]]


def read_polygons(path: str | Path) -> list[Polygon]:
    """Read polygons from a JSON file: a list of ``[x, y]``, or a list of such lists.

    Raises
    ------
    UserError
        The file is missing, not valid JSON, or malformed.
    """
    remedy = "give [[x, y], ...] or a list of such polygons, of three points or more, in a 256x256 picture"
    content = read_json(path, missing=remedy, remedy=remedy)
    polygons = [content] if is_polygon(content) else content
    if not isinstance(polygons, list) or not polygons or not all(map(is_polygon, polygons)):
        raise UserError(path, "holds no polygon", remedy)
    return polygons


def is_polygon(value: object) -> bool:
    """Return whether a value is a polygon: at least three points, with coordinates up to `FARTHEST`."""
    return (
        isinstance(value, list)
        and len(value) >= 3
        and all(
            isinstance(point, list)
            and len(point) == 2
            and all(type(number) in (int, float) and abs(number) <= FARTHEST for number in point)
            for point in value
        )
    )


def mask_weight(
    polygons: Sequence[Polygon], size: tuple[int, int], alpha: float = 1.0, blur_kernel: int = BLUR_KERNEL
) -> np.ndarray:
    """Return the darkening of each pixel, float32 ``(height, width)`` from 0 to ``alpha``.

    Parameters
    ----------
    polygons : in `REFERENCE_SIZE` coordinates.
    size : height and width of the frames, pixels.
    alpha : opacity, 1 for black.
    blur_kernel : size of the Gaussian that softens the edge, odd, in `REFERENCE_SIZE` pixels; 0 for a hard edge.

    Raises
    ------
    UserError
        ``alpha`` or ``blur_kernel`` is out of range, or the polygons are outside the picture.
    """
    if not 0 <= alpha <= 1:
        raise UserError("--alpha", f"is {alpha:g}", "give a number from 0 (nothing) to 1 (black)")
    if blur_kernel < 0 or (blur_kernel and blur_kernel % 2 == 0):
        raise UserError("--blur-kernel", f"is {blur_kernel}", "give an odd number, or 0 for a hard edge")
    # Drawn and blurred at the reference size, so that the edge is as soft in small videos.
    weight = np.zeros((REFERENCE_SIZE, REFERENCE_SIZE), np.float32)
    for polygon in polygons:
        # Polygon coordinates start at the corner of the first pixel, OpenCV's at its centre.
        points = np.rint((np.asarray(polygon, np.float64) - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(weight, [points], 1.0, shift=_SUBPIXEL_BITS)
    if not weight.any():
        raise UserError("polygon", "lies outside the picture", f"give points from 0 to {REFERENCE_SIZE}")
    if blur_kernel:
        weight = cv2.GaussianBlur(weight, (blur_kernel, blur_kernel), 0)
    if size != weight.shape:
        weight = cv2.resize(weight, size[::-1], interpolation=cv2.INTER_AREA)
    return np.float32(alpha) * weight


def masked(frames: Iterable[np.ndarray], weight: np.ndarray) -> Iterator[np.ndarray]:
    """Yield gray frames uint8 ``(H, W)`` darkened by ``weight`` ``(H, W)``."""
    kept = 1 - weight
    for frame in frames:
        yield np.rint(frame * kept).astype(np.uint8)
