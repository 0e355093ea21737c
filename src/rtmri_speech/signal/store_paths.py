"""Which paths hold frames without a frame rate, by their names alone; `frame_store` reads them."""

from __future__ import annotations

from pathlib import Path

ARRAY_ENDINGS = (".npy", ".mat", ".h5", ".hdf5")
"""Endings of files that hold the frames as one array."""

PICTURE_ENDINGS = (".png", ".npy")
"""Endings of the files of a directory of frames, one a file."""


def is_frame_store(path: str | Path) -> bool:
    """Return whether ``path`` is read by `frame_store`, and not as a video: by its ending, or as a directory."""
    path = Path(path)
    return path.suffix.lower() in ARRAY_ENDINGS or path.is_dir()
