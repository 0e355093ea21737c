"""Which phoneme is spoken in which frame: the demo's description (JSON) or a Praat TextGrid."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from rtmri_speech.errors import UserError

TIERS = ("phones", "phonemes", "phone", "phoneme")
"""Names of the tier that is read of a TextGrid; one with a single tier of intervals needs no such name."""

_VALUE = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?!\S)')
"""Strings and free-standing numbers: what the long and the short text format of a TextGrid have in common."""


class Phoneme(NamedTuple):
    """A phoneme, its begin and its end in seconds; a pause has the name ``""``."""

    name: str
    start: float
    end: float


def phoneme_file(directory: str | Path, id: str) -> Path | None:
    """Return the phoneme file of a clip in a directory, or None when it has none."""
    candidates = (Path(directory) / f"{id}{suffix}" for suffix in (".json", ".TextGrid"))
    return next((path for path in candidates if path.is_file()), None)


def read_phonemes(path: str | Path) -> list[Phoneme]:
    """Read the phonemes of a clip, in order.

    Raises
    ------
    UserError
        The file is neither, or its TextGrid has no tier of phones.
    """
    path = Path(path)
    content = path.read_bytes()
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        if path.suffix == ".json":
            spoken = json.loads(text)["phonemes"]
            return [Phoneme(part["phoneme"], float(part["start"]), float(part["end"])) for part in spoken]
        tiers = _interval_tiers(text)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(
            path, f"holds no phonemes ({error})", "give a TextGrid or a description as the demo's"
        ) from None
    named = [tier for name, tier in tiers if name.lower() in TIERS] or [tier for _, tier in tiers]
    if len(named) != 1:
        names = ", ".join(name for name, _ in tiers) or "none"
        raise UserError(path, f"has no single tier of phones (tiers of intervals: {names})", f"name one {TIERS[0]}")
    return named[0]


def _interval_tiers(text: str) -> list[tuple[str, list[Phoneme]]]:
    values = [word.replace('""', '"') if not number else float(number) for word, number in _VALUE.findall(text)]
    if values[:2] != ["ooTextFile", "TextGrid"]:
        raise ValueError("no TextGrid in Praat's text format")
    place, tiers = 5, []
    for _ in range(int(values[4])):
        kind, name, _, _, count = values[place : place + 5]
        place += 5
        fields = 3 if kind == "IntervalTier" else 2
        rows = [values[place + fields * row : place + fields * (row + 1)] for row in range(int(count))]
        place += fields * int(count)
        if kind == "IntervalTier":
            tiers.append(
                (str(name), [Phoneme(str(word).strip(), float(start), float(end)) for start, end, word in rows])
            )
    return tiers


def phonemes_of_frames(phonemes: Sequence[Phoneme], count: int, rate: Fraction) -> list[str]:
    """Return the phoneme at the middle of each of ``count`` frames, ``""`` where there is none."""
    names = [""] * count
    for phoneme in phonemes:
        for number in range(count):
            if phoneme.start <= float((number + Fraction(1, 2)) / rate) < phoneme.end:
                names[number] = phoneme.name
    return names
