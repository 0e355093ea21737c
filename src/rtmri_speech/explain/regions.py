"""Regions of the head as polygons, and the share of a map's mass in each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.explain.masking import REFERENCE_SIZE, Polygon, is_polygon, mask_weight
from rtmri_speech.untrusted import read_json, require_type

_NAME = re.compile(r"\w[\w -]{0,99}")
"""Valid region names: they are used in file names."""


@dataclass(frozen=True)
class Regions:
    """Groups of regions, as polygons in a picture of 256×256.

    Attributes
    ----------
    groups : group to region to polygon.
    """

    groups: dict[str, dict[str, Polygon]]

    @classmethod
    def read(cls, path: str | Path) -> Regions:
        """Read ``{group: {region: [[x, y], ...]}}`` from a JSON file.

        Raises
        ------
        UserError
            The file is missing or malformed.
        """
        remedy = "give {group: {region: [[x, y], ...]}} with three points or more, in a 256x256 picture"
        kind = dict[str, dict[str, list]]
        groups = require_type(read_json(path, missing=remedy, remedy=remedy), kind, "its content", path, remedy)
        polygons = [polygon for group in groups.values() for polygon in group.values()]
        if not polygons or not all(groups.values()) or not all(map(is_polygon, polygons)):
            raise UserError(path, "holds a region that is not a polygon", remedy)
        for name in (name for group in groups.values() for name in (*groups, *group)):
            if not _NAME.fullmatch(name):
                raise UserError(
                    path, f"{name!r} is not a valid region name", "use letters, digits, spaces, '_' and '-'"
                )
        return cls(groups)

    def whole_groups(self) -> dict[str, list[Polygon]]:
        """Return the polygons of every group by name."""
        return {name: list(group.values()) for name, group in self.groups.items()}

    def single(self) -> dict[str, list[Polygon]]:
        """Return the one polygon of every region by name."""
        return {name: [polygon] for group in self.groups.values() for name, polygon in group.items()}


def region_mask(polygons: list[Polygon], size: tuple[int, int] = (REFERENCE_SIZE, REFERENCE_SIZE)) -> np.ndarray:
    """Return which pixels are inside the polygons, bool of ``size`` (height, width)."""
    return mask_weight(polygons, size, blur_kernel=0) >= 0.5


def mass_share(heat: np.ndarray, mask: np.ndarray) -> float:
    """Return the share of a non-negative map's mass inside ``mask``; NaN for an all-zero map."""
    total = float(heat.sum())
    return float(heat[mask].sum()) / total if total > 0 else float("nan")
