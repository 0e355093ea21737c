"""Masking study: darkens a part of the head, synthesises, and measures the change in each band's mel error.

An independent check of Grad-CAM: masking a region with much of a band's mass should raise that band's error.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from rtmri_speech.atomic import replacing, save_text
from rtmri_speech.dataset.sample import Sample, open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.dataset.speakers import clip_speakers
from rtmri_speech.errors import UserError
from rtmri_speech.explain.bands import Band
from rtmri_speech.explain.faithfulness import rank_correlation
from rtmri_speech.explain.masking import Polygon, mask_weight, masked
from rtmri_speech.explain.regions import mass_share, region_mask
from rtmri_speech.explain.sequences import open_sequence
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.synthesis.speech import SpeechModel


@dataclass(frozen=True)
class Effect:
    """Effect of a mask on a band, averaged over clips.

    Attributes
    ----------
    mask, alpha, band : masked region, opacity (1 is black), and measured band.
    clips : number of clips.
    error : mean squared error of the predicted standardised mel in the band, over frames with sound, unmasked.
    error_masked : the same with the mask.
    change : difference of the two.
    speech_change : the same difference for the mel of the synthesised speech; NaN without a vocoder.
    gradcam_mass : share of the mass of the band's unmasked Grad-CAM maps inside the mask; NaN without maps.
    area : share of the picture inside the mask.
    """

    mask: str
    alpha: float
    band: str
    clips: int
    error: float
    error_masked: float
    change: float
    speech_change: float
    gradcam_mass: float
    area: float


def masking_study(
    model: SpeechModel,
    scaler: Scaler,
    processed_dir: str | Path,
    ids: Sequence[str],
    masks: Mapping[str, Sequence[Polygon]],
    alphas: Sequence[float],
    bands: Sequence[Band],
    *,
    gradcam_dir: str | Path | None = None,
    wav_dir: str | Path | None = None,
    progress: Callable[[Sequence[str]], Iterator[str]] = iter,
) -> list[Effect]:
    """Return the effect of every mask at every alpha on every band.

    Parameters
    ----------
    model : the models; errors are averaged over its vocoders.
    scaler : of the dataset, for standardised errors.
    masks : polygons by name, in a picture of 256×256.
    alphas : opacities, 1 for black.
    gradcam_dir : with ``<id>/gradcam_<band>_sequence.npy``.
    wav_dir : for ``<id>_<mask>_<alpha>.wav``.
    progress : wraps the ids.

    Raises
    ------
    UserError
        An alpha or polygon is out of range, a band has no filter, or a clip is missing.
    """
    if not (ids and masks and alphas and bands):
        raise UserError("masking study", "has no clip, mask, alpha or band", "give at least one of each")
    spec, size = model.mel, model.frame_size
    bins = {band.name: spec.band(band.low, band.high) for band in bands}
    weights = {(name, alpha): mask_weight(masks[name], size, alpha) for name in masks for alpha in alphas}
    areas = {name: region_mask(list(polygons)) for name, polygons in masks.items()}
    rows: dict[tuple[str, float, str], list[tuple[float, float, float, float]]] = {}
    speakers = clip_speakers(processed_dir, ids, model.speakers)
    for id in progress(ids):
        speaking, sample = model.spoken_by(speakers[id]), open_sample(processed_dir, id)
        frames = sample.mri if sample.mri.dtype.kind != "f" else np.rint(sample.mri * 255).astype(np.uint8)
        plain, plain_speech = _band_errors(speaking, scaler, sample, frames, bins, wav_dir, "unmasked")
        mass = {band: _masses(gradcam_dir, id, band, areas) for band in bins}
        for (name, alpha), weight in weights.items():
            darkened = list(masked(frames, weight))
            name_of_wav = f"{name}_{alpha:g}".replace(" ", "_")
            changed, changed_speech = _band_errors(speaking, scaler, sample, darkened, bins, wav_dir, name_of_wav)
            for band in bins:
                rows.setdefault((name, alpha, band), []).append(
                    (plain[band], changed[band], changed_speech[band] - plain_speech[band], mass[band][name])
                )
    effects = []
    for (name, alpha, band), measured in rows.items():
        error, error_masked, speech_change, gradcam_mass = (
            float(np.mean(column)) for column in zip(*measured, strict=True)
        )
        effects.append(
            Effect(
                mask=name,
                alpha=alpha,
                band=band,
                clips=len(measured),
                error=error,
                error_masked=error_masked,
                change=error_masked - error,
                speech_change=speech_change,
                gradcam_mass=gradcam_mass,
                area=float(areas[name].mean()),
            )
        )
    return effects


def _band_errors(
    model: SpeechModel,
    scaler: Scaler,
    sample: Sample,
    frames: Iterable[np.ndarray],
    bins: Mapping[str, np.ndarray],
    wav_dir: str | Path | None,
    name: str,
) -> tuple[dict[str, float], dict[str, float]]:
    """Error by band of the predicted mel, and of the synthesised speech, which is written as ``<id>_<name>.wav``."""
    spec, speech = model.mel, model.speech(frames)
    by_vocoder = []
    for name_of_vocoder, audio in speech.audio.items():
        by_vocoder.append(_errors(scaler.standardise(spec.db(spec.mel(audio)).T), scaler, sample, bins))
        if wav_dir is not None:
            ending = f"_{name_of_vocoder}" if len(speech.audio) > 1 else ""
            write_wav(Path(wav_dir) / f"{sample.id}_{name}{ending}.wav", audio, spec.sampling_rate)
    spoken = {
        band: float(np.mean([errors[band] for errors in by_vocoder])) if by_vocoder else math.nan for band in bins
    }
    return _errors(scaler.standardise(speech.mel_db), scaler, sample, bins), spoken


def _errors(mel: np.ndarray, scaler: Scaler, sample: Sample, bins: Mapping[str, np.ndarray]) -> dict[str, float]:
    count = min(len(mel), len(sample.mel_db))
    truth = scaler.standardise(sample.mel_db[:count])
    squared = (mel[:count] - truth)[sample.sound_mask[:count] > 0] ** 2
    return {band: float(squared[:, part].mean()) for band, part in bins.items()}


def _masses(gradcam_dir: str | Path | None, id: str, band: str, areas: Mapping[str, np.ndarray]) -> dict[str, float]:
    if gradcam_dir is None:
        return dict.fromkeys(areas, math.nan)
    total = sum(open_sequence(Path(gradcam_dir) / id, band).raw())
    return {name: mass_share(total, area) for name, area in areas.items()}


def agreement(effects: Sequence[Effect], band: str) -> float:
    """Return Spearman's rank correlation over masks, at the largest alpha, of a band's change with its Grad-CAM
    density.

    Density is mass divided by area, 1 for a uniform map; mass alone would favour large regions. NaN with fewer than
    three masks, or without maps.
    """
    darkest = max(effect.alpha for effect in effects)
    pairs = [(e.change, e.gradcam_mass / e.area) for e in effects if e.band == band and e.alpha == darkest]
    if len(pairs) < 3 or not np.isfinite(pairs).all():
        return math.nan
    return rank_correlation(*np.transpose(pairs))


def write_table(path: str | Path, effects: Sequence[Effect]) -> None:
    """Write the effects as CSV, one per line; NaN is empty."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(field.name for field in fields(Effect))
    for effect in effects:
        cells = asdict(effect).values()
        rows.writerow("" if isinstance(cell, float) and math.isnan(cell) else _cell(cell) for cell in cells)
    save_text(path, text.getvalue())


def _cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


def draw_study(path: str | Path, effects: Sequence[Effect]) -> None:
    """Write a figure: change of error by alpha (top), and at the largest alpha by Grad-CAM density (bottom)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bands, masks = (list(dict.fromkeys(getattr(effect, name) for effect in effects)) for name in ("band", "mask"))
    darkest = max(effect.alpha for effect in effects)
    figure = Figure(figsize=(5 * len(bands) + 2.5, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(bands), squeeze=False)
    for column, band in enumerate(bands):
        above, below = axes[:, column]
        for number, mask in enumerate(masks):
            found = sorted((e.alpha, e.change) for e in effects if e.band == band and e.mask == mask)
            marker = "osD^v<>pP*X"[number % 11]
            line = above.plot(*zip(*found, strict=True), marker=marker, label=mask)[0]
            black = [e for e in effects if (e.band, e.mask, e.alpha) == (band, mask, darkest)]
            density = [e.gradcam_mass / e.area for e in black]
            below.scatter(density, [e.change for e in black], marker=marker, color=line.get_color())
        above.set(title=band, xlabel="alpha (1 is black)", ylabel="change of mel error (standardised)")
        rank = agreement(effects, band)
        title = "" if math.isnan(rank) else f"rank correlation {rank:.2f}"
        below.set(
            title=title, xlabel="Grad-CAM mass in the mask by its area (1: even)", ylabel=f"change at alpha {darkest:g}"
        )
        for axis in (above, below):
            axis.axhline(0, color="0.7", linewidth=0.8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, metadata={"Software": None})
