"""Vocoders on predicted mels: the speech of each from one mel and F0, scored against the recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.ablation import MEASURES, PARTS, HeldOut, Predict, Scores, cells, speech_measures
from rtmri_speech.evaluation.metrics import estoi
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.voice import harvest_f0, speech_frames
from rtmri_speech.tables import markdown_table
from rtmri_speech.vocoder.blocks import MelVocoder
from rtmri_speech.vocoder.engine import load_vocoder
from rtmri_speech.vocoder.griffin_lim import GRIFFIN_LIM_TITLE, GriffinLim
from rtmri_speech.vocoder.interpolation import fitted
from rtmri_speech.vocoder.world import WORLD_TITLE, World

SPEECH_MEASURES = {"estoi": ("ESTOI ↑", 3), **{name: MEASURES[name] for name in ("f0_correlation", "vuv_error")}}
"""Column and digits of each."""


def compared_vocoders(spec: MelSpec, checkpoint: Path) -> dict[str, MelVocoder]:
    """Return Griffin-Lim, WORLD and a HiFi-GAN for mels of ``spec``, by title.

    Raises
    ------
    UserError
        The checkpoint is unreadable, or its mel has another window or other filters.
    """
    given = fitted(load_vocoder(checkpoint), spec, str(checkpoint), "the dataset")
    return {GRIFFIN_LIM_TITLE: GriffinLim(spec), WORLD_TITLE: World(spec), checkpoint.parent.name: given}


def speech_scores(data: HeldOut, predict: Predict, vocoders: Mapping[str, MelVocoder]) -> dict[str, Scores]:
    """Return the scores of each vocoder's speech by its name.

    ``estoi`` is the mean over the clips of a part. ``f0_correlation`` and ``vuv_error`` are of the F0 found in the
    speech (`harvest_f0`; unvoiced where the speech is silent) against the recording's, over all its speech frames
    (`f0_errors`).

    Parameters
    ----------
    data : the clips.
    predict : mel, and F0 or None, from a clip's frames; ridge regression's F0 is used where there is none.
    vocoders : by name.

    Raises
    ------
    UserError
        The training clips have no voice.
    """
    spec, known = data.spec, data.known_f0
    if known is None:
        raise UserError(data.processed_dir, "its training clips have too little voiced speech", "compare no vocoders")
    found: dict[str, Scores] = {name: {} for name in vocoders}
    for part in PARTS:
        similar: dict[str, list[float]] = {name: [] for name in vocoders}
        tracks: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in vocoders}
        for clip, recording in data.clips(part):
            mel_db, f0 = predict(clip)
            log_mel = np.float32(spec.log_from_db(mel_db.T))
            f0 = known.ridge.predict(clip.mri) if f0 is None else f0
            truth = known.spoken(clip)
            for name, vocoder in vocoders.items():
                made = vocoder.synthesise(log_mel, f0)
                similar[name].append(estoi(recording, made, spec.sampling_rate))
                spoken = np.zeros(len(truth))
                own = harvest_f0(made, spec.sampling_rate, spec.hop_length, data.f0_range)[0]
                spoken[: len(own)] = np.where(speech_frames(made, spec.hop_length), own, 0)[: len(spoken)]
                tracks[name].append((truth, spoken))
        for name in vocoders if data.ids(part) else ():
            found[name][part] = speech_measures({"estoi": similar[name]}, tracks[name])
    return found


def vocoder_table(found: Mapping[str, Sequence[Mapping[str, Scores]]]) -> str:
    """Return the Markdown table of vocoders.

    Parameters
    ----------
    found : of each system, what `speech_scores` returned for each of its trainings.
    """
    head = ["mel", "vocoder", *(f"{part}: {title}" for part in PARTS for title, _ in SPEECH_MEASURES.values())]
    rows = [
        [system, vocoder, *cells([one[vocoder] for one in trainings], SPEECH_MEASURES)]
        for system, trainings in found.items()
        for vocoder in trainings[0]
    ]
    return markdown_table(head, rows)
