"""The GPUs of a process: as many free ones of this machine as it asks for, its own until it ends.

Snakemake counts GPUs but assigns none, so a process locks a file for each GPU it computes on. The operating system
releases the lock when the process exits.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rtmri_speech.errors import UserError

if TYPE_CHECKING:
    from filelock import FileLock

_VISIBLE = "CUDA_VISIBLE_DEVICES"

_POLL = 0.5
"""Seconds between two looks for a free GPU, or for a parent that is gone."""

_held: list[FileLock] = []
"""The locks of this process, never released by it."""


def add_gpus_flag(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add ``--gpus``, for `take_gpus`."""
    parser.add_argument(
        "--gpus",
        type=int,
        metavar="N",
        help="take N GPUs that no other job here has, and wait until they are free; 0: none (default: all torch sees)",
    )


def say_on_stderr(sentence: str) -> None:
    """Show the user a sentence."""
    print(sentence, file=sys.stderr, flush=True)


def take_gpus(count: int | None, say: Callable[[str], None] = say_on_stderr) -> None:
    """Make ``count`` free GPUs the only ones this process and its children see, and hold them until it ends.

    To be called before torch is imported. The GPUs are those in CUDA_VISIBLE_DEVICES when it is set, else those that
    ``nvidia-smi`` lists; where there is none, nothing is held and torch computes on the processor. While too few are
    free it waits, and says so. ``count`` None: nothing is taken or hidden. One of several processes that torchrun
    started has its GPUs already.

    Raises
    ------
    UserError
        There are fewer GPUs here, or ``nvidia-smi`` fails.
    """
    if count is None:
        return
    if is_one_of_several():
        _end_with_parent()
        return
    if count == 0:
        os.environ[_VISIBLE] = ""
        return
    listed = _listed()
    visible = os.environ.get(_VISIBLE)
    devices = list(listed) if visible is None else [device for device in visible.split(",") if device not in ("", "-1")]
    if not devices:
        say("No GPU is visible here; the processor computes.")
        return
    if count > len(devices):
        raise UserError("--gpus", f"asks for {count} GPUs where {len(devices)} can be seen", "ask for fewer")
    taken = ",".join(_locked({device: listed.get(device, device) for device in devices}, count, say))
    # The numbers of nvidia-smi, not "fastest first".
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ[_VISIBLE] = taken
    say(f"Computes on GPU {taken}.")


def _listed() -> dict[str, str]:
    """The number of each GPU of this machine with its unique name; none where there is no ``nvidia-smi``."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    asked = subprocess.run([program, "--query-gpu=index,uuid", "--format=csv,noheader"], capture_output=True, text=True)
    if asked.returncode:
        told = (asked.stdout + asked.stderr).strip().split("\n")[0]
        raise UserError(program, f"fails ({told})", "mend the GPU's driver, or ask for no GPU (gpus: 0)")
    return dict(re.split(r",\s*", line.strip(), maxsplit=1) for line in asked.stdout.splitlines() if line.strip())


def _locked(names: dict[str, str], count: int, say: Callable[[str], None]) -> list[str]:
    """Lock ``count`` of the devices, each by its unique name, and return them in their order."""
    from filelock import FileLock, Timeout

    directory = Path(tempfile.gettempdir(), f"rtmri-speech-gpus-{getpass.getuser()}")
    directory.mkdir(mode=0o700, exist_ok=True)
    locks = {
        device: FileLock(directory / f"{re.sub(r'[^A-Za-z0-9-]', '_', name)}.lock") for device, name in names.items()
    }
    told = False
    while True:
        taken: list[str] = []
        for device, lock in locks.items():
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
                taken.append(device)
            if len(taken) == count:
                _held.extend(locks[device] for device in taken)
                return taken
        # All or none, so that two processes that need two GPUs each never wait for each other.
        for device in taken:
            locks[device].release()
        if not told:
            say(f"GPU: {count} of {len(names)} are asked for and not free (locks in {directory}); waiting.")
            told = True
        time.sleep(_POLL)


def is_one_of_several() -> bool:
    """Whether torchrun started this process, beside others."""
    return "LOCAL_RANK" in os.environ


def _end_with_parent() -> None:
    """Stop like on a SIGTERM when torchrun, who holds the GPUs, is killed: nobody else would stop this process."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def run_on_each_gpu(count: int | None) -> int | None:
    """Run this very command in ``count`` processes at once, through torchrun, and return the exit code.

    None: it is for this process alone, or this is one of them already; go on. A signal is passed on to the processes,
    once, also where the terminal sends it to all.
    """
    if count is None or count < 2 or is_one_of_several():
        return None
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        torchrun.main(["--standalone", "--nproc_per_node", str(count), *sys.argv])
    except SignalException as stopped:
        return 128 + stopped.sigval
    except ChildFailedError as failed:
        code = failed.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code
    return 0
