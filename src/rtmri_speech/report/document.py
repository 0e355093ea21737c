"""The results as a Markdown document to commit and cite, with date, commit and type of machine."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.evaluation.intelligibility import intelligibility_note, intelligibility_table
from rtmri_speech.evaluation.leak import caution
from rtmri_speech.evaluation.systems import SCORES_FILE, TITLES
from rtmri_speech.evaluation.vowels import formant_table
from rtmri_speech.provenance import code_version, package_versions
from rtmri_speech.report.comparison import comparison_table
from rtmri_speech.report.facts import machine_kind, split_sizes, stage_times
from rtmri_speech.report.faithfulness import faithfulness_table
from rtmri_speech.report.measures import MEASURES, Measure, f0_range_note, floor_voicing_note, span
from rtmri_speech.report.page import Experiment, duration, read_scores
from rtmri_speech.report.scores import NOT_MEASURED, read_intelligibility, vocoder_verdict
from rtmri_speech.tables import markdown_table, shown, with_interval

_CEILING_MEASURES = ("estoi", "pesq_wb", "f0_correlation")
"""Measures reported as a share of the way from mean mel (floor) to copy synthesis (ceiling)."""


def results_document(experiment: Experiment, command: str) -> str:
    """Return the document.

    Parameters
    ----------
    command : the command that writes it, quoted in the document.

    Raises
    ------
    UserError
        There are no scores.
    """
    scores = read_scores(experiment.evaluation)
    sizes = split_sizes(experiment.processed_dir, load_mel_spec(experiment.processed_dir))
    configured = scores["rows"][scores["configured"]]
    measures = [m for m in MEASURES if m.name in configured["summary"]]
    main, rest = [m for m in measures if m.main], [m for m in measures if not m.main]
    versions = ", ".join(f"{name} {version}" for name, version in package_versions().items())
    libraries = ", ".join(f"{name} {version}" for name, version in scores["settings"]["libraries"].items())
    corpus = experiment.settings.get("corpus", {}).get("source", "unknown")
    parts = [
        "# Results",
        f"Written by `{command}`; do not edit it by hand.",
        markdown_table(
            ["", ""],
            [
                ["date", f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"],
                ["code", f"rtmri-speech {code_version()}"],
                ["machine", machine_kind()],
                ["packages", versions],
                ["metrics", libraries],
                ["corpus", corpus],
                *([f"{split} clips", f"{size.clips}, {duration(size.seconds)}"] for split, size in sizes.items()),
                ["vocoder", _vocoders(scores["settings"])],
            ],
        ),
        "## Scores of the test clips",
        "Mean over the test clips and its 95 % bootstrap interval. The first row is the system as configured"
        f" (context `{scores['configured']}`). ↑ higher is better, ↓ lower is better; definitions are in"
        " `src/rtmri_speech/evaluation/metrics.py`, and how to interpret them in [scores.md](scores.md).",
        f0_range_note(scores["settings"]),
        floor_voicing_note(scores),
        *filter(None, [caution(scores["settings"].get("not_held_out", [])), vocoder_verdict(experiment.evaluation)]),
        *_intelligibility(read_intelligibility(experiment.evaluation)),
        _scores(scores, main),
        _share_of_ceiling(scores),
        "The rows:",
        "\n".join(f"- **{row['title']}**: {row['note']}." for row in scores["rows"].values()),
        *_further(experiment.evaluation.parent / "further", main),
        "## All other metrics",
        "Means over the test clips; intervals and medians are in `scores.json`.",
        markdown_table(
            ["", *(row["title"] for row in scores["rows"].values())],
            [[_heading(m), *(shown(_mean(row, m), m.digits) for row in scores["rows"].values())] for m in rest],
        ),
        "## Clip by clip",
        f"The row *{configured['title']}*.",
        markdown_table(
            ["clip", *map(_heading, main)],
            [
                [id, *(shown(values.get(m.name), m.digits) for m in main)]
                for id, values in sorted(configured["clips"].items())
            ],
        ),
    ]
    if (errors := experiment.evaluation / "mel_errors.json").exists():
        parts += ["## Errors of the mel generator", *_mel_errors(json.loads(errors.read_text(encoding="utf-8")))]
    if (formants := experiment.evaluation / "formants" / "formants.json").exists():
        parts += [
            "## Formants of the vowels",
            "Of the test clips' vowels against the recordings (`snakemake evaluation`): mean absolute and mean"
            " difference in Hz, with 95 % bootstrap intervals over the clips; see [scores.md](scores.md#formants).",
            formant_table(
                json.loads(formants.read_text(encoding="utf-8")), {name: title for name, (title, _) in TITLES.items()}
            ),
        ]
    if (averages := experiment.evaluation.parent / "gradcam" / "aggregate" / "aggregate.json").exists():
        findings = json.loads(averages.read_text(encoding="utf-8"))["findings"]
        parts += [
            f"## Where the maps find the formant bands ({experiment.map_title})",
            "Average maps of the test clips over the regions of the head in `explain.regions`:",
            "\n".join(f"- {finding}" for finding in findings),
        ]
    if (measures := experiment.evaluation.parent / "faithfulness" / "faithfulness.json").exists():
        parts += [
            "## How far the maps can be believed",
            "Maps of the test clips' formant bands by several methods, with 95 % bootstrap intervals over the clips"
            " (`snakemake faithfulness`). [explanation.md](explanation.md) says what each column means. ↑ higher is"
            " better, ↓ lower is better.",
            faithfulness_table(json.loads(measures.read_text(encoding="utf-8"))),
        ]
    if experiment.benchmarks and (times := stage_times(experiment.benchmarks)):
        parts += [
            "## Time and memory of the stages",
            "From Snakemake's benchmark files: wall-clock and CPU seconds, summed over the rule's jobs, and the maximum"
            " memory of one job. For a resumed training, only the last run is counted.",
            markdown_table(
                ["rule", "jobs", "s", "CPU s", "MB"],
                [
                    [f"`{rule}`", t.jobs, f"{t.seconds:.0f}", f"{t.cpu_seconds:.0f}", f"{t.memory_mb:.0f}"]
                    for rule, t in sorted(times.items(), key=lambda item: -item[1].seconds)
                ],
            ),
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _further(directory: Path, measures: Sequence[Measure]) -> list[str]:
    """Scores of further clips, if any, and the comparison with another system."""
    if not (directory / SCORES_FILE).exists():
        return []
    scores = read_scores(directory)
    return [
        f"## Scores of {len(scores['clips'])} further clips",
        "The demo has few test clips; these are generated from another seed"
        " (`workflow/scripts/score_further_clips.py`), and are the ones to judge the demo on.",
        _scores(scores, measures),
        *(comparison_table(found, TITLES[row][0].lower()) for row, found in scores.get("compared", {}).items()),
    ]


def _intelligibility(scores: Mapping[str, Any] | None) -> list[str]:
    """The intelligibility table, or how to enable it."""
    if scores is None:
        return [NOT_MEASURED]
    return [intelligibility_table(scores), intelligibility_note(scores)]


_F0_COLUMNS = {"f0_correlation": 3, "f0_rmse_cents": 0, "vuv_error": 3}
"""Columns of the table of F0 and their digits."""


def _mel_errors(errors: Mapping[str, Any]) -> Iterable[str]:
    """One table per split, with the share of the mean mel's error in brackets."""
    yield (
        "Mean squared error of the standardised mel on clips outside the training split (the checkpoint was selected"
        " on validation), and in brackets its share of the mean mel's; definitions are in"
        " `src/rtmri_speech/evaluation/mel_generator.py`."
    )
    for split, scores in errors.items():
        floor = scores["systems"]["mean mel"]
        yield markdown_table(
            [f"{split}: {scores['clips']} clips, {scores['frames']} frames", "all frames", "speech frames"],
            [
                [name, *(f"{error[frames]:.4f} ({error[frames] / floor[frames]:.3f})" for frames in ("all", "speech"))]
                for name, error in scores["systems"].items()
            ],
        )
    if not any(scores.get("f0") for scores in errors.values()):
        return
    yield (
        "F0 that the picture holds, without a model or a vocoder: ridge regression of the recording's F0 (WORLD), over"
        " the speech frames. A system whose F0 correlation is below it loses what the picture shows. WORLD itself errs"
        " in recordings from the scanner: a V/UV error near that of a voice in every frame says little."
    )
    for split, scores in errors.items():
        if scores.get("f0"):
            yield markdown_table(
                [f"{split}: {scores['clips']} clips", "F0 correlation", "F0 RMSE, cents", "V/UV error"],
                [
                    [name, *(shown(error[key], digits) for key, digits in _F0_COLUMNS.items())]
                    for name, error in scores["f0"].items()
                ],
            )


def _vocoders(settings: Mapping[str, Any]) -> str:
    base = settings.get("base_vocoder")
    return f"{settings.get('vocoder')}, " + (f"fine-tuned from {base}" if base else "trained from scratch")


def _scores(scores: Mapping[str, Any], measures: Sequence[Measure]) -> str:
    return markdown_table(
        ["system", *map(_heading, measures)],
        [
            [row["title"], *(with_interval(row["summary"].get(one.name), one.digits) for one in measures)]
            for row in scores["rows"].values()
        ],
    )


def _mean(row: Mapping[str, Any], measure: Measure) -> float | None:
    return row["summary"].get(measure.name, {}).get("mean")


def _heading(measure: Measure) -> str:
    arrow = {"higher": " ↑", "lower": " ↓", "zero": ""}[measure.better]
    return f"{measure.titled()}{arrow}"


def _share_of_ceiling(scores: Mapping[str, Any]) -> str:
    """Position of the configured system between floor and ceiling, and the measures for which it is undefined."""
    if not {"floor", "ceiling"} <= scores["rows"].keys():
        return ""
    shares, spanless = [], []
    for measure in MEASURES:
        ours = _mean(scores["rows"][scores["configured"]], measure)
        if measure.name not in _CEILING_MEASURES or ours is None:
            continue
        title = measure.title.rstrip(".")
        if (ends := span(measure, scores["rows"])) is None:
            spanless.append(title)
        else:
            shares.append(f"{100 * (ours - ends[0]) / (ends[1] - ends[0]):.0f} % in {title}")
    sentences = []
    if shares:
        sentences.append(f"Between floor (0 %) and ceiling (100 %), the first row is at {', '.join(shares)}.")
    if spanless:
        sentences.append(
            f"{', '.join(spanless)} cannot be given this way: floor or ceiling is undefined, or the ceiling is not"
            " better than the floor beyond the intervals."
        )
    return " ".join(sentences)
