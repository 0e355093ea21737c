"""Processed directories of the memo's system: samples put together again from the windows it stored in full."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rtmri_speech.atomic import save_npy
from rtmri_speech.dataset.clip import load_array, require_id
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.foreign import read_arrays

_ARRAYS = {"mri": 5, "mel": 3, "mask": 2}
"""The stored arrays and their dimensions."""


def restore_samples(processed_dir: str | Path, ref_frames: int = 4) -> list[str]:
    """Put together ``samples/<id>`` of every clip that has only stored windows, and return the ids.

    The old system stored ``pairs_ref4/<id>.npz`` or ``pairs_ref4_npy/<id>/{mri,mel,mask}.npy``: ``mri`` float32
    ``(P, n, 1, H, W)`` in [0, 1], ``mel`` ``(P, n, n_mels)`` standardised, ``mask`` ``(P, n)``; P windows of stride 1.

    Raises
    ------
    UserError
        Stored windows are broken or not of stride 1, or ``scaler.json`` is missing.
    """
    processed_dir = Path(processed_dir)
    sources = {path.stem: path for path in (processed_dir / f"pairs_ref{ref_frames}").glob("*.npz")}
    folders = (processed_dir / f"pairs_ref{ref_frames}_npy").glob("*/mri.npy")
    sources.update({path.parent.name: path.parent for path in folders})
    restored = []
    for id, source in sorted(sources.items()):
        directory = processed_dir / "samples" / require_id(id, source)
        if (directory / "mask.npy").exists():
            continue
        windows = _stored_windows(source)
        sample = {name: unwindow(windows[name], source) for name in _ARRAYS}
        save_npy(directory / "mri.npy", np.rint(sample["mri"][:, 0] * 255).astype(np.uint8))
        save_npy(directory / "mel_db.npy", Scaler.load(processed_dir / "scaler.json").restore(sample["mel"]))
        # The mask comes last: a clip that has one is whole.
        save_npy(directory / "mask.npy", sample["mask"].astype(np.float32))
        restored.append(id)
    return restored


def unwindow(windows: np.ndarray, source: str | Path) -> np.ndarray:
    """Return the sequence ``(P + n - 1, ...)`` whose windows of stride 1 are ``windows (P, n, ...)``."""
    if windows.ndim < 2 or not len(windows):
        raise UserError(source, f"has windows of shape {windows.shape}", "copy the file again from where it was made")
    if not np.array_equal(windows[1:, :-1], windows[:-1, 1:]):
        raise UserError(
            source, "its windows do not follow each other frame by frame", "make the clip anew from its video"
        )
    return np.concatenate([windows[:, 0], windows[-1, 1:]])


def _stored_windows(source: Path) -> Mapping[str, np.ndarray]:
    if source.is_dir():
        return {name: load_array(source / f"{name}.npy", count, memory_map=True) for name, count in _ARRAYS.items()}
    remedy = "copy it again from where it was made"
    stored = read_arrays(source, _ARRAYS, remedy=remedy)
    for name, count in _ARRAYS.items():
        if stored[name].ndim != count:
            raise UserError(source, f"its {name} has shape {stored[name].shape}, not {count} dimensions", remedy)
    return stored
