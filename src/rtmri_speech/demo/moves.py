"""What each articulator of a demo clip does to picture and sound, by finite differences.

A clip is synthesised again with one articulator moved a little in every frame; head motion, noise, pitch and timing
remain. These differences are the truth that maps of a model trained on the pictures can be compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rtmri_speech.demo import articulation, corpus
from rtmri_speech.signal.mel import MelSpec

MOVES: Mapping[str, Mapping[int, float]] = {
    "larynx up": {articulation.HYOID_HEIGHT: 0.19},
    "jaw closed": {articulation.JAW_ANGLE: 0.5},
    "lips protruded": {articulation.LIP_PROTRUSION: 0.14},
    "lips opened": {articulation.LIP_DISTANCE: 0.19},
    "velum lowered": {articulation.VELUM_OPENING: 0.13},
    "tongue body forward": {articulation.TONGUE_BODY[0]: 0.38},
    "tongue body up": {articulation.TONGUE_BODY[1]: 0.23},
    "tongue tip up": {articulation.TONGUE_TIP[1]: 0.24, articulation.TONGUE_BLADE[1]: 0.21},
}
"""Movements, and their size: half the standard deviation of the parameter in the demo's clips (cm, degrees, cm2)."""


def moved_clip(clip: int, seed: int, spec: MelSpec) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pictures and sound of clip number ``clip`` of the corpus ``seed``: as it is, and with each of `MOVES`.

    Parameters
    ----------
    spec : mel of the sound; its frames must be the corpus's.

    Yields
    ------
    Frames uint8 ``(T, 256, 256)``, and linear mel power float64 ``(T, n_mels)``.

    Raises
    ------
    UserError
        The extra ``demo`` is not installed.
    """
    for moved in ({}, *MOVES.values()):
        utterance = corpus.synthesise(clip, seed, moved).utterance
        power = 10 ** (spec.mel_db(utterance.audio).T.astype(np.float64) / 10)
        yield np.stack(list(corpus.filmed(utterance, clip, seed)[1])), power
