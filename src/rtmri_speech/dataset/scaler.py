"""The scaler: mean and standard deviation of each mel bin over the training clips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.atomic import save_json
from rtmri_speech.dataset.sample import Sample
from rtmri_speech.errors import UserError
from rtmri_speech.untrusted import read_json, require_type

SMALLEST_STD_DB = 1e-3
"""Lower bound of the divisor, for constant bins (empty filters)."""


@dataclass(frozen=True)
class Scaler:
    """Statistics of ``mel_db`` per bin, over frames with sound.

    Attributes
    ----------
    mean, std : dB, float64 ``(n_mels,)``; population standard deviation.
    count_frames : number of frames.
    """

    mean: np.ndarray
    std: np.ndarray
    count_frames: int

    @classmethod
    def of(cls, samples: Iterable[Sample], what: str = "training clips") -> Scaler:
        """Return the statistics of ``samples``, one in memory at a time (Chan et al., 1979); refuse ``what`` without
        sound."""
        count, mean, squares = 0, np.zeros(()), np.zeros(())
        for sample in samples:
            mel_db = sample.mel_db[sample.sound_mask > 0].astype(np.float64)
            if not len(mel_db):
                continue
            delta = mel_db.mean(0) - mean
            total = count + len(mel_db)
            squares = squares + ((mel_db - mel_db.mean(0)) ** 2).sum(0) + delta**2 * count * len(mel_db) / total
            mean = mean + delta * len(mel_db) / total
            count = total
        if not count:
            raise UserError(what, "hold no frame with sound", "check the masks and the split")
        return cls(mean, np.sqrt(squares / count), count)

    @classmethod
    def load(cls, path: str | Path) -> Scaler:
        """Read ``scaler.json``; refuse it if missing or malformed."""
        missing = "make the dataset first (snakemake dataset)"
        return cls.from_dict(read_json(path, missing=missing, remedy="make it again"), path)

    @classmethod
    def from_dict(cls, stored: Any, source: str | Path) -> Scaler:
        """Return the scaler stored in ``source`` as a dict; refuse a malformed one."""
        remedy = "a scaler needs the lists mean and std, one finite number a mel bin; make it again"
        require_type(stored, dict, "its scaler", source, remedy)
        mean, std = (
            np.array(require_type(stored.get(key), list[float], key, source, remedy), np.float64)
            for key in ("mean", "std")
        )
        count = require_type(stored.get("count_frames", 0), int, "count_frames", source, remedy)
        if mean.shape != std.shape or not len(mean) or (std < 0).any():
            raise UserError(source, f"has {len(mean)} means and {len(std)} deviations of at least 0", remedy)
        return cls(mean, std, count)

    def agrees_with(self, other: Scaler) -> bool:
        """Return whether two scalers are equal up to rounding."""
        return len(self.mean) == len(other.mean) and all(
            np.allclose(a, b) for a, b in ((self.mean, other.mean), (self.std, other.std))
        )

    def save(self, path: str | Path) -> None:
        """Write ``scaler.json``."""
        save_json(path, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the scaler as plain values for `from_dict`."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist(), "count_frames": self.count_frames}

    def standardise(self, mel_db: np.ndarray) -> np.ndarray:
        """Return ``(mel_db - mean) / std``, float32 of the shape of ``mel_db (..., n_mels)``."""
        return ((mel_db - self.mean) / np.maximum(self.std, SMALLEST_STD_DB)).astype(np.float32)

    def restore(self, standardised: np.ndarray) -> np.ndarray:
        """Return the dB of a standardised mel ``(..., n_mels)``, float32."""
        return (standardised * np.maximum(self.std, SMALLEST_STD_DB) + self.mean).astype(np.float32)
