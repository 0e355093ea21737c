"""Grad-CAM by formant band: the regions of each frame that determine the predicted power of a band.

A band's target is the linear mel power of its filters; the map of a frame is the ReLU of its CNN feature maps, each
weighted by the spatial mean of the target's gradient (R. R. Selvaraju et al., *Grad-CAM*, 2017). Because the last stage
is followed by a mean over space, the gradient there is constant over space: the features' gradient divided by the
number of cells. One CNN pass without gradients, and one gradient through LSTM and head per target, are therefore exact,
at about a hundredth of the cost of a full backward pass.

Principal components in place of a CNN are linear in the picture, and their maps are what each pixel adds to a
component: the map of a frame is then the ReLU of gradient times difference from the mean picture (Ancona et al.,
*Towards better understanding of gradient-based attribution*, 2018).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import nn

from rtmri_speech.acoustic.context import Context, decode_in_context, frame_blocks, require_size
from rtmri_speech.acoustic.data import encoder_inputs
from rtmri_speech.acoustic.model import AcousticModel, PrincipalComponents
from rtmri_speech.acoustic.predict import AcousticBundle
from rtmri_speech.errors import UserError
from rtmri_speech.explain.bands import Band, filters

Reduction = Literal["mean", "sum"]
"""Reduction of a band's power over time."""

CHUNK_FRAMES = 8
"""Frames per CNN pass, small enough for activations to stay in the CPU cache."""

_NEPERS_PER_DB = math.log(10) / 10
"""Power is 10^(dB / 10), for magnitude and power mels alike."""


@dataclass(frozen=True)
class GradCam:
    """The raw maps of a clip, at the size of the feature maps.

    Attributes
    ----------
    sequences : for each band, the maps of its target over the whole clip, float32 ``(T, h, w)``, at least 0.
    details : for each band and target frame, the map in that frame for the target of that frame alone, ``(h, w)``.
    bins : filters of each band, int64.
    mel_db : the predicted mel, dB, float32 ``(T, n_mels)``.
    """

    sequences: dict[str, np.ndarray]
    details: dict[str, dict[int, np.ndarray]]
    bins: dict[str, np.ndarray]
    mel_db: np.ndarray


def grad_cam(
    bundle: AcousticBundle,
    frames: np.ndarray,
    bands: Sequence[Band],
    target_frames: Sequence[int] = (),
    *,
    reduction: Reduction = "mean",
    context: Context = "sequence",
    stride: int | None = None,
) -> GradCam:
    """Return the maps of every band, and of every target frame, of a clip.

    The model is used in evaluation mode and restored afterwards. Memory grows only by the feature maps (53 kB per frame
    for the lab's network).

    Parameters
    ----------
    bundle : the model.
    frames : gray, uint8 ``(T, H, W)`` of the bundle's frame size (the lab's float32 in [0, 1] too).
    bands : each with at least one filter of the model's mel.
    target_frames : frames that are also explained individually.
    reduction : of a band's power over time; ``sum`` is T times ``mean``.
    context : LSTM context, as in `predict_db`.
    stride : pixels per cell of the maps; None for the last stage. Earlier stages (16, 8) require a backward pass
        through the following stages.

    Raises
    ------
    UserError
        A band has no filter, a target frame is outside the clip, the frame size differs from training, or the backbone
        has no such stage.
    """
    if reduction not in get_args(Reduction):
        raise UserError("--reduction", f"is {reduction!r}", f"give one of {', '.join(get_args(Reduction))}")
    require_size(frames, bundle.frame_size, bundle.source)
    for number in target_frames:
        if not 0 <= number < len(frames):
            raise UserError("--target-frames", f"names frame {number}", f"the clip has frames 0 to {len(frames) - 1}")
    bins = filters(bands, bundle.mel)
    last = stride in (None, bundle.model.cnn.stride)
    cut = None if last else _stage_of_stride(bundle.model, stride)

    with evaluating(bundle.model):
        with torch.no_grad():
            maps = torch.cat([bundle.model.feature_maps(picture) for picture in _pictures(bundle, frames)])
            features = maps.mean((2, 3))
        gradients, standardised = feature_gradients(
            bundle, features, list(bins.values()), target_frames, reduction, context
        )
        weighted = (
            _maps_of_last_stage(maps, gradients) if cut is None else _maps_of_stage(bundle, frames, gradients, cut)
        )

    names = list(bins)
    details: dict[str, dict[int, np.ndarray]] = {name: {} for name in names}
    singles = iter(weighted[len(names) :])
    for name in names:
        for number in target_frames:
            details[name][number] = next(singles)[number]
    return GradCam(
        sequences=dict(zip(names, weighted, strict=False)),
        details=details,
        bins=bins,
        mel_db=bundle.scaler.restore(standardised),
    )


def _pictures(bundle: AcousticBundle, frames: np.ndarray) -> Iterator[torch.Tensor]:
    """The CNN's input for the frames of a clip, in blocks."""
    blocks = frame_blocks(frames, CHUNK_FRAMES, bundle.frame_size, bundle.source)
    inputs = encoder_inputs(blocks, bundle.image_size, bundle.normalisation, bundle.neighbours)
    return (block.to(bundle.device) for block in inputs)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode and disable weight gradients; restore both afterwards."""
    modes = {module: module.training for module in model.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for parameter, wants in wanted.items():
            parameter.requires_grad_(wants)


def feature_gradients(
    bundle: AcousticBundle,
    features: torch.Tensor,
    bins: Sequence[np.ndarray],
    target_frames: Sequence[int] = (),
    reduction: Reduction = "mean",
    context: Context = "sequence",
) -> tuple[list[torch.Tensor], np.ndarray]:
    """Return the gradients ``(T, C)`` of each band's target, then of each band's target frames, and the standardised
    mel; ``features`` are ``(T, C)``, ``bins`` the filters of each band."""
    features = features.clone().requires_grad_()
    # cuDNN has no LSTM backward pass in evaluation mode.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        standardised = decode_in_context(bundle.model.decode, features, context, bundle.ref_frames)
        scaler = bundle.scaler
        # Scale and offset of `Scaler.restore`, from standardised mels of 0 and 1.
        offset = scaler.restore(np.zeros(len(scaler.mean)))
        scale = scaler.restore(np.ones(len(scaler.mean))) - offset
        db = standardised * standardised.new_tensor(scale) + standardised.new_tensor(offset)
        power = torch.exp(_NEPERS_PER_DB * db)
        in_band = [power[:, torch.from_numpy(part).to(power.device)].sum(1) for part in bins]
        targets = [getattr(torch, reduction)(course) for course in in_band]
        targets += [course[number] for course in in_band for number in target_frames]
        gradients = [torch.autograd.grad(target, features, retain_graph=True)[0] for target in targets]
    return gradients, standardised.detach().cpu().numpy()


def _maps_of_last_stage(maps: torch.Tensor, gradients: Sequence[torch.Tensor]) -> list[np.ndarray]:
    cells = maps.shape[2] * maps.shape[3]
    return [torch.einsum("tc,tchw->thw", gradient / cells, maps).relu_().cpu().numpy() for gradient in gradients]


def _maps_of_stage(
    bundle: AcousticBundle, frames: np.ndarray, gradients: Sequence[torch.Tensor], stage: nn.Module
) -> list[np.ndarray]:
    parts = [
        [torch.einsum("tc,tchw->thw", slope.mean((2, 3)), activation).relu_() for slope in slopes]
        for activation, slopes in slopes_at(bundle, _pictures(bundle, frames), gradients, stage)
    ]
    return [torch.cat(maps).cpu().numpy() for maps in zip(*parts, strict=True)]


def slopes_at(
    bundle: AcousticBundle, pictures: Iterable[torch.Tensor], gradients: Sequence[torch.Tensor], stage: nn.Module | None
) -> Iterator[tuple[torch.Tensor, list[torch.Tensor]]]:
    """Yield the activation of a stage for each block of pictures, and the gradient of each target there.

    By a backward pass from the features, which is exact because the CNN's inputs are independent up to there.

    Parameters
    ----------
    pictures : the CNN's input, in blocks ``(t, 2 * neighbours + 1, H, W)`` on the model's device.
    gradients : of each target by the features of all frames, ``(T, C)``.
    stage : of the backbone; None for the pictures themselves.

    Yields
    ------
    ``(t, c, h, w)``, and one like it per target.
    """
    held: list[torch.Tensor] = []

    def cut(activation: torch.Tensor) -> torch.Tensor:
        held.append(activation.detach().requires_grad_())
        return held[-1]

    first = 0
    handle = None if stage is None else stage.register_forward_hook(lambda module, inputs, output: cut(output))
    try:
        for picture in pictures:
            run = slice(first, first + len(picture))
            first = run.stop
            with torch.enable_grad():
                features = bundle.model.features(picture if handle else cut(picture))
            activation = held.pop()
            yield (
                activation.detach(),
                [torch.autograd.grad(features, activation, of[run], retain_graph=True)[0] for of in gradients],
            )
    finally:
        if handle is not None:
            handle.remove()


def stages(model: AcousticModel) -> dict[int, nn.Module]:
    """Return the stages of the backbone by pixels per cell of their maps, the last one of each; principal components
    have none."""
    if isinstance(model.cnn, PrincipalComponents):
        return {}
    modules = dict(model.cnn.backbone.named_modules())
    # timm's flattened backbones have stage names without dots.
    return {
        entry["reduction"]: modules[name if (name := entry["module"]) in modules else name.replace(".", "_")]
        for entry in model.cnn.backbone.feature_info.info
    }


def _stage_of_stride(model: AcousticModel, stride: int) -> nn.Module:
    known = stages(model)
    if not known:
        raise UserError("--stride", f"is {stride}", "leave it out: principal components have no stages")
    if stride not in known:
        raise UserError("--stride", f"is {stride}", f"this backbone has stages of {', '.join(map(str, known))} pixels")
    return known[stride]
