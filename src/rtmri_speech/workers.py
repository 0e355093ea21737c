"""Worker processes: they end with the process they work for, and when one is killed, that one ends with a sentence."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from rtmri_speech.errors import UserError

_LOADER_LOST = "DataLoader worker (pid"
"""How torch's message of a loader process that died begins."""


def end_with_parent() -> None:
    """Begin a worker of a pool: a killed parent cannot tell it to end, and it would wait for work for ever."""
    threading.Thread(target=_outlive_nobody, daemon=True).start()


def _outlive_nobody() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


@contextmanager
def telling_lost_workers(remedy: str) -> Iterator[None]:
    """Tell in one sentence with ``remedy`` that a worker was killed, and leave no other one behind.

    Loader processes are deaf to SIGTERM, and Python, which ends them by it, would wait for them for ever.
    """
    try:
        yield
    except BaseException as error:
        kill_loaders()
        # EOFError: Python's fork server was killed while it started one.
        if isinstance(error, BrokenProcessPool | EOFError) or str(error).startswith(_LOADER_LOST):
            raise UserError("a worker process", "was killed, often because memory ran out", remedy) from error
        raise


def kill_loaders() -> None:
    """End the loader processes of this one at once."""
    if hasattr(signal, "SIGCHLD"):
        # Torch would raise once more for each of them.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()
