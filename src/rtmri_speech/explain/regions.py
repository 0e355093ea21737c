"""How much of a map lies in which part of the head: regions drawn as polygons, and shares of mass."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.explain.masking import REFERENCE_SIZE, Polygon, mask_weight


@dataclass(frozen=True)
class Regions:
    """Parts of the picture in groups, as polygons in a picture of 256×256.

    Attributes
    ----------
    groups : for each group, for each of its regions, the polygon.
    """

    groups: dict[str, dict[str, Polygon]]

    @classmethod
    def read(cls, path: str | Path) -> Regions:
        """Read ``{group: {region: [[x, y], ...]}}`` from a JSON file.

        Raises
        ------
        UserError
            The file is missing or holds something else.
        """
        remedy = "give {group: {region: [[x, y], ...]}} with three points or more, in a 256x256 picture"
        try:
            groups = json.loads(Path(path).read_text(encoding="utf-8"))
            polygons = [np.asarray(polygon, np.float64) for group in groups.values() for polygon in group.values()]
        except FileNotFoundError:
            raise UserError(path, "there is no such file", remedy) from None
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(path, f"holds no regions ({error})", remedy) from None
        if not polygons or any(points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 for points in polygons):
            raise UserError(path, "holds a region that is no polygon", remedy)
        return cls(groups)

    def whole_groups(self) -> dict[str, list[Polygon]]:
        """Return the polygons of every group by name."""
        return {name: list(group.values()) for name, group in self.groups.items()}

    def single(self) -> dict[str, list[Polygon]]:
        """Return the one polygon of every region by name."""
        return {name: [polygon] for group in self.groups.values() for name, polygon in group.items()}


def region_mask(polygons: list[Polygon], size: tuple[int, int] = (REFERENCE_SIZE, REFERENCE_SIZE)) -> np.ndarray:
    """Return which pixels lie in the polygons, bool of ``size`` (height, width)."""
    return mask_weight(polygons, size, blur_kernel=0) >= 0.5


def mass_share(heat: np.ndarray, mask: np.ndarray) -> float:
    """Return the part of a map's mass, at least 0 everywhere, that lies in ``mask``; NaN for a map without mass."""
    total = float(heat.sum())
    return float(heat[mask].sum()) / total if total > 0 else float("nan")
