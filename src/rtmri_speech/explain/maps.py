"""Maps of a band's power by several methods, all of the same model, clip and target as Grad-CAM's.

All show where the picture raises the power, as Grad-CAM does: what lowers it is 0.

No pixel of a head is ever absent, so that a map explains a difference: integrated gradients and occlusion compare with
the clip's mean picture, of the same head, in which nothing moves. `motion` needs no model: other maps should be better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import numpy as np
import torch

from rtmri_speech.acoustic.context import Context, decode_in_context, require_size
from rtmri_speech.acoustic.data import prepared_frames
from rtmri_speech.acoustic.neighbours import all_around, around
from rtmri_speech.acoustic.pitch import split_outputs
from rtmri_speech.acoustic.predict import AcousticBundle
from rtmri_speech.errors import UserError
from rtmri_speech.explain.bands import Band, filters
from rtmri_speech.explain.gradcam import (
    CHUNK_FRAMES,
    Reduction,
    evaluating,
    feature_gradients,
    grad_cam,
    slopes_at,
)
from rtmri_speech.settings.use import Method

STEPS = 8
"""Steps of the path from the mean picture."""

PLACES = 8
"""Places a side that occlusion covers one after the other; 16 take four times as long."""

MOTION = "motion"
"""The name of the map without a model."""


def model_maps(
    bundle: AcousticBundle,
    frames: np.ndarray,
    bands: Sequence[Band],
    method: Method,
    *,
    context: Context = "sequence",
    stride: int | None = None,
    reduction: Reduction = "mean",
) -> dict[str, np.ndarray]:
    """Return the maps of each band's power over a clip, float32 ``(T, h, w)``, at least 0.

    Parameters
    ----------
    bundle, frames, bands, context, reduction : as in `grad_cam`.
    method : see `Method`.
    stride : of Grad-CAM.

    Raises
    ------
    UserError
        As `grad_cam`, or the method is unknown.
    """
    if method not in get_args(Method):
        raise UserError("--method", f"is {method!r}", f"give one of {', '.join(get_args(Method))}")
    if method == "gradcam":
        return grad_cam(bundle, frames, bands, context=context, stride=stride, reduction=reduction).sequences
    require_size(frames, bundle.frame_size, bundle.source)
    explain = integrated_gradients if method == "integrated_gradients" else occlusion
    factor = len(frames) if reduction == "sum" else 1
    return {
        name: np.maximum(factor * added, 0) for name, added in explain(bundle, frames, bands, context=context).items()
    }


def integrated_gradients(
    bundle: AcousticBundle, frames: np.ndarray, bands: Sequence[Band], *, context: Context = "sequence"
) -> dict[str, np.ndarray]:
    """Return what each pixel adds to each band's mean power, float32 ``(T, H, W)`` at the model's size.

    The gradient averaged over a straight path from the mean picture in every frame to the clip, times the difference
    (M. Sundararajan et al., *Axiomatic attribution for deep networks*, 2017). The sum is the difference in power
    between the two ends, up to the error of `STEPS` midpoints. With neighbours of each frame in the CNN's input, a map
    has what all its channels add.
    """
    pictures = prepared_frames(frames, bundle.image_size, bundle.normalisation)
    start = pictures.mean(0, keepdim=True)
    bins = filters(bands, bundle.mel)
    # Of the channels; what they add is the same for frames and for differences of frames.
    apart = around(pictures - start, range(len(pictures)), bundle.neighbours)
    total = [torch.zeros_like(apart) for _ in bins]
    with evaluating(bundle.model):
        for step in range(STEPS):
            between = start + (step + 0.5) / STEPS * (pictures - start)
            gradients, _ = feature_gradients(bundle, _features(bundle, between), list(bins.values()), context=context)
            blocks = slopes_at(bundle, _blocks(bundle, between), gradients, None)
            for mean, slopes in zip(total, zip(*(of_block for _, of_block in blocks), strict=True), strict=True):
                mean += torch.cat(slopes).cpu() / STEPS
    return {name: (mean * apart).sum(1).numpy() for name, mean in zip(bins, total, strict=True)}


def occlusion(
    bundle: AcousticBundle, frames: np.ndarray, bands: Sequence[Band], *, context: Context = "sequence"
) -> dict[str, np.ndarray]:
    """Return what each place adds to each band's mean power in each frame, float32 ``(T, PLACES, PLACES)``.

    It is what is lost if the place is still: a square, twice as wide as the place, shows the mean picture in every
    frame (after M. Zeiler and R. Fergus, *Visualizing and understanding convolutional networks*, 2014).
    """
    pictures = prepared_frames(frames, bundle.image_size, bundle.normalisation)
    mean = pictures.mean(0, keepdim=True)
    bins = filters(bands, bundle.mel)
    rows, columns = (_squares(side) for side in bundle.image_size)
    maps = {name: np.zeros((len(frames), len(rows), len(columns)), np.float32) for name in bins}
    with evaluating(bundle.model):
        intact = band_powers(bundle, pictures, bins, context)
        for row, across in enumerate(rows):
            for column, down in enumerate(columns):
                covered = pictures.clone()
                covered[:, :, across, down] = mean[:, :, across, down]
                for name, power in band_powers(bundle, covered, bins, context).items():
                    maps[name][:, row, column] = (intact[name] - power) / len(frames)
    return maps


def motion(bundle: AcousticBundle, frames: np.ndarray) -> np.ndarray:
    """Return how far each pixel is from the clip's mean picture, float32 ``(T, H, W)``: a map without a model."""
    pictures = prepared_frames(frames, bundle.image_size, bundle.normalisation)
    return (pictures - pictures.mean(0)).abs()[:, 0].numpy()


def band_powers(
    bundle: AcousticBundle, pictures: torch.Tensor, bins: Mapping[str, np.ndarray], context: Context
) -> dict[str, np.ndarray]:
    """Return the linear mel power of each band in each frame, float64 ``(T,)``.

    Parameters
    ----------
    pictures : prepared, ``(T, 1, H, W)``.
    bins : filters of each band.
    """
    features = _features(bundle, pictures).cpu().numpy()
    outputs = decode_in_context(bundle.decode, features, context, bundle.ref_frames)
    standardised, _ = split_outputs(outputs, bundle.mel.n_mels)
    power = 10 ** (bundle.scaler.restore(standardised).astype(np.float64) / 10)
    return {name: power[:, part].sum(1) for name, part in bins.items()}


def _features(bundle: AcousticBundle, pictures: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([bundle.model.features(block) for block in _blocks(bundle, pictures)])


def _blocks(bundle: AcousticBundle, pictures: torch.Tensor) -> Iterator[torch.Tensor]:
    """The CNN's input for the frames of a clip, in blocks."""
    return (block.to(bundle.device) for block in all_around(pictures.split(CHUNK_FRAMES), bundle.neighbours))


def _squares(side: int) -> list[slice]:
    """Along one axis, the run of pixels about each place."""
    places = min(PLACES, side)
    middles = (np.arange(places) + 0.5) * side / places
    half = side / places
    return [slice(max(0, round(middle - half)), min(side, round(middle + half))) for middle in middles]
