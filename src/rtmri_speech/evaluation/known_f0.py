"""F0 of a clip without a network: of its recording, regressed from its frames, and constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtmri_speech.dataset.f0 import read_f0, spoken_f0, track_path
from rtmri_speech.dataset.sample import Sample, open_sample
from rtmri_speech.evaluation.ridge import Pictures, RidgeF0
from rtmri_speech.signal.mel import MelSpec

LEAST_VOICED = 50
"""Voiced training frames under which F0 is not regressed."""

F0_CLIPS = 100
"""Training clips that F0 is regressed on at most, evenly chosen: a quarter of a second of processor each."""


@dataclass(frozen=True)
class Tracks:
    """F0 of a dataset's recordings; see `find_f0`."""

    processed_dir: Path
    spec: MelSpec
    f0_range: tuple[float, float]
    f0_dir: Path | None

    def of(self, clip: Sample) -> np.ndarray:
        """Return the F0 of a clip, Hz, 0 where unvoiced and NaN outside of speech, ``(T,)``."""
        if self.f0_dir is not None and track_path(self.f0_dir, clip.id).exists():
            return read_f0(self.f0_dir, clip)
        return spoken_f0(self.processed_dir, clip, self.spec, self.f0_range)


@dataclass(frozen=True)
class KnownF0:
    """Sources of F0, Hz, 0 where unvoiced, ``(T,)``.

    Attributes
    ----------
    tracks : of the recordings.
    ridge : the regression.
    median : of the training clips' voiced frames, Hz.
    """

    tracks: Tracks
    ridge: RidgeF0
    median: float

    def constant(self, frames: np.ndarray) -> np.ndarray:
        """Return the median F0 in each frame."""
        return np.full(len(frames), self.median)

    def spoken(self, clip: Sample) -> np.ndarray:
        """Return that of the clip's recording, NaN outside of speech (`spoken_f0`)."""
        return self.tracks.of(clip)


def find_f0(
    processed_dir: str | Path,
    training: Sequence[str],
    spec: MelSpec,
    f0_range: tuple[float, float],
    pictures: Pictures,
    f0_dir: Path | None = None,
) -> KnownF0 | None:
    """Return the sources of F0 of a dataset; None if its training clips have fewer than `LEAST_VOICED` voiced frames.

    Parameters
    ----------
    training : its training clips; at most `F0_CLIPS` are used.
    f0_range : of the speakers, Hz.
    pictures : what to regress on.
    f0_dir : directory of tracks that `write_f0` has made with the same range; other clips are tracked here.
    """
    tracks = Tracks(Path(processed_dir), spec, f0_range, f0_dir)
    chosen = training[:: -(-len(training) // F0_CLIPS)]
    tracked = {id: tracks.of(open_sample(processed_dir, id)) for id in chosen}
    voiced = np.concatenate([track[track > 0] for track in tracked.values()])
    if len(voiced) < LEAST_VOICED:
        return None
    return KnownF0(tracks, RidgeF0(processed_dir, tracked, pictures), float(np.median(voiced)))
