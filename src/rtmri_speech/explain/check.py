"""Checks maps of the test clips by all measures of `faithfulness`, method by method, as one table."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.acoustic.context import Context
from rtmri_speech.acoustic.data import prepared_frames
from rtmri_speech.acoustic.fold import fold_batch_norm
from rtmri_speech.acoustic.predict import AcousticBundle
from rtmri_speech.dataset.f0 import spoken_frames
from rtmri_speech.dataset.sample import Sample, open_sample
from rtmri_speech.dataset.speakers import clip_speakers
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.metrics import summarise
from rtmri_speech.evaluation.scores import null_for_nan
from rtmri_speech.explain.bands import Band, filters
from rtmri_speech.explain.faithfulness import (
    Deletion,
    in_cells,
    peaks_inside,
    randomised,
    rank_correlation,
)
from rtmri_speech.explain.gradcam import stages
from rtmri_speech.explain.maps import MOTION, model_maps, motion
from rtmri_speech.explain.regions import Regions, mass_share, region_mask
from rtmri_speech.explain.sequences import SIZE, enlarged
from rtmri_speech.explain.study import Effect, agreement, masking_study
from rtmri_speech.explain.truth import NETWORK, SYNTHESISER, Truth, contrast
from rtmri_speech.settings.use import Method
from rtmri_speech.synthesis.synthesiser import Synthesiser

FINEST = 32
"""Most cells a side of the Grad-CAM stages that are checked: earlier ones show edges."""

OCCLUSION = "occlusion"

Maps = dict[str, np.ndarray]
"""The maps ``(T, h, w)`` of each band."""


def methods(bundle: AcousticBundle) -> dict[str, Callable[[AcousticBundle, np.ndarray, Sequence[Band], Context], Maps]]:
    """Return the methods that are checked for a model, by title; the first is Grad-CAM at the last stage."""
    coarsest_first = sorted(
        (stride for stride in stages(bundle.model) if max(bundle.image_size) <= FINEST * stride), reverse=True
    )

    def by(method: Method, stride: int | None = None) -> Callable[..., Maps]:
        def maps(model: AcousticBundle, frames: np.ndarray, bands: Sequence[Band], context: Context) -> Maps:
            return model_maps(model, frames, bands, method, context=context, stride=stride)

        return maps

    def moving(model: AcousticBundle, frames: np.ndarray, bands: Sequence[Band], context: Context) -> Maps:
        return dict.fromkeys((band.name for band in bands), motion(model, frames))

    of_stages = {f"Grad-CAM, stride {stride}": by("gradcam", stride) for stride in coarsest_first}
    return {
        **(of_stages or {"Grad-CAM": by("gradcam")}),
        "integrated gradients": by("integrated_gradients"),
        OCCLUSION: by("occlusion"),
        MOTION: moving,
    }


def check(
    bundle: AcousticBundle,
    processed_dir: str | Path,
    ids: Sequence[str],
    bands: Sequence[Band],
    *,
    context: Context = "sequence",
    regions: Regions | None = None,
    truth_dir: str | Path | None = None,
    progress: Callable[[Sequence[str]], Iterator[str]] = iter,
) -> dict[str, Any]:
    """Return the measures of every method and band.

    Parameters
    ----------
    bundle : the model, with its normalisation layers, which `fold_batch_norm` takes away.
    processed_dir : the dataset, with recordings.
    ids : of clips that the model was not trained on.
    regions : of the head; the first group is where the peaks should be.
    truth_dir : output of ``move_articulators.py``.
    progress : wraps the ids.

    Returns
    -------
    ``clips``, ``context``; ``methods``, by title: ``model``, whether it is of the model; ``bands``, with `summarise` of
    each measure over the clips, and ``masking`` without an interval; ``contrast`` and ``contrast_network``, if there is
    a truth of two bands; ``cascade``, by method and band: the first clip's rank correlation as more layers are random;
    ``movements``, by band: each movement's share of the change of sound and of prediction; ``area`` of the first group.
    Undefined values are None.

    Raises
    ------
    UserError
        There is no clip, a file is missing, or a band has no filter.
    """
    if not ids:
        raise UserError("--clips", "names no clip", "give the test clips")
    explain, folded = methods(bundle), _folded(bundle)
    speakers = clip_speakers(processed_dir, ids, bundle.speakers)
    # Occlusion is left out, as it takes as long as all others.
    cascaded = [title for title in explain if title not in (OCCLUSION, MOTION)]
    inside = region_mask(next(iter(regions.whole_groups().values()))) if regions else None
    parts = {name: region_mask(polygons) for name, polygons in regions.single().items()} if regions else {}
    measured: dict[tuple[str, str], list[dict[str, float]]] = {}
    contrasts: dict[str, list[dict[str, float]]] = {}
    masses: dict[tuple[str, str], list[dict[str, float]]] = {}
    cascade: dict[str, dict[str, dict[str, float]]] = {}
    moved: list[dict[str, dict[str, dict[str, float]]]] = []
    for number, id in enumerate(progress(ids)):
        sample = open_sample(processed_dir, id)
        speaking, trained = (model.spoken_by(speakers[id]) for model in (bundle, folded))
        truth = Truth.of_clip(truth_dir, id, trained, filters(bands, bundle.mel), context) if truth_dir else None
        moved += [{whose: truth.shares(whose) for whose in (SYNTHESISER, NETWORK)}] if truth else []
        clip = _Clip(trained, Path(processed_dir), sample, bands, context, inside, truth, number)
        *partly, (_, random) = ((what, _folded(model)) for what, model in randomised(speaking, seed=number))
        for title, method in explain.items():
            maps = method(trained, clip.frames, bands, context)
            by_chance = method(random, clip.frames, bands, context)
            if not number and title in cascaded:
                steps = {what: method(model, clip.frames, bands, context) for what, model in partly}
                cascade[title] = _correlations(steps | {"all": by_chance}, maps)
            for band, heat in maps.items():
                measured.setdefault((title, band), []).append(clip.measures(heat, by_chance[band], band))
                average = enlarged(heat.mean(0), SIZE)
                shares = {name: mass_share(average, mask) for name, mask in parts.items()}
                masses.setdefault((title, band), []).append(shares)
            contrasts.setdefault(title, []).append(clip.contrasts(maps))
    effects = _effects(folded, Path(processed_dir), ids, regions, bands, context) if regions else []
    found = {
        "clips": list(ids),
        "context": context,
        "methods": {
            title: {
                "model": title != MOTION,
                "bands": {
                    band.name: {
                        **summarise(measured[title, band.name]),
                        **({"masking": _agreement(effects, band.name, masses[title, band.name])} if effects else {}),
                    }
                    for band in bands
                },
                **summarise(contrasts[title]),
            }
            for title in explain
        },
        "cascade": cascade,
        **({"movements": _movements(moved)} if moved else {}),
        **({"area": float(inside.mean())} if inside is not None else {}),
    }
    return null_for_nan(found)


def _correlations(steps: Mapping[str, Maps], maps: Maps) -> dict[str, dict[str, float]]:
    return {
        band: {what: rank_correlation(other[band], heat) for what, other in steps.items()}
        for band, heat in maps.items()
    }


def _folded(bundle: AcousticBundle) -> AcousticBundle:
    """The model in another copy that is a seventh faster."""
    model = copy.deepcopy(bundle.model)
    fold_batch_norm(model)
    return replace(bundle, model=model)


def _movements(clips: Sequence[dict[str, dict[str, dict[str, float]]]]) -> dict[str, Any]:
    """By band: each movement's share of the change, as mean over the clips, and the rank correlation of the two."""
    found: dict[str, Any] = {}
    for band, names in clips[0][NETWORK].items():
        shares = {
            whose: {name: float(np.mean([clip[whose][band][name] for clip in clips])) for name in names}
            for whose in (SYNTHESISER, NETWORK)
        }
        found[band] = {
            **shares,
            "rank_correlation": rank_correlation(*(np.array([*of.values()]) for of in shares.values())),
        }
    return found


class _Clip:
    """A clip and what its measures share."""

    def __init__(
        self,
        bundle: AcousticBundle,
        processed_dir: Path,
        sample: Sample,
        bands: Sequence[Band],
        context: Context,
        inside: np.ndarray | None,
        truth: Truth | None,
        seed: int,
    ) -> None:
        self.frames = np.asarray(sample.mri)
        self._speech = spoken_frames(processed_dir, sample, bundle.mel)
        self._inside = inside
        # Average maps of the truth, by whose it is and by band.
        self._there = {whose: _averages(truth.maps(whose)) for whose in (SYNTHESISER, NETWORK)} if truth else {}
        pictures = prepared_frames(self.frames, bundle.image_size, bundle.normalisation)
        self._deletion = Deletion(bundle, pictures, filters(bands, bundle.mel), self._speech, context, seed)

    def measures(self, maps: np.ndarray, by_chance: np.ndarray, band: str) -> dict[str, float]:
        """Return the measures of a band's map; ``by_chance`` is the randomised network's."""
        here, elsewhere = in_cells(maps).mean(0), in_cells(by_chance).mean(0)
        found = {
            "randomised": rank_correlation(by_chance, maps),
            "randomised_average": rank_correlation(elsewhere, here),
            **self._deletion.gaps(maps, band),
        }
        if self._inside is not None:
            found["peaks"] = peaks_inside(maps[self._speech], self._inside)
        if self._there:
            found |= {
                "truth": rank_correlation(here, self._there[SYNTHESISER][band]),
                "truth_randomised": rank_correlation(elsewhere, self._there[SYNTHESISER][band]),
                "truth_network": rank_correlation(here, self._there[NETWORK][band]),
            }
        return found

    def contrasts(self, maps: Maps) -> dict[str, float]:
        """Return how far the maps distinguish two bands as each truth does; nothing without two bands or a truth."""
        if not self._there or len(maps) != 2:
            return {}
        return {
            name: contrast(_averages(maps), self._there[whose])
            for name, whose in (("contrast", SYNTHESISER), ("contrast_network", NETWORK))
        }


def _averages(maps: Maps) -> Maps:
    return {band: in_cells(heat).mean(0) for band, heat in maps.items()}


def _effects(
    bundle: AcousticBundle,
    processed_dir: Path,
    ids: Sequence[str],
    regions: Regions,
    bands: Sequence[Band],
    context: Context,
) -> list[Effect]:
    synthesiser = Synthesiser(bundle, {}, context)
    return masking_study(synthesiser, bundle.scaler, processed_dir, ids, regions.single(), [1.0], bands)


def _agreement(effects: Sequence[Effect], band: str, masses: Sequence[Mapping[str, float]]) -> float:
    """`agreement` of the study with the mass of other maps, a mean over the clips in which they have some."""
    mass = {
        effect.mask: [clip[effect.mask] for clip in masses if not math.isnan(clip[effect.mask])] for effect in effects
    }
    if not all(mass.values()):
        return math.nan
    return agreement([replace(effect, gradcam_mass=float(np.mean(mass[effect.mask]))) for effect in effects], band)
