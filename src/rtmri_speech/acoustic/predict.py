"""Inference with a trained mel generator: frames of a clip to its mel in dB."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rtmri_speech.acoustic.context import (
    LARGEST_PICTURE,
    LARGEST_WINDOW,
    Context,
    frame_blocks,
    predict_db,
    scaler_for,
)
from rtmri_speech.acoustic.data import encoder_inputs
from rtmri_speech.acoustic.model import AcousticModel, Network, load_weights
from rtmri_speech.dataset.log_mels import export_each, sample_ids
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.dataset.speakers import clip_speakers
from rtmri_speech.errors import UserError
from rtmri_speech.settings.acoustic import Normalisation, Precision
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.training.distributed import chosen_device
from rtmri_speech.training.state import is_plain, load_checkpoint
from rtmri_speech.untrusted import build, require_type

CHUNK_FRAMES = {"cpu": 8, "cuda": 64}
"""Frames per CNN call, for constant memory; few on a CPU, to fit its caches."""

LAB_IMAGE_SIZE = (256, 256)
LAB_NORMALISATION = "frame"
LAB_REF_FRAMES = 4
"""Settings of the lab's checkpoints, which do not contain them."""


_SETTINGS = {
    "network": dict[str, Any],
    "image_size": tuple[int, int],
    "frame_size": tuple[int, int],
    "frame_normalisation": Normalisation,
    "ref_frames": int,
    "mel": dict[str, Any],
    "scaler": dict[str, Any],
    "speaker_scalers": dict[str, dict[str, Any]],
    "speakers": list[str],
    "training_ids": list[str],
    "validation_ids": list[str],
    "seen_before": tuple[str, ...] | None,
}
"""Settings in a checkpoint, by type; the lab's has none of them."""


@dataclass(frozen=True)
class AcousticBundle:
    """A trained model with the settings for inference.

    Attributes
    ----------
    model : in evaluation mode, on its device.
    source : the checkpoint.
    image_size : height and width of the model's input, pixels.
    frame_size : height and width of input frames, as in its training dataset, pixels.
    normalisation : of frames, see `prepared_frames`.
    ref_frames : frames per training window.
    mel : of the prediction.
    scaler : of the mel in dB.
    seen : ids of training and validation clips, including those of an initial checkpoint; None if unknown.
    precision : of the CNN.
    speakers : scalers of the speakers that it distinguishes, by name, in the order of the model's vectors.
    """

    model: AcousticModel
    source: Path
    image_size: tuple[int, int]
    frame_size: tuple[int, int]
    normalisation: Normalisation
    ref_frames: int
    mel: MelSpec
    scaler: Scaler
    seen: tuple[str, ...] | None
    precision: Precision = "float32"
    speakers: Mapping[str, Scaler] = field(default_factory=dict)

    def spoken_by(self, speaker: str | None) -> AcousticBundle:
        """Return the generator of a speaker's mel; see `context.MelGenerator`."""
        scaler, model = scaler_for(self, speaker), self.model
        if speaker is not None and model.network.speaker_embedding:
            # With the same weights.
            model = copy.copy(model)
            model.speaker = list(self.speakers).index(speaker)
        return replace(self, scaler=scaler, model=model)

    @property
    def neighbours(self) -> int:
        """Frames before and after a frame that its features depend on."""
        return self.model.network.neighbours

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.head.weight.device

    def features(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """Return the CNN's features of each frame, float32 ``(T, C)``; see `context.MelGenerator`."""
        with torch.inference_mode():
            return frame_features(self, frames).cpu().numpy()

    @torch.inference_mode()
    def stream(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the features of each frame, float32 ``(1, C)``; see `context.MelGenerator`."""
        for features in _features_of_blocks(self, frames, 1):
            yield from features.cpu().numpy()[:, None]

    def decode(self, features: np.ndarray) -> np.ndarray:
        """Return the outputs of features; see `context.MelGenerator`."""
        with torch.inference_mode():
            return self.model.outputs(torch.from_numpy(features).to(self.device)).cpu().numpy()


def read_acoustic_checkpoint(path: str | Path, *, memory_map: bool = False) -> dict[str, Any]:
    """Return a checkpoint, a lab's with default settings filled in; ``memory_map`` as in `load_checkpoint`.

    Only the weights are required: published models often lack training state (``epoch``, optimiser, losses).

    Raises
    ------
    UserError
        The file is unreadable, lacks the weights, or has a setting of the wrong type; the error names the key.
    """
    remedy = "give a mel generator's checkpoint (mri_acoustic_model.pt)"
    content = load_checkpoint(path, remedy, memory_map=memory_map)
    if "model_state_dict" not in content:
        raise UserError(path, "lacks the key model_state_dict", remedy)
    if "network" not in content:
        content |= {
            "network": _lab_network(content["model_state_dict"], path, remedy),
            "image_size": list(LAB_IMAGE_SIZE),
            "frame_size": list(LAB_IMAGE_SIZE),
            "frame_normalisation": LAB_NORMALISATION,
            "ref_frames": LAB_REF_FRAMES,
        }
    for key, kind in _SETTINGS.items():
        if key in content:
            content[key] = require_type(content[key], kind, key, path, remedy)
    for key in ("image_size", "frame_size"):
        if not all(1 <= side <= LARGEST_PICTURE for side in content.get(key, ())):
            raise UserError(path, f"its {key} is {content[key]}", remedy)
    if not 1 <= content.get("ref_frames", 1) <= LARGEST_WINDOW:
        raise UserError(path, f"its ref_frames is {content['ref_frames']}", remedy)
    return content


def _lab_network(state: Any, path: str | Path, remedy: str) -> dict[str, int]:
    """Widths of a lab's network, from the shape of its last layer."""
    last = state.get("head.weight") if isinstance(state, Mapping) else None
    if not is_plain(last) or last.ndim != 2:
        raise UserError(path, "lacks the weights head.weight", remedy)
    n_mels, rnn_hidden = last.shape
    return {"rnn_hidden": rnn_hidden, "n_mels": n_mels}


def neighbours_of(content: Mapping[str, Any]) -> int:
    """Return the neighbours of each frame in the input of a checkpoint's network; 0 if it is from before them."""
    return content.get("network", {}).get("neighbours", 0)


def require_neighbours(content: Mapping[str, Any], neighbours: int, source: str | Path) -> None:
    """Refuse a checkpoint to begin from with another number of neighbours: its weights can have the same shape, and are
    of other channels."""
    if (given := neighbours_of(content)) != neighbours:
        raise UserError(
            source,
            f"was trained with {given} neighbours of each frame, not {neighbours}",
            f"set acoustic: {{neighbours: {given}}}, or begin without it",
        )


def seen_by(content: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the training and validation clips of a checkpoint and its initial checkpoint, or None if unknown."""
    if "training_ids" not in content or content.get("seen_before", ()) is None:
        return None
    return tuple(dict.fromkeys([*content["training_ids"], *content["validation_ids"], *content.get("seen_before", ())]))


def load_acoustic_model(
    path: str | Path,
    device: str = "auto",
    *,
    scaler: Scaler | None = None,
    mel: MelSpec | None = None,
    precision: Precision = "float32",
) -> AcousticBundle:
    """Load a checkpoint for inference.

    Parameters
    ----------
    path : ``mri_acoustic_model.pt``, ours or the lab's.
    device : a torch device or ``auto``.
    scaler, mel : of the dataset; they must match the checkpoint's. A lab's checkpoint has neither: ``scaler`` is
        required, and ``mel`` defaults to the lab's.
    precision : of the CNN.

    Raises
    ------
    UserError
        The file is not a complete mel generator, or scaler or mel are missing or differ.
    """
    content = read_acoustic_checkpoint(path)
    remedy = "train the mel generator again, or use a copy of its checkpoint as it was written"
    model = AcousticModel(build(Network, content["network"], path, remedy))
    load_weights(model, content["model_state_dict"], path)
    if "scaler" in content:
        own = Scaler.from_dict(content["scaler"], path)
        if scaler is not None and not own.agrees_with(scaler):
            raise UserError(path, "was trained with another scaler.json than the one given", "use its own dataset's")
        scaler = own
    if scaler is None:
        raise UserError(path, "holds no scaler (a checkpoint of the lab)", "give its scaler.json (--scaler_json)")
    scalers = {name: Scaler.from_dict(one, path) for name, one in content.get("speaker_scalers", {}).items()}
    speakers = {name: scalers.get(name, scaler) for name in content.get("speakers", scalers)}
    if model.network.speaker_embedding and len(speakers) != model.network.speakers:
        raise UserError(path, f"names {len(speakers)} speakers and has vectors of {model.network.speakers}", remedy)
    for one in (scaler, *speakers.values()):
        if len(one.mean) != model.network.n_mels:
            raise UserError(
                path,
                f"predicts {model.network.n_mels} bins but the scaler has {len(one.mean)}",
                "use its own scaler.json",
            )
    if "mel" in content:
        own_mel = MelSpec.from_dict(content["mel"], str(path))
        if mel is not None:
            own_mel.require_same(mel, str(path), "the dataset")
        mel = own_mel
    model.eval().to(chosen_device(device), memory_format=torch.channels_last)
    return AcousticBundle(
        model=model,
        source=Path(path),
        image_size=content["image_size"],
        frame_size=content["frame_size"],
        normalisation=content["frame_normalisation"],
        ref_frames=content["ref_frames"],
        mel=mel or MelSpec.preset("lab"),
        scaler=scaler,
        seen=seen_by(content),
        precision=precision,
        speakers=speakers,
    )


def frame_features(bundle: AcousticBundle, frames: Iterable[np.ndarray]) -> torch.Tensor:
    """Return the CNN's features of each frame, float32 ``(T, C)`` on the model's device; see `predict_db`."""
    return torch.cat([*_features_of_blocks(bundle, frames, CHUNK_FRAMES.get(bundle.device.type, 8))])


def _features_of_blocks(
    bundle: AcousticBundle, frames: Iterable[np.ndarray], block_frames: int
) -> Iterator[torch.Tensor]:
    """Features ``(t, C)`` of the frames, about ``block_frames`` at a time."""
    blocks = frame_blocks(frames, block_frames, bundle.frame_size, bundle.source)
    for picture in encoder_inputs(blocks, bundle.image_size, bundle.normalisation, bundle.neighbours):
        # Not around the yield: the mode is the thread's, and the generator is left in between.
        with reduced_precision(bundle.device, bundle.precision):
            features = bundle.model.features(picture.to(bundle.device)).float()
        yield features


def reduced_precision(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """Return the autocast context of the CNN; no-op for float32."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))


def export_predicted(
    bundle: AcousticBundle,
    processed_dir: str | Path,
    output_dir: str | Path,
    *,
    ids: Sequence[str] | None = None,
    context: Context = "sequence",
    overwrite: bool = False,
) -> None:
    """Write the predicted log mels of a dataset's clips; see `export_each`."""
    ids = sample_ids(processed_dir) if ids is None else ids
    speakers = clip_speakers(processed_dir, ids, bundle.speakers)
    export_each(
        processed_dir,
        output_dir,
        lambda id: predict_db(bundle.spoken_by(speakers[id]), open_sample(processed_dir, id).mri, context),
        bundle.mel,
        ids=ids,
        overwrite=overwrite,
    )
