"""Averages Grad-CAM maps of a band over clips and by phoneme, with the share of mass in each region of the head.

Maps are normalised by a clip's total mass, so that clips have equal weight, and loud frames more than pauses. An
average has a mass of 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.atomic import save_json, save_npy
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import load_frames
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.phonemes import PAUSE, find_phonemes, phoneme_of_frames, read_phonemes
from rtmri_speech.explain.overlay import Style, legend, overlay, save_picture
from rtmri_speech.explain.regions import Regions, mass_share, region_mask
from rtmri_speech.explain.sequences import SIZE, StoredSequence, enlarged, open_sequence

TILES = 8
"""Phonemes per row of the picture."""


@dataclass
class Average:
    """Running sums of a band's maps, each clip normalised to a mass of 1.

    Attributes
    ----------
    total : over all frames, float64 ``(256, 256)``.
    phonemes : over the frames of each phoneme.
    clips : number of clips with mass.
    frames : number of frames of each phoneme.
    """

    total: np.ndarray = field(default_factory=lambda: np.zeros(SIZE))
    phonemes: dict[str, np.ndarray] = field(default_factory=dict)
    clips: int = 0
    frames: dict[str, int] = field(default_factory=dict)

    def add(self, sequence: StoredSequence, names: Sequence[str] | None) -> None:
        """Add a clip's maps, with the phoneme of each frame if known; one map is in memory at a time."""
        mass = sum(float(heat.sum(dtype=np.float64)) for heat in sequence.raw())
        if not mass:
            return
        self.clips += 1
        for heat, name in zip(sequence.raw(), names or [PAUSE] * len(sequence.maps), strict=True):
            self.total += heat / mass
            if name != PAUSE:
                self.phonemes.setdefault(name, np.zeros(SIZE))
                self.phonemes[name] += heat / mass
                self.frames[name] = self.frames.get(name, 0) + 1


def aggregate(
    gradcam_dir: str | Path,
    processed_dir: str | Path,
    ids: Sequence[str],
    bands: Sequence[str],
    output_dir: str | Path,
    *,
    phoneme_dir: str | Path | None = None,
    regions: Regions | None = None,
    style: Style | None = None,
) -> dict[str, Any]:
    """Write the averages over clips and return the content of ``aggregate.json``.

    For each band: ``average_<band>.npy``, float32 ``(256, 256)``, and ``.png`` over the clips' mean frame; if clips
    have phoneme files, ``phonemes_<band>.npy`` ``(P, 256, 256)`` in the order of the JSON's list, and ``.png``.

    Parameters
    ----------
    gradcam_dir : with ``<id>/gradcam_<band>_sequence.npy`` of each clip.
    processed_dir : the dataset, for the frames under the pictures.
    phoneme_dir : with ``<id>.json`` or ``<id>.TextGrid`` of some clips.
    regions : of the head, for shares of mass.

    Raises
    ------
    UserError
        A sequence is missing, or no clip has mass.
    """
    output_dir, style = Path(output_dir), style or Style()
    frame = _mean_frame(processed_dir, ids)
    facts: dict[str, Any] = {"clips": list(ids), "bands": {}}
    parts = regions.whole_groups() | regions.single() if regions else {}
    masks = {name: region_mask(polygons) for name, polygons in parts.items()}
    if masks:
        facts["area_share"] = {name: round(float(mask.mean()), 4) for name, mask in masks.items()}
    for band in bands:
        average = Average()
        for id in ids:
            sequence = open_sequence(Path(gradcam_dir) / id, band)
            path = find_phonemes(phoneme_dir, id) if phoneme_dir else None
            names = None
            if path is not None:
                names = phoneme_of_frames(read_phonemes(path), len(sequence.maps), load_mel_spec(processed_dir))
            average.add(sequence, names)
        if not average.clips:
            raise UserError(gradcam_dir, f"has no map of {band} above 0", "train the model further")
        mean = average.total / average.total.sum()
        save_npy(output_dir / f"average_{band}.npy", mean.astype(np.float32))
        save_picture(output_dir / f"average_{band}.png", _drawn(frame, mean, band, style))
        facts["bands"][band] = {
            "clips": average.clips,
            "mass_share": {name: round(mass_share(mean, mask), 4) for name, mask in masks.items()},
        }
        if average.phonemes:
            spoken = {name: total / total.sum() for name, total in sorted(average.phonemes.items()) if total.sum() > 0}
            save_npy(output_dir / f"phonemes_{band}.npy", np.stack(list(spoken.values())).astype(np.float32))
            tiles = [_drawn(frame, heat, f"{band} {name}", style) for name, heat in spoken.items()]
            save_picture(output_dir / f"phonemes_{band}.png", _tiled(tiles))
            facts["bands"][band]["phonemes"] = [
                {
                    "phoneme": name,
                    "frames": average.frames[name],
                    "mass_share": {region: round(mass_share(heat, mask), 4) for region, mask in masks.items()},
                }
                for name, heat in spoken.items()
            ]
    facts["findings"] = findings(facts)
    save_json(output_dir / "aggregate.json", facts)
    return facts


def findings(facts: dict[str, Any]) -> list[str]:
    """Return a sentence for each band on whether its map has more mass on the first group of regions than on the
    second."""
    if "area_share" not in facts:
        return []
    inside, outside = list(facts["area_share"])[:2]
    sentences = []
    for band, found in facts["bands"].items():
        share, other = found["mass_share"][inside], found["mass_share"][outside]
        density = share / facts["area_share"][inside]
        verdict = "more" if share > other else "not more"
        sentences.append(
            f"{band}: {verdict} mass on the {inside} ({share:.0%}, {density:.1f} times its area) than on {outside} "
            f"({other:.0%})."
        )
    return sentences


def _mean_frame(processed_dir: str | Path, ids: Sequence[str]) -> np.ndarray:
    total = np.zeros(SIZE)
    for id in ids:
        frames = load_frames(Path(processed_dir) / "samples" / id / "mri.npy")
        mean = np.mean(frames, axis=0, dtype=np.float64) * (255 if frames.dtype.kind == "f" else 1)
        total += enlarged(mean.astype(np.float32), SIZE)
    return np.rint(total / len(ids)).astype(np.uint8)


def _drawn(frame: np.ndarray, heat: np.ndarray, name: str, style: Style) -> np.ndarray:
    return legend(overlay(frame, (np.float32(heat / heat.max()),), style), (name,), style)


def _tiled(tiles: list[np.ndarray]) -> np.ndarray:
    rows = math.ceil(len(tiles) / TILES)
    columns = min(len(tiles), TILES)
    height, width = tiles[0].shape[:2]
    picture = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // TILES * height, number % TILES * width
        picture[top : top + height, left : left + width] = tile
    return picture
