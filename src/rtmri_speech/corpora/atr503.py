"""The ATR 503 sentences in the scanner: ``PNG/a01/a01_0000.png``, 16 bits, with ``WAV/a01.WAV``.

A frame lasts exactly 736 samples of 20 kHz. The sets a to i have 50 sentences, j has 53.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

from rtmri_speech.corpora.reading import Reading, nothing_found, require_directory
from rtmri_speech.dataset.clip import Clip

SIZE = (256, 256)
RATE = Fraction(20000, 736)

SENTENCES = {**dict.fromkeys("abcdefghi", 50), "j": 53}

_SENTENCE = re.compile(r"([a-j])(\d\d)", re.IGNORECASE)


def read(directory: Path) -> Reading:
    """Return the clips of the set; a sentence that lacks picture or sound is left out, and named.

    Raises
    ------
    UserError
        There is no such directory, or nothing of the set in it.
    """
    reading = Reading()
    places = (require_directory(directory), directory / "realTimeMRI_ATR503")
    base = next((place for place in places if (place / "PNG").is_dir() and (place / "WAV").is_dir()), None)
    if base is None:
        raise nothing_found(directory, "PNG/a01 with WAV/a01.WAV")
    sounds = {path.stem.lower(): path for path in sorted((base / "WAV").iterdir()) if path.suffix.lower() == ".wav"}
    folders = {path.name.lower(): path for path in sorted((base / "PNG").iterdir()) if path.is_dir()}
    for id in sorted(folders.keys() & sounds.keys()):
        if _SENTENCE.fullmatch(id):
            reading.add(Clip(id, folders[id], sounds[id], frame_rate=float(RATE), text=None, repetition=1))
    reading.left_out(base, sorted(folders.keys() ^ sounds.keys()), "which have pictures or sound, and not both")
    reading.left_out(
        base,
        sorted(id for id in folders.keys() & sounds.keys() if not _SENTENCE.fullmatch(id)),
        "which are no a01 to j53",
    )
    if not reading.clips:
        raise nothing_found(directory, "PNG/a01 with WAV/a01.WAV")
    for letter, expected in SENTENCES.items():
        found = sum(id.startswith(letter) for id in reading.clips)
        if found:
            reading.expect(base, f"sentences of set {letter}", found, expected)
    reading.expect(base, "sentences", len(reading.clips), sum(SENTENCES.values()))
    return reading
