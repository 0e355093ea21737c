"""A lock on a directory: reports the current holder, and is released when the process exits."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from rtmri_speech.atomic import save_text

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""Errors of a file system without locks: NFS without a lock daemon, some SMB and Lustre mounts."""


class DirectoryLock:
    """An advisory lock on a directory, which the operating system releases when the process exits.

    Parameters
    ----------
    directory : receives ``lock`` and ``holder.txt``; created when the lock is acquired.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._lock = FileLock(self.directory / "lock")

    def acquire(self, *, wait: bool = False) -> str | None:
        """Acquire the lock and return None, or return its holder; with ``wait``, block until it is free."""
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            return self._holder()
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            print(
                f"{self.directory}: this file system has no locks; make sure that no other process writes here.",
                file=sys.stderr,
            )
        save_text(self.directory / "holder.txt", f"process {os.getpid()} on {socket.gethostname()}\n")
        return None

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

    def _holder(self) -> str:
        try:
            return (self.directory / "holder.txt").read_text(encoding="utf-8").strip()
        except OSError:
            return "an unknown process"
