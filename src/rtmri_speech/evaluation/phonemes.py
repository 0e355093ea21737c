"""Phoneme of each frame, from the demo corpus's descriptions or Praat TextGrids."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtmri_speech.errors import UserError
from rtmri_speech.signal.media import require_file
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.untrusted import parse_json, require_type

PAUSE = ""
"""Label of frames that are silent or unlabelled."""

ENDINGS = (".json", ".TextGrid")

_JSON_REMEDY = 'give {"phonemes": [{"phoneme": ..., "start": seconds, "end": seconds}, ...]}'

_PHONE_TIERS = ("phones", "phone", "phonemes", "phoneme", "segments")
_PAUSES = {"", "sil", "sp", "spn", "pau", "<p:>", "#"}

_TIER = re.compile(r'class = "IntervalTier"\s+name = "((?:[^"]|"")*)"(.*?)(?=item \[\d+\]:|\Z)', re.DOTALL)
_INTERVAL = re.compile(r'xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"')


@dataclass(frozen=True)
class Segment:
    """A phoneme from ``start`` to ``end``, seconds from the clip's start."""

    phoneme: str
    start: float
    end: float


def find_phonemes(directory: str | Path, id: str) -> Path | None:
    """Return the phoneme file of a clip, ``<id>.json`` or ``<id>.TextGrid``, or None."""
    return next((path for ending in ENDINGS if (path := Path(directory) / f"{id}{ending}").is_file()), None)


def read_phonemes(path: str | Path) -> list[Segment]:
    """Read the phonemes of a clip.

    Parameters
    ----------
    path : JSON with a list ``phonemes`` of ``{"phoneme", "start", "end"}``, or a TextGrid in Praat's long text format
        with a tier named phones, phonemes or segments.

    Raises
    ------
    UserError
        The file is unreadable or has no such list or tier.
    """
    path = Path(path)
    text = _text(path)
    segments = _from_json(path, text) if path.suffix == ".json" else _from_textgrid(path, text)
    for segment in segments:
        if not (math.isfinite(segment.start) and math.isfinite(segment.end)):
            raise UserError(path, f"has a phoneme from {segment.start} to {segment.end} s", "give finite seconds")
    return [Segment(PAUSE if s.phoneme.lower() in _PAUSES else s.phoneme, s.start, s.end) for s in segments]


def spoken_text(path: str | Path) -> str | None:
    """Return the ``text`` in a clip's JSON file of phonemes, or None."""
    path = Path(path)
    content = require_type(parse_json(_text(path), path, _JSON_REMEDY), dict, "its content", path, _JSON_REMEDY)
    return require_type(content.get("text"), str | None, "text", path, "give the sentence as one word in quotes")


def transcript(directory: str | Path, id: str) -> str | None:
    """Return a clip's transcript, or None if there is none.

    Parameters
    ----------
    directory : with ``<id>.txt``, ``<id>.json`` with ``text``, or ``<id>.TextGrid`` with a tier ``words``.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    path = Path(directory) / f"{id}.txt"
    if path.is_file():
        return " ".join(_text(path).split()) or None
    path = find_phonemes(directory, id)
    if path is None:
        return None
    if path.suffix == ".json":
        return spoken_text(path)
    tiers = {name.lower(): body for name, body in _TIER.findall(_text(path))}
    words = (label.replace('""', '"') for _, _, label in _INTERVAL.findall(tiers.get("words", "")))
    return " ".join(word for word in words if word.lower() not in _PAUSES) or None


def _text(path: Path) -> str:
    content = require_file(path, "phonemes").read_bytes()
    try:
        # Praat saves text that is not ASCII as UTF-16.
        return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(path, "is not Unicode text", "save it as UTF-8") from None


def _from_json(path: Path, text: str) -> list[Segment]:
    remedy = _JSON_REMEDY
    content = require_type(parse_json(text, path, remedy), dict, "its content", path, remedy)
    listed = require_type(content.get("phonemes"), list[dict[str, Any]], "phonemes", path, remedy)
    return [
        Segment(
            require_type(entry.get("phoneme"), str, "a phoneme", path, remedy),
            *(float(require_type(entry.get(name), float, name, path, remedy)) for name in ("start", "end")),
        )
        for entry in listed
    ]


def _from_textgrid(path: Path, text: str) -> list[Segment]:
    tiers = {name.lower(): body for name, body in _TIER.findall(text)}
    name = next((name for name in _PHONE_TIERS if name in tiers), None)
    if name is None:
        raise UserError(
            path,
            f"has no tier of phonemes (its tiers: {', '.join(tiers) or 'none'})",
            "name it phones and save the file in Praat's long text format",
        )
    try:
        return [
            Segment(label.replace('""', '"'), float(start), float(end))
            for start, end, label in _INTERVAL.findall(tiers[name])
        ]
    except ValueError as error:
        raise UserError(path, f"has an interval without its times ({error})", "save it with Praat again") from None


def phoneme_of_frames(segments: list[Segment], frames: int, spec: MelSpec) -> list[str]:
    """Return the phoneme at the middle of each of ``frames`` video frames; `PAUSE` where there is none."""
    labels = [PAUSE] * frames
    rate = float(spec.frame_rate)
    for segment in segments:
        first, end = (min(max(math.ceil(seconds * rate - 0.5), 0), frames) for seconds in (segment.start, segment.end))
        labels[first:end] = [segment.phoneme] * (end - first)
    return labels
