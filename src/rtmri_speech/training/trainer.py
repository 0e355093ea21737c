"""The training loop: resuming, validating, saving, stopping and logging, for any stage, in one or several processes.

A stage is a `Task`. The batch of a step depends on the settings and the step alone, and a state holds the rest, so that
a training killed at any moment and resumed ends like one that was never stopped, on a CPU bit for bit.
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
from rtmri_speech.training.distributed import Processes, processes
from rtmri_speech.training.faults import require_finite, telling_out_of_memory
from rtmri_speech.training.loading import LOST_LOADER, batches, load
from rtmri_speech.training.logging import Progress, TrainingLog
from rtmri_speech.training.state import Stopped, StopRequest, TrainingState, refusing_unfit
from rtmri_speech.workers import reporting_lost_workers

_log = logging.getLogger(__name__)

_VALIDATION_DUE = "validation_due"
"""In a state: a signal stopped the training in the validation after the step."""


@dataclasses.dataclass(frozen=True)
class TrainerSettings:
    """How a training is run, whatever it trains.

    Attributes
    ----------
    state_dir, log_dir : where the resumable states and the TensorBoard log are kept.
    device, wait : where to compute; whether to wait for another trainer that holds the states, or refuse.
    warm : offer the task the newest state of another fingerprint to begin with.
    provenance : also write the record of the result to this JSON.
    workers, prefetch, pin_memory : of the loader.
    memory_remedy : what the user can do when memory runs out.
    longer : the settings that make a finished training longer.
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
    """Steps between two events; the last step of a training is validated and has a checkpoint too.

    Attributes
    ----------
    validation, checkpoint : steps; every checkpoint is preceded by a validation.
    summary : steps between two entries of `Task.scalars` in the log; None for none.
    state_minutes : least time between two states; None: a state with each checkpoint.
    """

    validation: int
    checkpoint: int
    summary: int | None = None
    state_minutes: float | None = None


class Task(ABC):
    """What one stage trains, and where it stands.

    The trainer first asks for the `fingerprint` and the `adjustable` settings, then calls `load_state` or `begin`, and
    from then on `step`, `validate`, `write_checkpoint` and `state` as they are due, at last `finish`. With several
    processes each has its task; the first one's alone writes files.

    Attributes
    ----------
    name, module : of the stage, as records and progress name it, and of the module below the package that trains it.
    seed : of its random numbers.
    steps : optimiser steps made, those of a base included; the trainer counts.
    total_steps, length : steps at which the training ends, and that in words; known after `begin` or `load_state`.
    intervals : how often what happens; known after `begin` or `load_state`.
    ended : why the training has ended, None while it has not; a task may end early by setting it in `validate`.
    logged_until : the last position in the log that stays; None: a new training, with a new log.
    record : where the result comes from (see `provenance.record`), None in processes other than the first. The task
        puts it into its checkpoints, and into its state as ``provenance``.
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
        """Return what the training is of, as JSON values; a state of another fingerprint is not resumed."""

    @abstractmethod
    def adjustable(self) -> dict[str, Any]:
        """Return the settings that may change between runs of one training, as JSON values."""

    def defaults(self) -> dict[str, dict[str, Any]]:
        """Return ``fingerprint`` and ``adjustable`` of the default settings, as far as they are settings."""
        return {}

    @abstractmethod
    def recorded_settings(self) -> dict[str, Any]:
        """Return the settings that count for the result, as JSON values."""

    @abstractmethod
    def sources(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Return ``inputs`` and ``clips`` of `provenance.record`; called where a training begins."""

    @abstractmethod
    def begin(self, superseded: Mapping[str, Any] | None) -> None:
        """Begin without a state; ``superseded`` is one of another fingerprint whose weights may be used, or None."""

    @abstractmethod
    def load_state(self, saved: Mapping[str, Any]) -> None:
        """Resume from what `state` returned, with its ``step`` and ``adjustable`` settings; changed ones take effect.

        A state that raises (see `refusing_unfit`) is refused in a sentence.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return all that a resumed training needs beside the step and the random generators."""

    @property
    @abstractmethod
    def batch_of(self) -> Callable[[Any], Any]:
        """The function that loads the batch of a key; loader processes pickle it."""

    @abstractmethod
    def keys(self, first: int, last: int) -> Iterable[Any]:
        """Return the keys of the batches of steps ``first`` to ``last - 1`` that this process takes."""

    @abstractmethod
    def step(self, batch: Any) -> dict[str, float]:
        """Take step number ``steps`` on a batch and return its losses by name."""

    @abstractmethod
    def validate(self, log: TrainingLog | None, stop: StopRequest | None) -> None:
        """Validate after ``steps`` steps, move the schedule and write to the log, the first process's.

        ``stop`` is for `loading.batches`; `Stopped` may pass as long as nothing is changed that `state` returns.
        """

    @abstractmethod
    def write_checkpoint(self) -> None:
        """Write a checkpoint if the validation before this call made one worth it; the first process's."""

    @abstractmethod
    def finish(self) -> Mapping[str, Any]:
        """Write the results of an ended training and return their record; the first process's."""

    def shown(self, losses: Mapping[str, float]) -> Mapping[str, float]:
        """Return what the progress shows beside a step."""
        return losses

    def scalars(self, losses: Mapping[str, float]) -> Mapping[str, float]:
        """Return the tags and values that the log takes every `Intervals.summary` steps."""
        return losses

    def state_saved(self) -> None:
        """Remove what no state needs any more; the first process's."""
        return


def run(settings: TrainerSettings, task_of: Callable[[Processes], Task]) -> int:
    """Train until the task ends or a signal stops it, and return the exit code for the shell.

    Parameters
    ----------
    task_of : makes the task for this process of the group; the task's sentences go to the second argument.

    Raises
    ------
    UserError
        The task refuses its data or its state, another trainer holds the states and ``wait`` is false, a loss is not
        finite, memory ran out or a loader process was lost; the last state on disk is intact.
    """
    with contextlib.ExitStack() as held:
        group = held.enter_context(processes(settings.device))
        held.enter_context(telling_out_of_memory(settings.memory_remedy))
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
        # Not earlier: a signal must end the wait for the lock, and here nothing is lost yet.
        stop = held.enter_context(StopRequest())
        trainer = _Trainer(settings, task, group, state, log, stop, validation_due)
        if saved is None:
            # Killed between its first checkpoint and the state after it, a training would begin from that checkpoint.
            trainer.save()
        return trainer.run()


def _record(
    task: Task, group: Processes, saved: Mapping[str, Any] | None, superseded: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The record of a training that begins here or goes on from a state."""
    settings = task.recorded_settings() | {"device": group.device.type, "processes": group.size}
    maker = {**provenance.maker(task.module), "settings": settings}
    if saved is not None and saved.get("provenance"):
        # The data did not change, or the state would not be this training's: it need not be read again.
        return provenance.continued(saved["provenance"], maker, task.steps)
    record = provenance.record(task.name, {"from_step": task.steps, **maker}, task.seed, *task.sources())
    if superseded is not None:
        record["warm_start"] = superseded.get("provenance")
    return record


@dataclasses.dataclass
class _Trainer:
    """The loop over the steps of a task; ``state`` and ``log`` are the first process's."""

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
            _log.info(f"The training is finished ({task.ended}); raise {self.settings.longer} to go on.")
        elif (self.validation_due or task.steps < task.total_steps) and self._train():
            _log.info(
                f"{self.settings.state_dir}: stopped by a signal after step {task.steps} of {task.total_steps}; "
                "the same command resumes it."
            )
            # Several processes stop together, whichever received the signal.
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
        """Take the steps that are left and return whether a signal stopped them."""
        task, settings = self.task, self.settings
        loader = load(
            task.batch_of,
            task.keys(task.steps, task.total_steps),
            workers=settings.workers,
            prefetch=settings.prefetch,
            pin_memory=settings.pin_memory,
        )
        # Several processes stop between steps only, together.
        waiting = self.stop if self.group.size == 1 else None
        progress = Progress(task.total_steps, task.steps, task.name) if self.group.first else None
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
        """Do what is due after a step; return whether a signal stopped the training, or None while it continues."""
        task = self.task
        try:
            checkpoint = self._validate_if_due(waiting)
        except Stopped:
            # A validation changes nothing before it is complete: the resumed training begins with it.
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
        """Validate and write a checkpoint if they are due; return whether the checkpoint was."""
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

    def save(self, *, validation_due: bool = False) -> None:
        """Save the state; the first process's."""
        if self.state is None:
            return
        self.log.flush()
        pending = {_VALIDATION_DUE: True} if validation_due else {}
        self.state.save(self.task.steps, self.task.state() | pending)
        self.task.state_saved()
        self.saved_at = time.monotonic()
