"""The results page: a folder with ``index.html`` and media that opens from disk, to view, listen and compare."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.atomic import copy_file, replacing_directory, save_text
from rtmri_speech.dataset.catalogue import Catalogue, read_catalogue
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.evaluation.intelligibility import intelligibility_note, table_cells
from rtmri_speech.evaluation.leak import caution
from rtmri_speech.evaluation.phonemes import find_phonemes, read_phonemes, spoken_text
from rtmri_speech.evaluation.systems import SOUNDS, TABLE_FILE
from rtmri_speech.provenance import code_version, inputs_digest, package_versions
from rtmri_speech.report.facts import machine_kind, split_sizes, stage_times
from rtmri_speech.report.figures import draw_plots
from rtmri_speech.report.maps import copy_maps, maps_section
from rtmri_speech.report.measures import known_measures, span
from rtmri_speech.report.media import ORIGINAL, write_media, write_phones
from rtmri_speech.report.scores import NOT_MEASURED, read_intelligibility, read_scores, vocoder_verdict
from rtmri_speech.report.template import details, fill, note, table
from rtmri_speech.settings.use import METHOD_TITLES, Method
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.untrusted import read_json, require_type

TITLE = "rtMRI to speech"
HELD_OUT = {
    "clip": "test clips held out, whatever they say",
    "text": "test sentences held out",
    "speaker": "test speakers held out",
    "recording": "test recordings, or blocks of one, held out",
}
"""What training has not seen, by what the split keeps together."""

_TICKS_HZ = (300, 1000, 2000, 4000, 8000)
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
    films : directory with ``<id>/*.mp4`` of the maps (`rtmri_speech.explain`), or None.
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

    @property
    def map_title(self) -> str:
        """Name of the method of the maps."""
        return METHOD_TITLES[self.settings.get("explain", {}).get("method", "gradcam")]


def read_settings(path: str | Path) -> dict[str, Any]:
    """Return an experiment's configuration, a JSON file, to be shown.

    Raises
    ------
    UserError
        It is missing or unreadable, or its ``explain`` is not one of a configuration.
    """
    remedy = "make it again"
    content = read_json(path, missing="check the path", remedy=remedy)
    settings = require_type(content, dict[str, Any], "its content", path, remedy)
    explain = require_type(settings.get("explain", {}), dict[str, Any], "explain", path, remedy)
    require_type(explain.get("method", "gradcam"), Method, "explain.method", path, remedy)
    return settings


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
    copy_file(experiment.evaluation / TABLE_FILE, output / TABLE_FILE)
    copy_maps(experiment.films, output / "figures")
    data = {**page_data(scores, sources, clips, spec), "table": TABLE_FILE, "map_title": experiment.map_title}
    save_text(output / "index.html", render(data, plots, experiment, scores))


def page_data(
    scores: Mapping[str, Any], sources: Sequence[str], clips: Sequence[Mapping[str, Any]], spec: MelSpec
) -> dict[str, Any]:
    """Return the data of the page's script.

    Parameters
    ----------
    sources : playable rows, after the original.
    clips : ``id``, ``seconds`` and, if known, ``text``, ``phonemes`` and ``films`` of each clip.
    """
    measures = known_measures(scores)
    centres = spec.centre_frequencies()
    rows = scores["rows"]
    playable = [ORIGINAL, *((row, rows[row]["title"], rows[row]["note"]) for row in sources)]
    return {
        "configured": scores["configured"],
        "tracks": tracked(scores, sources),
        "f0_range": scores["settings"].get("f0_range_hz"),
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


def tracked(scores: Mapping[str, Any], sources: Sequence[str]) -> list[str]:
    """Return the sounds whose F0 and formants are shown: those whose mels always are."""
    shown = [ORIGINAL[0], *sources[:2]]
    return shown if scores["settings"].get("f0_range_hz") else []


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")


def _clip(
    media: Path, id: str, sources: Sequence[str], scores: Mapping[str, Any], experiment: Experiment, spec: MelSpec
) -> dict[str, Any]:
    """Write the media of one clip; return its entry in the page's data."""
    sounds = {row: experiment.evaluation / SOUNDS / row / f"{id}.wav" for row in sources}
    f0_range = scores["settings"].get("f0_range_hz")
    write_media(media, id, experiment.processed_dir, sounds, spec, tracked(scores, sources), f0_range)
    clip = clip_facts(id, scores, experiment.catalogue, experiment.phonemes)
    write_phones(media, clip)
    if films := _films(experiment.films, id, media):
        clip["films"] = films
    return clip


def clip_facts(id: str, scores: Mapping[str, Any], catalogue: Catalogue, phonemes: Path | None) -> dict[str, Any]:
    """Return ``id``, ``title`` and ``seconds`` of a clip, and its ``phonemes`` and ``text`` if they are known.

    Parameters
    ----------
    phonemes : directory of phoneme files, or None.
    """
    clip: dict[str, Any] = {
        "id": id,
        "title": catalogue.title(id),
        "seconds": round(scores["clips"][id]["seconds"], 4),
    }
    if phonemes and (path := find_phonemes(phonemes, id)):
        clip["phonemes"] = [[s.phoneme, round(s.start, 3), round(s.end, 3)] for s in read_phonemes(path)]
        if path.suffix == ".json" and (text := spoken_text(path)):
            clip["text"] = text
    return clip


def _films(directory: Path | None, id: str, media: Path) -> list[list[str]]:
    """Copy the clip's Grad-CAM films; return each one's file name on the page and its title."""
    films = []
    for path in sorted((directory / id).glob("*.mp4")) if directory else []:
        name = f"film_{path.name}"
        copy_file(path, media / name)
        films.append([name, path.stem.removeprefix("gradcam_").replace("_", " ")])
    return films


def render(data: Mapping[str, Any], plots: Mapping[str, str], experiment: Experiment, scores: Mapping[str, Any]) -> str:
    """Return the HTML of the page, with inline style, script and data.

    Parameters
    ----------
    data : `page_data`.
    plots : name of each plot in ``figures/`` to its caption.
    """
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
    return fill(
        data,
        scores,
        title=TITLE,
        facts=facts,
        plots=plots,
        about=_about(experiment, scores, sizes),
        intelligibility=_intelligibility(experiment.evaluation),
        maps=maps_section(experiment.films, experiment.map_title),
    )


def _intelligibility(evaluation: Path) -> str:
    """The intelligibility table, or how to enable it."""
    scores = read_intelligibility(evaluation)
    if scores is None:
        return note(NOT_MEASURED)
    head, lines = table_cells(scores)
    return table("Intelligibility", lines, head, "times") + note(intelligibility_note(scores))


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
        table("This run", [[name, value] for name, value in run.items() if value]),
        table(
            "Split, by clip",
            [[split, str(size.clips), duration(size.seconds)] for split, size in sizes.items()],
            ["split", "clips", "sound"],
            "times",
        ),
    ]
    if times:
        parts.append(
            table(
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
        parts.append(table("Provenance of the stages", rows, ["stage", "code", "seed", "inputs", "SHA-256"]))
        # Hashes of single clips are only in the files.
        short = [{key: value for key, value in record.items() if key != "clips"} for record in experiment.records]
        parts.append(details("Code, packages, settings and inputs of each stage", short))
    if experiment.settings:
        parts.append(details("All settings", experiment.settings))
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


_TRAININGS = {"mel generator": "train_acoustic", "vocoder": "fine_tune_vocoder"}


def duration(seconds: float) -> str:
    """Format a duration in seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:.2f} hours"
