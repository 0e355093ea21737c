"""The exception for user errors, and the script entry point that prints it as one sentence."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from rtmri_speech.log import show_log
from rtmri_speech.threads import limit_threads

JOB = "RTMRI_SPEECH_JOB"
"""Environment variable set when Snakemake runs the script."""

_PR_SET_PDEATHSIG = 1
"""Option of Linux's prctl: the signal sent to a process when its parent dies."""

USER_ERROR_EXIT = 2
"""Exit code of a script that refused its input."""


_LONGEST_FAULT = 500
"""Maximum length of a message part, characters; libraries' messages and quoted values can be long."""


class UserError(Exception):
    """An error the user can fix, printed as one sentence: ``<subject>: <fault>; <remedy>.``

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
        # Exceptions are pickled by their message alone, which is not this class's signature.
        return type(self), (self.subject, self.fault, self.remedy)


def _on_one_line(text: str) -> str:
    text = " ".join(line.strip() for line in text.splitlines())
    return text if len(text) <= _LONGEST_FAULT else text[:_LONGEST_FAULT] + "..."


def some_of(names: Iterable[object], most: int) -> str:
    """Return up to ``most`` of ``names`` for a sentence, separated by commas, and the number of the others."""
    words = [str(name) for name in names]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if words[most:] else "")


def run_script(main: Callable[[], int | None]) -> None:
    """Run a script's ``main`` and exit with its return code.

    A `UserError` or a full or failing disk is one sentence on stderr and exit code 2; any other exception is a bug and
    keeps its traceback.
    """
    # Before main imports torch: OpenMP's threads spin while waiting by default, which made training on two busy cores
    # twenty times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        # Where output is not UTF-8 (a log on Windows), a Japanese path is escaped instead of raising. The caller may
        # have replaced the stream.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if os.environ.get(JOB):
        terminate_with_parent()
    limit_threads(None)
    show_log()
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
    """Have the kernel send SIGTERM to this process when its parent (Snakemake or its shell) dies; Linux only.

    The kernel tracks the parent thread; Snakemake's waits for the process. Snakemake treats the job as failed and
    removes its output, so anything written later would look complete.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def user_error(error: OSError) -> UserError | None:
    """Return the `UserError` for a full or failing disk, a missing file or permission; None for other errors."""
    where = error.filename or "the output"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            where, "no space is left on the disk", "free some and run the same command again; nothing was lost"
        )
    if error.errno in (errno.EIO, errno.EROFS, getattr(errno, "ESTALE", errno.EIO)):
        return UserError(
            where,
            f"the disk failed ({os.strerror(error.errno)})",
            "check the disk, or the connection to it, and run the same command again; nothing was lost",
        )
    if isinstance(error, FileNotFoundError):
        return UserError(where, "there is no such file", "check the path")
    if isinstance(error, PermissionError):
        return UserError(where, "permission denied", "check who owns the file or choose another place")
    return None
