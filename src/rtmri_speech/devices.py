"""Allocates free GPUs of this machine to a process until it exits.

Snakemake counts GPUs but does not assign them, so each process holds a file lock per GPU, which the operating system
releases when the process exits.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rtmri_speech.errors import UserError

if TYPE_CHECKING:
    from filelock import FileLock

_log = logging.getLogger(__name__)

_VISIBLE = "CUDA_VISIBLE_DEVICES"

_POLL = 0.5
"""Seconds between checks for a free GPU or an exited parent."""

_held: list[FileLock] = []
"""Locks of this process, held until it exits."""


def add_gpus_flag(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add ``--gpus``, for `take_gpus`."""
    parser.add_argument(
        "--gpus",
        type=int,
        metavar="N",
        help="reserve N free GPUs, waiting for them if necessary; 0: none (default: all that torch sees)",
    )


def take_gpus(count: int | None) -> None:
    """Reserve ``count`` free GPUs until this process exits, and hide the others from it and its children.

    Call it before torch is imported. Candidates are the devices in CUDA_VISIBLE_DEVICES if it is set, else those listed
    by ``nvidia-smi``; without any, nothing is reserved and torch uses the CPU. If too few are free, it logs a message
    and waits. ``count`` None reserves and hides nothing. A worker started by torchrun keeps the GPUs of its parent.

    Raises
    ------
    UserError
        The machine has fewer GPUs, or ``nvidia-smi`` fails.
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
        _log.info("No GPU is visible; using the CPU.")
        return
    if count > len(devices):
        raise UserError("--gpus", f"requests {count} GPUs, but {len(devices)} are visible", "ask for fewer")
    taken = ",".join(_locked({device: listed.get(device, device) for device in devices}, count))
    # The numbers of nvidia-smi, not "fastest first".
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ[_VISIBLE] = taken
    _log.info(f"Using GPU {taken}.")


def has_gpu() -> bool:
    """Return whether ``nvidia-smi`` lists a GPU of this machine, whether torch can use it or not."""
    try:
        return bool(_listed())
    except UserError:
        return False


def _listed() -> dict[str, str]:
    """Index to UUID of each GPU of this machine; empty without ``nvidia-smi``."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    asked = subprocess.run([program, "--query-gpu=index,uuid", "--format=csv,noheader"], capture_output=True, text=True)
    if asked.returncode:
        fault = (asked.stdout + asked.stderr).strip().split("\n")[0]
        raise UserError(program, f"fails ({fault})", "repair the GPU driver, or request no GPU (gpus: 0)")
    return dict(re.split(r",\s*", line.strip(), maxsplit=1) for line in asked.stdout.splitlines() if line.strip())


def _locked(names: dict[str, str], count: int) -> list[str]:
    """Lock ``count`` of the devices, each by its UUID, and return them in order."""
    from filelock import FileLock, Timeout

    directory = Path(tempfile.gettempdir(), f"rtmri-speech-gpus-{getpass.getuser()}")
    directory.mkdir(mode=0o700, exist_ok=True)
    locks = {
        device: FileLock(directory / f"{re.sub(r'[^A-Za-z0-9-]', '_', name)}.lock") for device, name in names.items()
    }
    reported = False
    while True:
        taken: list[str] = []
        for device, lock in locks.items():
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
                taken.append(device)
            if len(taken) == count:
                _held.extend(locks[device] for device in taken)
                return taken
        # All or none, so that two processes that need two GPUs each cannot deadlock.
        for device in taken:
            locks[device].release()
        if not reported:
            _log.info(f"Waiting for {count} free GPUs of {len(names)} (locks in {directory}).")
            reported = True
        time.sleep(_POLL)


def is_one_of_several() -> bool:
    """Return whether this process is one of several started by torchrun."""
    return "LOCAL_RANK" in os.environ


def _end_with_parent() -> None:
    """Send this process a SIGTERM when its parent torchrun, which holds the GPU locks, is killed."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def run_on_each_gpu(count: int | None) -> int | None:
    """Run this command in ``count`` processes through torchrun and return the exit code.

    Return None if one process is enough or this already is a worker. A signal is forwarded to the workers once, even if
    the terminal sends it to the whole process group.
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
