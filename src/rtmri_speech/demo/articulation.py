"""Synthesises speech and vocal tract shapes from phonemes by VocalTractLab.

VocalTractLab (P. Birkholz, *VocalTractLab*, GPL-3.0) turns a gestural score into motion. Pitch, larynx height, breath
and rest posture are added here before the sound is synthesised, so that the sound results from the shapes in the
picture. The engine is an optional extra, imported only by this module.

The engine has global state: use it in one thread per process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import soxr

from rtmri_speech.demo.gestures import gestural_score
from rtmri_speech.demo.picture import Outlines
from rtmri_speech.demo.text import PAUSE, Segment
from rtmri_speech.errors import UserError

SAMPLING_RATE = 11413
"""Hz; with 420 samples per video frame this is the lab's rate, 27.17 frames/s."""
HOP_LENGTH = 420

ENGINE_RATE = 44100
STATE_SAMPLES = 110
"""VocalTractLab outputs one state of tract and glottis per 110 of its samples (2.5 ms)."""
STATES_A_STEP = 6
"""States of the motion per synthesised state (15 ms): the engine computes a tube for each, at 2.8 ms of CPU time, and
interpolates. Compared with using every state, the natural-log mel differs by 0.09 on average (standard deviation 1.7),
at 0.4 of the cost."""

GLOTTIS_PARAMETERS, TRACT_PARAMETERS = 11, 19
F0, PRESSURE, LOWER_CHINK, UPPER_CHINK, CHINK_AREA, FLUTTER = 0, 1, 2, 3, 4, 9
"""Columns of a glottis state (Hz, dPa, cm, cm, cm2, %)."""
HYOID_HEIGHT, JAW_ANGLE, LIP_PROTRUSION, LIP_DISTANCE, VELUM_SHAPE, VELUM_OPENING = 1, 3, 4, 5, 6, 7
"""Columns of a tract state (cm, degrees, cm, cm, 1, cm2)."""
TONGUE_BODY, TONGUE_TIP, TONGUE_BLADE = (8, 9), (10, 11), (12, 13)
"""Columns of the forward and upward position of parts of the tongue, cm."""

REST_SHAPE = "@"
REST_TRACT = {LIP_DISTANCE: -0.15, JAW_ANGLE: -1.5, VELUM_SHAPE: 0.5, VELUM_OPENING: 0.6}
REST_GLOTTIS = {LOWER_CHINK: 0.11, UPPER_CHINK: 0.11, CHINK_AREA: 0.08}
"""Quiet breathing through the nose: lips closed, velum low, vocal folds apart."""
REST_AFTER_SPEECH, REST_BEFORE_SPEECH = 0.06, 0.05
"""Seconds of a pause that belong to the previous and the next phoneme."""
PRESSURE_AFTER_SPEECH, PRESSURE_BEFORE_SPEECH = 0.0, 0.02
"""The same for lung pressure."""
REST_BLEND, PRESSURE_BLEND = 0.09, 0.05
"""Transition times of posture and lung pressure between speech and rest, seconds."""

REFERENCE_SEMITONES = 80.0
"""Pitch at which the larynx is at its middle height, semitones above 1 Hz (101.6 Hz)."""
LOWEST_SEMITONES, HIGHEST_SEMITONES = 71.0, 92.0
"""60 to 203 Hz, the range of stable voicing of the male model."""
LARYNX_RISE = 0.075
"""Rise of hyoid and larynx, cm per semitone (0.9 cm per octave): the only cue to pitch in a picture."""
HYOID_MIDDLE, HYOID_SHARE, HYOID_RANGE = -4.9, 0.6, (-6.0, -3.5)
"""The model's vowels use the whole range of hyoid height (cm); it is scaled to leave room for pitch."""

DECLINATION = (1.8, -2.7)
"""Pitch at the start and end of a sentence relative to its middle, semitones."""
ACCENTS = (0.0, 1.5, 3.5, 5.5, -2.0)
FINAL_MOVEMENTS = (-3.0, -3.0, 4.0)
"""Sizes of pitch accents, and of the final fall or (one in three) rise, semitones."""
ACCENT_SECONDS, FINAL_SECONDS, FINAL_LEAD = 0.075, 0.04, 0.12

FLUTTER_PERCENT = 10.0
"""Random variation of F0, below the engine's 25 %: it is not visible in the picture."""

LEVEL = 6.0
"""Gain, the same for all clips to preserve loudness differences; loud vowels reach 0.4 to 0.8 of full scale."""
ROOM_NOISE = 1e-3
"""RMS of the room noise, 60 dB below full scale: recordings have no digital silence."""

VOICED_PRESSURE, VOICED_CHINK = 2000.0, 0.06
"""Minimum lung pressure (dPa) and maximum glottal width at rest (cm) for the vocal folds to vibrate."""


@dataclasses.dataclass(frozen=True)
class Voice:
    """Voice of a clip: pitch in semitones from the reference, liveliness, tempo, level in dB."""

    pitch: float
    liveliness: float
    tempo: float
    level_db: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Voice:
        """Return a random voice; the level varies little, because it is not visible in the picture."""
        return cls(
            pitch=rng.uniform(-2.0, 2.5),
            liveliness=rng.uniform(0.6, 1.3),
            tempo=rng.uniform(0.85, 1.15),
            level_db=rng.uniform(-1.5, 1.5),
        )


@dataclasses.dataclass(frozen=True)
class Utterance:
    """A sentence as sound and as articulation.

    Attributes
    ----------
    audio : float64 ``(T * HOP_LENGTH,)`` at `SAMPLING_RATE`.
    tract : float64 ``(T, 19)``, VocalTractLab's tract parameters at the middle of each video frame.
    glottis : float64 ``(T, 11)``, its glottis parameters.
    f0 : float64 ``(T,)``, Hz, 0 where the vocal folds do not vibrate.
    """

    audio: np.ndarray
    tract: np.ndarray
    glottis: np.ndarray
    f0: np.ndarray


@cache
def engine() -> ModuleType:
    """Return the synthesiser; raise a `UserError` if it is not installed."""
    try:
        return importlib.import_module("vocaltractlab_cython")
    except ModuleNotFoundError as error:
        raise UserError(
            "the demo corpus",
            f"needs the articulatory synthesiser, and {error.name} is not installed",
            'in the checkout, pip install -e ".[demo]"',
        ) from error


def speak(
    segments: list[Segment], voice: Voice, rng: np.random.Generator, moved: Mapping[int, float] | None = None
) -> Utterance:
    """Synthesise phonemes and pauses in a voice.

    Parameters
    ----------
    rng : draws intonation and room noise.
    moved : for columns of the tract state, what is added to them in every frame, within the model's limits.
    """
    glottis, tract = _motion(segments)
    seconds = np.arange(len(tract)) * STATE_SAMPLES / ENGINE_RATE
    resting = _blend(_pausing(segments, seconds, REST_AFTER_SPEECH, REST_BEFORE_SPEECH), REST_BLEND)
    silent = _blend(_pausing(segments, seconds, PRESSURE_AFTER_SPEECH, PRESSURE_BEFORE_SPEECH), PRESSURE_BLEND)
    tract = _towards(tract, _with(engine().get_shape(REST_SHAPE, "tract"), REST_TRACT), resting)
    pressure = glottis[:, PRESSURE] * (1 - silent)
    glottis = _towards(glottis, _with(glottis[0], REST_GLOTTIS), resting)
    semitones = intonation(segments, seconds, voice, rng)
    glottis[:, F0], glottis[:, PRESSURE], glottis[:, FLUTTER] = 2 ** (semitones / 12), pressure, FLUTTER_PERCENT
    tract[:, HYOID_HEIGHT] = (
        HYOID_MIDDLE
        + HYOID_SHARE * (tract[:, HYOID_HEIGHT] - HYOID_MIDDLE)
        + LARYNX_RISE * (semitones - REFERENCE_SEMITONES)
    ).clip(*HYOID_RANGE)
    for column, step in (moved or {}).items():
        tract[:, column] = (tract[:, column] + step).clip(*tract_limits()[column])
    speech = soxr.resample(_synthesise(tract, glottis), ENGINE_RATE, SAMPLING_RATE, "VHQ")
    frames = len(speech) // HOP_LENGTH
    speech = speech[: frames * HOP_LENGTH] * (LEVEL * 10 ** (voice.level_db / 20))
    centres = (np.arange(frames) + 0.5) * HOP_LENGTH / SAMPLING_RATE
    tract, glottis = (_at(centres, seconds, states) for states in (tract, glottis))
    return Utterance(
        audio=speech + ROOM_NOISE * rng.standard_normal(len(speech)),
        tract=tract,
        glottis=glottis,
        f0=np.where(_voiced(glottis), glottis[:, F0], 0.0),
    )


@cache
def tract_limits() -> list[tuple[float, float]]:
    """Return the lowest and highest value of each column of a tract state."""
    return [(float(column["min"]), float(column["max"])) for column in engine().get_param_info("tract")]


def outlines(tract: np.ndarray) -> Outlines:
    """Return the outlines of one tract state ``(19,)``."""
    return Outlines(**engine().get_outlines(np.ascontiguousarray(tract)))


def glottal_width(glottis: np.ndarray) -> np.ndarray:
    """Return the width between the vocal folds at rest, cm, of glottis states ``(..., 11)``."""
    return (glottis[..., LOWER_CHINK] + glottis[..., UPPER_CHINK]) / 2


def intonation(segments: list[Segment], seconds: np.ndarray, voice: Voice, rng: np.random.Generator) -> np.ndarray:
    """Return the pitch at each of ``seconds``, semitones above 1 Hz: declination, accents and a final fall or rise."""
    starts = np.cumsum([0.0] + [segment.seconds for segment in segments])
    pitch = np.interp(seconds, [0, seconds[-1]], DECLINATION)
    for segment, start in zip(segments, starts, strict=False):
        if segment.accented:
            peak = start + 0.6 * segment.seconds
            pitch += rng.choice(ACCENTS) * np.exp(-0.5 * ((seconds - peak) / ACCENT_SECONDS) ** 2)
    final = starts[-2] - FINAL_LEAD
    pitch += rng.choice(FINAL_MOVEMENTS) / (1 + np.exp(-(seconds - final) / FINAL_SECONDS))
    pitch = REFERENCE_SEMITONES + voice.pitch + voice.liveliness * pitch
    return pitch.clip(LOWEST_SEMITONES, HIGHEST_SEMITONES)


def _motion(segments: list[Segment]) -> tuple[np.ndarray, np.ndarray]:
    """States of glottis (N, 11) and tract (N, 19) for the gestures of the phonemes, 400.9 per second."""
    # The engine refuses file names that are not ASCII, as the temporary directory's may be; so use relative names.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("gestures.xml").write_text(gestural_score(segments), encoding="ascii")
        engine().gesture_file_to_motor_file("gestures.xml", "states.txt")
        written = Path("states.txt").read_text(encoding="ascii").splitlines()
    # After comments, the glottis model's name and the number of states, glottis and tract alternate.
    first = next(i for i, line in enumerate(written) if not line.startswith("#")) + 2
    states = np.array(" ".join(written[first:]).split(), float).reshape(-1, GLOTTIS_PARAMETERS + TRACT_PARAMETERS)
    return np.hsplit(states, [GLOTTIS_PARAMETERS])


def _pausing(segments: list[Segment], seconds: np.ndarray, after: float, before: float) -> np.ndarray:
    """Whether each instant is in a pause, from ``after`` s after a phoneme to ``before`` s before the next, bool
    (N,)."""
    edges = np.cumsum([0.0] + [segment.seconds for segment in segments])
    pausing = np.zeros(len(seconds), bool)
    for i, segment in enumerate(segments):
        if segment.phoneme == PAUSE:
            begin = edges[i] + after if i else -np.inf
            end = edges[i + 1] - before if i < len(segments) - 1 else np.inf
            pausing |= (seconds >= begin) & (seconds < end)
    return pausing


def _blend(mask: np.ndarray, seconds: float) -> np.ndarray:
    """Smooth a mask: steps become transitions of ``seconds``."""
    half = round(seconds * ENGINE_RATE / STATE_SAMPLES / 2)
    window = np.hanning(2 * half + 1)
    return np.convolve(np.pad(mask.astype(float), half, mode="edge"), window / window.sum(), "valid")


def _towards(states: np.ndarray, posture: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return states + weight[:, None] * (posture - states)


def _with(state: np.ndarray, values: dict[int, float]) -> np.ndarray:
    state = np.array(state, float)
    state[list(values)] = list(values.values())
    return state


def _at(instants: np.ndarray, seconds: np.ndarray, states: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(instants, seconds, column) for column in states.T], axis=1)


def _voiced(glottis: np.ndarray) -> np.ndarray:
    return (glottis[:, PRESSURE] > VOICED_PRESSURE) & (glottal_width(glottis) < VOICED_CHINK)


def _synthesise(tract: np.ndarray, glottis: np.ndarray) -> np.ndarray:
    """Sound of the states at `ENGINE_RATE`, `STATE_SAMPLES` per state.

    Synthesised only where there is lung pressure; elsewhere the engine takes as long to output zeros.
    """
    breathing = np.flatnonzero(glottis[:, PRESSURE] > 0)
    sound = np.zeros(len(tract) * STATE_SAMPLES)
    begin, end = breathing[0], breathing[-1] + 1
    engine().synthesis_reset()
    spoken = engine().synth_block(
        np.ascontiguousarray(tract[begin:end:STATES_A_STEP]),
        np.ascontiguousarray(glottis[begin:end:STATES_A_STEP]),
        STATES_A_STEP * STATE_SAMPLES,
    )
    spoken = spoken[: len(sound) - begin * STATE_SAMPLES]
    sound[begin * STATE_SAMPLES :][: len(spoken)] = spoken
    return sound
