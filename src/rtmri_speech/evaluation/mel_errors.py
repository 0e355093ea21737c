"""What a mel generator has learned: its error on held-out clips beside floor, look-up and a control."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.acoustic.predict import AcousticBundle, predict_db
from rtmri_speech.dataset.clip import Sample, open_sample
from rtmri_speech.dataset.filelists import read_filelist
from rtmri_speech.evaluation.baselines import NearestFrames

NEIGHBOURS = 5
"""Training frames whose mels a look-up averages."""


def mel_errors(
    bundle: AcousticBundle, processed_dir: str | Path, parts: Iterable[str] = ("validation", "test"), seed: int = 0
) -> dict[str, Any]:
    """Return mean squared errors of the standardised mel, of the model and of what it must beat.

    Parameters
    ----------
    bundle : the model.
    processed_dir : the dataset; the look-up knows its training clips.
    parts : which file lists to measure on. The training chose its best checkpoint by ``validation``.
    seed : of the control's order of frames.

    Returns
    -------
    ``{part: {"clips": n, "frames": n, "systems": {name: {"all": mse, "speech": mse}}}}``. Frames without sound do not
    count; a frame is speech when its level, the mean of its mel in dB, is above the middle of the clip's range. The
    control is the model in its ``window`` context on the clip's frames in random order.
    """
    processed_dir = Path(processed_dir)

    def clips(part: str) -> list[Sample]:
        ids = read_filelist(processed_dir / "hifigan_filelists" / f"{part}.txt")
        return [open_sample(processed_dir, id) for id in ids]

    training = clips("training")
    look_up = NearestFrames(
        np.concatenate([clip.mri for clip in training]), np.concatenate([clip.mel_db for clip in training])
    )
    rng = np.random.default_rng(seed)
    systems: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "mean mel": lambda mri: bundle.scaler.mean,
        f"{NEIGHBOURS} nearest training frames": lambda mri: look_up.predict(mri, NEIGHBOURS),
        "model, sequence": lambda mri: predict_db(bundle, mri, "sequence"),
        "model, window": lambda mri: predict_db(bundle, mri, "window"),
        "model, causal": lambda mri: predict_db(bundle, mri, "causal"),
        "control: model, frames shuffled": lambda mri: predict_db(bundle, mri[rng.permutation(len(mri))], "window"),
    }
    return {part: _measured(systems, clips(part), bundle) for part in parts}


def _measured(
    systems: dict[str, Callable[[np.ndarray], np.ndarray]], clips: list[Sample], bundle: AcousticBundle
) -> dict[str, Any]:
    scores = {}
    for name, predict in systems.items():
        errors, spoken = [], []
        for clip in clips:
            difference = bundle.scaler.standardise(predict(clip.mri)) - bundle.scaler.standardise(clip.mel_db)
            heard = clip.mask > 0
            errors.append((difference**2).mean(1)[heard])
            spoken.append(speech_frames(clip.mel_db)[heard])
        error, speech = np.concatenate(errors), np.concatenate(spoken)
        scores[name] = {"all": float(error.mean()), "speech": float(error[speech].mean())}
    return {"clips": len(clips), "frames": sum(len(clip.mri) for clip in clips), "systems": scores}


def speech_frames(mel_db: np.ndarray) -> np.ndarray:
    """Return which frames of a mel ``(T, n_mels)`` in dB are louder than the middle of its range, bool ``(T,)``."""
    level = mel_db.mean(1)
    return level > (level.min() + level.max()) / 2
