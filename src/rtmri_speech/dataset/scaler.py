"""The scaler: mean and deviation of each mel bin over the training clips."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtmri_speech.atomic import save_json
from rtmri_speech.dataset.clip import Sample
from rtmri_speech.errors import UserError

SMALLEST_STD_DB = 1e-3
"""A bin that never moves (an empty filter) is divided by this instead of by zero."""


@dataclass(frozen=True)
class Scaler:
    """Statistics of ``mel_db``, per bin, over frames that have sound.

    Attributes
    ----------
    mean, std : dB, float64 ``(n_mels,)``; the deviation is that of the population.
    count_frames : how many frames they were taken over.
    """

    mean: np.ndarray
    std: np.ndarray
    count_frames: int

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Scaler:
        """Return the statistics of ``samples``, one of which is in memory at a time (Chan et al., 1979)."""
        count, mean, squares = 0, np.zeros(()), np.zeros(())
        for sample in samples:
            mel_db = sample.mel_db[sample.mask > 0].astype(np.float64)
            if not len(mel_db):
                continue
            delta = mel_db.mean(0) - mean
            total = count + len(mel_db)
            squares = squares + ((mel_db - mel_db.mean(0)) ** 2).sum(0) + delta**2 * count * len(mel_db) / total
            mean = mean + delta * len(mel_db) / total
            count = total
        if not count:
            raise UserError("training clips", "hold no frame with sound", "check the masks and the split")
        return cls(mean, np.sqrt(squares / count), count)

    @classmethod
    def load(cls, path: str | Path) -> Scaler:
        """Read ``scaler.json``; one that is missing or malformed is refused."""
        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
            mean, std = (np.asarray(stored[key], np.float64) for key in ("mean", "std"))
            count = int(stored.get("count_frames", 0))
        except FileNotFoundError:
            raise UserError(path, "there is no such file", "make the dataset first (snakemake dataset)") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(path, f"is no scaler ({error})", "it needs the lists mean and std; make it again") from None
        if mean.ndim != 1 or mean.shape != std.shape or not np.isfinite([mean, std]).all() or (std < 0).any():
            raise UserError(path, f"has mean {mean.shape} and std {std.shape}", "both need one finite number a mel bin")
        return cls(mean, std, count)

    def save(self, path: str | Path) -> None:
        """Write ``scaler.json``."""
        save_json(path, {"mean": self.mean.tolist(), "std": self.std.tolist(), "count_frames": self.count_frames})

    def standardise(self, mel_db: np.ndarray) -> np.ndarray:
        """Return ``(mel_db - mean) / std``, float32 of the shape of ``mel_db (..., n_mels)``."""
        return ((mel_db - self.mean) / np.maximum(self.std, SMALLEST_STD_DB)).astype(np.float32)

    def restore(self, standardised: np.ndarray) -> np.ndarray:
        """Return the dB of a standardised mel ``(..., n_mels)``, float32."""
        return (standardised * np.maximum(self.std, SMALLEST_STD_DB) + self.mean).astype(np.float32)
