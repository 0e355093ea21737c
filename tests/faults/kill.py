"""Run a function in a process of its own and end that process as a user, a cluster or a power cut would.

The processes are forked from a server that has imported torch once, so that one costs tenths of a second.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        "rtmri_speech.acoustic.train",
        "torch.utils.tensorboard",
        "tensorboard.compat.proto.event_pb2",
        "torch._dynamo",
    ]
)


def start(target: Callable[..., int], *arguments, environment: dict[str, str] | None = None, writes: int | None = None):
    """Start ``target(*arguments)``; what it returns becomes the exit code.

    ``writes``: the process is killed within its n-th writing of a file, when that is on the disk under its temporary
    name only.
    """
    process = _SERVER.Process(target=_child, args=(target, arguments, environment or {}, writes))
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


def _child(target, arguments, environment, writes) -> None:
    import torch

    from rtmri_speech import atomic

    os.environ.update(environment)
    torch.set_num_threads(1)
    if writes is not None:
        count, flush = 0, os.fsync

        def fsync(descriptor: int) -> None:
            nonlocal count
            count += 1
            if count == writes:
                os.kill(os.getpid(), signal.SIGKILL)
            flush(descriptor)

        atomic.os.fsync = fsync
    sys.exit(target(*arguments))
