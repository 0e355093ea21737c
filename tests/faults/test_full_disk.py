"""A disk that fills up ends a stage in one sentence, leaves nothing partial, and the same command finishes after."""

import contextlib
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.video import write_video

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "preprocess_rtmri_data.py"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    disk = tmp_path / "small disk"
    disk.mkdir()
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("this machine mounts no tmpfs")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def preprocess(only, video, audio, out):
    command = [sys.executable, str(SCRIPT), "--only", only, "--clip", "a", "--out_dir", str(out)]
    command += ["--video", str(video), "--audio", str(audio), "--resize_h", "64", "--resize_w", "64"]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("only", ["frames", "mel"])
def test_a_full_disk_is_told_and_the_stage_finishes_after(small_disk, tmp_path, only):
    frames = 100
    pictures = np.random.default_rng(0).integers(0, 255, (frames, 64, 64)).astype(np.uint8)
    video, audio = tmp_path / "a.mp4", tmp_path / "a.wav"
    write_video(video, pictures, Fraction(11413, 420))
    write_wav(audio, 0.1 * np.sin(np.arange(frames * 420) / 5), 11413)
    if only == "mel":
        assert preprocess("frames", video, audio, small_disk).returncode == 0
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(4096))
    before = {path for path in small_disk.rglob("*") if path.is_file()}
    run = preprocess(only, video, audio, small_disk)
    assert run.returncode != 0
    assert "no space is left on the disk" in run.stderr and "Traceback" not in run.stderr, run.stderr
    assert run.stderr.strip().count("\n") == 0
    assert {path for path in small_disk.rglob("*") if path.is_file()} == before
    ballast.unlink()
    assert preprocess(only, video, audio, small_disk).returncode == 0
