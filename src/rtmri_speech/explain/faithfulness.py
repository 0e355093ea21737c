"""How far maps can be believed: measures of maps of a clip, each with a control that explains nothing.

Maps are compared in `CELLS` x `CELLS` cells, 16 pixels of 256: the resolution of the methods differs, and is not what
is measured.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace

import cv2
import numpy as np
import torch

from rtmri_speech.acoustic.context import Context
from rtmri_speech.acoustic.model import AcousticModel
from rtmri_speech.acoustic.predict import AcousticBundle
from rtmri_speech.explain.maps import band_powers

CELLS = 16
"""Cells a side."""

SHARES = (0.05, 0.15, 0.4)
"""Shares of the cells that are deleted or inserted first."""

RANDOM_ORDERS = 3


def in_cells(maps: np.ndarray) -> np.ndarray:
    """Return maps ``(T, h, w)`` as means of cells, or interpolated if coarser, float32 ``(T, CELLS, CELLS)``."""
    maps = np.asarray(maps, np.float32)
    way = cv2.INTER_AREA if min(maps.shape[1:]) >= CELLS else cv2.INTER_LINEAR
    return np.stack([cv2.resize(heat, (CELLS, CELLS), interpolation=way) for heat in maps])


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation of two arrays of one shape; NaN if one is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(values.ravel()) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1]) if all(np.ptp(values) > 0 for values in ranks) else float("nan")


def randomised(bundle: AcousticBundle, seed: int) -> Iterator[tuple[str, AcousticBundle]]:
    """Yield the model with more and more layers as before training, from the output on (J. Adebayo et al., *Sanity
    checks for saliency maps*, 2018).

    Yields
    ------
    What is random, and the model; the last one is entirely random. Principal components are not trained and remain.
    """
    trained = bundle.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = AcousticModel(trained.network)
    layers = [f"cnn.{name}" for name, part in trained.cnn.named_modules() if any(True for _ in part.parameters(False))]
    steps = {"output layer": ["head"], "and LSTM": ["rnn"]}
    if layers:
        half = len(layers) // 2
        steps |= {"and half of the CNN": layers[half:], "all": layers[:half]}
    state = dict(trained.state_dict())
    for what, names in steps.items():
        prefixes = tuple(f"{name}." for name in names)
        state |= {key: value for key, value in fresh.state_dict().items() if key.startswith(prefixes)}
        model = copy.deepcopy(trained)
        model.load_state_dict(state)
        yield what, replace(bundle, model=model)


def peaks_inside(maps: np.ndarray, region: np.ndarray) -> float:
    """Return the share of frames whose highest point is in a region; frames without mass do not count.

    Parameters
    ----------
    maps : ``(T, h, w)``, at least 0.
    region : bool, of any size.
    """
    inside = []
    for heat in maps:
        if heat.max() > 0:
            large = cv2.resize(np.float32(heat), region.shape[::-1], interpolation=cv2.INTER_LINEAR)
            inside.append(region[np.unravel_index(large.argmax(), large.shape)])
    return float(np.mean(inside)) if inside else float("nan")


class Deletion:
    """Deletion and insertion of cells, in the order of a map against random orders.

    A deleted cell shows the clip's mean picture. A curve is the change of a band's power, in dB, as a mean over frames
    (after V. Petsiuk et al., *RISE*, 2018, where the output is a probability).

    Parameters
    ----------
    bundle, context : the model.
    pictures : prepared, ``(T, 1, H, W)``.
    bins : filters of each band.
    judged : frames that count, bool ``(T,)``.
    seed : of the random orders.
    """

    def __init__(
        self,
        bundle: AcousticBundle,
        pictures: torch.Tensor,
        bins: Mapping[str, np.ndarray],
        judged: np.ndarray,
        context: Context,
        seed: int,
    ) -> None:
        self._bundle, self._pictures, self._bins, self._context = bundle, pictures, bins, context
        self._judged, self._rng = judged, np.random.default_rng(seed)
        self._intact = band_powers(bundle, pictures, bins, context)
        everything = CELLS * CELLS
        self._all = self._changes(np.ones((len(pictures), everything), bool))
        self._chance = [
            self._curves(np.tile(self._rng.permutation(everything), (len(pictures), 1))) for _ in range(RANDOM_ORDERS)
        ]

    def gaps(self, maps: np.ndarray, band: str) -> dict[str, float]:
        """Return how much more than a random order the map's changes the band, as shares of the change if all is
        deleted.

        ``deletion``: deleting the highest cells changes more. ``insertion``: inserting them leaves less of the change.
        Both are means over `SHARES`, positive for a map that is better than chance.
        """
        cells = in_cells(maps).reshape(len(maps), -1)
        # Equal cells in a random order, not from left to right.
        ties = np.broadcast_to(self._rng.random(cells.shape[1]), cells.shape)
        deleted, inserted = self._curves(np.argsort(np.lexsort((ties, -cells), axis=1), axis=1))
        by_chance = [np.mean([curves[way][band] for curves in self._chance], axis=0) for way in range(2)]
        return {
            "deletion": float(np.mean(deleted[band] - by_chance[0]) / self._all[band]),
            "insertion": float(np.mean(by_chance[1] - inserted[band]) / self._all[band]),
        }

    def _curves(self, place: np.ndarray) -> list[dict[str, np.ndarray]]:
        """Changes of each band with the first cells deleted, and with all others deleted; ``place`` of each cell in the
        order, ``(T, cells)``."""
        counts = [round(share * place.shape[1]) for share in SHARES]
        ways = [[self._changes(place < count) for count in counts], [self._changes(place >= count) for count in counts]]
        return [{band: np.array([found[band] for found in curve]) for band in self._bins} for curve in ways]

    def _changes(self, deleted: np.ndarray) -> dict[str, float]:
        size = tuple(self._pictures.shape[2:])
        masks = torch.from_numpy(np.float32(deleted)).reshape(-1, 1, CELLS, CELLS)
        masks = torch.nn.functional.interpolate(masks, size, mode="nearest") > 0
        pictures = torch.where(masks, self._pictures.mean(0, keepdim=True), self._pictures)
        powers = band_powers(self._bundle, pictures, self._bins, self._context)
        return {
            band: float(np.abs(10 * np.log10(power / self._intact[band]))[self._judged].mean())
            for band, power in powers.items()
        }
