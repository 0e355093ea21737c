"""The channels of the CNN's input: a frame, and the differences to the frames before and after it.

With ``acoustic: {neighbours: N}``, the CNN sees each frame as 2N + 1 channels, and thereby what moves. Its first
convolution then is the three-dimensional one, of 2N + 1 frames in time, with which networks for lip-reading begin
(T. Stafylakis and G. Tzimiropoulos, *Combining residual networks with LSTMs for lipreading*, 2017): a sum over time
and space of the frames, of which these channels are linear combinations that span the same space. A frame is
computed once for all its windows, as without neighbours.

A clip's first and last frame stand for those that would be beyond it. torch is not imported here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from rtmri_speech.acoustic.context import functions_of

Array = TypeVar("Array", bound=Any)
"""NumPy arrays or torch tensors."""


def around(pictures: Array, frames: range, neighbours: int) -> Array:
    """Return frames between their neighbours, ``(len(frames), 2 * neighbours + 1, H, W)`` in the order of time.

    Parameters
    ----------
    pictures : of a clip, or of so much of it that no neighbour within the clip is missing, ``(T, 1, H, W)``.
    frames : consecutive ones of ``pictures``.
    neighbours : frames on each side; with 0, a view of ``pictures``.
    """
    if not neighbours:
        return pictures[frames.start : frames.stop]
    rows = np.asarray(frames)[:, None] + np.arange(-neighbours, neighbours + 1)
    return pictures[:, 0][rows.clip(0, len(pictures) - 1)]


def all_around(blocks: Iterable[Array], neighbours: int) -> Iterator[Array]:
    """Yield all frames of a clip as `around` returns them, as soon as the frames after them are there.

    Parameters
    ----------
    blocks : the clip's pictures in blocks ``(t, 1, H, W)``.
    neighbours : frames on each side; with 0, the blocks are passed on.
    """
    if not neighbours:
        yield from blocks
        return
    held, done = None, 0
    for block in blocks:
        held = block if held is None else functions_of(block).concatenate([held, block])
        ready = len(held) - neighbours
        if ready > done:
            yield around(held, range(done, ready), neighbours)
            past = max(ready - neighbours, 0)
            held, done = held[past:], ready - past
    if held is not None:
        yield around(held, range(done, len(held)), neighbours)


def differences(stacks: Array) -> Array:
    """Return the CNN's channels of frames between their neighbours, of the same shape.

    Parameters
    ----------
    stacks : from `around`, ``(N, 2 * neighbours + 1, H, W)``.

    Returns
    -------
    The frame, then each neighbour less the frame, in the order of time: zero for a neighbour beyond the clip's end.
    """
    middle = stacks.shape[1] // 2
    frame = stacks[:, middle : middle + 1]
    parts = [frame, stacks[:, :middle] - frame, stacks[:, middle + 1 :] - frame]
    return functions_of(stacks).concatenate(parts, 1)
