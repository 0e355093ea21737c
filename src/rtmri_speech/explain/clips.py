"""Writes the Grad-CAM files of a clip: sequences, scales, pictures and excerpts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.acoustic.context import Context
from rtmri_speech.acoustic.predict import AcousticBundle, read_acoustic_checkpoint
from rtmri_speech.errors import UserError
from rtmri_speech.explain.bands import Band, filters
from rtmri_speech.explain.gradcam import Reduction, grad_cam
from rtmri_speech.explain.maps import model_maps
from rtmri_speech.explain.overlay import Style, legend, overlay, save_picture, stretched
from rtmri_speech.explain.sequences import (
    SIZE,
    Interval,
    Scaling,
    enlarged,
    open_maps,
    save_facts,
    sequence_path,
    write_cut,
    write_sequence,
)
from rtmri_speech.settings.data import Resampling
from rtmri_speech.settings.use import Method
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.video import frames_at_rate, resize

PICTURE_HEIGHT = 256
"""Minimum height of pictures, so that the legend is readable."""


@dataclass(frozen=True)
class ClipSettings:
    """Settings of the output; see `grad_cam`, `write_sequence`, `Interval` and `Style`."""

    bands: tuple[Band, ...]
    target_frames: tuple[int, ...] = ()
    intervals: tuple[Interval, ...] = ()
    reduction: Reduction = "mean"
    context: Context = "sequence"
    stride: int | None = None
    method: Method = "gradcam"
    scaling: Scaling = "clip"
    style: Style = field(default_factory=Style)


def checkpoint_mel(path: str | Path, given: Mapping[str, Any]) -> MelSpec | None:
    """Return a checkpoint's mel overridden by the ``given`` settings, or None if there are none.

    The lab's checkpoints have no mel; loading others with different settings is refused.
    """
    if not given:
        return None
    content = read_acoustic_checkpoint(path)
    own = MelSpec.from_dict(content["mel"], str(path)) if "mel" in content else MelSpec.preset("lab")
    return replace(own, **given)


def video_frames(video: str | Path, bundle: AcousticBundle, resampling: Resampling = "refuse") -> np.ndarray:
    """Return a video's frames for the model, gray uint8 ``(T, H, W)`` at the mel's frame rate."""
    return np.stack(list(frames_at_rate(video, bundle.mel.frame_rate, resampling, size=bundle.frame_size)))


def explain_clip(
    bundle: AcousticBundle, frames: np.ndarray, directory: str | Path, settings: ClipSettings, *, source: str
) -> None:
    """Write a clip's maps for every band; ``source`` is the clip's name in ``gradcam_<band>.json``.

    Raises
    ------
    UserError
        As `model_maps`; an interval is outside the clip; or there are target frames, and the method is not Grad-CAM.
    """
    directory, rate = Path(directory), bundle.mel.frame_rate
    cuts = {interval.name: interval.frames(len(frames), rate) for interval in settings.intervals}
    bins = filters(settings.bands, bundle.mel)
    sequences, details = _maps(bundle, frames, settings)
    centres = bundle.mel.centre_frequencies()
    for band in settings.bands:
        maps, sequence = sequences[band.name], sequence_path(directory, band.name)
        scale = write_sequence(sequence, maps, settings.scaling)
        facts = {
            "clip": source,
            "band": band.name,
            "method": settings.method,
            "band_hz": [band.low, band.high],
            "bins": bins[band.name].tolist(),
            "centres_hz": [round(float(hertz), 3) for hertz in centres[bins[band.name]]],
            "target": f"{settings.reduction} over time of the linear mel power",
            "context": settings.context,
            "cells": list(maps.shape[1:]),
            "frames": len(maps),
            "frame_rate": str(rate),
            **scale,
            "detail_scale": {str(n): float(heat.max()) for n, heat in details[band.name].items()},
        }
        for name, run in cuts.items():
            write_cut(sequence, sequence_path(directory, band.name, name), run)
        stored = open_maps(sequence)
        average = sum(enlarged(heat, SIZE) for heat in maps) / len(maps)
        whole: tuple[np.ndarray, np.ndarray, float | None] = (np.mean(frames, axis=0), average, None)
        pictures = {"average": whole}
        for number, heat in details[band.name].items():
            seconds = number / float(rate)
            pictures[f"frame{number:04d}"] = (frames[number], stored[number], seconds)
            pictures[f"frame{number:04d}_detail"] = (frames[number], enlarged(heat, SIZE), seconds)
        for name, (frame, heat, seconds) in pictures.items():
            # Scaled by its own maximum: on a common scale, soft frames would be blank.
            picture = _drawn(frame, stretched(heat), settings.style, band.name, seconds)
            save_picture(directory / f"gradcam_{band.name}_{name}.png", picture)
        # Written last: its existence marks a complete set.
        save_facts(directory, band.name, facts)


def _maps(
    bundle: AcousticBundle, frames: np.ndarray, settings: ClipSettings
) -> tuple[dict[str, np.ndarray], dict[str, dict[int, np.ndarray]]]:
    """The maps of each band, and of each of its target frames."""
    how: dict[str, Any] = {
        "reduction": settings.reduction,
        "context": settings.context,
        "stride": settings.stride,
    }
    if settings.method == "gradcam":
        result = grad_cam(bundle, frames, settings.bands, settings.target_frames, **how)
        return result.sequences, result.details
    if settings.target_frames:
        raise UserError(
            "--target-frames", f"are not explained by {settings.method}", "leave them out, or use the method gradcam"
        )
    maps = model_maps(bundle, frames, settings.bands, settings.method, **how)
    return maps, {name: {} for name in maps}


def _drawn(frame: np.ndarray, heat: np.ndarray, style: Style, name: str, seconds: float | None) -> np.ndarray:
    frame = np.asarray(frame)
    gray = np.rint(frame * 255 if frame.dtype.kind == "f" and frame.max() <= 1 else frame).astype(np.uint8)
    if len(gray) < PICTURE_HEIGHT:
        gray = resize(gray, (PICTURE_HEIGHT, round(PICTURE_HEIGHT * gray.shape[1] / gray.shape[0])))
    return legend(overlay(gray, (heat,), style), (name,), style, seconds)
