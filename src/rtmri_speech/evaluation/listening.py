"""Counts the answers of a listening test (`report.listening`): mean opinion scores, or shares of preference."""

from __future__ import annotations

import csv
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.metrics import bootstrap_interval
from rtmri_speech.tables import markdown_table
from rtmri_speech.untrusted import read_text

KEY_COLUMNS = ["code", "system", "clip"]
ANSWER_COLUMNS = ["kind", "seed", "listener", "trial", "first", "second", "answer"]
"""Columns of the key, and of a file of answers."""

_PREFERRED = {"first": 1.0, "second": 0.0, "none": 0.5}
_REMEDY = "download the answers from the sheet again, and do not edit them"


@dataclass(frozen=True)
class Result:
    """Mean of what was answered, with its 95 % interval over listeners (over answers, if there is one listener).

    Attributes
    ----------
    name : the system, or ``a over b`` for a preference.
    mean, low, high : opinion scores from 1 to 5, or shares of answers; no preference counts half.
    """

    name: str
    mean: float
    low: float
    high: float
    answers: int
    listeners: int


def read_key(path: str | Path) -> dict[str, str]:
    """Return the system of each code.

    Raises
    ------
    UserError
        The file is missing, or is no key.
    """
    rows = _rows(Path(path), KEY_COLUMNS, "give the key.csv that make_listening_test.py wrote")
    return {row["code"]: row["system"] for row in rows}


def count_answers(key: Mapping[str, str], files: Iterable[str | Path]) -> list[Result]:
    """Return the result of every system (MOS) and of every two systems (AB), of the answers in ``files``.

    Raises
    ------
    UserError
        A file is no file of answers, belongs to another key, or the same listener answers a trial twice.
    """
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    systems = list(dict.fromkeys(key.values()))
    seen: set[tuple[str, ...]] = set()
    for path in map(Path, files):
        for row in _rows(path, ANSWER_COLUMNS, _REMEDY):
            codes = [row["first"], *([row["second"]] if row["kind"] == "ab" else [])]
            if unknown := [code for code in codes if code not in key]:
                raise UserError(path, f"has a sound that is not in the key ({unknown[0]})", "give the key of this test")
            if (answered := (row["listener"], *sorted(codes))) in seen:
                raise UserError(path, f"answers a trial of {row['listener']!r} a second time", "give each file once")
            seen.add(answered)
            name, value = _answer(path, row, [key[code] for code in codes], systems)
            found[name][row["listener"]].append(value)
    return [_result(name, found[name]) for name in sorted(found, key=lambda name: _place(name, systems))]


def _answer(path: Path, row: Mapping[str, str], heard: Sequence[str], systems: Sequence[str]) -> tuple[str, float]:
    answer = row["answer"]
    if row["kind"] == "mos" and answer in {"1", "2", "3", "4", "5"}:
        return heard[0], float(answer)
    if row["kind"] == "ab" and answer in _PREFERRED:
        first, second = heard
        value = _PREFERRED[answer]
        if systems.index(first) > systems.index(second):
            first, second, value = second, first, 1 - value
        return f"{first} over {second}", value
    raise UserError(path, f"has the answer {answer!r} to a trial of kind {row['kind']!r}", _REMEDY)


def _place(name: str, systems: Sequence[str]) -> int:
    names = [*systems, *(f"{a} over {b}" for a, b in itertools.combinations(systems, 2))]
    return names.index(name)


def _result(name: str, by_listener: Mapping[str, Sequence[float]]) -> Result:
    every = [value for values in by_listener.values() for value in values]
    units = [float(np.mean(values)) for values in by_listener.values()] if len(by_listener) > 1 else every
    low, high = bootstrap_interval(units)
    return Result(name, float(np.mean(units)), low, high, len(every), len(by_listener))


def results_table(results: Sequence[Result]) -> str:
    """Return the results as a Markdown table."""
    return markdown_table(
        ["", "mean", "95 % interval", "answers", "listeners"],
        (
            [one.name, f"{one.mean:.2f}", f"{one.low:.2f} – {one.high:.2f}", one.answers, one.listeners]
            for one in results
        ),
    )


def _rows(path: Path, columns: Sequence[str], remedy: str) -> list[dict[str, str]]:
    text = read_text(path, missing="check the path", remedy=remedy)
    table = csv.DictReader(text.splitlines())
    if table.fieldnames is None or list(table.fieldnames) != list(columns):
        raise UserError(path, f"does not have the columns {', '.join(columns)}", remedy)
    rows = list(table)
    if any(None in row or None in row.values() for row in rows):
        raise UserError(path, "has a line with too few or too many columns", remedy)
    return rows
