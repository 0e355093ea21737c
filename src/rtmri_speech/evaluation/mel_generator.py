"""Error of a mel generator on held-out clips, beside mean mel, nearest neighbours, ridge regression and a control."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np

from rtmri_speech.acoustic import context
from rtmri_speech.acoustic.context import predict_db
from rtmri_speech.acoustic.predict import AcousticBundle
from rtmri_speech.dataset.f0 import spoken_frames
from rtmri_speech.dataset.filelists import clips_of
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.dataset.speakers import clip_speakers
from rtmri_speech.evaluation.baselines import NEIGHBOURS, mean_mel, shuffled_in_time, training_frames
from rtmri_speech.evaluation.f0_range import training_f0_range
from rtmri_speech.evaluation.known_f0 import KnownF0, find_f0
from rtmri_speech.evaluation.metrics import f0_errors
from rtmri_speech.evaluation.ridge import RIDGE, RidgeMel

ALWAYS_VOICED = "median F0, always voiced"

OfFrames = Callable[[np.ndarray], np.ndarray]
"""From frames ``(T, H, W)`` to a mel in dB ``(T, n_mels)``, or to F0 in Hz ``(T,)``, 0 where unvoiced."""


def baseline_systems(
    processed_dir: str | Path, training: list[str], scaler: Scaler, ridge: RidgeMel
) -> dict[str, OfFrames]:
    """Return what predicts a mel without a network, by name: mean mel, nearest neighbours and ridge regression.

    Parameters
    ----------
    processed_dir, training : the dataset, and its training clips.
    scaler : of the mean mel.
    ridge : fitted to the training clips.
    """
    look_up = training_frames(processed_dir, training)
    neighbours = min(NEIGHBOURS, look_up.count)
    return {
        "mean mel": lambda mri: mean_mel(scaler, len(mri)),
        f"{neighbours} nearest training frames": lambda mri: look_up.predict(mri, neighbours),
        RIDGE: ridge.predict,
    }


def mel_generator_errors(
    bundle: AcousticBundle,
    processed_dir: str | Path,
    splits: Iterable[str] = ("validation", "test"),
    seed: int = 0,
    f0_range: tuple[float, float] | None = None,
    f0_dir: Path | None = None,
) -> dict[str, Any]:
    """Return mean squared errors of the standardised mel, for the model and its baselines, and what F0 a picture holds.

    Parameters
    ----------
    bundle : the model.
    processed_dir : the dataset; nearest neighbours and regression use its training clips.
    splits : splits to measure on. Training selected its checkpoint on ``validation``.
    seed : of the control's frame order.
    f0_range : of the speakers, Hz; None for `training_f0_range`.
    f0_dir : of clips' F0, see `find_f0`.

    Returns
    -------
    ``{split: {"clips": n, "frames": n, "held_out": bool, "systems": {name: {"all": mse, "speech": mse}},
    "f0": {name: {metric: value}}}}``. Empty splits are omitted. ``f0`` has `f0_errors` over all speech frames of the
    split, against WORLD's F0 of the recording, of ridge regression, of a median F0 in each frame, and of the model
    if it predicts F0; it is empty without a voice in the training clips. A split is held out if the checkpoint lists
    none of its clips as seen. Frames without sound are ignored; speech is that of the recording (`speech_frames`). The
    control is the model in ``window`` context on the clip's frames in random order.
    """
    training = clips_of(processed_dir, "training")
    ridge = RidgeMel(processed_dir, training)
    baselines = baseline_systems(processed_dir, training, bundle.scaler, ridge)
    parts = {split: clips_of(processed_dir, split, may_be_empty=True) for split in splits}
    where = f0_range or training_f0_range(processed_dir, bundle.mel)
    known = find_f0(processed_dir, training, bundle.mel, where, ridge.pictures, f0_dir)
    found = {}
    for split, ids in parts.items():
        if ids:
            found[split] = _measured(baselines, Path(processed_dir), ids, bundle, seed)
            found[split]["f0"] = _f0_errors(known, bundle, ids) if known else {}
    return found


def _model_systems(bundle: AcousticBundle, seed: int) -> dict[str, OfFrames]:
    return {
        "model, sequence": lambda mri: predict_db(bundle, mri, "sequence"),
        "model, window": lambda mri: predict_db(bundle, mri, "window"),
        "model, causal": lambda mri: predict_db(bundle, mri, "causal"),
        "control: model, frames shuffled": lambda mri: predict_db(bundle, shuffled_in_time(mri, seed), "window"),
    }


def _f0_errors(known: KnownF0, bundle: AcousticBundle, ids: list[str]) -> dict[str, dict[str, float | None]]:
    """`f0_errors` of each system over the clips' speech frames; the model's if it predicts F0."""
    systems: dict[str, OfFrames] = {RIDGE: known.ridge.predict, ALWAYS_VOICED: known.constant}
    if bundle.model.network.pitch:
        for name in get_args(context.Context):
            systems[f"model, {name}"] = functools.partial(_predicted_f0, bundle, name)
    clips = [open_sample(known.tracks.processed_dir, id) for id in ids]
    truth = np.concatenate([known.spoken(clip) for clip in clips])
    speech = ~np.isnan(truth)
    return {
        name: _defined(f0_errors(truth, np.concatenate([predict(clip.mri) for clip in clips]), speech))
        for name, predict in systems.items()
    }


def _predicted_f0(bundle: AcousticBundle, name: context.Context, mri: np.ndarray) -> np.ndarray:
    return context.predict(bundle, mri, name).f0


def _defined(errors: Mapping[str, float]) -> dict[str, float | None]:
    """What JSON can hold: None for a value that is not defined."""
    return {name: None if math.isnan(value) else value for name, value in errors.items()}


def _measured(
    baselines: dict[str, OfFrames], processed_dir: Path, ids: list[str], bundle: AcousticBundle, seed: int
) -> dict[str, Any]:
    errors: dict[str, list[np.ndarray]] = {}
    spoken, frames = [], 0
    speakers = clip_speakers(processed_dir, ids, bundle.speakers)
    for id in ids:
        clip = open_sample(processed_dir, id)
        audible = clip.sound_mask > 0
        frames += len(clip.mri)
        spoken.append(spoken_frames(processed_dir, clip, bundle.mel)[audible])
        true = bundle.scaler.standardise(clip.mel_db)
        systems = {**baselines, **_model_systems(bundle.spoken_by(speakers[id]), seed)}
        for name, predict in systems.items():
            difference = bundle.scaler.standardise(predict(clip.mri)) - true
            errors.setdefault(name, []).append((difference**2).mean(1)[audible])
    speech = np.concatenate(spoken)
    pooled = {name: np.concatenate(found) for name, found in errors.items()}
    return {
        "clips": len(ids),
        "frames": frames,
        "held_out": bundle.seen is not None and not set(ids) & set(bundle.seen),
        "systems": {
            name: {"all": float(error.mean()), "speech": float(error[speech].mean())} for name, error in pooled.items()
        },
    }
