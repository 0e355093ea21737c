"""Clips of the demo corpus: video, wav and description of a sentence, a pure function of seed and clip number.

No clip knows of another, so that they can be made in any order, by any number of processes, and one alone.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.atomic import save_json
from rtmri_speech.demo import articulation, picture, text
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.video import write_video

_SENTENCE, _SPEECH, _PICTURE = range(3)
"""Streams of random numbers of one clip: the speech stays the same whether or not its picture is drawn."""


VIDEO_QUALITY = 21
"""H.264's rate factor: the noise survives, at 190 kB a second."""


@dataclasses.dataclass(frozen=True)
class Speech:
    """One clip before its picture: the words, their phonemes, the voice, the sound and the articulation."""

    words: list[str]
    segments: list[text.Segment]
    voice: articulation.Voice
    utterance: articulation.Utterance


def clip_id(clip: int) -> str:
    """Return the id of a clip, ``000`` on."""
    return f"{clip:03d}"


def synthesise(clip: int, seed: int) -> Speech:
    """Return clip number ``clip`` of the corpus ``seed`` as sound and articulation.

    Raises
    ------
    UserError
        The extra ``demo`` is not installed.
    """
    rng = _random(clip, seed, _SENTENCE)
    words = text.sentence(rng)
    voice = articulation.Voice.draw(rng)
    segments = text.segments(words, rng, voice.tempo)
    return Speech(words, segments, voice, articulation.speak(segments, voice, _random(clip, seed, _SPEECH)))


def make_clip(clip: int, seed: int, video: Path, audio: Path, description: Path) -> None:
    """Write one clip's three files: pictures, sound (of as many hops as pictures) and what is known of them.

    Parameters
    ----------
    clip : number of the clip; with ``seed`` it decides everything.
    seed : number of the corpus.
    video : mp4, 256x256 at exactly 11413/420 frames/s.
    audio : wav, int16 mono at 11413 Hz, 420 samples a frame.
    description : JSON of `describe`, with the pose of the head.
    """
    speech = synthesise(clip, seed)
    rng = _random(clip, seed, _PICTURE)
    pose = picture.Pose.draw(rng)
    utterance = speech.utterance
    outlines = map(articulation.outlines, utterance.tract)
    frames = picture.film(outlines, articulation.glottal_width(utterance.glottis), pose, rng)
    rate = Fraction(articulation.SAMPLING_RATE, articulation.HOP_LENGTH)
    write_video(video, frames, rate, crf=VIDEO_QUALITY)
    write_wav(audio, utterance.audio, articulation.SAMPLING_RATE)
    save_json(description, describe(speech, clip, seed) | {"pose": dataclasses.asdict(pose)})


def make_speech(clip: int, seed: int, audio: Path) -> None:
    """Write one clip's sound alone: int16 mono at 11413 Hz, as `make_clip` would, at half its price."""
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
