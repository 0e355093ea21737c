"""The TensorBoard command: both logs together, and a port in use."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "show_tensorboard.py"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def test_a_port_in_use_is_reported_with_a_free_one(tmp_path):
    (tmp_path / "acoustic" / "logs").mkdir(parents=True)
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = subprocess.run(
            [sys.executable, SCRIPT, "--results", tmp_path, "--port", str(port)], capture_output=True, text=True
        )
    assert run.returncode == 2
    assert f"port {port}: cannot be used on localhost" in run.stderr
    assert "give another, such as --port " in run.stderr


def test_missing_logs_are_reported_with_a_remedy(tmp_path):
    run = subprocess.run([sys.executable, SCRIPT, "--results", tmp_path], capture_output=True, text=True)
    assert run.returncode == 2
    assert "there is no training log yet; train first" in run.stderr


@pytest.mark.slow
def test_both_trainings_are_shown(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    for place in ("acoustic/logs", "vocoder/logs"):
        with SummaryWriter(tmp_path / place) as writer:
            writer.add_scalar("loss", 1.0, 1)
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--results", tmp_path, "--port", str(port)], stdout=subprocess.DEVNULL
    )
    runs: list[str] = []
    try:
        deadline = time.monotonic() + 90
        while len(runs) < 2 and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://localhost:{port}/data/runs", timeout=5) as answer:
                    runs = json.load(answer)
            except (urllib.error.URLError, TimeoutError):
                time.sleep(0.5)
    finally:
        process.terminate()
        process.wait(30)
    assert {run.split("/")[0] for run in runs} == {"mel_generator", "vocoder"}
