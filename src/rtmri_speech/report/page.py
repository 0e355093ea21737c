"""The results page: a folder with ``index.html`` and media that opens from disk, to view, listen and compare."""

from __future__ import annotations

import datetime
import html
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from rtmri_speech.atomic import replacing, replacing_directory, save_text
from rtmri_speech.dataset.catalogue import Catalogue, read_catalogue
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import Sample, open_sample
from rtmri_speech.evaluation.intelligibility import intelligibility_note, table_cells
from rtmri_speech.evaluation.leak import caution
from rtmri_speech.evaluation.phonemes import find_phonemes, read_phonemes, spoken_text
from rtmri_speech.evaluation.systems import SOUNDS, TITLES
from rtmri_speech.provenance import code_version, inputs_digest, package_versions
from rtmri_speech.report.facts import machine_kind, split_sizes, stage_times
from rtmri_speech.report.figures import draw_mel, draw_plots
from rtmri_speech.report.measures import MEASURES, Measure, f0_range_note, floor_voicing_note, span
from rtmri_speech.report.scores import NOT_MEASURED, read_intelligibility, read_scores, vocoder_verdict
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.video import write_video

ORIGINAL = ("original", "Original", "the recording")
TITLE = "rtMRI to speech"
HELD_OUT = {
    "clip": "test clips held out, whatever they say",
    "text": "test sentences held out",
    "speaker": "test speakers held out",
    "recording": "test recordings, or blocks of one, held out",
}
"""What training has not seen, by what the split keeps together."""

_TICKS_HZ = (300, 1000, 2000, 4000, 8000)
_WIDE_PLOTS = {"systems"}
_DIGITS = 5
"""Significant digits of the numbers in the page's data; fewer are shown."""


@dataclass(frozen=True)
class Experiment:
    """Paths of an experiment's artifacts.

    Attributes
    ----------
    processed_dir : the dataset.
    evaluation : directory of ``scores.json`` and ``sounds``.
    logs : ``acoustic`` and ``vocoder`` to their TensorBoard directories, if any.
    films : directory with ``<id>/*.mp4`` of the Grad-CAM, or None.
    phonemes : directory of phoneme files (`evaluation.phonemes`), or None.
    benchmarks : Snakemake's benchmark files, or None.
    settings : the configuration.
    records : provenance of each stage (`rtmri_speech.provenance`).
    """

    processed_dir: Path
    evaluation: Path
    logs: Mapping[str, Path] = field(default_factory=dict)
    films: Path | None = None
    phonemes: Path | None = None
    benchmarks: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    records: Sequence[Mapping[str, Any]] = ()

    @cached_property
    def catalogue(self) -> Catalogue:
        """What is known of the clips beside their files."""
        return read_catalogue(self.processed_dir)


def write_page(output: str | Path, experiment: Experiment, progress: Callable[[Any], Any] = iter) -> None:
    """Write ``index.html``, ``figures/`` and ``media/<id>/`` to ``output``.

    Parameters
    ----------
    progress : wraps the list of clips while their media are written.

    Raises
    ------
    UserError
        Scores, a clip's samples or a wav are missing or damaged.
    """
    output = Path(output)
    scores = read_scores(experiment.evaluation)
    spec = load_mel_spec(experiment.processed_dir)
    rows = list(scores["rows"])
    sources = [scores["configured"], *(row for row in rows if row not in (scores["configured"], "ceiling"))]
    sources = ["ceiling", *sources] if "ceiling" in rows else sources
    with replacing_directory(output / "media") as media:
        clips = [_clip(media / id, id, sources, scores, experiment, spec) for id in progress(list(scores["clips"]))]
    plots = draw_plots(scores, experiment.logs, output / "figures", experiment.phonemes is not None)
    save_text(output / "index.html", render(page_data(scores, sources, clips, spec), plots, experiment, scores))


def page_data(
    scores: Mapping[str, Any], sources: Sequence[str], clips: Sequence[Mapping[str, Any]], spec: MelSpec
) -> dict[str, Any]:
    """Return the data of the page's script.

    Parameters
    ----------
    sources : playable rows, after the original.
    clips : ``id``, ``seconds`` and, if known, ``text``, ``phonemes`` and ``films`` of each clip.
    """
    measures = _known_measures(scores)
    centres = spec.centre_frequencies()
    playable = [ORIGINAL, *((row, *TITLES.get(row, (row, ""))) for row in sources)]
    return {
        "configured": scores["configured"],
        "frame_rate": float(spec.frame_rate),
        "frequency_ticks": [
            [
                f"{hertz:g} Hz",
                round((float(np.interp(hertz, centres, np.arange(len(centres)))) + 0.5) / len(centres), 4),
            ]
            for hertz in _TICKS_HZ
            if centres[0] <= hertz <= centres[-1]
        ],
        "measures": [
            {
                **{key: getattr(m, key) for key in ("name", "title", "unit", "better", "digits", "main", "meaning")},
                "span": span(m, scores["rows"]),
            }
            for m in measures
        ],
        "rows": [
            {
                "name": name,
                "title": row["title"],
                "note": row["note"],
                "summary": [
                    [
                        *(_rounded(row["summary"][m.name][key]) for key in ("mean", "low", "high")),
                        row["summary"][m.name]["n"],
                    ]
                    if m.name in row["summary"]
                    else None
                    for m in measures
                ],
            }
            for name, row in scores["rows"].items()
        ],
        "sources": [{"name": name, "title": title, "note": note} for name, title, note in playable],
        "clips": [
            {
                **clip,
                "scores": {
                    name: [_rounded(row["clips"].get(clip["id"], {}).get(m.name)) for m in measures]
                    for name, row in scores["rows"].items()
                },
            }
            for clip in clips
        ],
    }


def _known_measures(scores: Mapping[str, Any]) -> list[Measure]:
    return [m for m in MEASURES if any(m.name in row["summary"] for row in scores["rows"].values())]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")


def _clip(
    media: Path, id: str, sources: Sequence[str], scores: Mapping[str, Any], experiment: Experiment, spec: MelSpec
) -> dict[str, Any]:
    """Write the media of one clip; return its entry in the page's data."""
    sample = open_sample(experiment.processed_dir, id)
    write_video(_made(media / "video.mp4"), _gray(sample), spec.frame_rate)
    wavs = {ORIGINAL[0]: experiment.processed_dir / "wavs" / f"{id}.wav"}
    wavs |= {row: experiment.evaluation / SOUNDS / row / f"{id}.wav" for row in sources}
    mels = {}
    for name, wav in wavs.items():
        mels[name] = spec.db(spec.mel(read_audio(wav, sampling_rate=spec.sampling_rate)))
        _copy(wav, media / f"{name}.wav")
    for name, mel_db in mels.items():
        draw_mel(media / f"{name}.png", mel_db, mels[ORIGINAL[0]].max())
    clip: dict[str, Any] = {
        "id": id,
        "title": experiment.catalogue.title(id),
        "seconds": round(scores["clips"][id]["seconds"], 4),
    }
    if films := _films(experiment.films, id, media):
        clip["films"] = films
    if experiment.phonemes and (path := find_phonemes(experiment.phonemes, id)):
        clip["phonemes"] = [[s.phoneme, round(s.start, 3), round(s.end, 3)] for s in read_phonemes(path)]
        if path.suffix == ".json" and (text := spoken_text(path)):
            clip["text"] = text
    return clip


def _gray(sample: Sample) -> np.ndarray:
    """Frames as uint8; the lab's are floats in [0, 1]."""
    return sample.mri if sample.mri.dtype == np.uint8 else np.rint(sample.mri * 255).astype(np.uint8)


def _films(directory: Path | None, id: str, media: Path) -> list[list[str]]:
    """Copy the clip's Grad-CAM films; return each one's file name on the page and its title."""
    films = []
    for path in sorted((directory / id).glob("*.mp4")) if directory else []:
        name = f"film_{path.name}"
        _copy(path, media / name)
        films.append([name, path.stem.removeprefix("gradcam_").replace("_", " ")])
    return films


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def render(data: Mapping[str, Any], plots: Mapping[str, str], experiment: Experiment, scores: Mapping[str, Any]) -> str:
    """Return the HTML of the page, with inline style, script and data.

    Parameters
    ----------
    data : `page_data`.
    plots : name of each plot in ``figures/`` to its caption.
    """
    directory = Path(__file__).parent
    style, script, page = (
        (directory / name).read_text(encoding="utf-8") for name in ("page.css", "page.js", "page.html")
    )
    spec = load_mel_spec(experiment.processed_dir)
    sizes = split_sizes(experiment.processed_dir, spec)
    now = datetime.datetime.now(datetime.UTC)
    facts = [
        f"{sizes['test'].clips} test clips, {duration(sizes['test'].seconds)}",
        f"trained on {sizes['training'].clips} clips, {duration(sizes['training'].seconds)}",
        HELD_OUT[experiment.catalogue.by],
        f"{now:%Y-%m-%d %H:%M} UTC",
        f"rtmri-speech {code_version()}",
    ]
    if warning := caution(scores["settings"].get("not_held_out", [])):
        facts.append(warning)
    if warning := vocoder_verdict(experiment.evaluation):
        facts.append(warning)
    # Escaped, so that the data cannot close its script element.
    safe = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return Template(page).substitute(
        title=TITLE,
        facts=html.escape(" · ".join(facts)),
        style=style.strip(),
        script=script.strip(),
        data=safe,
        intelligibility=_intelligibility(experiment.evaluation),
        definitions=_definitions(scores),
        plots="\n".join(_plot(name, caption) for name, caption in plots.items()),
        about="\n".join(_about(experiment, scores, sizes)),
    )


def _intelligibility(evaluation: Path) -> str:
    """The intelligibility table, or how to enable it."""
    scores = read_intelligibility(evaluation)
    if scores is None:
        return f'<p class="note">{html.escape(NOT_MEASURED)}</p>'
    head, lines = table_cells(scores)
    note = html.escape(intelligibility_note(scores))
    return f'{_table("Intelligibility", lines, head, "times")}<p class="note">{note}</p>'


def _definitions(scores: Mapping[str, Any]) -> str:
    """Definition and caveats of each measure."""
    entries = [
        f"<dt>{html.escape(m.title)}{html.escape(f', {m.unit}' if m.unit else '')}</dt>"
        f"<dd>{html.escape(m.meaning)}.{html.escape(f' Caution: {m.doubt}.' if m.doubt else '')}</dd>"
        for m in _known_measures(scores)
    ]
    note = html.escape(" ".join(filter(None, [f0_range_note(scores["settings"]), floor_voicing_note(scores)])))
    return (
        "<details><summary>What the measures mean, and their limits</summary>"
        f"<p>{note}</p><dl>{''.join(entries)}</dl></details>"
    )


def _plot(name: str, caption: str) -> str:
    wide = ' class="wide"' if name in _WIDE_PLOTS else ""
    caption = html.escape(caption)
    return (
        f'<figure{wide}><picture><source srcset="figures/{name}_dark.png" media="(prefers-color-scheme: dark)">'
        f'<img src="figures/{name}_light.png" alt="{caption}" loading="lazy"></picture>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _about(experiment: Experiment, scores: Mapping[str, Any], sizes: Mapping[str, Any]) -> list[str]:
    settings = scores["settings"]
    configured = scores["rows"][scores["configured"]]
    times = stage_times(experiment.benchmarks) if experiment.benchmarks else {}
    trained = {name: times[rule].seconds for name, rule in _TRAININGS.items() if rule in times}
    run = {
        "Main system": f"{configured['title']} ({scores['configured']}): {configured['note']}",
        "Vocoder": settings.get("vocoder"),
        "Its base": settings.get("base_vocoder"),
        **{f"Training, {name}": f"{seconds / 3600:.2f} hours ({seconds:.0f} s)" for name, seconds in trained.items()},
        "Code": f"rtmri-speech {code_version()}",
        "Machine": machine_kind(),
        **package_versions(),
        **settings.get("libraries", {}),
    }
    parts = [
        _table("This run", [[name, value] for name, value in run.items() if value]),
        _table(
            "Split, by clip",
            [[split, str(size.clips), duration(size.seconds)] for split, size in sizes.items()],
            ["split", "clips", "sound"],
            "times",
        ),
    ]
    if times:
        parts.append(
            _table(
                "Time and memory of the stages",
                [
                    [rule.replace("_", " "), str(t.jobs), f"{t.seconds:.0f} s", f"{t.memory_mb:.0f} MB"]
                    for rule, t in sorted(times.items(), key=lambda item: -item[1].seconds)
                ],
                ["rule", "jobs", "time", "own memory"],
                "times",
            )
        )
    if experiment.records:
        rows = [_record_row(record) for record in experiment.records]
        parts.append(_table("Provenance of the stages", rows, ["stage", "code", "seed", "inputs", "SHA-256"]))
        # Hashes of single clips are only in the files.
        short = [{key: value for key, value in record.items() if key != "clips"} for record in experiment.records]
        parts.append(_details("Code, packages, settings and inputs of each stage", short))
    if experiment.settings:
        parts.append(_details("All settings", experiment.settings))
    return parts


def _record_row(record: Mapping[str, Any]) -> list[str]:
    """Table row of a stage's record: code versions, seed, and inputs with one hash over all of them."""
    makers = [
        " ".join(filter(None, [maker["code"]["version"], maker["code"]["commit"], f"({maker['code']['stage']})"]))
        + (f" from step {maker['from_step']}" if maker.get("from_step") else "")
        for maker in record["made_by"]
    ]
    files, clips = record["inputs"], record.get("clips", {"sha256": {}})["sha256"]
    counts = [f"{len(hashes)} {name}" for name, hashes in (("files", files), ("clips", clips)) if hashes]
    seed = "" if record["seed"] is None else str(record["seed"])
    return [record["stage"], ", ".join(dict.fromkeys(makers)), seed, ", ".join(counts), inputs_digest(record)[:12]]


def _details(title: str, content: Any) -> str:
    listed = html.escape(json.dumps(content, indent=2, ensure_ascii=False))
    return f'<details class="wide"><summary>{html.escape(title)}</summary><pre>{listed}</pre></details>'


_TRAININGS = {"mel generator": "train_acoustic", "vocoder": "fine_tune_vocoder"}


def _table(title: str, rows: Sequence[Sequence[str]], head: Sequence[str] = (), kind: str = "") -> str:
    def cells(row: Sequence[str]) -> str:
        return f'<th scope="row">{html.escape(row[0])}</th>' + "".join(f"<td>{html.escape(v)}</td>" for v in row[1:])

    top = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    lines = "".join(f"<tr>{cells(row)}</tr>" for row in rows)
    return (
        f'<div><h3>{html.escape(title)}</h3><table class="{kind}">'
        + (f"<thead><tr>{top}</tr></thead>" if head else "")
        + f"<tbody>{lines}</tbody></table></div>"
    )


def duration(seconds: float) -> str:
    """Format a duration in seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:.2f} hours"
