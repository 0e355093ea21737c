"""A job of the fork server is to its caller what a process of its own would be; of what is killed it is told."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rtmri_speech import forkserver
from rtmri_speech.errors import JOB

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are forks on POSIX only")

TELLS = """
import os, sys
print("Zunge 舌", sys.argv[1:], os.getcwd(), os.environ["TONGUE"])
print(__name__, __file__, sys.path[0], file=sys.stderr)
import beside
sys.exit(int(sys.argv[1]))
"""

SHOWS = """
import os, sys, tempfile
import beside
here = [os.getcwd(), sys.argv[1:], sys.path, sorted(os.environ), tempfile.gettempdir()]
beside.warn()
print(os.getpid(), len(os.listdir("/dev/fd")), here, sorted(globals()), sep="|")
os.environ["LEFT"], os.environ["PATH"] = "behind", ""
os.chdir("/")
sys.path.append("/")
left = open(os.devnull)
"""

LOCKS = """
import fcntl, os, sys
fcntl.held = open(sys.argv[1], "w")
fcntl.flock(fcntl.held, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""

WARNS = """
import warnings

def warn():
    warnings.warn("it is dark")
"""

WAITS = """
import os, sys, time
from rtmri_speech.errors import run_script

def main():
    open(sys.argv[1], "w").write(str(os.getpid()))
    time.sleep(float(sys.argv[2]))
    open(sys.argv[1], "w").write("done")

run_script(main)
"""


@pytest.fixture
def place(tmp_path):
    """Scripts, and where their servers lie: deeper than a socket's address may be long. What was started ends."""
    scripts = tmp_path / "workflow scripts 工程"
    scripts.mkdir()
    named = {"tells": TELLS, "shows": SHOWS, "waits": WAITS, "locks": LOCKS, "beside": WARNS, "broken": "def :"}
    for name, text in named.items():
        (scripts / f"{name}.py").write_text(text, encoding="utf-8")
    (scripts / "refuses.py").write_text("raise SystemExit('no vocal tract')")
    (scripts / "fails.py").write_text("1 / 0")
    yield scripts
    for process in servers(tmp_path, forks=True):
        process.kill()


def directory(place: Path) -> Path:
    return place.parent / ("results " * 20) / "forks"


def servers(tmp_path: Path, forks: bool = False) -> list[psutil.Process]:
    """Those that work below a directory, with or without their forks, which have the same command line."""
    found = {}
    for process in psutil.process_iter(["cmdline", "ppid"]):
        words = process.info["cmdline"] or []
        if "rtmri_speech.forkserver.server" in words and words[-1].startswith(str(tmp_path)):
            found[process.pid] = process
    return [process for process in found.values() if forks or process.info["ppid"] not in found]


def command(place: Path, script: str, *arguments: object) -> list[str]:
    return [sys.executable, "-I", "-S", str(forkserver.CLIENT), str(place / f"{script}.py"), *map(str, arguments)]


def environment(place: Path, forks: str | None = None, **changed: str) -> dict[str, str]:
    named = str(directory(place)) if forks is None else forks
    return {**os.environ, JOB: "1", "TONGUE": "up = 上", forkserver.DIRECTORY: named, **changed}


def run(place: Path, script: str, *arguments: object, **changed: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(place, script, *arguments), env=environment(place, **changed), cwd=place, capture_output=True, text=True
    )


def wait_for(condition, seconds: float = 60.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)
    return found


def waiting(place: Path) -> int:
    """The process that the script `waits` has become, once it has."""
    return int(wait_for(lambda: (place / "pid").exists() and (place / "pid").read_text()))


@pytest.mark.parametrize("script", ["tells", "refuses", "fails", "broken", "not_there"])
def test_a_fork_does_what_python_does(place, script):
    plain = run(place, script, 7, "two words", "", forks="")
    forked = [run(place, script, 7, "two words", "") for _ in range(2)]
    for found in forked:
        assert (found.returncode, found.stdout) == (plain.returncode, plain.stdout)
        # A traceback of a fork begins in the server.
        assert found.stderr.splitlines()[-1:] == plain.stderr.splitlines()[-1:]
    assert plain.returncode == {"tells": 7, "broken": 1, "not_there": 2}.get(script, 1)
    assert len(servers(place.parent)) == 1


def shown(place: Path, *arguments: object, **changed: str) -> list[str]:
    """The process of the script `shows`, how many files it has open, and what it finds."""
    return run(place, "shows", *arguments, **changed).stdout.split("|")


def test_a_worker_finds_nothing_of_the_script_before(place):
    first, _, third = shown(place, 1), shown(place, 2, OTHER="x"), shown(place, 1)
    assert third == first
    # And what is found is what Python finds.
    assert first[2] == shown(place, 1, **{forkserver.DIRECTORY: ""})[2]


def test_each_script_finds_its_own_temporary_directory_and_warnings(place):
    for name in "ab":
        (place / name).mkdir()
        found = run(place, "shows", TMPDIR=str(place / name))
        assert f"'{place / name}'" in found.stdout
        assert "it is dark" in found.stderr


def test_what_is_no_message_does_not_end_the_server(place):
    worker = shown(place)[0]
    (address,) = directory(place).rglob("socket")
    for message in (b"", b"nonsense, and long enough", b"%16d" % 0, b"%16d/\0" % 2 + b"0"):
        with socket.socket(socket.AF_UNIX) as client, contextlib.chdir(address.parent):
            client.connect("socket")
            client.sendall(message)
    assert (
        subprocess.run(command(place, "shows")[:-1], env=environment(place), stdin=subprocess.DEVNULL).returncode == 0
    )
    assert shown(place)[0] == worker


def test_a_job_whose_worker_is_killed_before_it_begins_is_told(place):
    worker = int(shown(place)[0])
    os.kill(worker, signal.SIGSTOP)
    with subprocess.Popen(command(place, "shows"), env=environment(place), stdout=subprocess.DEVNULL) as job:
        time.sleep(0.5)
        os.kill(worker, signal.SIGKILL)
        assert job.wait(60) == 128 + signal.SIGKILL
    assert int(shown(place)[0]) != worker


def test_a_worker_ends_with_a_script_that_does_not_end_well(place):
    worker = shown(place)[0]
    for script in ("tells", "refuses", "fails"):
        assert run(place, script, 3).returncode
        assert shown(place)[0] != worker
        worker = shown(place)[0]


def test_a_worker_ends_with_a_script_that_leaves_a_lock(place):
    assert [run(place, "locks", place / "lock").returncode for _ in range(2)] == [0, 0]


def test_a_killed_worker_that_waits_is_not_given_a_job(place):
    worker = int(shown(place)[0])
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(worker))
    assert int(shown(place)[0]) != worker


def test_it_is_a_fork(place):
    assert run(place, "waits", place / "a", 0).returncode == 0
    (server,) = servers(place.parent)
    with subprocess.Popen(command(place, "waits", place / "pid", 60), env=environment(place)) as job:
        pid = waiting(place)
        assert psutil.Process(pid).ppid() == server.pid
        job.kill()
    wait_for(lambda: not psutil.pid_exists(pid))
    assert (place / "pid").read_text() == str(pid), "the job of a killed caller went on"
    assert run(place, "tells", 3).returncode == 3, "the server takes no more jobs"


def test_many_ask_at_once_and_one_server_answers(place):
    asking = {"env": environment(place), "cwd": place, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    jobs = [subprocess.Popen(command(place, "tells", code), **asking) for code in range(12)]
    for code, job in enumerate(jobs):
        told = job.communicate(timeout=120)[0].decode()
        assert job.returncode == code
        assert f"['{code}']" in told
    assert len(servers(place.parent)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a script outlives its server")
def test_a_killed_server_is_told_and_the_next_job_starts_another(place):
    with subprocess.Popen(
        command(place, "waits", place / "pid", 60), env=environment(place), stderr=subprocess.PIPE, text=True
    ) as job:
        waiting(place)
        (server,) = servers(place.parent)
        server.kill()
        assert job.wait(60) == 1
        assert "was killed; run the same command again" in job.stderr.read()
    assert run(place, "tells", 0).returncode == 0
    assert servers(place.parent)[0].pid != server.pid


def test_a_killed_script_ends_as_in_a_shell(place):
    with subprocess.Popen(command(place, "waits", place / "pid", 60), env=environment(place)) as job:
        os.kill(waiting(place), signal.SIGKILL)
        assert job.wait(60) == 128 + signal.SIGKILL


def test_control_c_ends_caller_and_job(place):
    with subprocess.Popen(
        command(place, "waits", place / "pid", 60), env=environment(place), stderr=subprocess.PIPE
    ) as job:
        pid = waiting(place)
        job.send_signal(signal.SIGINT)
        assert job.wait(60) == -signal.SIGINT
        assert job.stderr.read() == b""
    wait_for(lambda: not psutil.pid_exists(pid))


def test_the_socket_is_its_users_alone(place):
    run(place, "tells", 0)
    (socket,) = directory(place).rglob("socket")
    assert socket.stat().st_mode & 0o077 == 0


def test_the_server_ends_when_its_directory_is_removed(place):
    run(place, "tells", 0)
    (socket,) = directory(place).rglob("socket")
    socket.unlink()
    wait_for(lambda: not servers(place.parent), 20)


def test_where_no_server_can_be_python_runs_the_script(place, tmp_path):
    (tmp_path / "file").write_text("no directory")
    assert run(place, "tells", 5, forks=str(tmp_path / "file" / "forks")).returncode == 5
    assert not servers(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted on Linux")
def test_what_the_server_imports_starts_no_thread_and_is_light():
    code = (
        "from rtmri_speech.forkserver import server; server.prepare(); import os, sys;"
        "print(len(os.listdir('/proc/self/task')), {'torch', 'scipy', 'matplotlib', 'pandas'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1 set()\n"


def test_other_code_has_another_server(tmp_path):
    (tmp_path / "script.py").write_text("a")
    before = forkserver.place(tmp_path, tmp_path)
    assert before == forkserver.place(tmp_path, tmp_path)
    os.utime(tmp_path / "script.py", (1, 1))
    assert before != forkserver.place(tmp_path, tmp_path)
