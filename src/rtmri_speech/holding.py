"""A place where one process at a time works: who comes second is told who is there, and death gives it free."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from rtmri_speech.atomic import save_text

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system without locks answers: NFS without a lock daemon, some SMB and Lustre mounts."""


class Holding:
    """A directory that a process takes for itself, by a lock that the system releases when the process ends.

    Parameters
    ----------
    directory : receives ``lock`` and ``holder.txt``; made when it is taken.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._lock = FileLock(self.directory / "lock")

    def take(self, *, wait: bool = False) -> str | None:
        """Take it, or return who has it; with ``wait``, stay until it is free."""
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            # Who only asks has the lock for a moment.
            self._lock.acquire(timeout=-1 if wait else 0.5)
        except Timeout:
            return self._holder()
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            print(
                f"{self.directory}: this file system has no locks; make sure that nothing else writes here meanwhile.",
                file=sys.stderr,
            )
        save_text(self.directory / "holder.txt", f"process {os.getpid()} on {socket.gethostname()}\n")
        return None

    def leave(self) -> None:
        """Let others have it."""
        self._lock.release()

    def holder(self) -> str | None:
        """Return who has it; None when nobody does, or it lies where this user cannot ask."""
        if not os.access(self.directory / "lock", os.W_OK):
            return None
        try:
            with self._lock.acquire(timeout=0):
                return None
        except Timeout:
            return self._holder()
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return None

    def _holder(self) -> str:
        try:
            return (self.directory / "holder.txt").read_text(encoding="utf-8").strip()
        except OSError:
            return "process unknown"
