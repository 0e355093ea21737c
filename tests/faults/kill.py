"""Kill processes as a user, a cluster or a power failure would: the process of a function, or any process of a command.

Functions run in processes forked from a server that has imported torch once, so that one costs tenths of a second. The
kin of a command are known by a mark in their environment, which orphans and processes that outlive it carry too.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

# As `rtmri_speech.errors.run_script` sets it, which here comes after torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        "rtmri_speech.acoustic.train",
        "rtmri_speech.vocoder.train",
        "rtmri_speech.evaluation.systems",
        "rtmri_speech.explain.clips",
        "rtmri_speech.report.page",
        "torch.utils.tensorboard",
        "tensorboard.compat.proto.event_pb2",
        "torch._dynamo",
    ]
)


def start(target: Callable[..., int], *arguments, environment: dict[str, str] | None = None):
    """Start ``target(*arguments)``; what it returns becomes the exit code."""
    process = _SERVER.Process(target=_child, args=(target, arguments, environment or {}))
    process.start()
    return process


def ended(process, within: float = 120.0) -> int:
    """Wait for the end and return the exit code, negative for the signal that killed it."""
    process.join(within)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"the process did not end within {within} s")
    return process.exitcode


def killed_after(seconds: float, target: Callable[..., int], *arguments) -> int:
    """Run ``target`` and kill it (SIGKILL) after ``seconds`` if it has not ended; return the exit code."""
    process = start(target, *arguments)
    process.join(seconds)
    process.kill()
    return ended(process)


def terminated_when(
    condition: Callable[[], bool], target: Callable[..., int], *arguments, number=signal.SIGTERM
) -> int:
    """Run ``target``, send it a signal once ``condition`` holds, and return the exit code."""
    process = start(target, *arguments)
    while process.is_alive() and not condition():
        time.sleep(0.01)
    if process.is_alive():
        os.kill(process.pid, number)
    return ended(process)


def _child(target, arguments, environment) -> None:
    import torch

    os.environ.update(environment)
    torch.set_num_threads(1)
    sys.exit(target(*arguments))


MARK = "RTMRI_TEST_RUN"
"""Environment variable by which the processes of one run are found."""


def kin(mark: str) -> list[psutil.Process]:
    """Return the running processes with ``mark`` in their environment, inherited by all their children."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def cpu_seconds(mark: str) -> float:
    """Processor time that the living processes of a run have used, and those they waited for."""
    total = 0.0
    for process in kin(mark):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def kind_of(process: psutil.Process) -> str:
    """Return the kind of a process: snakemake, or the script, shell or loader of a rule; ``gone`` if it has ended."""
    try:
        words = process.cmdline()
    except psutil.NoSuchProcess:
        return "gone"
    if "snakemake" in words:
        return "snakemake's job" if "--target-jobs" in words else "snakemake"
    script = next((Path(word).stem for word in words if word.endswith(".py") and "/scripts/" in word), None)
    if script is None:
        shown = " ".join(words)
        at = shown.find("/scripts/")
        if at >= 0:
            return f"shell of {shown[at:].split('.py')[0].removeprefix('/scripts/')}"
        return "helper process of Python" if "multiprocessing" in shown else Path(words[0]).name if words else "gone"
    if "--only" in words:
        script += " " + words[words.index("--only") + 1]
    parent = process.parent()
    return f"loader of {script}" if parent is not None and parent.cmdline() == words else script


def kill_one(processes: list[psutil.Process], choose: Callable[[list], psutil.Process]) -> str | None:
    """Kill the process selected by ``choose`` and return its kind; None if it had already exited."""
    process = choose(processes)
    try:
        kind = kind_of(process)
        process.kill()
    except psutil.NoSuchProcess:
        return None
    return kind


def kill_all(mark: str) -> int:
    """Kill all processes of a run, including those started meanwhile; return their number."""
    killed = 0
    while processes := kin(mark):
        for process in processes:
            try:
                process.kill()
                killed += 1
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.05)
    return killed
