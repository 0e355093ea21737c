"""The clips of a configured corpus: the demo's, directories, a table, what an older system holds, or a public set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rtmri_speech.corpora import artspeech, atr503, rtmridb, usc75, usc_lss, usc_timit
from rtmri_speech.corpora.reading import Reading, format_notes
from rtmri_speech.dataset.clip import Clip, clips_from_directories, clips_from_table, with_rate
from rtmri_speech.dataset.corpus import demo_clips, included
from rtmri_speech.errors import UserError
from rtmri_speech.settings.data import Corpus

SETS = {
    "usc75": usc75,
    "usc_timit": usc_timit,
    "usc_lss": usc_lss,
    "atr503": atr503,
    "rtmridb": rtmridb,
    "artspeech": artspeech,
}
"""Public sets by the name of ``corpus.source``; each module has ``read``, ``SIZE`` and ``RATE``."""


def read_corpus(settings: Corpus, demo: Path) -> Reading:
    """Return the clips of the ``corpus`` section by id, sorted, without the excluded ones, and notes on them.

    Parameters
    ----------
    settings : the ``corpus`` section.
    demo : where the demo's recordings are made.

    Raises
    ------
    UserError
        What the reader of the source raises, two ids differ in case alone, or nothing is left.
    """
    reading = _read(settings, demo)
    clips = included(reading.clips, settings.exclude)
    _require_own_files(clips)
    clips = with_rate(clips, settings.frame_rate)
    reading.clips = clips
    return reading


def set_notes(reading: Reading, source: str) -> list[str]:
    """Return what is to be said of a corpus: what its reader noted, and where videos of a set are not as published."""
    if source not in SETS:
        return reading.notes
    return [*reading.notes, *format_notes(reading, SETS[source].SIZE, SETS[source].RATE)]


def _read(settings: Corpus, demo: Path) -> Reading:
    match settings.source:
        case "demo":
            return Reading(demo_clips(settings.demo.clips, demo))
        case "directories" | "lab":
            return Reading(clips_from_directories(settings.videos, settings.audio))
        case "table":
            return Reading(clips_from_table(settings.table))
        case "usc75":
            return usc75.read(settings.directory, settings.phonemes)
        case public:
            return SETS[public].read(settings.directory)


def _require_own_files(clips: Mapping[str, Clip]) -> None:
    """Files of two ids that differ in case alone are one file on Windows and on a Mac."""
    known: dict[str, str] = {}
    for id in clips:
        if (other := known.setdefault(id.casefold(), id)) != id:
            raise UserError(clips[id].video, f"has the id {id}, which differs from {other} in case alone", "rename one")
