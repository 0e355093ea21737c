"""How well a vocoder speaks true mels: copy-synthesis of recordings, against Griffin-Lim from the same mels."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.baselines import GRIFFIN_LIM_ITERATIONS, griffin_lim
from rtmri_speech.evaluation.metrics import score_pair
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.mel import log_mel
from rtmri_speech.vocoder.engine import Vocoder

METRICS = {
    "estoi": "ESTOI",
    "vuv_error": "V/UV error",
    "f0_rmse_hz": "F0 RMSE, Hz",
    "mcd_db": "MCD, dB",
    "stft_distance": "multi-resolution STFT",
    "log_mel_error": "L1 of log mel",
}
HIGHER_IS_BETTER = {"estoi"}


def score_copy_synthesis(
    vocoder: Vocoder,
    wavs: Sequence[Path],
    iterations: int = GRIFFIN_LIM_ITERATIONS,
    say: Callable[[str], None] | None = None,
) -> dict[str, dict[str, list[float]]]:
    """Score the vocoder and Griffin-Lim on each wav, from the wav's own mel.

    Returns
    -------
    ``{"vocoder": {metric: [value of each clip]}, "griffin_lim": ...}``, of `METRICS` and ``cpu_seconds``.

    Raises
    ------
    UserError
        There is no wav, or one cannot be read or is shorter than a frame.
    """
    if not wavs:
        raise UserError("the file list", "names no wav", "give some that the vocoder was not trained on")
    spec = vocoder.spec
    scores: dict[str, dict[str, list[float]]] = {"vocoder": {}, "griffin_lim": {}}
    for path in wavs:
        audio = read_audio(path, sampling_rate=spec.sampling_rate)
        mel = spec.mel(audio)
        condition = log_mel(mel)
        for system, speak in (
            ("vocoder", lambda condition=condition: vocoder.synthesise(condition)),
            ("griffin_lim", lambda mel=mel: griffin_lim(spec, mel, iterations)),
        ):
            begin = time.process_time()
            made = speak()
            seconds = time.process_time() - begin
            found = score_pair(audio, made, spec.sampling_rate, spec.hop_length, spec=spec, say=say)
            found["cpu_seconds"] = seconds
            found["log_mel_error"] = log_mel_error(condition, made, vocoder)
            for name in (*METRICS, "cpu_seconds"):
                scores[system].setdefault(name, []).append(found[name])
    return scores


def log_mel_error(condition: np.ndarray, made: np.ndarray, vocoder: Vocoder) -> float:
    """Return the mean absolute difference between a log mel and that of the signal made of it."""
    again = log_mel(vocoder.spec.mel(made))
    frames = min(condition.shape[1], again.shape[1])
    return float(np.abs(condition[:, :frames] - again[:, :frames]).mean())


def table(scores: dict[str, dict[str, list[float]]]) -> str:
    """Return the means as a Markdown table, with the number of clips on which the vocoder is the better one."""
    lines = ["| metric | vocoder | Griffin-Lim | clips better |", "|---|---|---|---|"]
    for name, title in METRICS.items():
        ours, theirs = (np.array(scores[system][name]) for system in ("vocoder", "griffin_lim"))
        better = ours > theirs if name in HIGHER_IS_BETTER else ours < theirs
        means = " | ".join(f"{np.nanmean(values):.3f}" for values in (ours, theirs))
        lines.append(f"| {title} | {means} | {better.sum()} of {len(ours)} |")
    seconds = " | ".join(f"{sum(scores[system]['cpu_seconds']):.1f}" for system in ("vocoder", "griffin_lim"))
    lines.append(f"| CPU seconds in all | {seconds} | |")
    return "\n".join(lines) + "\n"
