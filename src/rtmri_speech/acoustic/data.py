"""Training data in segments: each frame is read and encoded by the CNN once for all windows that contain it.

A segment is a run of consecutive windows of one clip. With one window per segment this is the lab's sampling.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from rtmri_speech.acoustic.context import scaled_frames
from rtmri_speech.acoustic.neighbours import all_around, around
from rtmri_speech.acoustic.pitch import pitch_targets
from rtmri_speech.dataset.f0 import read_f0
from rtmri_speech.dataset.windows import WindowDataset
from rtmri_speech.errors import UserError
from rtmri_speech.settings.acoustic import Augmentation, Normalisation
from rtmri_speech.signal.video import normalise_frames
from rtmri_speech.training.batches import StepBatches
from rtmri_speech.training.state import seed_for_step

_MOVE = 1
"""Separates the random numbers of augmentation from those of the cuts."""

Key = tuple[int, int]
"""Epoch, which determines the cuts, and index of a segment."""


_STILL = Augmentation()


class MicroBatch(NamedTuple):
    """Some segments: ``frames`` float32 ``(N, 2 * neighbours + 1, H, W)`` in [0, 1], and their windows by ``starts``
    int64 ``(P,)``, ``mel`` float32 ``(P, R, n_mels)`` standardised and ``sound_mask`` float32 ``(P, R)``; ``pitch``
    float32 ``(P, R, 2)`` of `pitch_targets`, or ``(P, R, 0)`` if none is learnt; ``speakers`` int64 ``(P,)``, rows of
    the speakers' vectors.
    """

    frames: torch.Tensor
    starts: torch.Tensor
    mel: torch.Tensor
    sound_mask: torch.Tensor
    pitch: torch.Tensor
    speakers: torch.Tensor


def moved(frames: np.ndarray, augmentation: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Apply one random change to frames uint8 ``(N, H, W)``; borders are replicated.

    Each of its numbers is uniform up to the largest that ``augmentation`` allows.
    """
    right, down, turn, scale, gain = rng.uniform(-1, 1, 5)
    if not any(dataclasses.astuple(augmentation)):
        return frames
    height, width = frames.shape[1:]
    middle = (width - 1) / 2, (height - 1) / 2
    change = cv2.getRotationMatrix2D(middle, turn * augmentation.rotation, 1 + scale * augmentation.zoom)
    change[:, 2] += right * augmentation.shift * width, down * augmentation.shift * height
    # Brightness first, so that the result is rounded to uint8 only once, by the interpolation.
    table = np.uint8(np.clip(np.rint(np.arange(256) * (1 + gain * augmentation.gain)), 0, 255))
    bright = table[frames]
    return np.stack(
        [cv2.warpAffine(frame, change, (width, height), borderMode=cv2.BORDER_REPLICATE) for frame in bright]
    )


def prepared_frames(frames: np.ndarray, size: tuple[int, int], normalisation: Normalisation) -> torch.Tensor:
    """Return the model's input for training and inference.

    Parameters
    ----------
    frames : uint8 ``(N, H, W)`` gray, or the lab's float32 in [0, 1].
    size : height and width of the result, pixels.
    normalisation : ``unit`` or ``frame``, see `normalise_frames`.

    Returns
    -------
    float32 ``(N, 1, *size)`` in [0, 1].
    """
    return torch.from_numpy(normalise_frames(scaled_frames(frames, size), normalisation))[:, None]


def encoder_inputs(
    blocks: Iterable[np.ndarray], size: tuple[int, int], normalisation: Normalisation, neighbours: int
) -> Iterator[torch.Tensor]:
    """Yield `prepared_frames` of a whole clip between their neighbours, float32 ``(t, 2 * neighbours + 1, *size)``.

    Parameters
    ----------
    blocks : the clip's frames in blocks ``(t, H, W)``.
    size, normalisation : see `prepared_frames`.
    neighbours : see `all_around`.
    """
    return all_around((prepared_frames(block, size, normalisation) for block in blocks), neighbours)


LOUD_SHARE = 0.05
"""Of a clip's frames: those louder than all others are its loud ones. A single click is no reference."""


def mel_floor(mel_db: np.ndarray, floor_db: float) -> np.float32:
    """Return the level to which a clip's mel is raised, dB: ``floor_db`` below that of its loud frames.

    The level of a frame is its largest bin; that of the loud frames is exceeded by `LOUD_SHARE` of the frames. What is
    below depends on the recording's noise and on its processing, which no picture shows.

    Parameters
    ----------
    mel_db : dB, ``(T, n_mels)``.
    """
    return np.float32(np.quantile(mel_db.max(axis=1), 1 - LOUD_SHARE) - floor_db)


class Segments(Dataset):
    """The segments of a split, in micro-batches.

    Parameters
    ----------
    windows : of the split.
    stretch : windows per segment.
    micro_batch_size : segments per micro-batch.
    normalisation : of frames, see `prepared_frames`.
    seed : of cuts and augmentation, together with the epoch; None cuts from the first window and does not augment.
    augmentation : of pictures.
    image_size : height and width of the model's input, pixels; None for the stored frames' size.
    mel_floor_db : see `mel_floor`; None for mels as they are.
    f0_dir : directory of `write_f0`; None if F0 and voicing are not learnt.
    neighbours : of each frame in the model's input, see `around`.
    speakers : row of the vector of each clip's speaker, by id; 0 for clips without one.
    """

    def __init__(
        self,
        windows: WindowDataset,
        stretch: int,
        micro_batch_size: int,
        normalisation: Normalisation,
        seed: int | None,
        augmentation: Augmentation = _STILL,
        image_size: tuple[int, int] | None = None,
        mel_floor_db: float | None = None,
        f0_dir: Path | None = None,
        neighbours: int = 0,
        speakers: Mapping[str, int] | None = None,
    ) -> None:
        self.windows, self._stretch, self._micro, self._normalisation = (
            windows,
            stretch,
            micro_batch_size,
            normalisation,
        )
        self._seed, self._augmentation = seed, augmentation
        order = np.lexsort(windows.starts.T[::-1])
        clips, firsts = windows.starts[order].T
        counts = np.bincount(clips, minlength=len(windows.ids))
        self._firsts = np.split(firsts.astype(np.int64), np.cumsum(counts)[:-1])
        self._counts = -(-counts // stretch)
        self._before = np.concatenate([[0], np.cumsum(self._counts)])
        self._image_size, self._mel_floor_db, self._f0_dir = image_size, mel_floor_db, f0_dir
        self._neighbours, self._speakers = neighbours, dict(speakers or {})
        self._floors: dict[int, np.float32] = {}
        self._pitch: dict[int, np.ndarray] = {}
        if not len(self):
            raise UserError(
                windows.processed_dir, f"has no window in its {windows.split} part", "use clips of ref_frames or more"
            )

    def __len__(self) -> int:
        return int(self._before[-1])

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the model's input."""
        return self._image_size or self.frame_size

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of the stored frames (of the first clip with a window)."""
        return self.windows.sample(int(np.flatnonzero(self._counts)[0])).mri.shape[1:]

    def segment(self, key: Key) -> tuple[int, np.ndarray]:
        """Return a segment's clip and the first frames of its windows; an epoch contains each window once."""
        epoch, number = key
        clip = int(np.searchsorted(self._before, number, side="right")) - 1
        firsts = self._firsts[clip]
        offset = 0
        if self._seed is not None:
            # Shift the cuts as far as possible without an additional segment.
            slack = int(self._counts[clip]) * self._stretch - len(firsts)
            offset = seed_for_step(self._seed, epoch, clip) % (slack + 1)
        begin = (number - int(self._before[clip])) * self._stretch - offset
        return clip, firsts[max(begin, 0) : begin + self._stretch]

    def micro_batches(self, keys: Sequence[Key]) -> list[MicroBatch]:
        """Return the micro-batches of the segments ``keys``."""
        return [self._together(keys[first : first + self._micro]) for first in range(0, len(keys), self._micro)]

    def _together(self, keys: Sequence[Key]) -> MicroBatch:
        length = self.windows.ref_frames
        frames, starts, mels, masks, pitches, speakers, count = [], [], [], [], [], [], 0
        for key in keys:
            clip, firsts = self.segment(key)
            sample = self.windows.sample(clip)
            run = slice(int(firsts[0]), int(firsts[-1]) + length)
            if run.stop > len(sample.mri) or sample.mri.shape[1:] != self.frame_size:
                raise UserError(
                    self.windows.processed_dir / "samples" / sample.id,
                    f"has frames {sample.mri.shape}, but windows to frame {run.stop} of {self.frame_size} are wanted",
                    "make the clip and the pairs again",
                )
            inside = (firsts - run.start)[:, None] + np.arange(length)
            # With the neighbours of its ends, all moved as one.
            wide = slice(max(run.start - self._neighbours, 0), run.stop + self._neighbours)
            pictures = prepared_frames(self._moved(sample.mri[wide], key), self.image_size, self._normalisation)
            own = range(run.start - wide.start, run.stop - wide.start)
            frames.append(around(pictures, own, self._neighbours))
            mels.append(self.windows.scaler_of(clip).standardise(self._target(clip, run))[inside])
            masks.append(np.asarray(sample.sound_mask[run], np.float32)[inside])
            pitches.append(self.pitch(clip)[run][inside])
            speakers.append(np.full(len(firsts), self.row_of(clip), np.int64))
            starts.append(firsts - run.start + count)
            count += run.stop - run.start
        together = (torch.from_numpy(np.concatenate(parts)) for parts in (starts, mels, masks, pitches, speakers))
        return MicroBatch(torch.cat(frames), *together)

    def row_of(self, clip: int) -> int:
        """Return the row of the vector of a clip's speaker."""
        return self._speakers.get(self.windows.ids[clip], 0)

    def pitch(self, clip: int) -> np.ndarray:
        """Return the `pitch_targets` of a clip, float32 ``(T, 2)``, or ``(T, 0)`` without a directory of F0."""
        if clip not in self._pitch:
            sample = self.windows.sample(clip)
            none = np.zeros((len(sample.mri), 0), np.float32)
            self._pitch[clip] = pitch_targets(read_f0(self._f0_dir, sample)) if self._f0_dir else none
        return self._pitch[clip]

    def _target(self, clip: int, run: slice) -> np.ndarray:
        """The mel to learn of a run of frames, dB ``(T, n_mels)``."""
        mel_db = self.windows.sample(clip).mel_db
        if self._mel_floor_db is None:
            return mel_db[run]
        if clip not in self._floors:
            self._floors[clip] = mel_floor(mel_db, self._mel_floor_db)
        return np.maximum(mel_db[run], self._floors[clip])

    def _moved(self, frames: np.ndarray, key: Key) -> np.ndarray:
        if self._seed is None:
            return frames
        # Scaled first: augmenting small pictures is cheaper.
        frames = scaled_frames(frames, self.image_size)
        return moved(frames, self._augmentation, np.random.default_rng(seed_for_step(self._seed, *key, _MOVE)))


class TrainingSteps:
    """The segments of each training step, for this process; an epoch has ``per_epoch`` steps.

    Parameters
    ----------
    segments : number of segments.
    batch_size : segments per step, over all processes.
    seed : of the order.
    limit : maximum steps per epoch, None for all.
    rank, ranks : index of this process and number of processes.
    """

    def __init__(
        self, segments: int, batch_size: int, seed: int, limit: int | None = None, rank: int = 0, ranks: int = 1
    ) -> None:
        self._batches = StepBatches(segments, batch_size, seed)
        self.per_epoch = min(self._batches.steps_per_epoch, limit or self._batches.steps_per_epoch)
        self._rank, self._ranks = rank, ranks

    def keys(self, step: int) -> list[Key]:
        """Return this process's segments of a step."""
        epoch, place = divmod(step, self.per_epoch)
        batch = self._batches[epoch * self._batches.steps_per_epoch + place]
        return [(epoch, int(number)) for number in batch[self._rank :: self._ranks]]

    def between(self, first: int, last: int) -> Iterator[list[Key]]:
        """Yield the keys of steps ``first`` to ``last - 1``."""
        return map(self.keys, range(first, last))


def validation_keys(segments: int, batch_size: int, limit: int | None, rank: int, ranks: int) -> list[list[Key]]:
    """Return this process's share of the validation batches, in order; at most ``limit`` in total."""
    keys = [(0, number) for number in range(segments)]
    batches = [keys[first : first + batch_size] for first in range(0, segments, batch_size)]
    return batches[:limit][rank::ranks]
