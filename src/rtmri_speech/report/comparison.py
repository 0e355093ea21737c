"""Table of the paired differences of two systems, with a verdict on each."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rtmri_speech.evaluation.further import TRAINING_SPREAD
from rtmri_speech.report.measures import MEASURES
from rtmri_speech.tables import markdown_table, shown

NOT_JUDGED = "not judged"
"""Verdict on a measure whose spread between seeds was not measured."""

_MEASURES = {measure.name: measure for measure in MEASURES}

_COLUMNS = ("difference", "interval", "another seed", "clips")


def verdict(metric: str, difference: Mapping[str, float | None]) -> str:
    """Return ``better``, ``worse`` or ``no difference``, for ours against theirs, or `NOT_JUDGED`.

    A difference counts if its whole interval is further from 0 than the spread between seeds (`TRAINING_SPREAD`).

    Parameters
    ----------
    difference : of `paired_differences`.
    """
    if metric not in TRAINING_SPREAD:
        return NOT_JUDGED
    low, high, spread = difference["low"], difference["high"], TRAINING_SPREAD[metric]
    if low is None or high is None or math.isnan(low) or (low <= spread and high >= -spread):
        return "no difference"
    return "better" if (low > 0) == (_MEASURES[metric].better == "higher") else "worse"


def comparison_head(ours: str, theirs: str) -> list[str]:
    """Return the heading of the table of `comparison_cells`."""
    return [f"{ours} minus {theirs}", *_COLUMNS, f"{ours} is"]


def comparison_cells(differences: Mapping[str, Mapping[str, float | None]]) -> list[list[str]]:
    """Return a row of text for each metric: title, difference, interval, spread between seeds, clips, verdict.

    Parameters
    ----------
    differences : of `paired_differences`.
    """
    rows = []
    for metric, found in differences.items():
        measure = _MEASURES[metric]
        mean, low, high = (shown(found[key], measure.digits + 1) for key in ("mean", "low", "high"))
        spread = f"± {TRAINING_SPREAD[metric]:g}" if metric in TRAINING_SPREAD else "–"
        rows.append([measure.titled(), mean, f"{low} to {high}", spread, str(found["n"]), verdict(metric, found)])
    return rows


def comparison_table(differences: Mapping[str, Mapping[str, float | None]], theirs: str) -> str:
    """Return the differences as a Markdown table, one metric per line.

    Parameters
    ----------
    differences : of `paired_differences`.
    theirs : name of the compared system.
    """
    return markdown_table(comparison_head("ours", theirs), comparison_cells(differences))
