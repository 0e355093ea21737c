"""What a map should show, where it is known how sound and picture depend on the articulators.

In the demo, the synthesiser moves one articulator at a time (`rtmri_speech.demo.moves`). What the sound does then is
the truth of the synthesiser; what the network does with the pictures is its own, to which its maps can be held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtmri_speech.acoustic.context import Context, scaled_frames
from rtmri_speech.acoustic.data import prepared_frames
from rtmri_speech.acoustic.predict import AcousticBundle
from rtmri_speech.dataset.sample import load_array
from rtmri_speech.errors import UserError
from rtmri_speech.explain.maps import band_powers
from rtmri_speech.untrusted import read_array, read_json, require_type

SYNTHESISER, NETWORK = "synthesiser", "network"

_REMEDY = "make it again by move_articulators.py"


@dataclass(frozen=True)
class Truth:
    """What each movement of an articulator changes in a clip.

    Attributes
    ----------
    names : of the movements.
    pixels : of each, absolute change of the picture at the model's size, float32 ``(K, T, H, W)``.
    power : by `SYNTHESISER` and `NETWORK`, and by band: change of the band's power, float64 ``(K, T)``.
    """

    names: list[str]
    pixels: np.ndarray
    power: dict[str, dict[str, np.ndarray]]

    @classmethod
    def of_clip(
        cls,
        directory: str | Path,
        id: str,
        bundle: AcousticBundle,
        bins: Mapping[str, np.ndarray],
        context: Context,
    ) -> Truth:
        """Return the truth of a clip from the files of ``move_articulators.py``.

        Raises
        ------
        UserError
            A file is missing, damaged or does not match the others, or has another mel than the model.
        """
        listed, pictures_path = Path(directory) / f"{id}.json", Path(directory) / f"{id}_pictures.npy"
        content = require_type(read_json(listed, missing=_REMEDY, remedy=_REMEDY), dict, "its content", listed, _REMEDY)
        names = require_type(content.get("movements"), list[str], "movements", listed, _REMEDY)
        pictures = read_array(pictures_path, missing=_REMEDY, remedy=_REMEDY, memory_map=True)
        power = load_array(Path(directory) / f"{id}_power.npy", 3)
        if pictures.dtype != np.uint8 or pictures.shape[:2] != (len(names) + 1, power.shape[1]):
            raise UserError(pictures_path, f"holds {pictures.dtype} of shape {pictures.shape}", _REMEDY)
        if power.shape[0] != len(names) + 1 or power.shape[2] != bundle.mel.n_mels:
            raise UserError(Path(directory) / f"{id}_power.npy", f"has shape {power.shape}", _REMEDY)
        seen = [
            prepared_frames(scaled_frames(moved, bundle.frame_size), bundle.image_size, bundle.normalisation)
            for moved in pictures
        ]
        of_network = [band_powers(bundle, frames, bins, context) for frames in seen]
        return cls(
            names,
            np.stack([(frames - seen[0]).abs()[:, 0].numpy() for frames in seen[1:]]),
            {
                SYNTHESISER: {name: (of := power[:, :, part].sum(2))[1:] - of[0] for name, part in bins.items()},
                NETWORK: {name: np.stack([of[name] - of_network[0][name] for of in of_network[1:]]) for name in bins},
            },
        )

    def maps(self, whose: str) -> dict[str, np.ndarray]:
        """Return the `truth_map` of each band, of `SYNTHESISER` or `NETWORK`."""
        return {band: truth_map(self.pixels, power) for band, power in self.power[whose].items()}

    def shares(self, whose: str) -> dict[str, dict[str, float]]:
        """Return, for each band, each movement's share of the band's change over the clip; NaN if nothing changes."""
        found = {}
        for band, power in self.power[whose].items():
            totals = np.abs(power).sum(1)
            whole = totals.sum()
            shares = totals / whole if whole > 0 else np.full(len(totals), np.nan)
            found[band] = dict(zip(self.names, shares.tolist(), strict=True))
        return found


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
