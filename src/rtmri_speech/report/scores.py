"""Reads and validates the scores of an experiment's test clips."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema

from rtmri_speech.dataset.clip import require_id
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.copy_synthesis import FILE as COPY_SYNTHESIS_FILE
from rtmri_speech.evaluation.intelligibility import FILE as INTELLIGIBILITY_FILE
from rtmri_speech.evaluation.systems import SCORES_FILE
from rtmri_speech.untrusted import read_json, require_type

_ROW_NAME = re.compile(r"[\w-]{1,100}")
"""Valid row names: they are used as directory and file names."""

_NUMBER = {"type": ["number", "null"]}
_VALUES = {"type": "object", "additionalProperties": _NUMBER}
_SCORES = {
    "type": "object",
    "required": ["configured", "rows", "clips", "settings", "mel_mse_by_bin"],
    "properties": {
        "configured": {"type": "string"},
        "clips": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "required": ["seconds"],
                "properties": {"seconds": {"type": "number"}},
            },
        },
        "rows": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["title", "note", "clips", "summary"],
                "properties": {
                    "title": {"type": "string"},
                    "note": {"type": "string"},
                    "clips": {"type": "object", "additionalProperties": _VALUES},
                    "summary": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "required": ["mean", "low", "high", "n"],
                            "additionalProperties": _NUMBER,
                        },
                    },
                },
            },
        },
        "mel_mse_by_bin": {
            "type": "object",
            "required": ["frequencies_hz", "rows"],
            "properties": {
                "frequencies_hz": {"type": "array", "items": {"type": "number"}},
                "rows": {
                    "type": "object",
                    "additionalProperties": {"type": "array", "items": {"type": "number"}},
                },
            },
        },
        "mel_mse_by_phoneme": {
            "type": ["object", "null"],
            "additionalProperties": {
                "type": "object",
                "required": ["frames", "rows"],
                "properties": {"frames": {"type": "integer"}, "rows": _VALUES},
            },
        },
        "settings": {
            "type": "object",
            "properties": {
                "vocoder": {"type": ["string", "null"]},
                "base_vocoder": {"type": ["string", "null"]},
                "f0_range_hz": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
                "libraries": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
            },
        },
    },
}
"""JSON schema of the scores, as far as the page and the results document read them."""

_INTELLIGIBILITY = {
    "type": "object",
    "required": ["language", "against", "left_out", "rows"],
    "properties": {
        "model": {"type": "string"},
        "language": {"type": "string"},
        "against": {"type": "object", "required": ["recognised_recording"]},
        "left_out": {"type": "object", "required": ["too_short", "unknown_words"]},
        "rows": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["title", "summary", "cpu_seconds"],
                "properties": {
                    "title": {"type": "string"},
                    "cpu_seconds": _NUMBER,
                    "summary": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "required": ["mean", "low", "high", "n"],
                            "additionalProperties": _NUMBER,
                        },
                    },
                },
            },
        },
    },
}

NOT_MEASURED = (
    "Intelligibility (phoneme error) was not measured: install the extra asr"
    " (pip install -e '.[asr]') and name a Whisper model on this machine (evaluation.asr)."
)


def read_scores(evaluation: str | Path) -> dict[str, Any]:
    """Return ``scores.json`` of an evaluation directory.

    Raises
    ------
    UserError
        The file is missing or malformed, or a clip or row is not a valid file name.
    """
    path = Path(evaluation) / SCORES_FILE
    again = "score the test clips again (evaluate_systems.py)"
    scores = read_json(path, missing="score the test clips first (evaluate_systems.py)", remedy=again)
    _require_form(scores, _SCORES, path, "scores of systems", again)
    rows, configured, by_bin = scores["rows"], scores["configured"], scores["mel_mse_by_bin"]
    if configured not in rows:
        raise UserError(path, f"has no row of the configured system {configured!r}", again)
    for id in scores["clips"]:
        require_id(id, path)
    for row in rows:
        if not _ROW_NAME.fullmatch(row):
            raise UserError(path, f"{row[:100]!r} is not a valid row name", again)
        if len(by_bin["rows"].get(row, ())) != len(by_bin["frequencies_hz"]):
            raise UserError(path, f"does not have one error per mel bin for the row {row}", again)
    for phoneme, found in (scores.get("mel_mse_by_phoneme") or {}).items():
        if configured not in found["rows"]:
            raise UserError(path, f"has no error of the phoneme {phoneme!r} in the row {configured}", again)
    return scores


def vocoder_verdict(evaluation: str | Path) -> str | None:
    """Return the warning that the experiment's vocoder is worse than Griffin-Lim (`copy_synthesis.verdict`), or None.

    Raises
    ------
    UserError
        There is such a file, and it is malformed.
    """
    path = Path(evaluation) / COPY_SYNTHESIS_FILE
    if not path.exists():
        return None
    again = "judge the vocoder again (score_copy_synthesis.py)"
    content = require_type(read_json(path, missing=again, remedy=again), dict, "its content", path, again)
    return require_type(content.get("verdict"), str | None, "verdict", path, again)


def read_intelligibility(evaluation: str | Path) -> dict[str, Any] | None:
    """Return the result of `score_intelligibility`, or None if it was not run (`NOT_MEASURED`).

    Raises
    ------
    UserError
        There is such a file, and it is malformed.
    """
    path = Path(evaluation) / INTELLIGIBILITY_FILE
    if not path.exists():
        return None
    again = "score it again (score_intelligibility.py)"
    content = read_json(path, missing=again, remedy=again)
    _require_form(content, _INTELLIGIBILITY, path, "scores of intelligibility", again)
    return content


def _require_form(content: Any, schema: dict[str, Any], path: Path, what: str, remedy: str) -> None:
    """Refuse content that does not match a JSON schema."""
    fault = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(content))
    if fault is not None:
        where = ".".join(map(str, fault.absolute_path)) or "its content"
        raise UserError(path, f"holds no {what} ({where}: {fault.message})", remedy)
