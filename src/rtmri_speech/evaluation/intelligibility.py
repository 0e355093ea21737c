"""Intelligibility: error rates of a speech recogniser in phonemes, characters and words.

The phoneme error rate is the main measure; character and word error rates saturate near 1 while speech is still partly
intelligible. Rates are to be compared with those of recordings, copy synthesis, Griffin-Lim, and chance: the
transcripts of other clips.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rtmri_speech.errors import UserError, some_of
from rtmri_speech.evaluation.metrics import summarise
from rtmri_speech.evaluation.pronunciation import Language, Reading, words_and_phonemes
from rtmri_speech.evaluation.recognition import LEAST_SECONDS, RECOGNITION_RATE
from rtmri_speech.evaluation.scores import null_for_nan
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.tables import markdown_table, with_interval

ERRORS = {"phoneme_error": "phoneme error", "character_error": "character error", "word_error": "word error"}

FILE = "intelligibility.json"

RECORDING, CHANCE = "recording", "chance"
TITLES = {RECORDING: "Recording", CHANCE: "Chance: recordings of other sentences"}

CHANCE_SENTENCES = 5
"""Number of other clips that chance is averaged over: the next ones by id."""


class SpeechRecogniser(Protocol):
    """Interface of `recognition.Recogniser`."""

    language: Language

    def transcribe(self, audio: np.ndarray) -> str:
        """Return the text of samples at `RECOGNITION_RATE`."""


def error_rates(spoken: Reading, recognised: Reading, language: Language) -> dict[str, float]:
    """Return the error rates (`ERRORS`) of a recognised text, each clipped to 1; NaN for an empty reference.

    (Insertions + deletions + substitutions) / reference length, by jiwer, in phonemes, characters and words; words
    missing from the dictionary have no phonemes on either side.
    """
    return {
        "phoneme_error": _rate(spoken.phonemes, recognised.phonemes),
        "character_error": _rate(*(tuple(reading.characters(language)) for reading in (spoken, recognised))),
        "word_error": _rate(spoken.words, recognised.words),
    }


def _rate(reference: tuple[str, ...], hypothesis: tuple[str, ...]) -> float:
    import jiwer

    if not reference:
        return math.nan
    # Symbols are replaced by numbers, because jiwer splits at spaces, which are characters here.
    numbers = {symbol: str(number) for number, symbol in enumerate(dict.fromkeys(reference + hypothesis))}
    said, heard = (" ".join(numbers[symbol] for symbol in symbols) for symbols in (reference, hypothesis))
    return min(1.0, jiwer.wer(said, heard))


@dataclass
class _Recognised:
    """Recognised texts of a row's clips, and CPU time."""

    texts: dict[str, str]
    cpu_seconds: float


def score_intelligibility(
    rows: Mapping[str, Mapping[str, Path]],
    transcripts: Mapping[str, str],
    recogniser: SpeechRecogniser,
    *,
    titles: Mapping[str, str],
    progress: Callable[[Any], Any] = iter,
) -> dict[str, Any]:
    """Return the error rates of each row's clips against their transcripts, and of chance.

    Parameters
    ----------
    rows : name to clip to wav; the clips of the row `RECORDING` are scored.
    transcripts : clip to text. A clip without one is scored against the text recognised in its recording; the recording
        itself is then not scored for that clip.
    recogniser : for the language spoken.
    titles : of rows, if other than their names.

    Returns
    -------
    For JSON: ``language``, ``against`` (clips by kind of reference), ``left_out`` (``too_short`` clips,
    ``unknown_words`` with counts) and ``rows``, each with ``title``, ``clips``, ``summary`` (`summarise`), ``texts``
    and ``cpu_seconds``.

    Raises
    ------
    UserError
        No recording is long enough, or a wav is missing or cannot be read.
    """
    language = recogniser.language
    recordings = rows[RECORDING]
    ids = [id for id in recordings if len(_sound(recordings, id, RECORDING)) >= LEAST_SECONDS * RECOGNITION_RATE]
    if not ids:
        raise UserError("intelligibility", f"no recording has {LEAST_SECONDS} s", "give longer ones")
    jobs = progress([(row, id) for row in rows for id in ids])
    found = {row: _Recognised({}, 0.0) for row in rows}
    for row, id in jobs:
        begin = time.process_time()
        found[row].texts[id] = recogniser.transcribe(_sound(rows[row], id, row))
        found[row].cpu_seconds += time.process_time() - begin
    recognised = {
        row: {id: words_and_phonemes(text, language) for id, text in one.texts.items()} for row, one in found.items()
    }
    transcribed = {id for id in ids if transcripts.get(id)}
    spoken = {
        id: words_and_phonemes(transcripts[id], language) if id in transcribed else recognised[RECORDING][id]
        for id in ids
    }
    clips: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        judged = [id for id in ids if row != RECORDING or id in transcribed]
        clips[row] = {id: error_rates(spoken[id], recognised[row][id], language) for id in judged}
    if len(ids) > 1:
        clips[CHANCE] = {id: _chance(id, ids, spoken, recognised[RECORDING], language) for id in ids}
    unknown = Counter(word for id in ids for word in spoken[id].unknown)
    for texts in recognised.values():
        unknown.update(word for reading in texts.values() for word in reading.unknown)
    return null_for_nan(
        {
            "language": language,
            "against": {"transcript": sorted(transcribed), "recognised_recording": sorted(set(ids) - transcribed)},
            "left_out": {
                "too_short": sorted(set(recordings) - set(ids)),
                "unknown_words": dict(unknown.most_common()),
            },
            "rows": {
                row: {
                    "title": {**titles, **TITLES}.get(row, row),
                    "clips": values,
                    "summary": summarise(values.values()),
                    "texts": found[row].texts if row in found else {},
                    "cpu_seconds": round(found[row].cpu_seconds, 1) if row in found else None,
                }
                for row, values in clips.items()
            },
        }
    )


def _chance(
    id: str, ids: list[str], spoken: Mapping[str, Reading], recognised: Mapping[str, Reading], language: Language
) -> dict[str, float]:
    """Mean error rates of the texts recognised in the next clips' recordings, scored against this clip."""
    place = ids.index(id)
    others = [ids[(place + step) % len(ids)] for step in range(1, min(CHANCE_SENTENCES, len(ids) - 1) + 1)]
    errors = [error_rates(spoken[id], recognised[other], language) for other in others]
    return {name: sum(error[name] for error in errors) / len(errors) for name in ERRORS}


def _sound(wavs: Mapping[str, Path], id: str, row: str) -> np.ndarray:
    if id not in wavs:
        raise UserError(row, f"has no wav of the clip {id}", "make it, or leave the clip out of the recordings")
    return read_audio(wavs[id], sampling_rate=RECOGNITION_RATE)


def table_cells(scores: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the header and one line per row: mean error rates with 95 % intervals, clips, CPU seconds."""
    lines = []
    for row in scores["rows"].values():
        errors = [with_interval(row["summary"].get(name), 2) for name in ERRORS]
        counted = row["summary"].get("phoneme_error", {}).get("n", 0)
        spent = row["cpu_seconds"]
        lines.append([row["title"], *errors, str(counted), "–" if spent is None else f"{spent:.0f}"])
    return ["", *(f"{title} ↓" for title in ERRORS.values()), "clips", "CPU s"], lines


def intelligibility_table(scores: Mapping[str, Any]) -> str:
    """Return `table_cells` as a Markdown table."""
    return markdown_table(*table_cells(scores))


def intelligibility_note(scores: Mapping[str, Any]) -> str:
    """Return the note on the table: references used, and what was left out."""
    against, left = scores["against"], scores["left_out"]
    parts = [f"Recognised by {scores['model']}, language {scores['language']}." if scores.get("model") else ""]
    if against["recognised_recording"]:
        count = len(against["recognised_recording"])
        parts.append(f"{count} clips have no transcript and are scored against the text recognised in their recording.")
    if left["too_short"]:
        parts.append(f"{len(left['too_short'])} clips are shorter than {LEAST_SECONDS} s and left out.")
    if left["unknown_words"]:
        words = left["unknown_words"]
        parts.append(
            f"{sum(words.values())} words are missing from the dictionary and have no phonemes ({some_of(words, 5)})."
        )
    return " ".join(filter(None, parts))
