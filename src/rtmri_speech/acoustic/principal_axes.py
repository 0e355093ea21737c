"""Principal axes of a dataset's pictures: a linear encoder in closed form (Pearson, 1901)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.errors import UserError

MOST_FRAMES = 2**15
"""Frames used at most (20 minutes at 27 per second); of more, every n-th. The axes hardly change with more."""

_BLOCK = 512
"""Frames in memory at a time."""


def principal_axes(
    processed_dir: str | Path,
    ids: Iterable[str],
    pictures: Callable[[np.ndarray], np.ndarray],
    components: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean picture, principal axes and the standard deviations along them, of the clips' frames.

    From the covariance of the pixels in float64: the same frames give the same axes, and memory does not grow with
    their number. The largest entry of an axis is positive.

    Parameters
    ----------
    processed_dir : the dataset.
    ids : its clips.
    pictures : from frames ``(N, H, W)`` of a clip to what is decomposed, ``(N, pixels)``.
    components : number of axes; those beyond the rank of the pictures have a deviation of 0.

    Returns
    -------
    float32 ``(pixels,)``, ``(pixels, components)`` and ``(components,)``.

    Raises
    ------
    UserError
        There is no frame.
    """
    ids = list(ids)
    total = sum(len(open_sample(processed_dir, id).sound_mask) for id in ids)
    if not total:
        raise UserError(processed_dir, "has no training frame", "check the file list training.txt")
    step = -(-total // MOST_FRAMES)
    count, first = 0, 0
    # Of arrays, from 0 on.
    sums: Any = 0.0
    products: Any = 0.0
    for id in ids:
        frames = open_sample(processed_dir, id).mri
        chosen = range(first, len(frames), step)
        first = (first - len(frames)) % step
        for begin in range(0, len(chosen), _BLOCK):
            block = pictures(frames[chosen[begin : begin + _BLOCK]]).astype(np.float64)
            count += len(block)
            sums = sums + block.sum(0)
            products = products + block.T @ block
    mean = sums / count
    variances, axes = np.linalg.eigh(products / count - np.outer(mean, mean))
    variances, axes = variances[::-1][:components], axes[:, ::-1][:, :components]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(0)[None], axis=0)
    deviations = np.sqrt(np.maximum(variances, 0))
    return mean.astype(np.float32), (axes * np.sign(largest)).astype(np.float32), deviations.astype(np.float32)
