"""A clip's maps over time by articulator, for phoneticians: as a table, and as tiers beside the phonemes for Praat."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from rtmri_speech.atomic import save_text
from rtmri_speech.dataset.tiers import Label, textgrid_text
from rtmri_speech.evaluation.phonemes import PAUSE, Segment, phoneme_of_frames
from rtmri_speech.explain.regions import Regions, region_mask
from rtmri_speech.explain.sequences import StoredSequence
from rtmri_speech.signal.mel import MelSpec

PHONES = "phones"


@dataclass(frozen=True)
class Timeline:
    """Where a band's maps are in each frame.

    Attributes
    ----------
    mass : of each region in each frame, ``(T, R)``.
    whole : of each frame, ``(T,)``.
    """

    mass: np.ndarray
    whole: np.ndarray

    @classmethod
    def of(cls, sequence: StoredSequence, masks: Sequence[np.ndarray]) -> Timeline:
        """Return the masses of a sequence, one map in memory at a time; ``masks`` are bool, of the maps' size."""
        rows = [(float(heat.sum()), [float(heat[mask].sum()) for mask in masks]) for heat in sequence.raw()]
        return cls(np.array([parts for _, parts in rows]), np.array([whole for whole, _ in rows]))

    def shares(self, frames: slice = slice(None)) -> np.ndarray:
        """Return each region's share of the mass of frames together, ``(R,)``; 0 without mass."""
        whole = self.whole[frames].sum()
        return self.mass[frames].sum(0) / whole if whole > 0 else np.zeros(self.mass.shape[1])


def write_timeline(
    sequences: Mapping[str, StoredSequence],
    regions: Regions,
    spec: MelSpec,
    segments: list[Segment],
    table: str | Path,
    textgrid: str | Path,
) -> None:
    """Write the maps of a clip over time.

    The table (tab-separated) has a line for each band and frame: time, phoneme, the map's mass as a share of the
    clip's largest, and each region's share of the mass. The TextGrid has the phonemes, and for each band and phoneme
    the region of the first group with the highest density and its share of the mass; without phonemes, for each run
    of frames with the same region.

    Parameters
    ----------
    sequences : of each band.
    spec : of the dataset, for the frame rate.
    segments : phonemes in order of time; empty if unknown.
    """
    single = regions.single()
    masks = {name: region_mask(polygons) for name, polygons in single.items()}
    names, areas = list(masks), np.array([mask.mean() for mask in masks.values()])
    articulators = len(next(iter(regions.groups.values())))
    courses = {band: Timeline.of(sequence, list(masks.values())) for band, sequence in sequences.items()}
    count = len(next(iter(courses.values())).whole)
    starts = [float(frame / spec.frame_rate) for frame in range(count + 1)]
    phonemes = phoneme_of_frames(segments, count, spec)

    text = io.StringIO()
    rows = csv.writer(text, delimiter="\t", lineterminator="\n")
    rows.writerow(["band", "frame", "start_s", "end_s", "phoneme", "mass", *names])
    for band, course in courses.items():
        largest = course.whole.max() or 1.0
        for frame, (start, end) in enumerate(itertools.pairwise(starts)):
            shares = course.shares(slice(frame, frame + 1))
            rows.writerow(
                [band, frame, f"{start:.4f}", f"{end:.4f}", phonemes[frame]]
                + [f"{value:.4f}" for value in (course.whole[frame] / largest, *shares)]
            )
    save_text(table, text.getvalue())

    def label(course: Timeline, frames: slice) -> str:
        shares = course.shares(frames)
        first = int((shares / areas)[:articulators].argmax())
        return f"{names[first]} {shares[first]:.2f}" if shares.any() else ""

    tiers: dict[str, list[Label]] = {}
    spoken = [segment for segment in segments if segment.phoneme != PAUSE and segment.start < starts[-1]]
    if spoken:
        tiers[PHONES] = [Label(segment.phoneme, segment.start, segment.end) for segment in spoken]
        spans = [(segment.start, segment.end, _frames_of(segment, spec.frame_rate, count)) for segment in spoken]
    for band, course in courses.items():
        if not spoken:
            spans = _runs(course, areas, articulators, starts)
        tiers[band] = [Label(label(course, frames), start, end) for start, end, frames in spans]
    save_text(textgrid, textgrid_text(tiers, starts[-1]))


def _frames_of(segment: Segment, rate: Fraction, count: int) -> slice:
    """Frames with their middle in a segment, or the one that contains its middle."""
    first, last = (int(np.ceil(float(instant * rate) - 0.5)) for instant in (segment.start, segment.end))
    if last > first:
        return slice(max(first, 0), min(last, count))
    middle = min(int((segment.start + segment.end) / 2 * rate), count - 1)
    return slice(middle, middle + 1)


def _runs(
    course: Timeline, areas: np.ndarray, articulators: int, starts: Sequence[float]
) -> list[tuple[float, float, slice]]:
    """Start, end and frames of each run of frames with the same densest region."""
    densest = (course.mass / areas)[:, :articulators].argmax(1)
    edges = [0, *(np.flatnonzero(np.diff(densest)) + 1).tolist(), len(densest)]
    return [(starts[first], starts[last], slice(first, last)) for first, last in itertools.pairwise(edges)]
