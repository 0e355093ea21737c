"""Clips of the demo corpus: video, wav and description, a pure function of seed and clip number.

Clips are independent: any subset can be generated in any order and by any number of processes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.atomic import save_json
from rtmri_speech.demo import articulation, picture, text
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.video import write_video

_SENTENCE, _SPEECH, _PICTURE = range(3)
"""Random streams of a clip: its speech does not depend on whether its picture is drawn."""


VIDEO_QUALITY = 21
"""H.264 rate factor that preserves the noise, at 190 kB per second."""


@dataclasses.dataclass(frozen=True)
class Speech:
    """A clip without its picture: words, phonemes, voice, sound and articulation."""

    words: list[str]
    segments: list[text.Segment]
    voice: articulation.Voice
    utterance: articulation.Utterance


def clip_id(clip: int) -> str:
    """Return the id of a clip, from ``000``."""
    return f"{clip:03d}"


def synthesise(clip: int, seed: int, moved: Mapping[int, float] | None = None) -> Speech:
    """Return clip number ``clip`` of the corpus ``seed`` as sound and articulation, with the tract ``moved`` as in
    `articulation.speak`.

    Raises
    ------
    UserError
        The extra ``demo`` is not installed.
    """
    rng = _random(clip, seed, _SENTENCE)
    words = text.sentence(rng)
    voice = articulation.Voice.draw(rng)
    segments = text.segments(words, rng, voice.tempo)
    utterance = articulation.speak(segments, voice, _random(clip, seed, _SPEECH), moved)
    return Speech(words, segments, voice, utterance)


def filmed(utterance: articulation.Utterance, clip: int, seed: int) -> tuple[picture.Pose, Iterator[np.ndarray]]:
    """Return the pose of the head and the pictures, uint8 ``(256, 256)``, of an utterance of clip ``clip``.

    Pose, head motion and noise depend on clip and seed alone, not on the utterance.
    """
    rng = _random(clip, seed, _PICTURE)
    pose = picture.Pose.draw(rng)
    outlines = map(articulation.outlines, utterance.tract)
    return pose, picture.film(outlines, articulation.glottal_width(utterance.glottis), pose, rng)


def make_clip(clip: int, seed: int, video: Path, audio: Path, description: Path) -> None:
    """Write a clip's three files: video, sound (one hop per frame) and description.

    Parameters
    ----------
    clip : number of the clip; with ``seed`` it determines the content.
    seed : number of the corpus.
    video : mp4, 256x256 at exactly 11413/420 frames/s.
    audio : wav, int16 mono at 11413 Hz, 420 samples per frame.
    description : JSON of `describe`, plus the pose of the head.
    """
    speech = synthesise(clip, seed)
    pose, frames = filmed(speech.utterance, clip, seed)
    rate = Fraction(articulation.SAMPLING_RATE, articulation.HOP_LENGTH)
    write_video(video, frames, rate, crf=VIDEO_QUALITY)
    write_wav(audio, speech.utterance.audio, articulation.SAMPLING_RATE)
    save_json(description, describe(speech, clip, seed) | {"pose": dataclasses.asdict(pose)})


def make_speech(clip: int, seed: int, audio: Path) -> None:
    """Write a clip's sound only, identical to `make_clip`'s, at half the cost: int16 mono at 11413 Hz."""
    write_wav(audio, synthesise(clip, seed).utterance.audio, articulation.SAMPLING_RATE)


def describe(speech: Speech, clip: int, seed: int) -> dict[str, Any]:
    """Return what is known of a clip's speech: text, phonemes with their times, F0 of every frame.

    The phonemes tile the clip from 0 to its end; the last pause ends with the last whole frame.
    """
    duration = len(speech.utterance.audio) / articulation.SAMPLING_RATE
    edges = np.cumsum([0.0] + [segment.seconds for segment in speech.segments])
    edges[-1] = duration
    phonemes = [
        {"phoneme": segment.phoneme, "start": round(float(start), 6), "end": round(float(end), 6)}
        for segment, start, end in zip(speech.segments, edges[:-1], edges[1:], strict=True)
    ]
    return {
        "id": clip_id(clip),
        "seed": seed,
        "text": " ".join(speech.words).replace(f" {text.COMMA}", text.COMMA),
        "frame_rate": f"{articulation.SAMPLING_RATE}/{articulation.HOP_LENGTH}",
        "frames": len(speech.utterance.f0),
        "sampling_rate": articulation.SAMPLING_RATE,
        "voice": dataclasses.asdict(speech.voice),
        "phonemes": phonemes,
        "f0": [round(float(f0), 2) for f0 in speech.utterance.f0],
    }


def _random(clip: int, seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, clip, stream])
