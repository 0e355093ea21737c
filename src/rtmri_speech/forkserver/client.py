"""Run a script in a fork of the fork server, which is started when it does not run yet.

    python -I -S client.py SCRIPT [ARGUMENT ...]

Every job of a clip starts this, so that it uses what is built into Python alone. Where no fork is to be had, or
RTMRI_SPEECH_FORKS names no directory for the server's socket, Python runs the script as ever.
"""

import _signal
import _socket
import os
import sys

DIRECTORY = "RTMRI_SPEECH_FORKS"
"""Environment variable that names a directory for servers of this code; empty: no job is a fork."""

TAKEN = b"+"
"""What the server says before it forks; from then on an end without an exit code is a lost job."""


def main() -> None:
    """Run the script that the arguments name, in a fork or as this process."""
    # As any other program ends by Control-C; a shell's background job stays deaf to it.
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    if directory := os.environ.get(DIRECTORY):
        server = asked(own(directory))
        if server is not None:
            os._exit(outcome(server))
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])


def own(directory: str) -> str:
    """Where the server for this Python on this machine lies; a cluster's job ends, and its server with it."""
    from zlib import crc32

    job = os.environ.get("SLURM_JOB_ID", "")
    return f"{directory}/{crc32(os.fsencode(f'{os.uname().nodename} {job} {sys.executable}')):08x}"


def asked(directory: str) -> "_socket.socket | None":
    """A connection to the server that has taken this job; None where there can be none."""
    cwd = os.getcwdb()  # noqa: PTH109 (no pathlib: it costs a fifth of this program)
    try:
        server = taken(directory, cwd)
        if server is None:
            started(directory)
            server = taken(directory, cwd)
        return server
    except OSError:
        return None
    finally:
        os.chdir(cwd)


def taken(directory: str, cwd: bytes) -> "_socket.socket | None":
    """Send what a process is made of to the server; None when nobody takes it."""
    try:
        # The address of a socket is short, the path of results may not be.
        os.chdir(directory)
        server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        server.connect("socket")
        words = [cwd, b"%d" % len(sys.argv[1:]), *map(os.fsencode, sys.argv[1:])]
        words += [name + b"=" + value for name, value in os.environb.items()]
        message = b"\0".join(words)
        standard = b"".join(number.to_bytes(4, sys.byteorder) for number in (1, 2))
        server.sendmsg([b"%16d" % len(message)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, standard)])
        sent = 0
        while sent < len(message):
            sent += server.send(message[sent:])
        return server if server.recv(1) == TAKEN else None
    except (FileNotFoundError, ConnectionError):
        return None


def started(directory: str) -> None:
    """Start the server, unless another job does or has; it listens when this returns, or nobody can."""
    import fcntl
    import subprocess
    from pathlib import Path

    place = Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if listens(directory):
            return
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rtmri_speech.forkserver.server", directory],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                # It outlives this job, and an interrupted job does not end it.
                start_new_session=True,
            )
        # A line, or the end of a server that cannot be.
        process.stdout.readline()


def listens(directory: str) -> bool:
    """Whether somebody answers at the socket."""
    try:
        os.chdir(directory)
        _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM).connect("socket")
    except (FileNotFoundError, ConnectionError):
        return False
    return True


def outcome(server: "_socket.socket") -> int:
    """Wait for the script's end and return its exit code."""
    code = b""
    while not code.endswith(b"\n"):
        more = server.recv(16)
        if not more:
            os.write(2, b"error: the process that ran this job was killed; run the same command again.\n")
            return 1
        code += more
    return int(code)


if __name__ == "__main__":
    main()
