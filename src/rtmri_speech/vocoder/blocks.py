"""A log mel to samples block by block: whole clips and live streams, sample for sample the same, by any engine.

Both ways work on one grid of frames, each block with the frames around it that its samples depend on, so that memory
does not grow with the length and a stream equals the whole clip to the last bit (a convolution's rounding depends on
the length it is given). Nothing here imports torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec

BLOCK_FRAMES = 128
"""Frames made at a time: so many that those computed twice cost little, so few that they fit the processor's cache."""


class BlockVocoder(ABC):
    """A generator ready for synthesis.

    Parameters
    ----------
    spec : the mel it reads.
    receptive_field : frames before and after a frame that its samples depend on.
    block_frames : frames made at a time; a stream's delay is this many and the `receptive_field` after them.

    Attributes
    ----------
    sampling_rate, hop_length : of what it makes, Hz and samples a frame.
    """

    def __init__(self, spec: MelSpec, receptive_field: tuple[int, int], block_frames: int) -> None:
        if block_frames < 1:
            raise UserError("block_frames", f"is {block_frames}", "give at least 1")
        self.spec, self.receptive_field, self.block_frames = spec, receptive_field, block_frames
        self.sampling_rate, self.hop_length = spec.sampling_rate, spec.hop_length

    @abstractmethod
    def samples(self, log_mel: np.ndarray) -> np.ndarray:
        """Return the samples, float32 ``(t * hop_length,)``, of a log mel taken whole, float32 ``(n_mels, t)``."""

    def synthesise(self, log_mel: np.ndarray) -> np.ndarray:
        """Return the waveform of a log mel.

        Parameters
        ----------
        log_mel : natural log of the linear mel, ``(n_mels, T)``.

        Returns
        -------
        samples in [-1, 1], float32 ``(T * hop_length,)``.

        Raises
        ------
        UserError
            The mel has another shape or holds numbers that are not finite.
        """
        return np.concatenate(list(self.stream([log_mel])) or [np.zeros(0, np.float32)])

    def stream(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the waveform block by block while the mel comes in.

        Parameters
        ----------
        pieces : log mels ``(n_mels, t)`` that follow each other, of any lengths.

        Yields
        ------
        float32 ``(block_frames * hop_length,)``, the last one shorter; together what `synthesise` makes of the whole.

        Raises
        ------
        UserError
            As `synthesise`.
        """
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
