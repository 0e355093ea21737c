"""Access to processed clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtmri_speech.dataset.clip import require_id
from rtmri_speech.errors import UserError
from rtmri_speech.untrusted import read_array

LOUDEST_DB = 1000
"""Bound on the absolute value of a mel, dB."""

SAMPLE_FILES = ("mri.npy", "mel_db.npy", "mask.npy")
"""The arrays of a processed clip."""


@dataclass(frozen=True)
class Sample:
    """A processed clip.

    Attributes
    ----------
    id : name of the clip.
    mri : gray frames, uint8 ``(T, H, W)``, a read-only memory map (or the lab's float32 in [0, 1]).
    mel_db : mel in dB, float32 ``(T, n_mels)``.
    sound_mask : 1 for frames with sound, else 0, float32 ``(T,)``; stored as ``mask.npy``.
    """

    id: str
    mri: np.ndarray
    mel_db: np.ndarray
    sound_mask: np.ndarray


def open_sample(processed_dir: str | Path, id: str) -> Sample:
    """Open ``samples/<id>`` of a processed directory, frames memory-mapped.

    Raises
    ------
    UserError
        ``id`` is invalid, a file is missing, unreadable or has implausible values, or the lengths differ.
    """
    directory = Path(processed_dir) / "samples" / require_id(id, processed_dir)
    mri = load_frames(directory / "mri.npy")
    mel_db, sound_mask = (
        load_array(directory / name, dimensions).astype(np.float32, copy=False)
        for name, dimensions in (("mel_db.npy", 2), ("mask.npy", 1))
    )
    for name, array, largest in (("mel_db.npy", mel_db, LOUDEST_DB), ("mask.npy", sound_mask, 1)):
        if not (np.abs(array) <= largest).all():
            raise UserError(directory / name, f"holds NaN or numbers beyond {largest}", "make the clip again")
    if not len(mri) == len(mel_db) == len(sound_mask):
        raise UserError(
            directory,
            f"mri.npy, mel_db.npy and mask.npy have {len(mri)}, {len(mel_db)} and {len(sound_mask)} frames",
            "make the clip again",
        )
    return Sample(id, mri, mel_db, sound_mask)


def recording_of(processed_dir: str | Path, id: str) -> Path:
    """Return the path of a clip's wav in a processed directory."""
    return Path(processed_dir) / "wavs" / f"{id}.wav"


def load_mask(processed_dir: str | Path, id: str) -> np.ndarray:
    """Return which frames of a clip have sound (`Sample.sound_mask`), ``(T,)``; see `load_array`."""
    return load_array(Path(processed_dir) / "samples" / id / "mask.npy", dimensions=1)


def load_frames(path: Path) -> np.ndarray:
    """Return the frames of an ``mri.npy``, ``(T, H, W)`` uint8 or the lab's floats in [0, 1], as a memory map."""
    frames = load_array(path, dimensions=3, memory_map=True)
    if frames.dtype != np.uint8 and frames.dtype.kind != "f":
        raise UserError(path, f"holds frames of {frames.dtype}", "it must be uint8, or floats in [0, 1]; make it again")
    if not frames.size:
        raise UserError(path, f"has shape {frames.shape}", "it must have frames and pixels; make it again")
    return frames


def load_array(path: Path, dimensions: int, memory_map: bool = False) -> np.ndarray:
    """Return the array of an ``.npy`` file; refuse it if missing, damaged or of other dimensions."""
    array = read_array(
        path,
        missing="make the dataset first (snakemake dataset)",
        remedy="delete it and make it again",
        memory_map=memory_map,
    )
    if array.ndim != dimensions:
        raise UserError(path, f"has shape {array.shape}", f"it must have {dimensions} dimensions; make it again")
    return array
