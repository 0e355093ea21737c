"""Live synthesis between streams of bytes: raw frames in, raw samples out, and how long the computation took."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.synthesis.synthesiser import LiveSynthesiser


@dataclasses.dataclass
class Pace:
    """How long a live synthesis computed, apart from its waiting for frames.

    Attributes
    ----------
    speech : seconds of speech.
    computing : seconds of computation.
    slowest : those of the slowest block.
    block : seconds of speech of a whole block.
    """

    block: float
    speech: float = 0.0
    computing: float = 0.0
    slowest: float = 0.0

    @property
    def factor(self) -> float:
        """Times real time: seconds of speech per second of computation; below 1, a live stream falls behind."""
        return self.speech / max(self.computing, 1e-9)


def raw_frames(stream: BinaryIO, size: tuple[int, int], source: str) -> Iterator[np.ndarray]:
    """Yield the frames of a stream of gray pixels, row by row and without headers, uint8 ``(H, W)``.

    Raises
    ------
    UserError
        The stream ends within a frame.
    """
    count = size[0] * size[1]
    while content := stream.read(count):
        if len(content) < count:
            raise UserError(
                source,
                f"ends within a frame, after {len(content)} of {count} bytes",
                f"send gray pixels of 8 bits, frames of height {size[0]} and width {size[1]}",
            )
        yield np.frombuffer(content, np.uint8).reshape(size)


def speak_live(live: LiveSynthesiser, frames: Iterable[np.ndarray], take: Callable[[np.ndarray], object]) -> Pace:
    """Give each block of samples to ``take`` as soon as it is computed, and return the pace."""
    waited = 0.0

    def arriving() -> Iterator[np.ndarray]:
        nonlocal waited
        begin = time.perf_counter()
        for frame in frames:
            waited += time.perf_counter() - begin
            yield frame
            begin = time.perf_counter()
        waited += time.perf_counter() - begin

    pace = Pace(live.block_seconds)
    begin = time.perf_counter()
    for samples in live.stream(arriving()):
        took = time.perf_counter() - begin - waited
        pace.speech += len(samples) / live.mel.sampling_rate
        pace.computing += took
        pace.slowest = max(pace.slowest, took)
        take(samples)
        begin, waited = time.perf_counter(), 0.0
    return pace
