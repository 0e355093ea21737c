"""The process whose forks run short scripts: it imports what they need, forks when no fork is free, and ends unasked.

It listens at a socket that only this user can open, starts no thread, and so can fork at any time. A fork, a worker,
runs one script after another, because the pages that it copies as it comes upon them take longer than a clip's work;
it ends with a script that does not end well or leaves a file open. A script that is not waited for any more is killed
with its worker, and a killed server's workers end by themselves (`errors.run_script`).
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
import tempfile
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import CodeType, ModuleType

from rtmri_speech.errors import terminate_with_parent
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

_PATH = tuple(sys.path)
"""Where Python finds modules, before what lies beside a script."""

_HEAD = 16
"""Bytes of the length that a message begins with."""

_DONE = b"0"
"""What a worker says when its script has ended well, and it is free."""


@dataclass(frozen=True)
class Job:
    """What a process is made of: working directory, arguments, environment."""

    cwd: str
    argv: list[str]
    environment: dict[bytes, bytes]

    @property
    def script(self) -> Path:
        """The file that the first argument names."""
        return Path(self.cwd, self.argv[0])

    @classmethod
    def parsed(cls, message: bytes) -> Job:
        """Read what `client.taken` sends."""
        cwd, count, *words = message.split(b"\0")
        argv, environment = words[: int(count)], words[int(count) :]
        pairs = (word.partition(b"=") for word in environment)
        return cls(os.fsdecode(cwd), [os.fsdecode(word) for word in argv], {name: value for name, _, value in pairs})

    def run(self) -> None:
        """Run the script as Python runs it; where it does not end well, leave as Python does."""
        os.chdir(self.cwd)
        os.environb.clear()
        os.environb.update(self.environment)
        # Found anew: it is of the environment.
        tempfile.tempdir = None
        sys.argv, sys.path[:] = self.argv, [str(self.script.parent), *_PATH]
        main = sys.modules["__main__"] = ModuleType("__main__")
        main.__file__ = self.argv[0]
        try:
            # A warning is shown once, but to each script.
            with warnings.catch_warnings():
                exec(compiled(self.script), main.__dict__)
            code = 0
        except SystemExit as end:
            if end.code and not isinstance(end.code, int):
                raise
            code = end.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        if code:
            os._exit(code)
        del sys.modules["__main__"]


@cache
def compiled(script: Path) -> CodeType:
    """Return a script's code, read once: changed scripts have another server (`forkserver.place`)."""
    return compile(script.read_bytes(), str(script), "exec")


def received(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Take a message of `client.taken` and the descriptors of standard output and error that come with it.

    Raises
    ------
    OSError, ValueError
        The other side is gone, has not sent all of it in time, or sends something else.
    """
    head, standard, _, _ = socket.recv_fds(connection, _HEAD, 2)
    try:
        message = bytearray()
        while len(message) < int(head):
            more = connection.recv(int(head) - len(message))
            if not more:
                raise ConnectionError
            message += more
    except (OSError, ValueError):
        close(standard)
        raise
    return bytes(message), standard


def close(descriptors: Iterable[int]) -> None:
    """Close file descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


@dataclass
class Worker:
    """A fork, as the server knows it.

    Attributes
    ----------
    pid : its process.
    line : between the two.
    client : who waits for what it does now.
    ending : it takes no more; its exit code is still to be told.
    """

    pid: int
    line: socket.socket
    client: socket.socket | None = None
    ending: bool = False

    @property
    def free(self) -> bool:
        """Whether it can take a job."""
        return self.client is None and not self.ending


class Server:
    """Takes jobs at the socket of a directory and gives them to its workers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._workers: dict[int, Worker] = {}
        os.chdir(directory)
        Path("socket").unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        self._listener.bind("socket")
        os.umask(mask)
        os.chdir("/")
        self._listener.listen(64)
        # One that is gone by the time it is accepted keeps nobody waiting.
        self._listener.setblocking(False)
        self._events = selectors.DefaultSelector()
        self._events.register(self._listener, selectors.EVENT_READ, self._take)
        # A worker's end is an event like the others.
        self._ended, ended = socket.socketpair()
        self._ended.setblocking(False)
        ended.setblocking(False)
        self._wakes = ended
        self._events.register(self._ended, selectors.EVENT_READ, self._reap)
        signal.set_wakeup_fd(ended.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> socket.socket | None:
        """Wait and fork: return a worker's line in the worker, and None in the server when nobody asks any more."""
        since = time.monotonic()
        while True:
            for key, _ in self._events.select(timeout=1.0):
                since = time.monotonic()
                # One that an event before it has closed.
                if key.fileobj.fileno() >= 0 and (line := key.data()):
                    return line
            busy = any(worker.client for worker in self._workers.values())
            if not busy and self._ends(time.monotonic() - since):
                for worker in self._workers.values():
                    worker.line.close()
                    os.waitpid(worker.pid, 0)
                return None

    def _take(self) -> socket.socket | None:
        """Give a client's job to a worker; return the line of a worker that is forked for it, in the worker."""
        with contextlib.ExitStack() as ours:
            try:
                client = ours.enter_context(self._listener.accept()[0])
                client.settimeout(_SENDING)
                message, standard = received(client)
                ours.callback(close, standard)
                compiled(Job.parsed(message).script)
                client.sendall(TAKEN)
            except (OSError, ValueError, IndexError, SyntaxError):
                # It was killed, or only asked whether somebody listens; or Python shall tell what is wrong there.
                return None
            free = (worker for worker in list(self._workers.values()) if worker.free)
            while True:
                worker = next(free, None) or self._forked()
                if isinstance(worker, socket.socket):
                    return worker
                try:
                    # Nothing of the script is run before all of this has come.
                    socket.send_fds(worker.line, [b"%*d" % (_HEAD, len(message))], standard)
                    worker.line.sendall(message)
                    break
                except OSError:
                    # It was killed or stopped while it waited.
                    worker.ending = True
                    os.kill(worker.pid, signal.SIGKILL)
            worker.client = client
            self._events.register(client, selectors.EVENT_READ, partial(self._abandoned, worker))
            ours.pop_all()
            close(standard)
        return None

    def _forked(self) -> Worker | socket.socket:
        """Return a new worker; in itself, its line to the server."""
        ours, theirs = socket.socketpair()
        server = os.getpid()
        pid = os.fork()
        if pid:
            theirs.close()
            ours.settimeout(_SENDING)
            worker = self._workers[pid] = Worker(pid, ours)
            self._events.register(ours, selectors.EVENT_READ, partial(self._heard, worker))
            return worker
        terminate_with_parent()
        if os.getppid() != server:
            os._exit(0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        connections = [ours, self._listener, self._ended, self._wakes]
        for worker in self._workers.values():
            connections += filter(None, [worker.line, worker.client])
        for connection in connections:
            connection.close()
        self._events.close()
        return theirs

    def _heard(self, worker: Worker) -> None:
        """There is something on a worker's line: its script has ended well, or the worker ends."""
        try:
            ended_well = worker.line.recv(len(_DONE)) == _DONE
        except OSError:
            ended_well = False
        if ended_well:
            self._tell(worker, 0)
        else:
            worker.ending = True
            self._events.unregister(worker.line)

    def _abandoned(self, worker: Worker) -> None:
        """The one who asked is gone: it says nothing after it has asked."""
        worker.ending = True
        os.kill(worker.pid, signal.SIGKILL)
        self._events.unregister(worker.client)

    def _reap(self) -> None:
        """Tell those whose worker has ended its exit code, a shell's for one that was killed."""
        with contextlib.suppress(BlockingIOError):
            while self._ended.recv(4096):
                pass
        for worker in list(self._workers.values()):
            ended, status = os.waitpid(worker.pid, os.WNOHANG)
            if ended:
                del self._workers[worker.pid]
                with contextlib.suppress(KeyError):
                    self._events.unregister(worker.line)
                worker.line.close()
                code = os.waitstatus_to_exitcode(status)
                self._tell(worker, code if code >= 0 else 128 - code)

    def _tell(self, worker: Worker, code: int) -> None:
        """Tell the one who waits for a worker, if somebody does, how its script has ended."""
        client, worker.client = worker.client, None
        if client is not None:
            with contextlib.suppress(KeyError):
                self._events.unregister(client)
            with contextlib.suppress(OSError), client:
                client.sendall(b"%d\n" % code)

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


def work(line: socket.socket) -> None:
    """Run the scripts that come over the line, until the server is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    files = open_files()
    while True:
        try:
            message, standard = received(line)
        except (ConnectionError, ValueError):
            # Python's own way out takes as long as the work.
            os._exit(0)
        for ours, theirs in zip((1, 2), standard, strict=True):
            os.dup2(theirs, ours)
        close(standard)
        Job.parsed(message).run()
        for ours in (1, 2):
            os.dup2(nowhere, ours)
        os.chdir("/")
        if open_files() != files:
            # A lock, say, that a process holds until its end.
            os._exit(0)
        line.sendall(_DONE)


def open_files() -> int:
    """Return how many files this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


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
    """Be the server of the directory that the argument names, or one of its workers."""
    prepare()
    server = Server(Path(sys.argv[1]))
    print(flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if line := server.serve():
        work(line)


if __name__ == "__main__":
    main()
