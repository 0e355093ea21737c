"""The tiny workflow on SLURM, with the project's profile."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import yaml
from throwaway_slurm import Slurm
from workflow_checkout import TINY_ACOUSTIC, Checkout

from rtmri_speech.training.state import load_checkpoint

MODEL = "results/acoustic/mri_acoustic_model.pt"
SPEECH = "results/infer/b0_generated.wav"

SETTINGS = {
    "results": "results",
    "corpus": {"source": "directories", "videos": "videos", "audio": "audio"},
    "video": {"size": [32, 32]},
    "mel": {"n_fft": 512, "n_mels": 16},
    "bands": {"F1": [300, 900]},
    "cluster": {"clips": "local"},
    "acoustic": {
        **TINY_ACOUSTIC,
        "epochs": 60,
        "picture_epochs": 0,
        "gpus": 1,
        "memory_mb": 4000,
        "runtime_minutes": 30,
    },
    "vocoder": {
        "config": "config/hifigan_tiny.json",
        "base": None,
        "steps": 2,
        "checkpoint_interval": 2,
        "validation_interval": 2,
        "summary_interval": 1,
        "threads": 1,
        "gpus": 1,
        "memory_mb": 4000,
        "runtime_minutes": 30,
    },
}
"""Trainings of seconds, on one GPU each."""

# A user waits some seconds longer for each job; the plugin asks at most every eleven.
# The pause is short, but where a test interrupts: Snakemake forgets, while it asks, the jobs that it would cancel.
ASKING_OFTEN = """
import sys
from snakemake_executor_plugin_slurm import Executor
Executor.next_seconds_between_status_checks = property(lambda self: {pause}, lambda self, seconds: None)
from snakemake.cli import main
main(sys.argv[1:])
"""
QUICKLY = ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "20"]
# As many threads as in the undisturbed training, whose sums it shall give.
SAME_THREADS = ["--set-threads", "train_acoustic=1"]


class ClusterWorkflow:
    """A checkout whose workflow runs on SLURM.

    Attributes
    ----------
    driven : the SLURM jobs started by `drive`, itself first.
    """

    def __init__(self, checkout: Checkout, slurm: Slurm) -> None:
        self.checkout, self.slurm, self.directory = checkout, slurm, checkout.directory
        self.model = self.directory / MODEL
        self.before = set(slurm.jobs())
        (self.directory / "mine.yaml").write_text(yaml.safe_dump(checkout.settings), encoding="utf-8")

    def command(self, *arguments: str, pause: float = 0.5) -> list[str]:
        """The command line of Snakemake with the project's profile, asking for its jobs every ``pause`` seconds."""
        # Targets first: the options here take all words that follow.
        profile = ["--profile", "profiles/slurm", "--configfile", "mine.yaml"]
        return [sys.executable, "-c", ASKING_OFTEN.format(pause=pause), *arguments, *profile, *QUICKLY, *SAME_THREADS]

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.slurm.bin), os.environ["PATH"]])
        return {**os.environ, "PATH": path, "PYTHONPATH": ""}

    @contextlib.contextmanager
    def started(self, *arguments: str, **options) -> Iterator[subprocess.Popen]:
        """Start Snakemake in the background, with its output in ``log``."""
        log = self.directory / f"snakemake_{time.monotonic_ns()}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                self.command(*arguments, **options),
                cwd=self.directory,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        process.log = log
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def ended(self, *arguments: str) -> tuple[int, str]:
        """Run Snakemake to its end; return exit code and output."""
        with self.started(*arguments) as process:
            code = process.wait(600)
            return code, process.log.read_text()

    def make(self, *arguments: str) -> str:
        code, said = self.ended(*arguments)
        assert code == 0, said
        return said

    def drive(self, *arguments: str) -> None:
        """Submit Snakemake as a job that submits the others, and wait for its end; its output is in ``driver.log``."""
        driver = self.directory / "driver.sh"
        driver.write_text(
            f"#!/bin/sh\nexport PATH={shlex.quote(str(self.slurm.bin))}:$PATH PYTHONPATH=\n"
            f"exec {shlex.join(self.command(*arguments, '--local-cores', '2'))}\n"
        )
        options = ["--partition=cpu", "--cpus-per-task=2", "--mem=4G", f"--chdir={self.directory}"]
        self.slurm.run("sbatch", *options, f"--output={self.directory / 'driver.log'}", str(driver))
        self.job_in("COMPLETED", "FAILED", within=1200)
        self.driven = self.jobs()

    def jobs(self) -> list[dict[str, str]]:
        """Return the SLURM jobs since the start, in order."""
        return [job for id, job in self.slurm.jobs().items() if id not in self.before]

    def job_in(self, *states: str, number: int = 1, within: float = 600) -> dict[str, str]:
        """Wait until the ``number``-th job is in one of the states, and return it."""

        def found() -> dict[str, str] | None:
            jobs = self.jobs()
            return jobs[number - 1] if len(jobs) >= number and jobs[number - 1]["JobState"] in states else None

        return self.slurm.wait(found, f"no job came to {states}", within)

    def training(self) -> dict[str, str]:
        """Wait until the first job's training is under way, hold it there, and return the job.

        What has given a model has ended an epoch. SLURM wakes what it sends a signal, `wake` all else.
        """
        job = self.job_in("RUNNING")
        self.slurm.wait(self.model.exists, "no training begins")
        holder = (self.directory / "results" / ".state" / "acoustic" / "holder.txt").read_text(encoding="utf-8")
        self._trainer = int(holder.split()[1])
        os.kill(self._trainer, signal.SIGSTOP)
        return job

    def wake(self) -> None:
        """Let the paused training continue."""
        os.kill(self._trainer, signal.SIGCONT)

    def said_by(self, rule: str) -> str:
        return (self.directory / "results" / "logs" / f"{rule}.log").read_text(encoding="utf-8")

    def wait_for(self, words: str, rule: str) -> None:
        """Wait until the rule's log contains ``words``; there is none until its job's shell has started."""

        def logged() -> bool:
            try:
                return words in self.said_by(rule)
            except FileNotFoundError:
                return False

        self.slurm.wait(logged, f"{rule} does not log '{words}'")

    def saved_steps(self) -> list[int]:
        """Return the steps of the saved states."""
        return [
            int(path.stem.split("_")[1]) for path in sorted(self.directory.glob("results/.state/acoustic/state_*.pt"))
        ]


def assert_same_model(one: Path, other: Path) -> None:
    """Weights and optimiser are equal to the last bit, after the same number of epochs."""
    first, second = load_checkpoint(one), load_checkpoint(other)
    assert first["epoch"] == second["epoch"]
    assert first["model_state_dict"].keys() == second["model_state_dict"].keys()
    for name, tensor in first["model_state_dict"].items():
        assert torch.equal(tensor, second["model_state_dict"][name]), name
    for number, entries in first["optimizer_state_dict"]["state"].items():
        for name, tensor in entries.items():
            assert torch.equal(tensor, second["optimizer_state_dict"]["state"][number][name]), (number, name)
