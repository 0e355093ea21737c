"""Share and time left of a run of Snakemake, from its jobs and from what trainings write about their progress."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TRAINING_WEIGHT = 2.0
"""Assumed duration of a training of unknown duration, in durations of all jobs that are not trainings together."""


@dataclasses.dataclass(frozen=True)
class Known:
    """What a workflow knows about its rules, by name, before its first job.

    Attributes
    ----------
    titles : what a rule does.
    seconds : mean duration of a job in an earlier run, for rules that have run.
    progress : the file in which the running job of a rule, a training, writes its progress.
    """

    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    progress: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class _Job:
    """A running job; ``written`` is the time of its progress file when it was last read, ns."""

    rule: str
    logs: list[str]
    start: float
    written: int | None
    progress: dict[str, Any] | None = None


class Run:
    """The jobs of a run; times are seconds of any one clock.

    Parameters
    ----------
    counts : number of jobs of each rule.
    slots : number of jobs that can run at a time.
    """

    def __init__(self, counts: Mapping[str, int], slots: int = 1, known: Known | None = None) -> None:
        self.known = known or Known()
        self._counts = dict(counts)
        self._slots = slots
        self._running: dict[int, _Job] = {}
        self._names: dict[int, str] = {}
        self._stage = "Starting"
        self._done = dict.fromkeys(counts, 0)
        # Start of the first job of each rule, and end of the last finished one.
        self._first: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def start(self, jobid: int, rule: str, wildcards: Mapping[str, str], logs: list[str], now: float) -> bool:
        """A job starts; return whether it is the first of its rule."""
        self._counts.setdefault(rule, 1)
        self._done.setdefault(rule, 0)
        self._names[jobid] = " ".join([rule, *map(str, wildcards.values())])
        self._running[jobid] = _Job(rule, list(logs), now, self._written(rule))
        first = rule not in self._first
        self._first.setdefault(rule, now)
        return first

    def is_training(self, rule: str) -> bool:
        """Return whether the jobs of a rule write their progress."""
        return rule in self.known.progress

    def read_progress(self) -> None:
        """Read what running trainings have written."""
        for job in self._running.values():
            written = self._written(job.rule)
            if written not in (None, job.written):
                # The file may just have been removed at the end of the training.
                with contextlib.suppress(FileNotFoundError):
                    job.progress = json.loads(Path(self.known.progress[job.rule]).read_text(encoding="utf-8"))
                    job.written = written

    def finish(self, jobid: int, now: float) -> None:
        """A job has finished."""
        if job := self._running.pop(jobid, None):
            self._done[job.rule] += 1
            self._last[job.rule] = now

    def fail(self, jobid: int) -> None:
        """A job has failed; it may start again."""
        self._running.pop(jobid, None)

    def name_of(self, jobid: int, rule: str) -> str:
        """Return rule and wildcards of a job, or the rule if it has not started."""
        return self._names.get(jobid, rule)

    def share(self) -> float:
        """Return the share of the run that is done, 0 to 1, by expected durations; only failures decrease it."""
        weights = self._weights()
        done = sum(weights[rule] * count for rule, count in self._done.items())
        for job in self._running.values():
            if job.progress:
                done += weights[job.rule] * job.progress["step"] / job.progress["steps"]
        total = sum(weights[rule] * count for rule, count in self._counts.items())
        return min(done / total, 1.0) if total else 1.0

    def _weights(self) -> dict[str, float]:
        """Expected duration of a job of each rule: of an earlier run, else as assumed for its kind."""
        trainings = [rule for rule in self._counts if self.is_training(rule)]
        others = [rule for rule in self._counts if not self.is_training(rule)]
        weights = {rule: max(self.known.seconds[rule], 1e-3) for rule in self._counts if rule in self.known.seconds}
        usual = _mean([weights[rule] for rule in others if rule in weights], 1.0)
        weights |= {rule: usual for rule in others if rule not in weights}
        rest = math.fsum(weights[rule] * self._counts[rule] for rule in others)
        long = _mean([weights[rule] for rule in trainings if rule in weights], TRAINING_WEIGHT * max(rest, usual))
        return weights | {rule: long for rule in trainings if rule not in weights}

    def seconds_left(self, now: float) -> tuple[float, bool]:
        """Return the expected seconds left, and whether every remaining rule has been measured.

        A training reports its own. For other rules, the throughput of this run counts, else the duration of an earlier
        run; rules without either are left out.
        """
        total, complete = 0.0, True
        for rule, count in self._counts.items():
            remaining = count - self._done[rule]
            running = [job for job in self._running.values() if job.rule == rule]
            reported = [job.progress["seconds_left"] for job in running if job.progress]
            if not remaining:
                continue
            if reported:
                total += max(reported)
            elif self._done[rule]:
                total += (self._last[rule] - self._first[rule]) / self._done[rule] * remaining
            elif rule in self.known.seconds:
                passed = now - min(job.start for job in running) if running else 0.0
                total += max(self.known.seconds[rule] * math.ceil(remaining / self._slots) - passed, 0.0)
            else:
                complete = False
        return total, complete

    def line(self, now: float) -> str:
        """Return the line of progress: share, time left, and the stage: a running training, else the latest job's."""
        trainings = [job for job in self._running.values() if self.is_training(job.rule)]
        for job in trainings or list(self._running.values())[-1:]:
            count = self._counts[job.rule]
            self._stage = (
                f"{self._title(job.rule)}: {described(job.progress)}"
                if job.progress
                else self._title(job.rule) + (f", {self._done[job.rule]} of {count}" if count > 1 else "")
            )
        return self._headed(self._stage, now)

    def stage_line(self, rule: str, now: float) -> str:
        """Return the line for the start of a rule, with its number of jobs or, of a training, its log."""
        count = self._counts[rule]
        logs = [path for job in self._running.values() if job.rule == rule for path in job.logs]
        several = f", {count} jobs" if count > 1 else ""
        log = f" (log: {', '.join(logs)})" if self.is_training(rule) and logs else ""
        return self._headed(self._title(rule) + several + log, now)

    def _headed(self, text: str, now: float) -> str:
        left, complete = self.seconds_left(now)
        known = [f"{'' if complete else '> '}{duration(left)} left"] if left or complete else []
        return f"[{', '.join([f'{int(100 * self.share()):3d} %', *known])}] {text}"

    def _title(self, rule: str) -> str:
        return self.known.titles.get(rule) or rule

    def _written(self, rule: str) -> int | None:
        """Time of the last change of a rule's progress file, ns; None without one."""
        try:
            return Path(self.known.progress[rule]).stat().st_mtime_ns
        except (KeyError, FileNotFoundError):
            return None


def described(progress: Mapping[str, Any]) -> str:
    """Describe the progress of a training, for a narrow terminal the most important first."""
    rate = progress["steps_per_second"]
    speed = f"{rate:.3g} steps/s" if rate >= 1 else f"{1 / rate:.3g} s/step"
    losses = [f"{name} {value:.4g}" for name, value in progress["losses"].items() if math.isfinite(value)]
    return ", ".join([speed, *losses[:1], f"{duration(progress['seconds_left'])} left", *losses[1:]])


def duration(seconds: float) -> str:
    """Format a duration, rounded up, in seconds, minutes, or hours and minutes."""
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def fitted(text: str, columns: int) -> tuple[str, int]:
    """Return a text cut to a number of columns, and the columns it takes; East Asian characters take two."""
    width = 0
    for place, character in enumerate(text):
        wide = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if width + wide > columns:
            return text[:place], width
        width += wide
    return text, width


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
