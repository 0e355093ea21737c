"""The training loop for any stage: resume, validate, save, stop and log, in one or several processes.

A stage is a `Task`. The batch of a step is a function of the settings and the step, and everything else is in the saved
state, so that an interrupted and resumed training gives the same result as an uninterrupted one, bit for bit on a CPU.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from rtmri_speech import provenance
from rtmri_speech.atomic import save_json
from rtmri_speech.training import PROGRESS_FILE
from rtmri_speech.training.distributed import Processes, processes
from rtmri_speech.training.faults import reporting_out_of_memory, require_finite
from rtmri_speech.training.loading import LOST_LOADER, batches, load
from rtmri_speech.training.logging import Progress, TrainingLog
from rtmri_speech.training.state import Stopped, StopRequest, TrainingState, refusing_unfit
from rtmri_speech.workers import reporting_lost_workers

_log = logging.getLogger(__name__)

_VALIDATION_DUE = "validation_due"
"""Key of a state: the training was stopped during the validation after the step."""


@dataclasses.dataclass(frozen=True)
class TrainerSettings:
    """Settings of a run that do not depend on the stage.

    Attributes
    ----------
    state_dir, log_dir : directories of the resumable states and the TensorBoard log.
    device, wait : torch device; whether to wait for, or refuse, a state directory locked by another trainer.
    warm : offer the task the newest state of another fingerprint as a start.
    provenance : JSON file for the record of the result.
    workers, prefetch, pin_memory : of the loader.
    memory_remedy : remedy for running out of memory.
    longer : the settings that extend a finished training.
    """

    state_dir: Path
    log_dir: Path
    device: str
    wait: bool
    memory_remedy: str
    longer: str
    warm: bool = False
    provenance: Path | None = None
    workers: int = 0
    prefetch: int = 2
    pin_memory: bool = False


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Steps between events; the last step of a training always has a validation and a checkpoint.

    Attributes
    ----------
    validation, checkpoint : steps; every checkpoint is preceded by a validation.
    summary : steps between entries of `Task.scalars` in the log; None for none.
    state_minutes : minimum time between states; None saves one with each checkpoint.
    """

    validation: int
    checkpoint: int
    summary: int | None = None
    state_minutes: float | None = None


class Task(ABC):
    """The stage-specific part of a training, and its progress.

    The trainer first reads the `fingerprint` and the `adjustable` settings, then calls `load_state` or `begin`, then
    `step`, `validate`, `write_checkpoint` and `state` when due, and finally `finish`. Each process has its task; only
    the first writes files.

    Attributes
    ----------
    name, module : of the stage in records and progress, and its module below the package.
    seed : of its random numbers.
    steps : optimiser steps made, including those of a base; counted by the trainer.
    total_steps, length : steps at the end of the training, and their description; set by `begin` or `load_state`.
    intervals : of validations, checkpoints and states; set by `begin` or `load_state`.
    ended : why the training has ended, else None; a task may set it in `validate` to stop early.
    logged_until : the last position to keep in the log; None starts a new log.
    record : provenance of the result (see `provenance.record`), None except in the first process. The task stores it in
        its checkpoints, and in its state as ``provenance``.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    seed: int
    steps: int = 0
    total_steps: int
    length: str
    intervals: Intervals
    ended: str | None = None
    logged_until: int | None = None
    record: dict[str, Any] | None = None

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """Return data and design of the training, as JSON values; a state with another fingerprint is not resumed."""

    @abstractmethod
    def adjustable(self) -> dict[str, Any]:
        """Return the settings that may change when a training is resumed, as JSON values."""

    def defaults(self) -> dict[str, dict[str, Any]]:
        """Return ``fingerprint`` and ``adjustable`` of the default settings, as far as they are settings."""
        return {}

    @abstractmethod
    def recorded_settings(self) -> dict[str, Any]:
        """Return the settings that affect the result, as JSON values."""

    @abstractmethod
    def sources(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Return ``inputs`` and ``clips`` of `provenance.record`; called when a training begins."""

    @abstractmethod
    def begin(self, superseded: Mapping[str, Any] | None) -> None:
        """Begin without a state; ``superseded`` is one of another fingerprint whose weights may be used, or None."""

    @abstractmethod
    def load_state(self, saved: Mapping[str, Any]) -> None:
        """Resume from what `state` returned, with its ``step`` and ``adjustable`` settings; changed ones take effect.

        Exceptions are reported as an invalid state (see `refusing_unfit`).
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return everything needed to resume, except the step and the random generators."""

    @property
    @abstractmethod
    def batch_of(self) -> Callable[[Any], Any]:
        """The function that loads the batch of a key; loader processes pickle it."""

    @abstractmethod
    def keys(self, first: int, last: int) -> Iterable[Any]:
        """Return this process's keys of the batches of steps ``first`` to ``last - 1``."""

    @abstractmethod
    def step(self, batch: Any) -> dict[str, float]:
        """Take step number ``steps`` on a batch and return its losses by name."""

    @abstractmethod
    def validate(self, log: TrainingLog | None, stop: StopRequest | None) -> None:
        """Validate after ``steps`` steps, update the schedule, and in the first process write to the log.

        ``stop`` is for `loading.batches`; `Stopped` may be raised only before anything in `state` has changed.
        """

    @abstractmethod
    def write_checkpoint(self) -> None:
        """Write a checkpoint if the last validation justifies one; first process only."""

    @abstractmethod
    def finish(self) -> Mapping[str, Any]:
        """Write the results of an ended training and return their record; first process only."""

    def shown(self, losses: Mapping[str, float]) -> Mapping[str, float]:
        """Return the values shown in the progress."""
        return losses

    def scalars(self, losses: Mapping[str, float]) -> Mapping[str, float]:
        """Return the values to log by tag, every `Intervals.summary` steps."""
        return losses

    def state_saved(self) -> None:
        """Remove files that no state needs any more; first process only."""
        return


def run(settings: TrainerSettings, task_of: Callable[[Processes], Task]) -> int:
    """Train until the task ends or a signal stops it, and return the exit code.

    Parameters
    ----------
    task_of : creates the task of this process.

    Raises
    ------
    UserError
        The task refuses its data or state, another trainer has locked the states and ``wait`` is false, a loss is not
        finite, memory ran out, or a loader process died; the last state on disk is intact.
    """
    with contextlib.ExitStack() as held:
        group = held.enter_context(processes(settings.device))
        held.enter_context(reporting_out_of_memory(settings.memory_remedy))
        held.enter_context(reporting_lost_workers(LOST_LOADER))
        if not group.first:
            logging.getLogger("rtmri_speech").setLevel(logging.ERROR)
        task = task_of(group)
        state, saved, superseded = None, None, None
        if group.first:
            state = held.enter_context(
                TrainingState(
                    settings.state_dir,
                    task.fingerprint(),
                    task.adjustable(),
                    defaults=task.defaults(),
                    wait=settings.wait,
                )
            )
            saved = state.load()
            superseded = state.superseded if settings.warm else None
        saved, superseded = group.shared((saved, superseded))
        validation_due = bool(saved is not None and saved.pop(_VALIDATION_DUE, False))
        if saved is None:
            task.begin(superseded)
        else:
            with refusing_unfit(settings.state_dir):
                task.load_state(saved)
        log = None
        if group.first:
            task.record = _record(task, group, saved, superseded)
            log = held.enter_context(TrainingLog(settings.log_dir, task.logged_until))
        # Not earlier: a signal must interrupt the wait for the lock.
        stop = held.enter_context(StopRequest())
        trainer = _Trainer(settings, task, group, state, log, stop, validation_due)
        if saved is None:
            # Killed between its first checkpoint and the state after it, a training would begin from that checkpoint.
            trainer.save()
        return trainer.run()


def _record(
    task: Task, group: Processes, saved: Mapping[str, Any] | None, superseded: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Provenance of a training that begins or resumes."""
    settings = task.recorded_settings() | {"device": group.device.type, "processes": group.size}
    maker = {**provenance.maker(task.module), "settings": settings}
    if saved is not None and saved.get("provenance"):
        # The fingerprint matches, so the data are unchanged and need not be hashed again.
        return provenance.continued(saved["provenance"], maker, task.steps)
    record = provenance.record(task.name, {"from_step": task.steps, **maker}, task.seed, *task.sources())
    if superseded is not None:
        record["warm_start"] = superseded.get("provenance")
    return record


@dataclasses.dataclass
class _Trainer:
    """The loop over the steps of a task; ``state`` and ``log`` are None except in the first process."""

    settings: TrainerSettings
    task: Task
    group: Processes
    state: TrainingState | None
    log: TrainingLog | None
    stop: StopRequest
    validation_due: bool = False

    def __post_init__(self) -> None:
        self.saved_at = time.monotonic()

    def run(self) -> int:
        task = self.task
        if task.ended is not None:
            _log.info(f"The training is finished ({task.ended}); raise {self.settings.longer} to train further.")
            self._tidy()
        elif (self.validation_due or task.steps < task.total_steps) and self._train():
            _log.info(
                f"{self.settings.state_dir}: stopped by a signal after step {task.steps} of {task.total_steps}; "
                "the same command resumes it."
            )
            # All processes stop together, whichever received the signal.
            return self.stop.exit_code or 128 + signal.SIGTERM
        if task.ended is None:
            self._end()
            self.save()
        if self.group.first:
            record = task.finish()
            if self.settings.provenance is not None:
                save_json(self.settings.provenance, record)
        return 0

    def _end(self) -> None:
        self.task.ended = f"all {self.task.length}"

    def _train(self) -> bool:
        """Take the remaining steps; return whether a signal stopped the training."""
        task, settings = self.task, self.settings
        loader = load(
            task.batch_of,
            task.keys(task.steps, task.total_steps),
            workers=settings.workers,
            prefetch=settings.prefetch,
            pin_memory=settings.pin_memory,
        )
        # Several processes stop only between steps, together.
        waiting = self.stop if self.group.size == 1 else None
        progress = (
            Progress(task.total_steps, task.steps, task.name, settings.state_dir / PROGRESS_FILE)
            if self.group.first
            else None
        )
        with progress or contextlib.nullcontext():
            if self.validation_due and (stopped := self._after_step(waiting)) is not None:
                return stopped
            try:
                for batch in batches(loader, waiting):
                    self._step(batch, progress)
                    if (stopped := self._after_step(waiting)) is not None:
                        return stopped
            except Stopped:
                self.save()
        return True

    def _after_step(self, waiting: StopRequest | None) -> bool | None:
        """Validate and save if due; return whether a signal stopped the training, or None to continue."""
        task = self.task
        try:
            checkpoint = self._validate_if_due(waiting)
        except Stopped:
            # An incomplete validation has changed nothing: it is repeated on resume.
            self.save(validation_due=True)
            return True
        if task.ended is None and task.steps >= task.total_steps:
            self._end()
        stopping = self.group.any(self.stop.requested)
        if task.ended is not None or stopping or self._is_state_due(checkpoint):
            self.save()
        if task.ended is not None:
            return False
        return True if stopping else None

    def _step(self, batch: Any, progress: Progress | None) -> None:
        task = self.task
        losses = task.step(batch)
        task.steps += 1
        for name, loss in losses.items():
            require_finite(loss, name, task.steps)
        if progress is not None:
            progress.advance(task.shown(losses))
        if self.log is not None and task.intervals.summary and task.steps % task.intervals.summary == 0:
            self.log.scalars(task.scalars(losses), task.steps)

    def _validate_if_due(self, waiting: StopRequest | None) -> bool:
        """Validate and write a checkpoint if due; return whether a checkpoint was due."""
        task, intervals = self.task, self.task.intervals
        checkpoint = task.steps >= task.total_steps or task.steps % intervals.checkpoint == 0
        if checkpoint or task.steps % intervals.validation == 0:
            task.validate(self.log, waiting)
        if checkpoint and self.group.first:
            task.write_checkpoint()
        return checkpoint

    def _is_state_due(self, checkpoint: bool) -> bool:
        minutes = self.task.intervals.state_minutes
        return checkpoint if minutes is None else time.monotonic() - self.saved_at >= 60 * minutes

    def _tidy(self) -> None:
        """Remove what a training leaves that is killed after its last state."""
        if self.state is not None:
            self.state.prune()
            self.task.state_saved()
            (self.settings.state_dir / PROGRESS_FILE).unlink(missing_ok=True)

    def save(self, *, validation_due: bool = False) -> None:
        """Save the state; the first process's."""
        if self.state is None:
            return
        self.log.flush()
        pending = {_VALIDATION_DUE: True} if validation_due else {}
        self.state.save(self.task.steps, self.task.state() | pending)
        self.task.state_saved()
        self.saved_at = time.monotonic()
