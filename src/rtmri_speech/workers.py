"""Worker processes: they exit with their parent, and the death of a worker is a `UserError` in the parent."""

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
"""Start of torch's message about a dead loader process."""


def end_with_parent() -> None:
    """Initialise a pool worker to exit when its parent is killed, instead of waiting for work forever."""
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


@contextmanager
def reporting_lost_workers(remedy: str) -> Iterator[None]:
    """Raise a `UserError` with ``remedy`` if a worker was killed, and kill the remaining ones.

    Loader processes ignore SIGTERM, so Python's own shutdown, which sends it, would hang.
    """
    try:
        yield
    except BaseException as error:
        kill_loaders()
        # EOFError: Python's fork server was killed while starting a worker.
        if isinstance(error, BrokenProcessPool | EOFError) or str(error).startswith(_LOADER_LOST):
            raise UserError("a worker process", "was killed, often because memory ran out", remedy) from error
        raise


def kill_loaders() -> None:
    """Kill the loader processes of this process."""
    if hasattr(signal, "SIGCHLD"):
        # Torch's SIGCHLD handler would raise for each of them.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()
