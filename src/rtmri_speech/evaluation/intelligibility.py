"""How much of what was said is understood: errors of a recogniser's phonemes, characters and words.

Phonemes lead: characters and words saturate near 1 while there is still something to understand. A number means nothing
alone; beside it stand the recordings', copy synthesis', Griffin-Lim's, and chance: what is recognised in other clips.
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

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.metrics import summarise
from rtmri_speech.evaluation.pronunciation import Language, Reading, read_aloud
from rtmri_speech.evaluation.recognition import LEAST_SECONDS, RECOGNITION_RATE
from rtmri_speech.evaluation.scores import null_for_nan
from rtmri_speech.signal.audio import read_audio

ERRORS = {"phoneme_error": "phoneme error", "character_error": "character error", "word_error": "word error"}

FILE = "intelligibility.json"

RECORDING, CHANCE = "recording", "chance"
TITLES = {RECORDING: "Recording", CHANCE: "Chance: recordings of other sentences"}

CHANCE_SENTENCES = 5
"""Other clips that chance is taken over, the next ones in the order of the ids."""


class Recognises(Protocol):
    """What makes text of sound: `recognition.Recogniser`."""

    language: Language

    def transcribe(self, audio: np.ndarray) -> str:
        """Return what is said in samples at `RECOGNITION_RATE`."""


def error_rates(spoken: Reading, understood: Reading, language: Language) -> dict[str, float]:
    """Return the `ERRORS` of what was understood, each at most 1; NaN where nothing is to be understood.

    Insertions, deletions and substitutions over the length of what was spoken (library jiwer), of phonemes, characters
    and words; words that the dictionary lacks have no phonemes on either side.
    """
    return {
        "phoneme_error": _rate(spoken.phonemes, understood.phonemes),
        "character_error": _rate(*(tuple(reading.characters(language)) for reading in (spoken, understood))),
        "word_error": _rate(spoken.words, understood.words),
    }


def _rate(reference: tuple[str, ...], hypothesis: tuple[str, ...]) -> float:
    import jiwer

    if not reference:
        return math.nan
    # Numbers in place of symbols: a character may be a space, which jiwer would split at.
    numbers = {symbol: str(number) for number, symbol in enumerate(dict.fromkeys(reference + hypothesis))}
    texts = (" ".join(numbers[symbol] for symbol in symbols) for symbols in (reference, hypothesis))
    return min(1.0, jiwer.wer(*texts))


@dataclass
class _Recognised:
    """What is understood in a row's clips, and what that took."""

    texts: dict[str, str]
    cpu_seconds: float


def score_intelligibility(
    rows: Mapping[str, Mapping[str, Path]],
    transcripts: Mapping[str, str],
    recogniser: Recognises,
    *,
    titles: Mapping[str, str],
    progress: Callable[[Any], Any] = iter,
) -> dict[str, Any]:
    """Return the errors of each row's clips against their transcripts, and chance.

    Parameters
    ----------
    rows : name to clip to wav, `RECORDING` among them, whose clips are scored.
    transcripts : clip to what is said in it. For a clip without one, what is recognised in its recording takes the
        place; the recording itself then has no error, and is left out for that clip.
    recogniser : of the language that is spoken.
    titles : of rows that are not called by their names.

    Returns
    -------
    For JSON: ``language``, ``against`` (clips by what they are compared with), ``left_out`` (``too_short`` clips,
    ``unknown_words`` with how often) and ``rows``, each with ``title``, ``clips``, ``summary`` (`summarise`),
    ``texts`` and ``cpu_seconds``.

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
    listened = progress([(row, id) for row in rows for id in ids])
    found = {row: _Recognised({}, 0.0) for row in rows}
    for row, id in listened:
        begin = time.process_time()
        found[row].texts[id] = recogniser.transcribe(_sound(rows[row], id, row))
        found[row].cpu_seconds += time.process_time() - begin
    understood = {row: {id: read_aloud(text, language) for id, text in one.texts.items()} for row, one in found.items()}
    told = {id for id in ids if transcripts.get(id)}
    spoken = {id: read_aloud(transcripts[id], language) if id in told else understood[RECORDING][id] for id in ids}
    clips: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        judged = [id for id in ids if row != RECORDING or id in told]
        clips[row] = {id: error_rates(spoken[id], understood[row][id], language) for id in judged}
    if len(ids) > 1:
        clips[CHANCE] = {id: _chance(id, ids, spoken, understood[RECORDING], language) for id in ids}
    unknown = Counter(word for id in ids for word in spoken[id].unknown)
    for texts in understood.values():
        unknown.update(word for reading in texts.values() for word in reading.unknown)
    return null_for_nan(
        {
            "language": language,
            "against": {"transcript": sorted(told), "recognised_recording": sorted(set(ids) - told)},
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
    id: str, ids: list[str], spoken: Mapping[str, Reading], understood: Mapping[str, Reading], language: Language
) -> dict[str, float]:
    """The mean errors of what is recognised in the next clips' recordings, as if it had been recognised in this one."""
    place = ids.index(id)
    others = [ids[(place + step) % len(ids)] for step in range(1, min(CHANCE_SENTENCES, len(ids) - 1) + 1)]
    errors = [error_rates(spoken[id], understood[other], language) for other in others]
    return {name: sum(error[name] for error in errors) / len(errors) for name in ERRORS}


def _sound(wavs: Mapping[str, Path], id: str, row: str) -> np.ndarray:
    if id not in wavs:
        raise UserError(row, f"has no wav of the clip {id}", "make it, or leave the clip out of the recordings")
    return read_audio(wavs[id], sampling_rate=RECOGNITION_RATE)


def table_cells(scores: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the head of the table and a line a row: mean errors with 95 % intervals, clips, processor seconds."""
    lines = []
    for row in scores["rows"].values():
        errors = [_cell(row["summary"].get(name)) for name in ERRORS]
        counted = row["summary"].get("phoneme_error", {}).get("n", 0)
        spent = row["cpu_seconds"]
        lines.append([row["title"], *errors, str(counted), "–" if spent is None else f"{spent:.0f}"])
    return ["", *(f"{title} ↓" for title in ERRORS.values()), "clips", "CPU s"], lines


def intelligibility_table(scores: Mapping[str, Any]) -> str:
    """Return `table_cells` as a Markdown table."""
    head, lines = table_cells(scores)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def _cell(summary: Mapping[str, float | None] | None) -> str:
    if summary is None or summary["mean"] is None:
        return "–"
    interval = "" if summary["low"] is None else f" ({summary['low']:.2f} – {summary['high']:.2f})"
    return f"{summary['mean']:.2f}{interval}"


def intelligibility_note(scores: Mapping[str, Any]) -> str:
    """Return what is to be known beside the table: against what, and what is left out."""
    against, left = scores["against"], scores["left_out"]
    parts = [f"Recognised by {scores['model']}, language {scores['language']}." if scores.get("model") else ""]
    if against["recognised_recording"]:
        count = len(against["recognised_recording"])
        parts.append(f"{count} clips have no transcript: what is recognised in the recording takes its place.")
    if left["too_short"]:
        parts.append(f"{len(left['too_short'])} clips are shorter than {LEAST_SECONDS} s and left out.")
    if left["unknown_words"]:
        words = left["unknown_words"]
        few = ", ".join([*list(words)[:5], *(["..."] if len(words) > 5 else [])])
        parts.append(f"{sum(words.values())} words have no pronunciation and no phonemes ({few}).")
    return " ".join(filter(None, parts))
