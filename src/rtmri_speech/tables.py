"""Tables in Markdown, and the text of their numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

UNDEFINED = "–"


def shown(value: float | None, digits: int) -> str:
    """Format a value, with a true minus sign; a dash if undefined."""
    if value is None or math.isnan(value):
        return UNDEFINED
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def with_interval(summary: Mapping[str, float | None] | None, digits: int) -> str:
    """Format the ``mean`` of a summary with ``low`` and ``high`` in brackets, where they are defined."""
    if summary is None:
        return UNDEFINED
    mean, low, high = (shown(summary[key], digits) for key in ("mean", "low", "high"))
    return mean if UNDEFINED in (mean, low) else f"{mean} ({low} – {high})"


def markdown_table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a table with a heading, one row per line, without a final newline."""
    head = list(head)
    lines: list[Iterable[object]] = [head, ["---"] * len(head), *rows]
    escaped = ([str(cell).replace("|", "\\|") for cell in cells] for cells in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)
