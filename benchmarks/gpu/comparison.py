"""(b) GPU against CPU, and repeated GPU runs: losses of first steps, mels, waveforms and maps."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

from gpu.subjects import PRECISIONS, Trial, precision
from rtmri_speech.acoustic.predict import predict_db
from rtmri_speech.explain.bands import Band
from rtmri_speech.explain.gradcam import grad_cam
from rtmri_speech.vocoder.data import Excerpts

STEPS = 3
BANDS = [Band("F1", 300, 900), Band("F2", 900, 2500)]
TOLERANCES = {
    "mel generator, losses": {"float32": 2e-3, "TF32": 1e-2, "bfloat16": 5e-2, "float16": 2e-2},
    "vocoder, losses": {"float32": 1e-2, "TF32": 3e-2, "bfloat16": 1e-1},
    "mel": {"float32": 1e-3, "TF32": 2e-2, "bfloat16": 2e-1, "float16": 5e-2},
    "wave": {"float32": 1e-4, "TF32": 1e-2, "bfloat16": 2e-1},
    "Grad-CAM's maps": {"float32": 1e-3, "TF32": 2e-2},
}
"""Largest difference allowed, relative to the largest value on the CPU in float32."""


def comparison(trial: Trial, seconds: float) -> None:
    """Compare everything in every supported precision, then repeated runs, for at most ``seconds``."""
    until = time.monotonic() + seconds
    subjects = dict(
        zip(TOLERANCES, (acoustic_losses, vocoder_losses, predicted_mel, made_wave, explained), strict=True)
    )
    trial.report.table(
        "Against the CPU in float32", "quantity", "precision", "difference", "allowed", "within", "values"
    )
    for what, compute in subjects.items():
        if over(trial, until, what):
            continue
        with precision("float32"):
            expected = compute(trial, "cpu", "float32")
        for name in PRECISIONS:
            allowed = TOLERANCES[what].get(name)
            if allowed is None or (trial.device == "cpu" and name == "TF32"):
                continue
            if over(trial, until, f"{what}, {name}"):
                continue
            with precision(name) as reduced:
                found = compute(trial, trial.device, reduced)
            difference = float(np.abs(found - expected).max() / np.abs(expected).max())
            shown = " ".join(f"{value:.4g}" for value in found) if found.size <= STEPS else ""
            trial.report.row(what, name, difference, allowed, "yes" if difference <= allowed else "NO", shown)
    determinism(trial, subjects, until)


def over(trial: Trial, until: float, what: str) -> bool:
    """Return whether the time is up; if so, report ``what`` as skipped."""
    if time.monotonic() < until:
        return False
    trial.report.note(f"Not compared, out of time: {what}.")
    return True


def determinism(trial: Trial, subjects: dict[str, Callable], until: float) -> None:
    trial.report.table("Repeated runs, float32", "quantity", "bit-identical", "nondeterministic operations")
    for what, compute in subjects.items():
        if over(trial, until, f"{what}, twice the same"):
            continue
        with precision("float32"):
            same = np.array_equal(*(compute(trial, trial.device, "float32") for _ in range(2)))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.use_deterministic_algorithms(True, warn_only=True)
            try:
                compute(trial, trial.device, "float32")
            finally:
                torch.use_deterministic_algorithms(False)
        named = {str(w.message).split(" does not have")[0] for w in caught if "deterministic" in str(w.message)}
        trial.report.row(what, "yes" if same else "no", ", ".join(sorted(named))[:400] or "none")


def acoustic_losses(trial: Trial, device: str, reduced: str) -> np.ndarray:
    training, losses = trial.training(device, dropout=0.0, amp=reduced), []
    for step in range(STEPS):
        losses.append(training.step(training.segments.micro_batches(training.plan.keys(step)))["loss"])
        training.steps += 1
    return np.array(losses)


def vocoder_losses(trial: Trial, device: str, reduced: str) -> np.ndarray:
    networks, excerpts = trial.networks(device, reduced == "bfloat16"), Excerpts(trial.clips(), trial.vocoder_config)
    losses = []
    for step in range(STEPS):
        mel, audio = (excerpts[step][name][:2].to(device) for name in ("mel", "audio"))
        losses.append(networks.step(mel, audio, adversarial=True)["gen_loss_total"])
    return np.array(losses)


def predicted_mel(trial: Trial, device: str, reduced: str) -> np.ndarray:
    return predict_db(dataclasses.replace(trial.bundle(device), precision=reduced), trial.frames()[:32])


def made_wave(trial: Trial, device: str, reduced: str) -> np.ndarray:
    return trial.vocoder(device, reduced == "bfloat16").synthesise(trial.log_mel()[:, :32])


def explained(trial: Trial, device: str, reduced: str) -> np.ndarray:
    maps = grad_cam(trial.bundle(device), trial.frames()[:32], BANDS, [3]).sequences
    return np.stack(list(maps.values()))
