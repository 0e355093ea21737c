"""A process reserves GPUs until it exits; tested with a stand-in for nvidia-smi."""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from pretended_gpus import pretend_gpus

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in for nvidia-smi is a script with #!")

HOLDER = """
import os, sys
from rtmri_speech.devices import take_gpus
from rtmri_speech.errors import run_script
def main():
    take_gpus(int(sys.argv[1]))
    print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    sys.stdin.readline()
    assert "torch" not in sys.modules
    return int(sys.argv[2]) if len(sys.argv) > 2 else 0
run_script(main)
"""
"""Takes GPUs, tells which, and holds them until a line comes."""


class Machine:
    """A machine whose nvidia-smi lists ``gpus`` GPUs, for starting processes that reserve them."""

    def __init__(self, directory: Path, gpus: int, stack: ExitStack) -> None:
        self.directory, self._stack, self._count = directory, stack, 0
        self.environment = pretend_gpus(directory, gpus)

    def start(self, *arguments, **environment) -> subprocess.Popen:
        """Start a process that reserves GPUs; read its output with `said`."""
        self._count += 1
        log = self.directory / f"{self._count}.log"
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, *map(str, arguments)],
            env={**self.environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
        )
        process.log = log
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


@pytest.fixture
def machine(tmp_path):
    with ExitStack() as stack:
        yield Machine(tmp_path, 2, stack)


def taken(process) -> str:
    return process.stdout.readline().strip()


def let_go(process) -> int:
    process.stdin.write("\n")
    process.stdin.flush()
    return process.wait(60)


def said(process, words: str) -> bool:
    """Wait for output of a process, for a minute at most."""
    deadline = time.monotonic() + 60
    while words not in process.log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_two_processes_get_a_gpu_each_and_the_third_waits(machine):
    first, second = machine.start(1), machine.start(1)
    assert sorted([taken(first), taken(second)]) == ["0", "1"]
    third = machine.start(1)
    assert said(third, "Waiting for 1 free GPUs of 2")
    assert third.poll() is None
    gpu = "0" if "GPU 0." in second.log.read_text() else "1"
    assert let_go(second) == 0
    assert taken(third) == gpu
    assert said(third, f"Using GPU {gpu}.")


def test_a_killed_holder_frees_its_gpu(machine):
    first = machine.start(2)
    assert taken(first) == "0,1"
    second = machine.start(1)
    assert said(second, "Waiting")
    first.kill()
    assert taken(second) == "0"


def test_two_processes_that_need_both_gpus_do_not_deadlock(machine):
    first = machine.start(1)
    assert taken(first) == "0"
    both, others = machine.start(2), machine.start(2)
    assert said(both, "Waiting") and said(others, "Waiting")
    let_go(first)
    ready, _, _ = select.select([both.stdout, others.stdout], [], [], 60)
    winner, loser = (both, others) if both.stdout in ready else (others, both)
    assert taken(winner) == "0,1"
    let_go(winner)
    assert taken(loser) == "0,1"


def test_cuda_visible_devices_limits_the_choice(machine):
    first = machine.start(1, CUDA_VISIBLE_DEVICES="1")
    assert taken(first) == "1"
    # The same GPU by its other name.
    second = machine.start(1, CUDA_VISIBLE_DEVICES="GPU-11-ab")
    assert said(second, "Waiting")
    let_go(first)
    assert taken(second) == "GPU-11-ab"


def test_zero_gpus_or_no_gpu_reserves_nothing(machine):
    assert taken(machine.start(0)) == ""
    assert taken(machine.start(1, CUDA_VISIBLE_DEVICES="")) == ""
    without = machine.start(1, PATH=str(Path(sys.executable).parent))
    assert taken(without) == "None"
    assert "using the CPU" in without.log.read_text()


def test_more_gpus_than_available_are_refused(machine):
    asked = machine.start(3)
    assert asked.wait(60) == 2
    assert asked.log.read_text() == "error: --gpus: requests 3 GPUs, but 2 are visible; ask for fewer.\n"


def test_a_broken_driver_is_reported(machine):
    (machine.directory / "bin" / "nvidia-smi").write_text("#!/bin/sh\necho NVML: version mismatch\nexit 9\n")
    asked = machine.start(1)
    assert asked.wait(60) == 2
    assert "fails (NVML: version mismatch)" in asked.log.read_text()
    assert "Traceback" not in asked.log.read_text()


def test_exit_code_and_signal_are_passed_on(machine):
    assert let_go(machine.start(1, 7)) == 7
    stopped = machine.start(1)
    taken(stopped)
    stopped.terminate()
    assert stopped.wait(60) == -signal.SIGTERM
