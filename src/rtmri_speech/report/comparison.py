"""Paired differences of two systems for readers: a table, and whether each is a difference at all."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rtmri_speech.report.measures import MEASURES, shown

_MEASURES = {measure.name: measure for measure in MEASURES}


def verdict(metric: str, difference: Mapping[str, float | None]) -> str:
    """Return ``better``, ``worse`` or ``no difference``, of ours against theirs.

    A difference counts when its interval leaves out 0.

    Parameters
    ----------
    difference : of `paired_differences`.
    """
    low, high = difference["low"], difference["high"]
    if low is None or high is None or math.isnan(low) or low <= 0 <= high:
        return "no difference"
    return "better" if (low > 0) == (_MEASURES[metric].better == "higher") else "worse"


def comparison_table(differences: Mapping[str, Mapping[str, float | None]], theirs: str) -> str:
    """Return the differences as a Markdown table, a metric a line.

    Parameters
    ----------
    differences : of `paired_differences`.
    theirs : what ours is compared with.
    """
    lines = [f"| ours less {theirs} | difference | interval | clips | ours is |", "|---|---|---|---|---|"]
    for metric, found in differences.items():
        measure = _MEASURES[metric]
        mean, low, high = (shown(found[key], measure.digits + 1) for key in ("mean", "low", "high"))
        title = measure.title + (f", {measure.unit}" if measure.unit else "")
        lines.append(f"| {title} | {mean} | {low} to {high} | {found['n']} | {verdict(metric, found)} |")
    return "\n".join(lines)
