"""Fills the template of the pages: one file with inline style, script and data, and tables of plain text."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from rtmri_speech.report.measures import f0_range_note, floor_voicing_note, known_measures

_WIDE_PLOTS = {"systems"}


def fill(
    data: Mapping[str, Any],
    scores: Mapping[str, Any],
    *,
    title: str,
    facts: Sequence[str],
    plots: Mapping[str, str],
    about: Sequence[str],
    comparison: str = "",
    intelligibility: str = "",
    maps: str = "",
) -> str:
    """Return the HTML of a page.

    Parameters
    ----------
    data : of the script (`page.page_data`).
    scores : as in ``scores.json``.
    facts : the line under the title, plain text.
    plots : name of each plot in ``figures/`` to its caption.
    about, comparison, intelligibility, maps : HTML; ``comparison`` comes first on the page.
    """
    directory = Path(__file__).parent
    style, script, page = (
        (directory / name).read_text(encoding="utf-8") for name in ("page.css", "page.js", "page.html")
    )
    # Escaped, so that the data cannot close its script element.
    safe = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return Template(page).substitute(
        title=html.escape(title),
        facts=html.escape(" · ".join(facts)),
        style=style.strip(),
        script=script.strip(),
        data=safe,
        comparison=comparison,
        intelligibility=intelligibility,
        maps=maps,
        definitions=_definitions(scores),
        plots="\n".join(_plot(name, caption) for name, caption in plots.items()),
        about="\n".join(about),
    )


def table(title: str, rows: Sequence[Sequence[str]], head: Sequence[str] = (), kind: str = "") -> str:
    """Return a table of plain text, with a title unless that is empty; the first cell of a row is its heading.

    Parameters
    ----------
    kind : class of the table.
    """

    def cells(row: Sequence[str]) -> str:
        return f'<th scope="row">{html.escape(row[0])}</th>' + "".join(f"<td>{html.escape(v)}</td>" for v in row[1:])

    top = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    lines = "".join(f"<tr>{cells(row)}</tr>" for row in rows)
    return (
        (f"<div><h3>{html.escape(title)}</h3>" if title else "<div>")
        + f'<table class="{kind}">'
        + (f"<thead><tr>{top}</tr></thead>" if head else "")
        + f"<tbody>{lines}</tbody></table></div>"
    )


def scrolled(label: str, content: str) -> str:
    """Return HTML that scrolls sideways on a narrow screen."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(label)}">{content}</div>'


def details(title: str, content: Any) -> str:
    """Return JSON values that unfold when their title is clicked."""
    listed = html.escape(json.dumps(content, indent=2, ensure_ascii=False))
    return f'<details class="wide"><summary>{html.escape(title)}</summary><pre>{listed}</pre></details>'


def note(text: str) -> str:
    """Return a paragraph of small plain text."""
    return f'<p class="note">{html.escape(text)}</p>'


def _definitions(scores: Mapping[str, Any]) -> str:
    """Definition and caveats of each measure."""
    entries = [
        f"<dt>{html.escape(m.titled())}</dt>"
        f"<dd>{html.escape(m.meaning)}.{html.escape(f' Caution: {m.doubt}.' if m.doubt else '')}</dd>"
        for m in known_measures(scores)
    ]
    limits = html.escape(" ".join(filter(None, [f0_range_note(scores["settings"]), floor_voicing_note(scores)])))
    return (
        "<details><summary>What the measures mean, and their limits</summary>"
        f"<p>{limits}</p><dl>{''.join(entries)}</dl></details>"
    )


def _plot(name: str, caption: str) -> str:
    wide = ' class="wide"' if name in _WIDE_PLOTS else ""
    caption = html.escape(caption)
    return (
        f'<figure{wide}><picture><source srcset="figures/{name}_dark.png" media="(prefers-color-scheme: dark)">'
        f'<img src="figures/{name}_light.png" alt="{caption}" loading="lazy"></picture>'
        f"<figcaption>{caption}</figcaption></figure>"
    )
