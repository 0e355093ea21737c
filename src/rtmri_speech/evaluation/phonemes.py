"""Which phoneme is spoken in each frame, from the descriptions of clips or from files of tiers (TextGrid, ELAN)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtmri_speech.dataset.tiers import (
    ALIGNMENTS,
    PAUSES,
    PHONES,
    Tiers,
    annotation_text,
    find_tier,
    read_tiers,
    words_between,
)
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.untrusted import parse_json, require_type

PAUSE = ""
"""Label of frames that are silent or unlabelled."""

ENDINGS = (".json", *ALIGNMENTS)

_JSON_REMEDY = 'give {"phonemes": [{"phoneme": ..., "start": seconds, "end": seconds}, ...]}'


@dataclass(frozen=True)
class Segment:
    """A phoneme from ``start`` to ``end``, seconds from the clip's start."""

    phoneme: str
    start: float
    end: float


def find_phonemes(directory: str | Path, id: str) -> Path | None:
    """Return the phoneme file of a clip, ``<id>.json`` or ``<id>`` with one of `ALIGNMENTS`, or None."""
    return next((path for ending in ENDINGS if (path := Path(directory) / f"{id}{ending}").is_file()), None)


def read_phonemes(path: str | Path) -> list[Segment]:
    """Read the phonemes of a clip.

    Parameters
    ----------
    path : JSON with a list ``phonemes`` of ``{"phoneme", "start", "end"}``, or a file of tiers (`read_tiers`), one of
        which is called phones, phonemes or segments, or as in `PHONES`.

    Raises
    ------
    UserError
        The file is unreadable or has no such list or tier.
    """
    path = Path(path)
    if path.suffix == ".json":
        segments = _from_json(path, annotation_text(path))
    else:
        segments = _from_tiers(path)
    for segment in segments:
        if not (math.isfinite(segment.start) and math.isfinite(segment.end)):
            raise UserError(path, f"has a phoneme from {segment.start} to {segment.end} s", "give finite seconds")
    return segments


def spoken_text(path: str | Path) -> str | None:
    """Return the ``text`` in a clip's JSON file of phonemes, or None."""
    path = Path(path)
    content = require_type(
        parse_json(annotation_text(path), path, _JSON_REMEDY), dict, "its content", path, _JSON_REMEDY
    )
    return require_type(content.get("text"), str | None, "text", path, "give the sentence as one word in quotes")


def transcript(directory: str | Path, id: str) -> str | None:
    """Return a clip's transcript, or None if there is none.

    Parameters
    ----------
    directory : holds ``<id>.txt``, or ``<id>.json`` with ``text``, or a file with a tier of words (`read_tiers`).

    Raises
    ------
    UserError
        The file cannot be read.
    """
    path = Path(directory) / f"{id}.txt"
    if path.is_file():
        return " ".join(annotation_text(path).split()) or None
    path = find_phonemes(directory, id)
    if path is None:
        return None
    if path.suffix == ".json":
        return spoken_text(path)
    return words_between(read_tiers(path), -math.inf, math.inf)


def _from_json(path: Path, text: str) -> list[Segment]:
    remedy = _JSON_REMEDY
    content = require_type(parse_json(text, path, remedy), dict, "its content", path, remedy)
    listed = require_type(content.get("phonemes"), list[dict[str, Any]], "phonemes", path, remedy)
    return [
        Segment(
            _phoneme(require_type(entry.get("phoneme"), str, "a phoneme", path, remedy)),
            *(float(require_type(entry.get(name), float, name, path, remedy)) for name in ("start", "end")),
        )
        for entry in listed
    ]


def _phoneme(label: str) -> str:
    return PAUSE if label.lower() in PAUSES else label


def no_phonemes(path: Path, tiers: Tiers) -> UserError:
    """Return the refusal of a file without a tier of phonemes."""
    return UserError(
        path, f"has no tier of phonemes (its tiers: {', '.join(tiers) or 'none'})", "call one of its tiers phones"
    )


def _from_tiers(path: Path) -> list[Segment]:
    tiers = read_tiers(path)
    name = find_tier(tiers, PHONES)
    if name is None:
        raise no_phonemes(path, tiers)
    return [Segment(_phoneme(label.text), label.start, label.end) for label in tiers[name]]


def phoneme_of_frames(segments: list[Segment], frames: int, spec: MelSpec) -> list[str]:
    """Return the phoneme at the middle of each of ``frames`` video frames; `PAUSE` where there is none."""
    labels = [PAUSE] * frames
    rate = float(spec.frame_rate)
    for segment in segments:
        first, end = (min(max(math.ceil(seconds * rate - 0.5), 0), frames) for seconds in (segment.start, segment.end))
        labels[first:end] = [segment.phoneme] * (end - first)
    return labels
