"""Synthesis of a log mel by any vocoder: of whole clips, or of a stream in blocks. torch is not imported here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec

BLOCK_FRAMES = 32
"""Frames per block of a whole clip. More take memory, and no less time: what a layer computes leaves the CPU cache."""


class MelVocoder(ABC):
    """A vocoder ready for synthesis of whole clips.

    Parameters
    ----------
    spec : of its input.

    Attributes
    ----------
    sampling_rate, hop_length : of the output, Hz and samples per frame.
    needs_f0 : whether it synthesises from a mel and F0; others ignore F0.
    """

    needs_f0: ClassVar[bool] = False

    def __init__(self, spec: MelSpec) -> None:
        self.spec = spec
        self.sampling_rate, self.hop_length = spec.sampling_rate, spec.hop_length

    def synthesise(self, log_mel: np.ndarray, f0: np.ndarray | None = None) -> np.ndarray:
        """Return the waveform of a log mel.

        Parameters
        ----------
        log_mel : natural log of the linear mel, ``(n_mels, T)``.
        f0 : Hz, 0 where unvoiced, ``(T,)``; required if `needs_f0`.

        Returns
        -------
        samples in [-1, 1], float32 ``(T * hop_length,)``.

        Raises
        ------
        UserError
            The mel has the wrong shape or values that are not finite, or F0 is missing.
        """
        checked = self._checked(log_mel)
        return self._samples(checked, f0) if checked.shape[1] else np.zeros(0, np.float32)

    @abstractmethod
    def _samples(self, log_mel: np.ndarray, f0: np.ndarray | None) -> np.ndarray:
        """Samples, float32 ``(T * hop_length,)``, of a whole log mel, float32 ``(n_mels, T)``, and F0."""

    def _checked(self, log_mel: np.ndarray) -> np.ndarray:
        log_mel = np.asarray(log_mel)
        if log_mel.ndim != 2 or log_mel.shape[0] != self.spec.n_mels:
            transposed = log_mel.ndim == 2 and log_mel.shape[1] == self.spec.n_mels
            raise UserError(
                "the log mel",
                f"has the shape {log_mel.shape}" + (": its axes are transposed" if transposed else ""),
                f"give ({self.spec.n_mels}, frames)",
            )
        if not np.isfinite(log_mel).all():
            raise UserError("the log mel", "holds numbers that are not finite", "make it again")
        return log_mel.astype(np.float32, copy=False)


class BlockVocoder(MelVocoder):
    """A vocoder that synthesises a stream in blocks, each from the state that the one before left.

    A clip and a stream are computed in the same blocks, so that memory is constant and both give the same bits (a
    convolution's rounding depends on the length of its input).

    Parameters
    ----------
    spec : of its input.
    block_frames : frames per block; the latency of a stream is this plus `delay`.
    delay : samples between a frame's start and that of its samples in what `_advance` returns.
    """

    def __init__(self, spec: MelSpec, block_frames: int, delay: int) -> None:
        super().__init__(spec)
        if block_frames < 1:
            raise UserError("block_frames", f"is {block_frames}", "give at least 1")
        self.block_frames, self.delay = block_frames, delay

    @abstractmethod
    def _start(self) -> Any:
        """State at the start of a stream."""

    @abstractmethod
    def _advance(self, log_mel: np.ndarray, exists: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Samples of a block, `delay` late, and the state after it.

        ``log_mel`` is float32 ``(n_mels, t)``; ``exists`` is 1 for the clip's frames and 0 after its end, ``(t,)``.
        """

    def _samples(self, log_mel: np.ndarray, f0: np.ndarray | None) -> np.ndarray:
        return np.concatenate([*self.stream([log_mel])])

    def stream(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the waveform while the mel arrives.

        Parameters
        ----------
        pieces : consecutive log mels ``(n_mels, t)`` of any lengths.

        Yields
        ------
        float32, ``block_frames * hop_length`` samples, the first and the last ones fewer; concatenated, equal to
        `synthesise` of the whole.

        Raises
        ------
        UserError
            As `synthesise`.
        """
        state, late, missing = self._start(), self.delay, 0
        for log_mel, exists in self._blocks(pieces):
            samples, state = self._advance(log_mel, exists, state)
            missing += int(exists.sum()) * self.hop_length
            late, samples = max(late - len(samples), 0), samples[late:][:missing]
            missing -= len(samples)
            if len(samples):
                yield samples

    def _blocks(self, pieces: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the log mel in blocks, and which of their frames exist: `delay` needs some after the end."""
        held = np.zeros((self.spec.n_mels, 0), np.float32)
        length, empty = self.block_frames, True
        for piece in pieces:
            held = np.concatenate([held, self._checked(piece)], axis=1)
            empty = empty and not held.shape[1]
            while held.shape[1] >= length:
                yield np.ascontiguousarray(held[:, :length]), np.ones(length, np.float32)
                held = held[:, length:]
        if empty:
            return
        after = -(-self.delay // self.hop_length)
        last, exists = np.pad(held, ((0, 0), (0, after))), np.repeat(np.float32([1, 0]), [held.shape[1], after])
        for begin in range(0, len(exists), length):
            yield np.ascontiguousarray(last[:, begin : begin + length]), exists[begin : begin + length]
