"""Windows of consecutive frames: their start indices, and a dataset of views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.atomic import save_npy
from rtmri_speech.dataset.filelists import clips_of
from rtmri_speech.dataset.sample import Sample, load_array, load_mask, open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError

MOST_OPEN = 16
"""Maximum number of open clips: pages read from memory maps count as memory of the process."""


def window_starts(lengths: Sequence[int], ref_frames: int) -> np.ndarray:
    """Return every window of ``ref_frames`` consecutive frames, stride 1.

    Parameters
    ----------
    lengths : frames of each clip, in the order of the file list.
    ref_frames : frames per window.

    Returns
    -------
    int32 ``(P, 2)``: index of the clip in the file list and first frame of the window.
    """
    counts = np.maximum(np.asarray(lengths, np.int64) - ref_frames + 1, 0)
    clips = np.repeat(np.arange(len(counts)), counts)
    firsts = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([clips, firsts], 1).astype(np.int32)


def window_starts_path(processed_dir: str | Path, split: str, ref_frames: int = 4) -> Path:
    """Return the path of a split's window starts."""
    return Path(processed_dir) / f"pairs_ref{ref_frames}_npy" / f"{split}.npy"


def write_window_starts(processed_dir: str | Path, split: str, ref_frames: int = 4) -> int:
    """Write ``pairs_ref<n>_npy/<split>.npy``, the `window_starts` of the split's clips, and return their number.

    Raises
    ------
    UserError
        No clip of the split is as long as a window.
    """
    processed_dir = Path(processed_dir)
    ids = clips_of(processed_dir, split)
    lengths = [len(load_mask(processed_dir, id)) for id in ids]
    starts = window_starts(lengths, ref_frames)
    target = window_starts_path(processed_dir, split, ref_frames)
    if not len(starts):
        raise UserError(
            target, f"no clip of {split}.txt has {ref_frames} frames", "give longer clips or windows of fewer frames"
        )
    save_npy(target, starts)
    return len(starts)


class WindowDataset:
    """The windows of one split of a dataset, read through memory maps.

    Item i is a dict: ``mri`` uint8 ``(ref_frames, H, W)``, a view on the clip's map; ``mel`` float32 ``(ref_frames,
    n_mels)``, standardised; ``mask`` float32 ``(ref_frames,)``. A map-style dataset for torch's DataLoader; it can be
    pickled, and memory maps are reopened.

    Parameters
    ----------
    processed_dir : the directory with samples, file lists, scaler and window starts.
    split : ``training`` or ``validation``.
    ref_frames : frames per window; the stored window starts must match.
    scalers : of clips that have another than the dataset's, by id.
    """

    def __init__(
        self,
        processed_dir: str | Path,
        split: str,
        ref_frames: int = 4,
        scalers: Mapping[str, Scaler] | None = None,
    ) -> None:
        self.processed_dir, self.split, self.ref_frames = Path(processed_dir), split, ref_frames
        self.ids = clips_of(processed_dir, split)
        pairs = window_starts_path(processed_dir, split, ref_frames)
        self.starts = load_array(pairs, dimensions=2)
        clips = self.starts[:, :1]
        if (
            self.starts.shape[1] != 2
            or self.starts.dtype.kind not in "iu"
            or (self.starts < 0).any()
            or (clips >= len(self.ids)).any()
        ):
            raise UserError(
                pairs, f"does not fit the {len(self.ids)} clips of {split}.txt", "run convert_pairs_to_npy.py"
            )
        self.scaler = Scaler.load(self.processed_dir / "scaler.json")
        self._scalers = dict(scalers or {})
        self._open: dict[int, Sample] = {}

    def scaler_of(self, clip: int) -> Scaler:
        """Return the scaler of the clip at index ``clip`` of the file list."""
        return self._scalers.get(self.ids[clip], self.scaler)

    def __len__(self) -> int:
        return len(self.starts)

    def sample(self, clip: int) -> Sample:
        """Return the clip at index ``clip`` of the file list; the last `MOST_OPEN` stay open."""
        if clip not in self._open:
            if len(self._open) >= MOST_OPEN:
                del self._open[next(iter(self._open))]
            self._open[clip] = open_sample(self.processed_dir, self.ids[clip])
        return self._open[clip]

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        clip, first = self.starts[index].tolist()
        sample, stretch = self.sample(clip), slice(first, first + self.ref_frames)
        if first + self.ref_frames > len(sample.mri):
            raise UserError(
                self.processed_dir / "samples" / sample.id,
                f"has {len(sample.mri)} frames but a window begins at {first}",
                "run convert_pairs_to_npy.py again",
            )
        return {
            "mri": sample.mri[stretch],
            "mel": self.scaler_of(clip).standardise(sample.mel_db[stretch]),
            "mask": sample.sound_mask[stretch],
        }

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}
