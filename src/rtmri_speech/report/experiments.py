"""Finished experiments to compare: their scores, the clips they share, and in what they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rtmri_speech.dataset.results import Results, open_results
from rtmri_speech.dataset.sample import recording_of
from rtmri_speech.errors import UserError, some_of
from rtmri_speech.provenance import contents_hash, require_record
from rtmri_speech.report.scores import read_scores
from rtmri_speech.untrusted import read_json, require_type

TEST, FURTHER = "evaluation", "further"
"""Directories of the results that hold scores: of the test clips, and of the demo's further clips."""

_AGAIN = "make the results again"
_SHOWN_CLIPS = 5

_MODELS = {"mri_checkpoint": "mel generator", "hifigan_checkpoint": "vocoder"}
"""Models in ``infer/models.json``."""


@dataclass(frozen=True)
class Finished:
    """A results directory with scores.

    Attributes
    ----------
    name : of the directory; the whole path if several have the same name.
    part : `TEST` or `FURTHER`.
    scores : of its test clips, or its further clips.
    results : the directory, with its configuration.
    records : settings that each recorded stage ran with, by stage.
    models : name of each model in use to its SHA-256.
    """

    name: str
    results: Results
    part: str
    scores: Mapping[str, Any]
    records: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        """The results directory."""
        return self.results.directory

    @property
    def evaluation(self) -> Path:
        """Directory of the scores and sounds."""
        return self.directory / self.part

    @property
    def configured(self) -> str:
        """Row of the configured system."""
        return self.scores["configured"]

    @cached_property
    def processed_dir(self) -> Path:
        """The dataset with the scored clips."""
        return self.evaluation / "dataset" if self.part == FURTHER else self.results.dataset

    @cached_property
    def phonemes(self) -> Path | None:
        """Directory of the clips' phonemes, if there is one."""
        made = (
            [self.evaluation / "corpus" / "descriptions"]
            if self.part == FURTHER
            else [self.directory / "transcripts", self.results.demo / "descriptions"]
        )
        return next(filter(Path.is_dir, made), None)


def open_finished(directories: Sequence[str | Path], part: str = TEST) -> list[Finished]:
    """Return the experiments of results directories.

    Raises
    ------
    UserError
        A directory has no scores, or a file is damaged.
    """
    paths = [Path(directory) for directory in directories]
    unique = len({path.name for path in paths}) == len(paths)
    return [_opened(path, path.name if unique else path.as_posix(), part) for path in paths]


def _opened(directory: Path, name: str, part: str) -> Finished:
    if not (directory / part / "scores.json").is_file():
        remedy = (
            "score the further clips first (score_further_clips.py --results ...)"
            if part == FURTHER
            else "score its test clips first (snakemake evaluation), or give a results directory"
        )
        raise UserError(directory, f"holds no {part}/scores.json", remedy)
    records = {}
    for path in sorted((directory / "provenance").glob("*.json")):
        record = require_record(read_json(path, missing=_AGAIN, remedy=_AGAIN), path)
        records[path.stem] = record["made_by"][-1].get("settings", {})
    return Finished(
        name,
        open_results(directory),
        part,
        read_scores(directory / part),
        records,
        _models(directory),
    )


def _models(directory: Path) -> dict[str, str]:
    path = directory / "infer" / "models.json"
    if not path.is_file():
        return {}
    listed = require_type(read_json(path, missing=_AGAIN, remedy=_AGAIN), dict, "its content", path, _AGAIN)
    models = {name: listed[key] for key, name in _MODELS.items() if key in listed}
    for name, model in models.items():
        require_type(model, dict[str, str], name, path, _AGAIN)
        require_type(model.get("sha256"), str, f"sha256 of the {name}", path, _AGAIN)
    return {name: model["sha256"] for name, model in models.items()}


def shared_clips(experiments: Sequence[Finished]) -> tuple[list[str], list[str]]:
    """Return the ids of the clips that all experiments have scored against the same recording, and notes on the others.

    Raises
    ------
    UserError
        Fewer than two clips are shared.
    """
    first, *others = experiments
    ids, notes = list(first.scores["clips"]), []
    for other in others:
        theirs = other.scores["clips"]
        common = [id for id in ids if id in theirs]
        same = [id for id in common if _same_recording(first, other, id)]
        if len(same) < 2:
            raise UserError(
                other.directory,
                f"shares {len(same)} scored clips with {first.name}, and a comparison needs two: {len(theirs)} and"
                f" {len(ids)} are scored, {len(common)} have the same id",
                "give both one dataset (the setting dataset), or one corpus, split and mel",
            )
        for what, missing in (
            (f"only in {first.name}", [id for id in ids if id not in theirs]),
            (f"only in {other.name}", [id for id in theirs if id not in first.scores["clips"]]),
            (f"another recording in {other.name}", [id for id in common if id not in same]),
        ):
            if missing:
                notes.append(f"Not compared, {what}: {len(missing)} clips ({some_of(missing, _SHOWN_CLIPS)}).")
        ids = same
    return ids, notes


def _same_recording(one: Finished, other: Finished, id: str) -> bool:
    first, second = (recording_of(experiment.processed_dir, id) for experiment in (one, other))
    return first.resolve() == second.resolve() or contents_hash(first) == contents_hash(second)


def incomparable(experiments: Sequence[Finished]) -> dict[str, str]:
    """Return beginnings of the names of measures that cannot be compared, each with the reason."""
    reasons = {}
    if _differ(json.dumps(one.scores["settings"].get("mel"), sort_keys=True) for one in experiments) or _differ(
        contents_hash(one.results.dataset / "scaler.json") for one in experiments
    ):
        reasons["mel_"] = "the mels are standardised by other training clips, or are other mels"
    if _differ(str(one.scores["settings"].get("f0_range_hz")) for one in experiments):
        reasons |= dict.fromkeys(("f0_", "vuv_"), "F0 was sought in another range (evaluation.f0_range)")
    return reasons


def _differ(values: Iterator[str]) -> bool:
    return len(set(values)) > 1


def different_settings(experiments: Sequence[Finished]) -> list[list[str]]:
    """Return a row for each setting that differs: its name, and its value in each experiment.

    Settings are those of the configurations, and those that the stages recorded where the configurations do not
    show them, for example if one was changed after the results were made.
    """
    rows = _different([one.results.settings for one in experiments], ["results"])
    configured = {(name.split(".")[-1], *values) for name, *values in rows}
    stages = set.intersection(*(set(one.records) for one in experiments))
    for stage in sorted(stages):
        recorded = _different([one.records[stage] for one in experiments])
        rows += [
            [f"{stage}, as recorded: {name}", *values]
            for name, *values in recorded
            if (name.split(".")[-1], *values) not in configured
        ]
    return rows


def _different(settings: Sequence[Mapping[str, Any]], leave_out: Sequence[str] = ()) -> list[list[str]]:
    flat = [dict(_leaves(one)) for one in settings]
    names = dict.fromkeys(name for one in flat for name in one if name not in leave_out)
    rows = [[name, *(one.get(name, "–") for one in flat)] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def used_of(one: Finished, other: Finished) -> list[str]:
    """Return what ``one`` uses of ``other``: settings that name files in the other's directory, and equal models."""
    inside = other.directory.resolve()
    named = [
        f"{name}: {value}"
        for name, value in _leaves(one.results.settings)
        if ("/" in value or name == "dataset") and one.results.path(value).resolve().is_relative_to(inside)
    ]
    equal = [
        f"the same {name} (SHA-256 {digest[:12]})"
        for name, digest in one.models.items()
        if other.models.get(name) == digest
    ]
    return [*named, *equal]
