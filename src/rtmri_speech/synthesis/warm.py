"""Models kept in memory between commands: a process on this machine that makes speech until nobody asks any more.

Importing torch and timm and loading the models takes longer than making the speech of a clip. The first command starts
the process, those that follow, at the same time too, send it frames and get mel and samples back. Its address lies in a
file that only the user can read, with a key without which it does not answer; it listens on this machine alone. The
name of that file stands for the models' files, the code and the settings: when one of them changes, the old process is
never asked, and ends by itself. Where the models are on a GPU, it is this process that holds the GPU, as long as it
lives; the commands that ask it need none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from rtmri_speech.atomic import replacing
from rtmri_speech.devices import say_on_stderr, take_gpus
from rtmri_speech.errors import UserError, user_error
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.staleness import code_times
from rtmri_speech.synthesis.models import Models
from rtmri_speech.synthesis.speech import Speech
from rtmri_speech.threads import thread_variables

_FRAMES_SENT = 64
"""Frames in a message."""

_PACKAGE = Path(__file__).parent.parent

_CODE = code_times()
"""Files of the package and their times, as this process has imported them."""


class WarmSynthesiser:
    """The models in their own process, started when it does not run yet; used like a `Synthesiser`.

    Parameters
    ----------
    models : which.
    directory : where the process leaves its address and log.
    threads : processor threads a clip is computed with.
    idle : seconds without a question after which a process that is started now ends; longer than the pause between two
        jobs of a workflow.
    gpus : how many GPUs it takes, see `devices.take_gpus`; it waits until they are free, and says so on stderr.

    Attributes
    ----------
    mel, frame_size : as of a `Synthesiser`.
    notes : what was to be said when the models were loaded.

    Raises
    ------
    UserError
        The models cannot be loaded.
    """

    def __init__(
        self, models: Models, directory: str | Path, threads: int, idle: float, gpus: int | None = None
    ) -> None:
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        address = directory / f"{_identity(models, threads, gpus)}.json"
        self._log = address.with_suffix(".log")
        with FileLock(address.with_suffix(".lock")):
            answer = _asked(address)
            if answer is None:
                _start(models, address, threads, idle, gpus)
                answer = _asked(address)
        if answer is None:
            raise self._lost()
        self._connection, about = answer
        self.mel, self.frame_size = MelSpec.from_dict(about["mel"]), tuple(about["frame_size"])
        self.notes: list[str] = about["notes"]

    def speech(self, frames: Iterable[np.ndarray]) -> Speech:
        """Return the speech of gray frames uint8 ``(H, W)``, see `Synthesiser.speech`."""
        stream = iter(frames)
        try:
            while batch := list(islice(stream, _FRAMES_SENT)):
                _send(self._connection, {"frames": "more"}, np.stack(batch))
            _send(self._connection, {"frames": "end"})
            answer, arrays = _receive(self._connection)
        except UserError:
            # The video cannot be read to its end; the next one shall find an open ear.
            _send(self._connection, {"frames": "none"})
            raise
        except (EOFError, ConnectionError) as error:
            raise self._lost() from error
        if "refused" in answer:
            raise UserError(*answer["refused"])
        mel_db, *audio = arrays
        return Speech(mel_db, dict(zip(answer["vocoders"], audio, strict=True)))

    def _lost(self) -> UserError:
        return UserError(
            self._log, "the process that keeps the models in memory ended", "read why there and run the command again"
        )


def _identity(models: Models, threads: int, gpus: int | None) -> str:
    """Name what a process must be for its answers to be right: host, GPUs, models, settings, code."""
    files = []
    for path in models.files:
        if not path.is_file():
            raise UserError(path, "there is no such file", "check the path")
        files.append([str(path), path.stat().st_size, path.stat().st_mtime_ns])
    # A process that was started in one job of a cluster ends with it, and must not be asked by another.
    job = os.environ.get("SLURM_JOB_ID")
    # It may take only what the one who asks it could take.
    devices = [gpus, os.environ.get("CUDA_VISIBLE_DEVICES")]
    asker = [socket.gethostname(), job, devices, threads, sys.executable]
    stated = json.dumps([asker, models.to_json(), files, _CODE])
    return hashlib.sha256(stated.encode()).hexdigest()[:16]


def _asked(address: Path) -> tuple[Connection, dict[str, Any]] | None:
    """Return a connection to the process of this address and what it says of itself; None when there is none now."""
    try:
        # A process that was killed leaves its address, whose port may be another program's now; it leaves no lock.
        with _life(address).acquire(timeout=0):
            return None
    except Timeout:
        pass
    try:
        stated = json.loads(address.read_text(encoding="utf-8"))
        connection = Client(("127.0.0.1", stated["port"]), authkey=bytes.fromhex(stated["key"]))
        _send_at_once(connection)
        return connection, _receive(connection)[0]
    except (FileNotFoundError, ConnectionError, EOFError, AuthenticationError):
        return None


def _life(address: Path) -> FileLock:
    """The lock that a process holds as long as it lives."""
    return FileLock(address.with_suffix(".alive"))


def _start(models: Models, address: Path, threads: int, idle: float, gpus: int | None) -> None:
    """Start the process and wait until its address is there; what it refuses is raised here."""
    command = [sys.executable, "-P", "-m", __name__, str(address), models.to_json(), str(idle), json.dumps(gpus)]
    path = os.pathsep.join(filter(None, [str(_PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **thread_variables(threads), "PYTHONPATH": path}
    with address.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            # It outlives the command, and an interrupted command does not end it.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    with process.stdout as told:
        for line in told:
            match json.loads(line):
                case None:
                    return
                case str(sentence):
                    say_on_stderr(sentence)
                case refused:
                    raise UserError(*refused)
    raise UserError(address.with_suffix(".log"), "the models could not be loaded", "read why there")


def _send_at_once(connection: Connection) -> None:
    """Let no small message wait for the answer to the one before, as TCP does to send fewer: 0.04 s each time."""
    same = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
    # Some systems refuse it for a connection that the other side has left: who reads from it will be told.
    with same, contextlib.suppress(OSError):
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _send(connection: Connection, header: dict[str, Any], *arrays: np.ndarray) -> None:
    shapes = [[array.dtype.str, array.shape] for array in arrays]
    connection.send_bytes(json.dumps({**header, "arrays": shapes}).encode())
    for array in arrays:
        connection.send_bytes(np.ascontiguousarray(array).data.cast("B"))


def _receive(connection: Connection) -> tuple[dict[str, Any], list[np.ndarray]]:
    header = json.loads(connection.recv_bytes())
    return header, [
        np.frombuffer(connection.recv_bytes(), np.dtype(kind)).reshape(shape) for kind, shape in header["arrays"]
    ]


class _Server:
    """Answers each connection in a thread of its own, and knows since when nobody has been there."""

    def __init__(self, synthesiser: Any, about: dict[str, Any]) -> None:
        self._synthesiser, self._about = synthesiser, about
        self._lock, self._guests, self._since = threading.Lock(), 0, time.monotonic()

    @property
    def idle(self) -> float:
        """Seconds since the last guest left; 0 while there is one."""
        with self._lock:
            return 0.0 if self._guests else time.monotonic() - self._since

    @contextlib.contextmanager
    def _guest(self) -> Iterator[None]:
        with self._lock:
            self._guests += 1
        try:
            yield
        finally:
            with self._lock:
                self._guests, self._since = self._guests - 1, time.monotonic()

    def listen(self, listener: Listener) -> None:
        """Accept connections for ever."""
        while True:
            with contextlib.suppress(AuthenticationError, EOFError, ConnectionError):
                connection = listener.accept()
                _send_at_once(connection)
                threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        with self._guest(), connection, contextlib.suppress(EOFError, ConnectionError):
            _send(connection, self._about)
            while True:
                self._speak(connection)

    def _speak(self, connection: Connection) -> None:
        frames = _frames(connection)
        try:
            speech = self._synthesiser.speech(frames)
        except _Abandoned:
            return
        except UserError as refusal:
            # What is still on its way belongs to this clip.
            with contextlib.suppress(_Abandoned):
                deque(frames, maxlen=0)
            _send(connection, {"refused": [refusal.subject, refusal.fault, refusal.remedy]})
        else:
            _send(connection, {"vocoders": list(speech.audio)}, speech.mel_db, *speech.audio.values())


class _Abandoned(Exception):
    """The one who asked cannot read the video to its end."""


def _frames(connection: Connection) -> Iterator[np.ndarray]:
    while True:
        header, arrays = _receive(connection)
        match header["frames"]:
            case "more":
                yield from arrays[0]
            case "end":
                return
            case "none":
                raise _Abandoned


def _serve(address: Path, models: Models, idle: float, gpus: int | None) -> None:
    """Load the models, say on stdout that the address is there or what is refused, and answer."""
    notes: list[str] = []
    try:
        take_gpus(gpus, lambda sentence: print(json.dumps(sentence), flush=True))

        from rtmri_speech.synthesis.synthesiser import load_synthesiser

        synthesiser = load_synthesiser(models, notes.append)
    except UserError as refusal:
        print(json.dumps([refusal.subject, refusal.fault, refusal.remedy]))
        return
    key = secrets.token_bytes(32)
    about = {
        "mel": dataclasses.asdict(synthesiser.mel),
        "frame_size": synthesiser.frame_size,
        "notes": notes,
    }
    with _life(address), Listener(("127.0.0.1", 0), backlog=64, authkey=key) as listener:
        server = _Server(synthesiser, about)
        threading.Thread(target=server.listen, args=[listener], daemon=True).start()
        try:
            with replacing(address) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_text(json.dumps({"port": listener.address[1], "key": key.hex()}), encoding="utf-8")
        except OSError as error:
            refusal = user_error(error)
            if refusal is None:
                raise
            print(json.dumps([refusal.subject, refusal.fault, refusal.remedy]))
            return
        print(json.dumps(None), flush=True)
        # Nobody reads it from here on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        while True:
            time.sleep(min(idle, 1.0) / 4)
            if server.idle and not address.exists():
                # Somebody removed it: nobody can ask any more, and who starts the next one waits for this to end.
                return
            if server.idle >= idle:
                # Who asks holds the lock until it is counted as a guest.
                with FileLock(address.with_suffix(".lock")):
                    if server.idle >= idle:
                        address.unlink(missing_ok=True)
                        return


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Models.from_json(sys.argv[2]), float(sys.argv[3]), json.loads(sys.argv[4]))
