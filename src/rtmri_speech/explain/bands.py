"""Formant bands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec


@dataclass(frozen=True)
class Band:
    """A formant band: name, lowest and highest frequency, Hz."""

    name: str
    low: float
    high: float

    @classmethod
    def parse(cls, text: str) -> Band:
        """Return the band written as ``NAME:LOW-HIGH``, such as ``F1:300-900``."""
        number = r"(\d+(?:\.\d*)?)"
        match = re.fullmatch(rf"([A-Za-z0-9_-]+):{number}-{number}", text)
        if not match or float(match[2]) >= float(match[3]):
            raise UserError("--formant-band", f"is {text!r}", "write NAME:LOW-HIGH in Hz, such as F1:300-900")
        return cls(match[1], float(match[2]), float(match[3]))


def filters(bands: Sequence[Band], spec: MelSpec) -> dict[str, np.ndarray]:
    """Return the filters of each band, int64.

    Raises
    ------
    UserError
        A band has no filter, or two have the same name.
    """
    bins = {band.name: spec.band(band.low, band.high) for band in bands}
    if len(bins) < len(bands):
        raise UserError("--formant-band", "gives two bands the same name", "give each band its own name")
    return bins
