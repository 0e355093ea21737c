"""Hold a run at a chosen moment, so that another one surely comes upon it."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import psutil


@contextlib.contextmanager
def held_when(condition: Callable[[], bool], run: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """Stop a run (SIGSTOP) once ``condition`` holds; it goes on to its end after the block, or is killed if that fails.

    Raises
    ------
    AssertionError
        The run ended before the condition held.
    """
    try:
        while not condition():
            assert run.poll() is None, f"the run ended first, with exit code {run.returncode}"
            time.sleep(0.01)
        run.send_signal(signal.SIGSTOP)
        yield run
        if run.poll() is None:
            run.send_signal(signal.SIGCONT)
            run.wait()
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [*psutil.Process(run.pid).children(recursive=True), psutil.Process(run.pid)]:
                process.kill()
        run.wait()
