"""Vocoder quality: copy synthesis of recordings, compared with Griffin-Lim on the same mels."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation import JUDGED_CLIPS
from rtmri_speech.evaluation.f0_range import propose_f0_range
from rtmri_speech.evaluation.metrics import score_pair
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.mel import log_mel
from rtmri_speech.signal.voice import harvest_f0
from rtmri_speech.tables import markdown_table, shown
from rtmri_speech.vocoder.griffin_lim import GRIFFIN_LIM_TITLE, griffin_lim

if TYPE_CHECKING:
    from rtmri_speech.vocoder.blocks import MelVocoder

_log = logging.getLogger(__name__)

METRICS = {
    "estoi": "ESTOI",
    "vuv_error": "V/UV error",
    "f0_correlation": "F0 correlation",
    "f0_rmse_hz": "F0 RMSE, Hz",
    "mcd_db": "MCD, dB",
    "stft_distance": "multi-resolution STFT",
    "log_mel_error": "L1 of log mel",
}
HIGHER_IS_BETTER = {"estoi", "f0_correlation"}

FILE = "copy_synthesis.json"
"""Results for an experiment's vocoder, beside the scores of its test clips."""


def judged_clips(ids: Sequence[str]) -> list[str]:
    """Return the clips to score a vocoder on: all, or `JUDGED_CLIPS` of them, evenly spaced."""
    return [ids[number * len(ids) // JUDGED_CLIPS] for number in range(JUDGED_CLIPS)] if ids[JUDGED_CLIPS:] else [*ids]


def score_copy_synthesis(
    vocoder: MelVocoder,
    wavs: Sequence[Path],
    f0_range: tuple[float, float] | None = None,
) -> dict[str, dict[str, list[float]]]:
    """Score the vocoder and `griffin_lim` (default iterations) on the mel of each wav.

    Parameters
    ----------
    f0_range : of the speakers, Hz; None proposes it from the wavs.

    Returns
    -------
    ``{"vocoder": {metric: [value of each clip]}, "griffin_lim": ...}``, of `METRICS`.

    Raises
    ------
    UserError
        There is no wav, or one is unreadable or shorter than a frame.
    """
    if not wavs:
        raise UserError("the file list", "names no wav", "give some that the vocoder was not trained on")
    spec = vocoder.spec
    f0_range = f0_range or propose_f0_range(wavs, spec.sampling_rate, spec.hop_length)
    scores: dict[str, dict[str, list[float]]] = {"vocoder": {}, "griffin_lim": {}}
    for path in wavs:
        audio = read_audio(path, sampling_rate=spec.sampling_rate)
        mel = spec.mel(audio)
        condition = log_mel(mel)
        f0 = harvest_f0(audio, spec.sampling_rate, spec.hop_length, f0_range)[0] if vocoder.needs_f0 else None
        for system, speak in (
            ("vocoder", lambda condition=condition, f0=f0: vocoder.synthesise(condition, f0)),
            ("griffin_lim", lambda mel=mel: griffin_lim(spec, mel)),
        ):
            made = speak()
            notes: list[str] = []
            rate, hop = spec.sampling_rate, spec.hop_length
            found = score_pair(audio, made, rate, hop, spec=spec, f0_range=f0_range, notes=notes)
            for note in notes:
                _log.info(note)
            found["log_mel_error"] = log_mel_error(condition, made, vocoder)
            for name in METRICS:
                scores[system].setdefault(name, []).append(found.get(name, math.nan))
    return scores


def log_mel_error(condition: np.ndarray, made: np.ndarray, vocoder: MelVocoder) -> float:
    """Return the mean absolute difference between a log mel and that of the signal synthesised from it."""
    again = log_mel(vocoder.spec.mel(made))
    frames = min(condition.shape[1], again.shape[1])
    return float(np.abs(condition[:, :frames] - again[:, :frames]).mean())


def verdict(scores: Mapping[str, Mapping[str, Sequence[float]]], vocoder: str) -> str | None:
    """Return a warning if the vocoder is worse than Griffin-Lim, else None.

    It is worse if the mean ESTOI of its copy synthesis is lower in three digits, over the clips where both are defined;
    the last bits of Griffin-Lim's own differ.

    Parameters
    ----------
    scores : result of `score_copy_synthesis` on clips that the vocoder was not trained on.
    vocoder : its name.
    """
    ours, theirs = (np.array(scores[system]["estoi"], np.float64) for system in ("vocoder", "griffin_lim"))
    defined = ~(np.isnan(ours) | np.isnan(theirs))
    if not defined.any() or round(ours[defined].mean(), 3) >= round(theirs[defined].mean(), 3):
        return None
    return (
        f"The vocoder {vocoder} does harm: copy synthesis of {defined.sum()} validation clips has ESTOI"
        f" {ours[defined].mean():.3f}, {GRIFFIN_LIM_TITLE} {theirs[defined].mean():.3f}. Train it longer"
        " (vocoder.steps), begin with one that knows this mel and such voices (vocoder.base), give another"
        " (synthesis.hifigan_checkpoint), or speak by Griffin-Lim (synthesis.vocoder)."
    )


def table(scores: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return the means as a Markdown table, with the number of clips on which the vocoder is better."""
    lines = []
    for name, title in METRICS.items():
        ours, theirs = (np.array(scores[system][name]) for system in ("vocoder", "griffin_lim"))
        better = ours > theirs if name in HIGHER_IS_BETTER else ours < theirs
        known = [values[~np.isnan(values)] for values in (ours, theirs)]
        means = (shown(values.mean() if len(values) else None, 3) for values in known)
        lines.append([title, *means, f"{better.sum()} of {len(ours)}"])
    return markdown_table(["metric", "copy synthesis", GRIFFIN_LIM_TITLE, "clips better"], lines) + "\n"
