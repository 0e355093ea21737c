"""The one exception for a user's mistake, and the one place where a script turns it into a sentence."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from rtmri_speech.threads import limit_threads

JOB = "RTMRI_SPEECH_JOB"
"""Environment variable that says that Snakemake runs the script."""

_PR_SET_PDEATHSIG = 1
"""Of Linux' prctl: which signal a process gets when its parent dies."""

USER_ERROR_EXIT = 2
"""Exit code of a script that refused its input."""


_LONGEST_FAULT = 500
"""Letters of a fault that are told: what a library says of a file, or a value in it, may be a whole page."""


class UserError(Exception):
    """A mistake the user can mend, told as ``<subject>: <fault>; <remedy>.`` in one sentence.

    Parameters
    ----------
    subject : path or name of what is wrong (a file, a config key, a flag).
    fault : what is wrong with it.
    remedy : what to do about it.
    """

    def __init__(self, subject: str | Path, fault: str, remedy: str) -> None:
        self.subject, self.fault, self.remedy = str(subject), fault, remedy
        super().__init__(f"{_on_one_line(str(subject))}: {_on_one_line(fault)}; {_on_one_line(remedy)}.")

    def __reduce__(self) -> tuple:
        # Exceptions travel between processes by their message alone, which is not what this one is made from.
        return type(self), (self.subject, self.fault, self.remedy)


def _on_one_line(text: str) -> str:
    text = " ".join(line.strip() for line in text.splitlines())
    return text if len(text) <= _LONGEST_FAULT else text[:_LONGEST_FAULT] + "..."


def run_script(main: Callable[[], int | None]) -> None:
    """Run a script's ``main`` and leave the process with its exit code.

    A `UserError` and a full disk end in one sentence on stderr and code 2; any other exception is a defect of the
    program and keeps its traceback.
    """
    # Before main imports torch: on a shared machine OpenMP's threads would else spin while they wait for each other,
    # which made a training on two busy cores twenty times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        # Where output is not UTF-8 (a log on Windows) a Japanese path is escaped, not the end of the script.
        # A caller may have put a stream of its own there.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if os.environ.get(JOB):
        terminate_with_parent()
    limit_threads(None)
    try:
        code = main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = USER_ERROR_EXIT
    except OSError as error:
        refusal = user_error(error)
        if refusal is None:
            raise
        print(f"error: {refusal}", file=sys.stderr)
        code = USER_ERROR_EXIT
    sys.exit(code)


def terminate_with_parent() -> None:
    """End as by SIGTERM when the process that has started this one, Snakemake or its shell, is killed; Linux only.

    It is the thread that has started it whose end counts: Snakemake's waits for the process.
    Snakemake holds such a job for failed and removes what it has made; what came after would look like all of it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def user_error(error: OSError) -> UserError | None:
    """Return what a full disk, a missing file or a missing permission means to the user; None for other faults."""
    where = error.filename or "the output"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            where, "no space is left on the disk", "free some and run the same command again, nothing was lost"
        )
    if isinstance(error, FileNotFoundError):
        return UserError(where, "there is no such file", "check the path")
    if isinstance(error, PermissionError):
        return UserError(where, "permission denied", "check who owns the file or choose another place")
    return None
