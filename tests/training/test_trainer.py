"""The trainer with a task of one number: finishing, stopping and resuming."""

import dataclasses
import json
import os
import signal

import pytest
import torch
from logged import logged

from rtmri_speech.errors import UserError
from rtmri_speech.training import trainer
from rtmri_speech.training.distributed import Processes
from rtmri_speech.training.loading import batches, load
from rtmri_speech.training.trainer import Intervals, Task, TrainerSettings, run


def batch_of(key):
    return torch.tensor(float(key))


class Counting(Task):
    """Sums the step numbers; ``stop_in`` raises a signal at a step, or at the validation after it."""

    name, module, seed = "counting", "training.trainer", 0
    batch_of = staticmethod(batch_of)

    def __init__(self, group, steps=6, stop_in=(None, None), losses=(), early=None, minutes=None):
        self.group, self.total_steps, self.length = group, steps, f"{steps} steps"
        self.intervals = Intervals(validation=2, checkpoint=4, summary=1, state_minutes=minutes)
        self.stop_in, self.losses, self.early = stop_in, dict(losses), early
        self.sum, self.done = torch.zeros(()), []

    def signalled(self, where):
        if self.stop_in == (where, self.steps):
            os.kill(os.getpid(), signal.SIGTERM)

    def fingerprint(self):
        return {"of": "numbers"}

    def adjustable(self):
        return {"steps": self.total_steps}

    def recorded_settings(self):
        return {}

    def sources(self):
        return {}, {}

    def begin(self, superseded):
        self.done.append("begin")

    def load_state(self, saved):
        self.steps = self.logged_until = saved["step"]
        self.sum = saved["sum"]

    def state(self):
        return {"sum": self.sum, "provenance": self.record}

    def keys(self, first, last):
        return range(first, last)

    def step(self, batch):
        self.sum = self.sum + batch
        self.signalled("step")
        return {"loss": self.losses.get(self.steps, 1.0)}

    def validate(self, log, stop):
        self.signalled("validation")
        for _ in batches(load(batch_of, [0], workers=0), stop):
            self.done.append(f"validated {self.steps}")
        if self.early == self.steps:
            self.ended = "early"

    def write_checkpoint(self):
        self.done.append(f"checkpoint {self.steps}")

    def state_saved(self):
        self.done.append(f"saved {self.steps}")

    def finish(self):
        self.done.append(f"sum {self.sum.item():g}")
        return self.record


@pytest.fixture
def train(tmp_path):
    """Train; return the exit code, the calls of the task and the messages."""
    settings = TrainerSettings(
        state_dir=tmp_path / "state",
        log_dir=tmp_path / "logs",
        device="cpu",
        wait=False,
        memory_remedy="buy some",
        longer="--steps",
        provenance=tmp_path / "record.json",
    )

    def trained(workers=0, **options):
        tasks = []

        def task_of(group):
            tasks.append(Counting(group, **options))
            return tasks[0]

        with logged() as said:
            code = run(dataclasses.replace(settings, workers=workers), task_of)
        return code, tasks[0].done, [sentence.replace(f"{tmp_path}/", "") for sentence in said if "/s)" not in sentence]

    return trained


def test_validation_checkpoints_and_states_are_made_when_due(train, tmp_path):
    code, done, said = train()
    assert (code, said) == (0, [])
    assert done == [
        *("begin", "saved 0", "validated 2", "validated 4", "checkpoint 4", "saved 4"),
        *("validated 6", "checkpoint 6", "saved 6", "sum 15"),
    ]
    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert (record["stage"], record["made_by"][0]["from_step"]) == ("counting", 0)


def test_states_can_be_saved_by_time(train):
    _, done, _ = train(minutes=0)
    assert [event for event in done if event.startswith("saved")] == [f"saved {step}" for step in range(7)]


def test_a_finished_training_reports_how_to_extend_it(train):
    train()
    code, done, said = train(steps=6)
    assert (code, done[-1]) == (0, "sum 15")
    code, done, said = train(steps=8)
    assert (code, done[0], done[-1]) == (0, "validated 8", "sum 28")
    assert said == ["state: resumes at step 6 with changed steps 6 -> 8."]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_signal_in_a_step_saves_it_and_the_same_command_resumes(train, workers):
    code, done, said = train(workers=workers, stop_in=("step", 2))
    assert (code, done[-1]) == (143, "saved 3")
    assert said == ["state: stopped by a signal after step 3 of 6; the same command resumes it."]
    code, done, said = train(workers=workers)
    assert (code, done[0], done[-1]) == (0, "validated 4", "sum 15")


def test_a_signal_during_validation_loses_no_step_and_validation_is_repeated(train):
    code, done, said = train(stop_in=("validation", 4))
    assert (code, done[-1]) == (143, "saved 4")
    assert said == ["state: stopped by a signal after step 4 of 6; the same command resumes it."]
    code, done, _ = train()
    assert (code, done[0], done[-1]) == (0, "validated 4", "sum 15")


def test_a_signal_in_the_last_step_is_handled_at_its_validation(train):
    code, done, said = train(stop_in=("step", 5))
    assert (code, done[-1]) == (143, "saved 6")
    assert said == ["state: stopped by a signal after step 6 of 6; the same command resumes it."]
    code, done, _ = train()
    assert (code, done[0], done[-1]) == (0, "validated 6", "sum 15")


def test_a_task_may_end_early(train):
    code, done, _ = train(early=4)
    assert (code, done[-3:]) == (0, ["checkpoint 4", "saved 4", "sum 6"])


def test_a_nan_loss_stops_training_and_keeps_the_last_state(train):
    with pytest.raises(UserError, match=r"training step 6: the loss is nan"):
        train(losses={5: float("nan")})
    assert train()[1][-1] == "sum 15"


@pytest.mark.parametrize("first", [True, False])
def test_all_processes_stop_when_one_receives_a_signal(tmp_path, first):
    """Otherwise this process would consider the training finished, and save that."""

    class Told(Processes):
        def any(self, flag):
            return True

    task = Counting(None)
    group = Told(0 if first else 1, 1, torch.device("cpu"))
    saved = []
    task.record = {}

    class State:
        def save(self, step, payload):
            saved.append(step)

    class Log:
        def flush(self):
            pass

        def scalars(self, values, step):
            pass

    settings = TrainerSettings(tmp_path, tmp_path, "cpu", False, "", "--steps")
    with trainer.StopRequest() as stop:
        files = (State(), Log()) if first else (None, None)
        code = trainer._Trainer(settings, task, group, *files, stop).run()
    assert (code, saved, task.ended) == (143, [1] if first else [], None)
