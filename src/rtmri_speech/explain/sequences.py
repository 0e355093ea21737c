"""Files of Grad-CAM: a clip's maps in [0, 1], the scale to restore raw maps, and excerpts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np

from rtmri_speech.atomic import save_json, save_npy_rows
from rtmri_speech.dataset.sample import load_array
from rtmri_speech.errors import UserError
from rtmri_speech.untrusted import read_json, require_type

Scaling = Literal["clip", "frame"]
"""``clip``: one factor for all maps of a clip and band, so that frames are comparable; ``frame``: each frame's minimum
to 0 and maximum to 1, as in the lab's files.
"""

_ROUNDING = 1e-3
"""Tolerance of stored values beyond 0 and 1."""

_LARGEST_SCALE = 1e30
"""Upper bound on raw maps, so that float32 sums do not overflow."""

SIZE = (256, 256)
"""Height and width of the stored maps, pixels."""


def enlarged(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a map ``(h, w)`` at ``size`` (height, width), interpolated bilinearly between cell centres."""
    return cv2.resize(heat, size[::-1], interpolation=cv2.INTER_LINEAR)


@dataclass(frozen=True)
class Interval:
    """A time interval: its name as written, start and end in seconds."""

    name: str
    start: float
    end: float

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Return the interval written as ``firstNs`` or ``START-END`` in seconds: ``first2s``, ``0.8-1.2``."""
        number = r"(\d+(?:\.\d*)?)"
        if match := re.fullmatch(rf"first{number}s", text):
            start, end = 0.0, float(match[1])
        elif match := re.fullmatch(rf"{number}-{number}s?", text):
            start, end = float(match[1]), float(match[2])
        else:
            start = end = 0.0
        if start >= end:
            raise UserError("--intervals", f"holds {text!r}", "write seconds as first2s or 0.8-1.2")
        return cls(text, start, end)

    def frames(self, count: int, rate: Fraction) -> range:
        """Return the frames, out of ``count``, with midpoints in the interval."""
        first = math.ceil(Fraction(self.start) * rate - Fraction(1, 2))
        last = math.ceil(Fraction(self.end) * rate - Fraction(1, 2))
        found = range(max(first, 0), min(last, count))
        if not found:
            seconds = float(count / rate)
            raise UserError("--intervals", f"{self.name} holds no frame", f"the clip has {seconds:.2f} s; widen it")
        return found


def write_sequence(
    path: str | Path, maps: np.ndarray, scaling: Scaling = "clip", size: tuple[int, int] = SIZE
) -> dict[str, Any]:
    """Write raw maps ``(T, h, w)`` enlarged and scaled to [0, 1], float32 ``(T, *size)``.

    Returns
    -------
    ``scaling``, ``scale`` and ``offset`` (lists by frame, for ``frame``), with raw = stored * scale + offset. Constant
    maps become 0, with a scale of 0.
    """
    if scaling not in get_args(Scaling):
        raise UserError("--scaling", f"is {scaling!r}", f"give one of {', '.join(get_args(Scaling))}")
    low, high = np.array([[heat.min(), heat.max()] for heat in (enlarged(map, size) for map in maps)], np.float64).T
    if scaling == "clip":
        # Maps are non-negative, so a factor alone preserves zeros and proportions.
        low, high = np.zeros(len(maps)), np.full(len(maps), high.max())
    spread = high - low
    factor = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
    rows = (
        np.clip((enlarged(heat, size) - least) * gain, 0, 1)
        for heat, least, gain in zip(maps, low, factor, strict=True)
    )
    save_npy_rows(path, rows, size, np.float32)
    if scaling == "clip":
        return {"scaling": scaling, "scale": float(spread[0]), "offset": 0.0}
    return {"scaling": scaling, "scale": spread.tolist(), "offset": low.tolist()}


def write_cut(sequence: Path, target: Path, frames: range) -> None:
    """Write an excerpt of a stored sequence, without rescaling."""
    maps = load_array(sequence, dimensions=3, memory_map=True)
    save_npy_rows(target, maps[frames.start : frames.stop], maps.shape[1:], np.float32)


@dataclass(frozen=True)
class StoredSequence:
    """A stored sequence.

    Attributes
    ----------
    maps : float32 ``(T, H, W)`` in [0, 1], a read-only memory map.
    facts : content of ``gradcam_<band>.json``: band, filters, scale, target.
    """

    maps: np.ndarray
    facts: dict[str, Any]

    def raw(self) -> Iterator[np.ndarray]:
        """Yield the raw map ``(H, W)`` of each frame."""
        scale = np.broadcast_to(np.float32(self.facts["scale"]), len(self.maps))
        offset = np.broadcast_to(np.float32(self.facts["offset"]), len(self.maps))
        for heat, factor, low in zip(self.maps, scale, offset, strict=True):
            yield heat * factor + low


def sequence_path(directory: str | Path, band: str, interval: str | None = None) -> Path:
    """Return the path of a band's sequence, or of an excerpt, in a clip's directory."""
    part = f"{band}_{interval}" if interval else band
    return Path(directory) / f"gradcam_{part}_sequence.npy"


def facts_path(directory: str | Path, band: str) -> Path:
    """Return the path of ``gradcam_<band>.json`` in a clip's directory."""
    return Path(directory) / f"gradcam_{band}.json"


def save_facts(directory: str | Path, band: str, facts: dict[str, Any]) -> None:
    """Write ``gradcam_<band>.json``."""
    save_json(facts_path(directory, band), facts)


def open_sequence(directory: str | Path, band: str) -> StoredSequence:
    """Open a band's sequence and its scale in a clip's directory.

    Raises
    ------
    UserError
        One of the files is missing or damaged, or they do not match.
    """
    path = facts_path(directory, band)
    again = "make it again"
    facts = read_json(path, missing="run mri_gradcam_formant.py with this band first", remedy=again)
    require_type(facts, dict, "its content", path, again)
    frames = require_type(facts.get("frames"), int, "frames", path, again)
    for name in ("scale", "offset"):
        value = require_type(facts.get(name), float | list[float], name, path, again)
        if isinstance(value, list) and len(value) != frames:
            raise UserError(path, f"has {len(value)} numbers as {name} of {frames} frames", again)
        if not (np.asarray(value) >= 0).all() or not (np.asarray(value) <= _LARGEST_SCALE).all():
            raise UserError(path, f"its {name} is not from 0 to {_LARGEST_SCALE:g}", again)
    maps = open_maps(sequence_path(directory, band))
    if len(maps) != frames:
        raise UserError(path, f"declares {frames} frames, its sequence has {len(maps)}", "make both again")
    return StoredSequence(maps, facts)


def open_maps(path: str | Path) -> np.ndarray:
    """Return the maps ``(T, H, W)`` of a ``.npy`` file as a memory map; refuse values outside [0, 1]."""
    maps = load_array(Path(path), dimensions=3, memory_map=True)
    if maps.dtype.kind != "f" or not maps.size:
        raise UserError(path, f"holds {maps.dtype} of shape {maps.shape}", "give a sequence of maps in [0, 1]")
    if not all(heat.min() >= -_ROUNDING and heat.max() <= 1 + _ROUNDING for heat in maps):
        raise UserError(path, "holds values beyond 0 to 1, or NaN", "give a sequence of maps in [0, 1]")
    return maps
