"""The process that short scripts are forks of: it imports what they need, forks for each, and ends when nobody asks.

It listens at a socket that only this user can open, starts no thread, and so can fork at any time. A fork that is not
waited for any more is killed, and a killed server's forks end by themselves (`errors.run_script`).
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType, ModuleType

from rtmri_speech.forkserver.client import TAKEN
from rtmri_speech.threads import thread_variables

MODULES = (
    "argparse",
    "mmap",
    "av.subtitles.stream",
    "numpy.fft",
    "rtmri_speech.dataset.frames",
    "rtmri_speech.dataset.lab_format",
    "rtmri_speech.dataset.process",
    "rtmri_speech.dataset.sound",
    "rtmri_speech.explain.overlay",
    "rtmri_speech.memo",
    "rtmri_speech.synthesis.speech",
    "rtmri_speech.synthesis.warm",
)
"""What the scripts of single clips import, early or late; nothing that starts threads."""

_IDLE = 10.0
"""Seconds without a job after which it ends: longer than a pause between two jobs of a workflow."""

_SENDING = 10.0
"""Seconds that one who asks has to say what for."""


@dataclass(frozen=True)
class Job:
    """What a process is made of: working directory, arguments, environment, standard output and error."""

    cwd: str
    argv: list[str]
    environment: dict[bytes, bytes]
    standard: tuple[int, int]

    @property
    def script(self) -> Path:
        """The file that the first argument names."""
        return Path(self.cwd, self.argv[0])

    @classmethod
    def received(cls, client: socket.socket, length: int, standard: list[int]) -> Job:
        """Read the rest of what `client.taken` sends."""
        message = bytearray()
        while len(message) < length:
            more = client.recv(length - len(message))
            if not more:
                raise ConnectionError
            message += more
        cwd, count, *words = bytes(message).split(b"\0")
        argv, environment = words[: int(count)], words[int(count) :]
        pairs = (word.partition(b"=") for word in environment)
        return cls(
            os.fsdecode(cwd),
            [os.fsdecode(word) for word in argv],
            {name: value for name, _, value in pairs},
            tuple(standard),
        )

    def run(self) -> None:
        """Be this process: run the script as Python runs it, and leave with its exit code."""
        for ours, theirs in zip((1, 2), self.standard, strict=True):
            os.dup2(theirs, ours)
            os.close(theirs)
        os.chdir(self.cwd)
        os.environb.clear()
        os.environb.update(self.environment)
        sys.argv, sys.path[0:0] = self.argv, [str(self.script.parent)]
        main = sys.modules["__main__"] = ModuleType("__main__")
        main.__file__ = self.argv[0]
        try:
            exec(compiled(self.script), main.__dict__)
            code = 0
        except SystemExit as end:
            if end.code and not isinstance(end.code, int):
                raise
            code = end.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        # Python's own way out takes as long as the work.
        os._exit(code)


@cache
def compiled(script: Path) -> CodeType:
    """Return a script's code, which a server of other code never sees changed."""
    return compile(script.read_bytes(), str(script), "exec")


class Server:
    """Takes jobs at the socket of a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._clients = directory, {}
        os.chdir(directory)
        Path("socket").unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        self._listener.bind("socket")
        os.umask(mask)
        os.chdir("/")
        self._listener.listen(64)
        self._events = selectors.DefaultSelector()
        self._events.register(self._listener, selectors.EVENT_READ)
        # A fork's end is an event like the others.
        self._ended, ended = socket.socketpair()
        self._ended.setblocking(False)
        ended.setblocking(False)
        self._wakes = ended
        self._events.register(self._ended, selectors.EVENT_READ)
        signal.set_wakeup_fd(ended.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def next_job(self) -> Job | None:
        """Wait and fork: return a job in the process that is to be it, and None in the server when nobody asks."""
        since = time.monotonic()
        while True:
            for key, _ in self._events.select(timeout=1.0):
                since = time.monotonic()
                if key.fileobj is self._listener:
                    job = self._take(self._listener.accept()[0])
                    if job is not None:
                        return job
                elif key.fileobj is self._ended:
                    self._reap()
                elif key.data in self._clients:
                    # The one who asked is gone: it says nothing after it has asked.
                    os.kill(key.data, signal.SIGKILL)
                    self._events.unregister(key.fileobj)
            if not self._clients and self._ends(time.monotonic() - since):
                return None

    def _take(self, client: socket.socket) -> Job | None:
        """Fork for a client; return its job in the fork."""
        client.settimeout(_SENDING)
        with contextlib.ExitStack() as lent:
            try:
                head, standard, _, _ = socket.recv_fds(client, 16, 2)
                for descriptor in standard:
                    lent.callback(os.close, descriptor)
                job = Job.received(client, int(head), standard)
                compiled(job.script)
                client.sendall(TAKEN)
            except (OSError, ValueError, SyntaxError):
                # It was killed, or only asked whether somebody listens; or Python shall tell what is wrong there.
                client.close()
                return None
            pid = os.fork()
            if pid == 0:
                lent.pop_all()
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for connection in (client, self._listener, self._ended, self._wakes, *self._clients.values()):
                    connection.close()
                self._events.close()
                return job
        self._clients[pid] = client
        self._events.register(client, selectors.EVENT_READ, data=pid)
        return None

    def _reap(self) -> None:
        """Tell those whose job has ended its exit code, a shell's for one that was killed."""
        with contextlib.suppress(BlockingIOError):
            while self._ended.recv(4096):
                pass
        for pid in list(self._clients):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                client = self._clients.pop(pid)
                code = os.waitstatus_to_exitcode(status)
                with contextlib.suppress(KeyError):
                    self._events.unregister(client)
                with contextlib.suppress(OSError), client:
                    client.sendall(b"%d\n" % (code if code >= 0 else 128 - code))

    def _ends(self, idle: float) -> bool:
        """Whether to end: nobody asked for long, or nobody can, because the directory was removed."""
        address = self._directory / "socket"
        if not address.exists():
            return True
        if idle < _IDLE:
            return False
        with (self._directory / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            address.unlink(missing_ok=True)
        return True


def prepare() -> None:
    """Import, and do once what is done once, as what every fork has."""
    os.environ.update(thread_variables(1))
    for module in MODULES:
        import_module(module)
    import cv2
    import numpy as np

    # OpenCV reads its font when it writes for the first time, which takes longer than a clip's frames.
    cv2.putText(np.zeros((9, 9), np.uint8), "0", (0, 8), cv2.FONT_HERSHEY_SIMPLEX, 0.3, 255)
    # What is imported is never garbage, and a fork that looks for it would copy all of it.
    gc.freeze()


def main() -> None:
    """Be the server of the directory that the argument names, and in its forks their jobs."""
    prepare()
    server = Server(Path(sys.argv[1]))
    print(flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if job := server.next_job():
        job.run()


if __name__ == "__main__":
    main()
