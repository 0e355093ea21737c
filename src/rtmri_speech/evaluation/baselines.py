"""Baselines: mean mel, nearest neighbours, and shuffled time.

The mean mel ignores the video; nearest neighbours copy training frames without a model; shuffling keeps every spectrum
but destroys the timing. `vocoder.griffin_lim` synthesises any mel without a trained vocoder.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from rtmri_speech.dataset.sample import load_mask, open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError

LOOKUP_SIZE = 32
"""Side of the frames compared by nearest neighbours, pixels."""

NEIGHBOURS = 5
"""Number of nearest neighbours whose mels are averaged, if there are enough frames."""

LOOKUP_FRAMES = 2**15
"""Maximum number of training frames searched (20 minutes, 130 MB); of more, an evenly spaced subset."""

_BLOCK = 256
"""Frames compared at a time; bounds the memory of the distance matrix."""


def mean_mel(scaler: Scaler, frames: int) -> np.ndarray:
    """Return the training clips' mean mel in dB for each of ``frames`` frames, float32 ``(frames, n_mels)``."""
    return np.broadcast_to(scaler.mean.astype(np.float32), (frames, len(scaler.mean))).copy()


class NearestFrames:
    """Predicts a mel as the mean of the nearest training frames'.

    Euclidean distance of gray frames, area-averaged to `LOOKUP_SIZE` pixels a side.

    Parameters
    ----------
    frames : training frames, uint8 or float ``(N, H, W)``; a memory map is read block by block.
    mel_db : their mel in dB, ``(N, n_mels)``.

    Raises
    ------
    UserError
        There is no frame, or the numbers of frames and mels differ.
    """

    def __init__(self, frames: np.ndarray, mel_db: np.ndarray) -> None:
        if not len(frames) or len(frames) != len(mel_db):
            raise UserError("look-up", f"has {len(frames)} frames and {len(mel_db)} mels", "give one mel per frame")
        self._pictures = reduced_frames(frames, LOOKUP_SIZE)
        # Subtracting the mean leaves distances unchanged and improves float32 precision.
        self._mean = self._pictures.mean(axis=0)
        self._pictures -= self._mean
        self._energy = np.einsum("np,np->n", self._pictures, self._pictures)
        self._mel_db = np.asarray(mel_db, np.float32)

    @property
    def count(self) -> int:
        """Number of training frames."""
        return len(self._pictures)

    def neighbours(self, frames: np.ndarray, k: int) -> np.ndarray:
        """Return the ``k`` nearest training frames of each frame ``(T, H, W)``, nearest first, int64 ``(T, k)``."""
        if not 1 <= k <= len(self._pictures):
            raise UserError("look-up", f"k is {k}", f"give 1 to {len(self._pictures)}, the number of training frames")
        found = np.empty((len(frames), k), np.int64)
        for first in range(0, len(frames), _BLOCK):
            pictures = reduced_frames(frames[first : first + _BLOCK], LOOKUP_SIZE) - self._mean
            # The frame's own squared norm is the same for all candidates.
            distances = self._energy - 2 * pictures @ self._pictures.T
            nearest = np.argpartition(distances, k - 1, axis=1)[:, :k]
            order = np.argsort(np.take_along_axis(distances, nearest, axis=1), axis=1, kind="stable")
            found[first : first + _BLOCK] = np.take_along_axis(nearest, order, axis=1)
        return found

    def predict(self, frames: np.ndarray, k: int) -> np.ndarray:
        """Return the mean mel in dB of the ``k`` nearest training frames, float32 ``(T, n_mels)``."""
        return self._mel_db[self.neighbours(frames, k)].mean(axis=1)


def training_frames(processed_dir: str | Path, ids: Iterable[str], most: int = LOOKUP_FRAMES) -> NearestFrames:
    """Return nearest neighbours over the clips' frames with sound, or ``most`` of them, evenly spaced.

    Full frames of one clip are in memory at a time.
    """
    ids = list(ids)
    masks = (load_mask(processed_dir, id) for id in ids)
    audible = sum(int((mask > 0).sum()) for mask in masks)
    if not audible:
        raise UserError("look-up", "has no training clip", "check the file list training.txt")
    # Indices among all frames with sound, in clip order.
    chosen = np.arange(min(audible, most)) * audible // min(audible, most)
    pictures = np.empty((len(chosen), LOOKUP_SIZE, LOOKUP_SIZE), np.float32)
    mels, before, filled = [], 0, 0
    for id in ids:
        sample = open_sample(processed_dir, id)
        places = np.flatnonzero(sample.sound_mask > 0)
        end = int(np.searchsorted(chosen, before + len(places)))
        taken = places[chosen[filled:end] - before]
        pictures[filled:end] = reduced_frames(sample.mri[taken], LOOKUP_SIZE).reshape(-1, LOOKUP_SIZE, LOOKUP_SIZE)
        mels.append(sample.mel_db[taken])
        before, filled = before + len(places), end
    return NearestFrames(pictures, np.concatenate(mels))


def reduced_frames(frames: np.ndarray, size: int) -> np.ndarray:
    """Return frames ``(T, H, W)`` area-averaged to ``size`` x ``size`` pixels, float32 ``(T, size * size)``."""
    import cv2

    reduced = np.empty((len(frames), size * size), np.float32)
    for row, frame in zip(reduced, frames, strict=True):
        row[:] = cv2.resize(np.asarray(frame, np.float32), (size, size), interpolation=cv2.INTER_AREA).ravel()
    return reduced


def shuffled_in_time(frames: np.ndarray, seed: int) -> np.ndarray:
    """Return the frames ``(T, ...)`` of a video or mel in random order.

    A measure that does not get worse does not depend on timing.
    """
    return frames[np.random.default_rng(seed).permutation(len(frames))]
