"""What a map should show, where the dependence of the sound on the picture is known (`rtmri_speech.demo.moves`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def truth_map(pixels: Sequence[np.ndarray], power: Sequence[np.ndarray]) -> np.ndarray:
    """Return where a picture shows what a band's power depends on, float64 ``(T, h, w)``.

    The pixels that an articulator changes, with a mass of the power that it changes, added over the articulators.

    Parameters
    ----------
    pixels : of each articulator, absolute change of the picture, ``(T, h, w)``.
    power : of each articulator, change of the band's power, ``(T,)``.
    """
    total = np.zeros(pixels[0].shape)
    for changed, by in zip(pixels, power, strict=True):
        mass = changed.sum((1, 2), dtype=np.float64)
        weight = np.divide(np.abs(by), mass, out=np.zeros(len(by)), where=mass > 0)
        total += weight[:, None, None] * changed
    return total


def contrast(maps: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]) -> float:
    """Return the correlation of maps with the truth in how two bands differ, from average maps of any size.

    What moves is common to the bands and cancels out; NaN if the maps do not differ.

    Parameters
    ----------
    maps, truth : for each of two bands, ``(h, w)``.
    """
    differences = []
    for of_bands in (maps, truth):
        first, second = (heat / heat.sum() if heat.sum() > 0 else heat for heat in of_bands.values())
        differences.append((first - second).ravel())
    if not all(np.ptp(difference) > 0 for difference in differences):
        return float("nan")
    return float(np.corrcoef(*differences)[0, 1])
