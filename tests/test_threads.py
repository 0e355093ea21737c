"""A job uses the threads of its rule in torch, BLAS, OpenCV and the decoders."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtmri_speech.threads import limit_threads, thread_variables

SOURCE = Path(__file__).parent.parent / "src"
JOB = """
import argparse, json
from rtmri_speech.errors import run_script

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int)
    from rtmri_speech.threads import limit_threads
    limit_threads(parser.parse_args().threads)
    import av, cv2, numpy, scipy.linalg, threadpoolctl, torch
    counts = {"torch": torch.get_num_threads(), "opencv": cv2.getNumThreads()}
    for pool in threadpoolctl.threadpool_info():
        counts[pool["prefix"] + " " + pool["user_api"]] = pool["num_threads"]
    print(json.dumps(counts))

run_script(main)
"""
RULE = """
rule count:
    output: "counts.json"
    threads: 1
    shell: "python job.py > {output}"
"""


def environment() -> dict[str, str]:
    """The environment of this process, without variables for the number of threads."""
    kept = {name: value for name, value in os.environ.items() if name not in thread_variables(1)}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return {**kept, "PYTHONPATH": str(SOURCE), "PATH": path}


@pytest.fixture
def job(tmp_path):
    pytest.importorskip("threadpoolctl")
    (tmp_path / "job.py").write_text(JOB, encoding="utf-8")
    return tmp_path


def test_a_job_of_one_thread_uses_one_everywhere(job):
    (job / "Snakefile").write_text(RULE, encoding="utf-8")
    words = [sys.executable, "-m", "snakemake", "--cores", "4", "--quiet", "all", "--workflow-profile", "none"]
    run = subprocess.run(words, cwd=job, env=environment(), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    counts = json.loads((job / "counts.json").read_text())
    assert {"torch", "opencv"} < counts.keys()
    assert any("blas" in name for name in counts), "no BLAS was looked at"
    assert set(counts.values()) == {1}, counts


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor cannot show two threads")
def test_a_manual_command_uses_the_given_threads(job):
    words = [sys.executable, "job.py", "--threads", "2"]
    run = subprocess.run(words, cwd=job, env=environment(), capture_output=True, text=True, check=True)
    assert set(json.loads(run.stdout).values()) == {2}


def test_decoding_uses_one_thread(tmp_path, monkeypatch):
    import numpy as np

    from rtmri_speech.signal import media, video

    monkeypatch.delenv(media.THREADS_VARIABLE, raising=False)
    video.write_video(tmp_path / "v.mp4", np.zeros((3, 32, 32), np.uint8), 10)
    import av

    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert len(list(media.decoded(tmp_path / "v.mp4", container, stream))) == 3
        assert stream.codec_context.thread_count == 1


def test_an_empty_variable_is_ignored(monkeypatch):
    """OpenCV fails on an empty variable of its own."""
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.delenv("OPENCV_FOR_THREADS_NUM", raising=False)
    limit_threads(None)
    assert "OPENCV_FOR_THREADS_NUM" not in os.environ
