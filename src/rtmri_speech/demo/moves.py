"""What each articulator of a demo clip does to picture and sound, by finite differences.

A clip is synthesised again with one articulator moved a little in every frame; head motion, noise, pitch and timing
remain. These differences are the truth that maps of a model trained on the pictures can be compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
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


@dataclass(frozen=True)
class Change:
    """What a movement changes in each frame.

    Attributes
    ----------
    name : of the movement.
    pixels : absolute difference of the picture, float32 ``(T, h, w)``, 0 to 255.
    power : difference of the linear mel power, float64 ``(T, n_mels)``.
    """

    name: str
    pixels: np.ndarray
    power: np.ndarray


def changes(clip: int, seed: int, spec: MelSpec, size: tuple[int, int]) -> Iterable[Change]:
    """Yield what each of `MOVES` changes in clip number ``clip`` of the corpus ``seed``.

    Parameters
    ----------
    spec : mel of the sound; its frames must be the corpus's.
    size : height and width of the differences, to which those of 256x256 pixels are averaged.

    Raises
    ------
    UserError
        The extra ``demo`` is not installed.
    """
    pictures, power = _seen_and_heard(clip, seed, spec, {})
    for name, moved in MOVES.items():
        other_pictures, other_power = _seen_and_heard(clip, seed, spec, moved)
        difference = np.abs(np.float32(other_pictures) - pictures)
        yield Change(
            name,
            np.stack([cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA) for frame in difference]),
            other_power - power,
        )


def _seen_and_heard(clip: int, seed: int, spec: MelSpec, moved: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
    utterance = corpus.synthesise(clip, seed, moved).utterance
    return (
        np.stack(list(corpus.filmed(utterance, clip, seed)[1])),
        10 ** (spec.mel_db(utterance.audio).T.astype(np.float64) / 10),
    )
