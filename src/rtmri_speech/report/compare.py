"""The page that compares experiments: settings, paired differences with verdicts, and their sounds side by side.

It is the results page with one row per experiment, whose clips are sorted by the change from the first one.
"""

from __future__ import annotations

import datetime
import html
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rtmri_speech.atomic import replacing_directory, save_text
from rtmri_speech.dataset.catalogue import read_catalogue
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.evaluation.further import COMPARED
from rtmri_speech.evaluation.metrics import paired_differences, summarise
from rtmri_speech.evaluation.scores import null_for_nan
from rtmri_speech.evaluation.systems import SOUNDS, TABLE_FILE, TITLES, scores_csv
from rtmri_speech.provenance import code_version
from rtmri_speech.report.comparison import comparison_cells, comparison_head
from rtmri_speech.report.experiments import (
    Finished,
    different_settings,
    incomparable,
    shared_clips,
    used_of,
)
from rtmri_speech.report.figures import draw_plots
from rtmri_speech.report.measures import MEASURES
from rtmri_speech.report.media import write_media, write_phones
from rtmri_speech.report.page import clip_facts, duration, page_data, tracked
from rtmri_speech.report.template import fill, note, scrolled, table

_FEW = 8
"""Clips below which intervals are too wide for small differences."""

_METHOD = (
    "Paired differences clip by clip. The intervals hold jointly for the measures of a table (95 %, bootstrap over"
    " clips, Bonferroni). A difference counts only if its whole interval is further from 0 than the spread of"
    " trainings that differ in their seed alone (column another seed, measured on one pair of trainings of the demo)."
)

Clips = Mapping[str, Mapping[str, float | None]]


def write_comparison(output: str | Path, experiments: Sequence[Finished], progress: Callable[[Any], Any] = iter) -> str:
    """Write ``index.html``, ``figures/`` and ``media/<id>/`` to ``output``; return the verdicts as sentences.

    Parameters
    ----------
    experiments : two or more; the others are compared with the first.
    progress : wraps the list of clips while their media are written.

    Raises
    ------
    UserError
        The experiments share fewer than two clips, or a sound is missing or damaged.
    """
    output, first = Path(output), experiments[0]
    ids, notes = shared_clips(experiments)
    reasons = incomparable(experiments)
    notes += [f"Not compared, {', '.join(_titles(start))}: {reason}." for start, reason in reasons.items()]
    scores, wavs = _merged(experiments, ids, tuple(reasons))
    spec = load_mel_spec(first.processed_dir)
    catalogue = read_catalogue(first.processed_dir)
    clips = []
    with replacing_directory(output / "media") as media:
        for id in progress(ids):
            sounds = {row: directory / f"{id}.wav" for row, directory in wavs.items()}
            f0_range = scores["settings"].get("f0_range_hz")
            write_media(media / id, id, first.processed_dir, sounds, spec, tracked(scores, list(wavs)), f0_range)
            clips.append(clip_facts(id, scores, catalogue, first.phonemes))
            write_phones(media / id, clips[-1])
    with replacing_directory(output / "figures") as figures:
        plots = draw_plots(scores, {}, figures)
    data = {**page_data(scores, list(wavs), clips, spec), "baseline": scores["baseline"], "table": TABLE_FILE}
    save_text(output / TABLE_FILE, scores_csv(scores))
    names = [one.name for one in experiments]
    judged = [_judged(first, other, ids, tuple(reasons)) for other in experiments[1:]]
    seconds = sum(clip["seconds"] for clip in scores["clips"].values())
    page = fill(
        data,
        scores,
        title=f"Comparison of {' and '.join(names)}",
        facts=[
            f"{len(ids)} clips in common, {duration(seconds)}",
            f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
            f"rtmri-speech {code_version()}",
        ],
        plots=plots,
        about=_about(experiments),
        comparison=_section([*notes, *_few(ids)], judged),
    )
    save_text(output / "index.html", page)
    return "\n".join([*notes, *_few(ids), *(sentence for sentence, _ in judged)])


def _titles(start: str) -> list[str]:
    return [measure.titled() for measure in MEASURES if measure.name.startswith(start) and measure.main]


def _few(ids: Sequence[str]) -> list[str]:
    if len(ids) >= _FEW:
        return []
    return [
        f"{len(ids)} clips are few: only large differences show (for the demo, compare --further clips of"
        " score_further_clips.py)."
    ]


def _merged(
    experiments: Sequence[Finished], ids: Sequence[str], left_out: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return scores with a row per experiment, then copy syntheses and floor, and the directory of each row's wavs."""
    first = experiments[0]
    chosen = [(_row_name(number, one), one.name, one, one.configured) for number, one in enumerate(experiments, 1)]
    for name, title, one in _vocoders(experiments, ids):
        chosen.append((name, title, one, "ceiling"))
    if "floor" in first.scores["rows"]:
        chosen.append(("floor", TITLES["floor"][0], first, "floor"))
    rows = {}
    for name, title, one, row in chosen:
        clips = {id: _kept(one.scores["rows"][row]["clips"][id], left_out) for id in ids}
        numbers = [
            {key: math.nan if value is None else value for key, value in clip.items()} for clip in clips.values()
        ]
        rows[name] = {
            "title": title,
            "note": one.scores["rows"][row]["note"],
            "clips": clips,
            "summary": null_for_nan(summarise(numbers)),
        }
    by_bin = first.scores["mel_mse_by_bin"]
    every = all(set(one.scores["clips"]) == set(ids) for one in experiments) and "mel_" not in left_out
    merged = {
        "configured": chosen[1][0],
        "baseline": chosen[0][0],
        "clips": {id: first.scores["clips"][id] for id in ids},
        "rows": rows,
        # Means over the clips of each experiment, which must be the same ones.
        "mel_mse_by_bin": {
            "frequencies_hz": by_bin["frequencies_hz"],
            "rows": {name: one.scores["mel_mse_by_bin"]["rows"][row] for name, _, one, row in chosen},
        }
        if every
        else None,
        "settings": first.scores["settings"],
    }
    return merged, {name: one.evaluation / SOUNDS / row for name, _, one, row in chosen}


def _row_name(number: int, one: Finished) -> str:
    """Name for files: that of the directory, unique by the number."""
    return f"{number}_{re.sub(r'[^A-Za-z0-9-]', '_', one.directory.name)}"


def _vocoders(experiments: Sequence[Finished], ids: Sequence[str]) -> list[tuple[str, str, Finished]]:
    """Name, title and experiment of each copy synthesis; those of equal vocoders are one."""
    first, *others = [one for one in experiments if "ceiling" in one.scores["rows"]] or [None]
    if first is None:
        return []
    values = [first.scores["rows"]["ceiling"]["clips"][id] for id in ids]
    different = [one for one in others if [one.scores["rows"]["ceiling"]["clips"][id] for id in ids] != values]
    if not different:
        return [("ceiling", TITLES["ceiling"][0], first)]
    names = ["ceiling", *(f"ceiling_{number}" for number in range(2, len(different) + 2))]
    return [(name, f"{one.name}: copy synthesis", one) for name, one in zip(names, [first, *different], strict=True)]


def _kept(clip: Mapping[str, float | None], left_out: tuple[str, ...]) -> dict[str, float | None]:
    return {name: value for name, value in clip.items() if not name.startswith(left_out or ("\0",))}


def _judged(first: Finished, other: Finished, ids: Sequence[str], left_out: tuple[str, ...]) -> tuple[str, str]:
    """Verdicts on ``other`` against ``first``: as a sentence, and as HTML with the tables."""

    def clips(one: Finished, row: str) -> Clips:
        return {id: _kept(one.scores["rows"][row]["clips"][id], left_out) for id in ids}

    ours, theirs = clips(other, other.configured), clips(first, first.configured)
    known = {name for clip in ours.values() for name in clip}
    judged = [name for name in COMPARED if name in known]
    others = [measure.name for measure in MEASURES if measure.name in known and measure.name not in COMPARED]
    head = comparison_head(other.name, first.name)

    def compared(title: str, ours: Clips, theirs: Clips, names: Sequence[str]) -> tuple[list[list[str]], str]:
        cells = comparison_cells(paired_differences(ours, theirs, names))
        return cells, scrolled(title or "Paired differences", table(title, cells, head, "times"))

    cells, shown = compared("", ours, theirs, judged)
    sentence = f"{other.name} against {first.name}: {_in_words(cells)}."
    parts = [f'<p class="verdict">{html.escape(sentence)}</p>', shown]
    if all("ceiling" in one.scores["rows"] for one in (first, other)):
        copies = clips(other, "ceiling"), clips(first, "ceiling")
        if copies[0] == copies[1]:
            parts.append(note("Copy synthesis is the same in both: the change is due to the mel generator."))
        else:
            parts.append(compared("Copy synthesis alone: the change that is due to the vocoder", *copies, judged)[1])
    if others:
        found = compared("", ours, theirs, others)[1]
        parts.append(f"<details><summary>All other measures, not judged</summary>{found}</details>")
    return sentence, "".join(parts)


def _in_words(cells: Sequence[Sequence[str]]) -> str:
    """The verdicts of a table as words: what is better, worse, and not different."""
    by_verdict = {
        word: [row[0].partition(",")[0] for row in cells if row[-1] == word]
        for word in ("better", "worse", "no difference")
    }
    return "; ".join(
        f"{word}{' in' if word != 'no difference' else ':'} {', '.join(titles)}"
        for word, titles in by_verdict.items()
        if titles
    )


def _section(notes: Sequence[str], judged: Sequence[tuple[str, str]]) -> str:
    parts = [*map(note, notes), *(found for _, found in judged), note(_METHOD)]
    heading = '<h2 id="comparison-title">Comparison</h2>'
    return f'<section aria-labelledby="comparison-title">{heading}{"".join(parts)}</section>'


def _about(experiments: Sequence[Finished]) -> list[str]:
    """Tables of the settings that differ, and of what one experiment uses of another."""
    names = [one.name for one in experiments]
    parts = []
    if unknown := [one.name for one in experiments if not one.results.settings]:
        parts.append(note(f"No settings.json, so the settings are unknown: {', '.join(unknown)}."))
    rows = different_settings([one for one in experiments if one.results.settings or one.records])
    parts.append(_listed("Settings that differ", rows, ["setting", *names], "No setting differs, as far as is known."))
    used = [
        [one.name, other.name, what]
        for one in experiments
        for other in experiments
        if one is not other
        for what in used_of(one, other)
    ]
    none = "No experiment uses files of another, as far as is known."
    parts.append(_listed("What one uses of another", used, ["experiment", "of", "what"], none))
    return parts


def _listed(title: str, rows: Sequence[Sequence[str]], head: Sequence[str], none: str) -> str:
    return scrolled(title, table(title, rows, head)) if rows else note(none)
