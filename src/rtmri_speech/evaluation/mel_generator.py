"""Error of a mel generator on held-out clips, beside mean mel, nearest neighbours, ridge regression and a control."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.acoustic.predict import AcousticBundle, predict_db
from rtmri_speech.dataset.filelists import read_filelist
from rtmri_speech.dataset.sample import Sample, open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.evaluation.baselines import NEIGHBOURS, mean_mel, shuffled_in_time, training_frames
from rtmri_speech.evaluation.f0_range import training_f0_range
from rtmri_speech.evaluation.metrics import f0_errors, harvest_f0, missing_libraries, speech_frames
from rtmri_speech.evaluation.ridge import RIDGE, Pictures, RidgeF0, RidgeMel
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.mel import MelSpec

ALWAYS_VOICED = "median F0, always voiced"

LEAST_VOICED = 50
"""Voiced training frames under which F0 is not regressed."""

F0_CLIPS = 100
"""Training clips that F0 is regressed on at most, evenly chosen: a quarter of a second of processor each."""


Predict = Callable[[np.ndarray], np.ndarray]
"""From frames ``(T, H, W)`` to a mel in dB ``(T, n_mels)``."""


def baseline_systems(
    processed_dir: str | Path, training: list[str], scaler: Scaler, ridge: RidgeMel
) -> dict[str, Predict]:
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
) -> dict[str, Any]:
    """Return mean squared errors of the standardised mel, for the model and its baselines, and what F0 a picture holds.

    Parameters
    ----------
    bundle : the model.
    processed_dir : the dataset; nearest neighbours and regression use its training clips.
    splits : splits to measure on. Training selected its checkpoint on ``validation``.
    seed : of the control's frame order.
    f0_range : of the speakers, Hz; None for `training_f0_range`.

    Returns
    -------
    ``{split: {"clips": n, "frames": n, "held_out": bool, "systems": {name: {"all": mse, "speech": mse}},
    "f0": {name: {metric: value}}}}``. Empty splits are omitted. ``f0`` has `f0_errors` over all speech frames of the
    split, against WORLD's F0 of the recording, of ridge regression and of a median F0 in each frame; it is empty
    without pyworld or without a voice in the training clips. A split is held out if the checkpoint lists none of its
    clips as seen. Frames without sound are ignored; speech is that of the recording (`speech_frames`). The control is
    the model in ``window`` context on the clip's frames in random order.
    """
    lists = Path(processed_dir) / "hifigan_filelists"
    training = read_filelist(lists / "training.txt")
    ridge = RidgeMel(processed_dir, training)
    systems = baseline_systems(processed_dir, training, bundle.scaler, ridge) | {
        "model, sequence": lambda mri: predict_db(bundle, mri, "sequence"),
        "model, window": lambda mri: predict_db(bundle, mri, "window"),
        "model, causal": lambda mri: predict_db(bundle, mri, "causal"),
        "control: model, frames shuffled": lambda mri: predict_db(bundle, shuffled_in_time(mri, seed), "window"),
    }
    parts = {split: read_filelist(lists / f"{split}.txt", may_be_empty=True) for split in splits}
    pitch = _pitch_errors(Path(processed_dir), training, parts, bundle.mel, f0_range, ridge.pictures)
    return {
        split: {**_measured(systems, Path(processed_dir), ids, bundle), "f0": pitch.get(split, {})}
        for split, ids in parts.items()
        if ids
    }


def _pitch_errors(
    processed_dir: Path,
    training: list[str],
    parts: Mapping[str, list[str]],
    spec: MelSpec,
    f0_range: tuple[float, float] | None,
    pictures: Pictures,
) -> dict[str, dict[str, dict[str, float | None]]]:
    """``{split: {system: `f0_errors`}}`` of the splits that have clips; see `mel_generator_errors`."""
    if "pyworld" in missing_libraries():
        return {}
    where = f0_range or training_f0_range(processed_dir, spec)
    chosen = training[:: -(-len(training) // F0_CLIPS)]
    known = {id: _spoken_f0(processed_dir, id, spec, where) for id in chosen}
    voiced = np.concatenate([f0[speech & (f0 > 0)] for f0, speech in known.values()])
    if len(voiced) < LEAST_VOICED:
        return {}
    systems: dict[str, Predict] = {
        RIDGE: RidgeF0(processed_dir, known, pictures).predict,
        ALWAYS_VOICED: lambda mri: np.full(len(mri), np.median(voiced)),
    }
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for split, ids in parts.items():
        if not ids:
            continue
        truth, speech = map(
            np.concatenate, zip(*(_spoken_f0(processed_dir, id, spec, where) for id in ids), strict=True)
        )
        frames = [open_sample(processed_dir, id).mri for id in ids]
        found[split] = {
            name: _defined(f0_errors(truth, np.concatenate([predict(mri) for mri in frames]), speech))
            for name, predict in systems.items()
        }
    return found


def _defined(errors: Mapping[str, float]) -> dict[str, float | None]:
    """What JSON can hold: None for a value that is not defined."""
    return {name: None if math.isnan(value) else value for name, value in errors.items()}


def _spoken_f0(
    processed_dir: Path, id: str, spec: MelSpec, f0_range: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """WORLD's F0 of a clip, Hz, 0 where unvoiced, and which frames are speech, ``(T,)`` each."""
    clip = open_sample(processed_dir, id)
    audio = read_audio(processed_dir / "wavs" / f"{id}.wav", sampling_rate=spec.sampling_rate)
    f0 = harvest_f0(audio, spec.sampling_rate, spec.hop_length, f0_range)[0][: len(clip.mri)]
    return np.pad(f0, (0, len(clip.mri) - len(f0))), spoken_frames(processed_dir, clip, spec)


def _measured(
    systems: dict[str, Predict], processed_dir: Path, ids: list[str], bundle: AcousticBundle
) -> dict[str, Any]:
    errors: dict[str, list[np.ndarray]] = {name: [] for name in systems}
    spoken, frames = [], 0
    for id in ids:
        clip = open_sample(processed_dir, id)
        audible = clip.sound_mask > 0
        frames += len(clip.mri)
        spoken.append(spoken_frames(processed_dir, clip, bundle.mel)[audible])
        true = bundle.scaler.standardise(clip.mel_db)
        for name, predict in systems.items():
            difference = bundle.scaler.standardise(predict(clip.mri)) - true
            errors[name].append((difference**2).mean(1)[audible])
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


def spoken_frames(processed_dir: Path, clip: Sample, spec: MelSpec) -> np.ndarray:
    """Return which frames of the clip are speech, bool ``(T,)``; an incomplete last frame is not."""
    recording = read_audio(processed_dir / "wavs" / f"{clip.id}.wav", sampling_rate=spec.sampling_rate)
    speech = speech_frames(recording, spec.hop_length)[: len(clip.mri)]
    return np.pad(speech, (0, len(clip.mri) - len(speech)))
