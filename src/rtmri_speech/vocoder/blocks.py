"""Block-wise vocoding of a log mel for any engine; clips and live streams give identical samples.

Both use the same grid of blocks, each with the surrounding frames in its receptive field, so that memory is constant
and a stream equals the whole clip bit for bit (a convolution's rounding depends on the input length). torch is not
imported here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec

BLOCK_FRAMES = 128
"""Frames per block: enough to keep the overlap cheap, few enough for the CPU cache."""


class BlockVocoder(ABC):
    """A generator ready for synthesis.

    Parameters
    ----------
    spec : of its input.
    receptive_field : frames before and after a frame that its samples depend on.
    block_frames : frames per block; the latency of a stream is this plus the `receptive_field` after it.

    Attributes
    ----------
    sampling_rate, hop_length : of the output, Hz and samples per frame.
    whole_clips : whether its samples depend on the whole clip: a stream then yields once, at the end of the mel.
    needs_f0 : whether it synthesises from a mel and F0; others ignore F0.
    """

    whole_clips: ClassVar[bool] = False
    needs_f0: ClassVar[bool] = False

    def __init__(self, spec: MelSpec, receptive_field: tuple[int, int], block_frames: int) -> None:
        if block_frames < 1:
            raise UserError("block_frames", f"is {block_frames}", "give at least 1")
        self.spec, self.receptive_field, self.block_frames = spec, receptive_field, block_frames
        self.sampling_rate, self.hop_length = spec.sampling_rate, spec.hop_length

    @abstractmethod
    def samples(self, log_mel: np.ndarray, f0: np.ndarray | None = None) -> np.ndarray:
        """Return the samples, float32 ``(t * hop_length,)``, for a whole log mel, float32 ``(n_mels, t)``, and F0."""

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
        if self.whole_clips and (checked := self._checked(log_mel)).shape[1]:
            return self.samples(checked, f0)
        return np.concatenate(list(self.stream([log_mel])) or [np.zeros(0, np.float32)])

    def stream(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the waveform in blocks while the mel arrives.

        Parameters
        ----------
        pieces : consecutive log mels ``(n_mels, t)`` of any lengths.

        Yields
        ------
        float32 ``(block_frames * hop_length,)``, the last one shorter; concatenated, equal to `synthesise` of the
        whole. With `whole_clips`, all samples at the end.

        Raises
        ------
        UserError
            As `synthesise`.
        """
        if self.whole_clips:
            parts = [self._checked(piece) for piece in pieces]
            if sum(part.shape[1] for part in parts):
                yield self.samples(np.concatenate(parts, axis=1))
            return
        before, after = self.receptive_field
        held = np.zeros((self.spec.n_mels, 0), np.float32)
        first, made = 0, 0  # frames before ``held``, and frames whose samples were yielded
        for piece in pieces:
            held = np.concatenate([held, self._checked(piece)], axis=1)
            while first + held.shape[1] >= made + self.block_frames + after:
                yield self._block(held, first, made, made + self.block_frames)
                made += self.block_frames
                drop = max(made - before - first, 0)
                held, first = held[:, drop:], first + drop
        total = first + held.shape[1]
        while made < total:
            end = min(made + self.block_frames, total)
            yield self._block(held, first, made, end)
            made = end

    def _block(self, held: np.ndarray, first: int, start: int, end: int) -> np.ndarray:
        """Samples of frames ``[start, end)``; ``held`` begins with frame ``first``."""
        before, after = self.receptive_field
        low, high = max(start - before, first), min(end + after, first + held.shape[1])
        audio = self.samples(np.ascontiguousarray(held[:, low - first : high - first]))
        return audio[(start - low) * self.hop_length : (end - low) * self.hop_length]

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
