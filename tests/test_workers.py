"""Workers exit with their parent; a killed worker is reported, and the others are stopped."""

import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import psutil
import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.workers import end_with_parent, reporting_lost_workers

POOL = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from rtmri_speech.workers import end_with_parent
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(600)
"""


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_worker_exits_when_its_parent_is_killed(tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        assert alive(worker)
        parent.kill()
    deadline = time.monotonic() + 120
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)


def test_a_killed_pool_worker_is_reported():
    context = multiprocessing.get_context("spawn")
    with (
        pytest.raises(UserError, match=r"^a worker process: was killed, .*; run it again\.$"),
        reporting_lost_workers("run it again"),
        ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool,
    ):
        pool.submit(os._exit, 9).result()


def test_a_fork_server_killed_while_starting_a_worker_is_reported():
    # What `Process.start` raises then (popen_forkserver): the moment is too short to be met on purpose.
    with pytest.raises(UserError, match=r"^a worker process: was killed"), reporting_lost_workers("run it again"):
        raise EOFError("unexpected EOF")


def test_other_errors_are_passed_on():
    with pytest.raises(RuntimeError, match="something else"), reporting_lost_workers("run it again"):
        raise RuntimeError("something else")
