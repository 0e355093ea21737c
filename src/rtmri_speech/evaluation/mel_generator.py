"""Error of a mel generator on held-out clips, beside mean mel, nearest neighbours, ridge regression and a control."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.acoustic.predict import AcousticBundle, predict_db
from rtmri_speech.dataset.filelists import read_filelist
from rtmri_speech.dataset.sample import Sample, open_sample
from rtmri_speech.evaluation.baselines import NEIGHBOURS, mean_mel, shuffled_in_time, training_frames
from rtmri_speech.evaluation.metrics import speech_frames
from rtmri_speech.evaluation.ridge import RIDGE, RidgeMel
from rtmri_speech.signal.audio import read_audio


def mel_generator_errors(
    bundle: AcousticBundle, processed_dir: str | Path, splits: Iterable[str] = ("validation", "test"), seed: int = 0
) -> dict[str, Any]:
    """Return mean squared errors of the standardised mel, for the model and its baselines.

    Parameters
    ----------
    bundle : the model.
    processed_dir : the dataset; nearest neighbours and regression use its training clips.
    splits : splits to measure on. Training selected its checkpoint on ``validation``.
    seed : of the control's frame order.

    Returns
    -------
    ``{split: {"clips": n, "frames": n, "held_out": bool, "systems": {name: {"all": mse, "speech": mse}}}}``. Empty
    splits are omitted. A split is held out if the checkpoint lists none of its clips as seen. Frames without sound are
    ignored; speech is that of the recording (`speech_frames`). The control is the model in ``window`` context on the
    clip's frames in random order.
    """
    lists = Path(processed_dir) / "hifigan_filelists"
    training = read_filelist(lists / "training.txt")
    look_up, ridge = training_frames(processed_dir, training), RidgeMel(processed_dir, training)
    neighbours = min(NEIGHBOURS, look_up.count)
    systems: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "mean mel": lambda mri: mean_mel(bundle.scaler, len(mri)),
        f"{neighbours} nearest training frames": lambda mri: look_up.predict(mri, neighbours),
        RIDGE: ridge.predict,
        "model, sequence": lambda mri: predict_db(bundle, mri, "sequence"),
        "model, window": lambda mri: predict_db(bundle, mri, "window"),
        "model, causal": lambda mri: predict_db(bundle, mri, "causal"),
        "control: model, frames shuffled": lambda mri: predict_db(bundle, shuffled_in_time(mri, seed), "window"),
    }
    return {
        split: _measured(systems, Path(processed_dir), ids, bundle)
        for split in splits
        if (ids := read_filelist(lists / f"{split}.txt", may_be_empty=True))
    }


def _measured(
    systems: dict[str, Callable[[np.ndarray], np.ndarray]], processed_dir: Path, ids: list[str], bundle: AcousticBundle
) -> dict[str, Any]:
    errors: dict[str, list[np.ndarray]] = {name: [] for name in systems}
    spoken, frames = [], 0
    for id in ids:
        clip = open_sample(processed_dir, id)
        audible = clip.mask > 0
        frames += len(clip.mri)
        spoken.append(_speech(processed_dir, clip, bundle.mel.sampling_rate, bundle.mel.hop_length)[audible])
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


def _speech(processed_dir: Path, clip: Sample, sampling_rate: int, hop_length: int) -> np.ndarray:
    """Which frames of the clip are speech, bool ``(T,)``; an incomplete last frame is not."""
    recording = read_audio(processed_dir / "wavs" / f"{clip.id}.wav", sampling_rate=sampling_rate)
    speech = speech_frames(recording, hop_length)[: len(clip.mri)]
    return np.pad(speech, (0, len(clip.mri) - len(speech)))
