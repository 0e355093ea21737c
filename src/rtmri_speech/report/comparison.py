"""Table of the paired differences of two systems, with a verdict on each."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rtmri_speech.evaluation.further import TRAINING_SPREAD
from rtmri_speech.report.measures import MEASURES, shown

_MEASURES = {measure.name: measure for measure in MEASURES}


def verdict(metric: str, difference: Mapping[str, float | None]) -> str:
    """Return ``better``, ``worse`` or ``no difference``, for ours against theirs.

    A difference counts if its whole interval is further from 0 than the spread between seeds (`TRAINING_SPREAD`).

    Parameters
    ----------
    difference : of `paired_differences`.
    """
    low, high, spread = difference["low"], difference["high"], TRAINING_SPREAD[metric]
    if low is None or high is None or math.isnan(low) or (low <= spread and high >= -spread):
        return "no difference"
    return "better" if (low > 0) == (_MEASURES[metric].better == "higher") else "worse"


def comparison_table(differences: Mapping[str, Mapping[str, float | None]], theirs: str) -> str:
    """Return the differences as a Markdown table, one metric per line.

    Parameters
    ----------
    differences : of `paired_differences`.
    theirs : name of the compared system.
    """
    lines = [
        f"| ours minus {theirs} | difference | interval | another seed | clips | ours is |",
        "|---|---|---|---|---|---|",
    ]
    for metric, found in differences.items():
        measure = _MEASURES[metric]
        mean, low, high = (shown(found[key], measure.digits + 1) for key in ("mean", "low", "high"))
        spread = f"± {TRAINING_SPREAD[metric]:g}"
        lines.append(
            f"| {measure.titled()} | {mean} | {low} to {high} | {spread} | {found['n']} | {verdict(metric, found)} |"
        )
    return "\n".join(lines)
