"""A pack works without torch, with the given number of threads, in constant memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models

from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.video import write_video
from rtmri_speech.threads import available_threads

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "run_mri_video_inference.py"
OTHERS = ("torch", "torchvision", "torchaudio", "timm", "snakemake", "librosa", "scipy", "matplotlib", "pandas")
OTHERS += ("pydantic", "yaml", "jsonschema", "filelock", "tqdm", "tensorboard", "onnx", "onnxscript", "psutil")

WITHOUT = f"""
import importlib.abc, runpy, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OTHERS!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def without_torch(*words, fails=False):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(SCRIPT), *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == (2 if fails else 0), done.stderr
    return done


@pytest.fixture
def processed(tmp_path):
    """Two clips of a dataset."""
    for number, frames in enumerate((12, 19)):
        folder = tmp_path / "processed" / "samples" / f"c{number}"
        folder.mkdir(parents=True)
        np.save(folder / "mri.npy", tiny_models.moving_bar(frames, number))
        write_wav(tmp_path / "processed" / "wavs" / f"c{number}.wav", np.zeros(frames * 420), 11413)
    return tmp_path / "processed"


def test_clips_and_videos_are_synthesised_without_torch_or_output_on_stderr(tiny_pack, processed, tmp_path):
    out = tmp_path / "発話"
    words = ["--model", tiny_pack, "--output-dir", out]
    done = without_torch(*words, "--processed-dir", processed, "--clips", "c0", "c1")
    assert done.stderr == ""
    names = ("generated.wav", "mel.npy", "mel.png", "mel_log.npy", "original.wav")
    assert sorted(path.name for path in out.iterdir()) == [f"c{number}_{name}" for number in (0, 1) for name in names]
    write_video(tmp_path / "v.mp4", tiny_models.moving_bar(15), tiny_models.SPEC.frame_rate)
    assert without_torch(*words, "--video", tmp_path / "v.mp4").stderr == ""
    assert np.load(out / "v_mel.npy").shape == (15, tiny_models.SPEC.n_mels)


def test_live_use_needs_no_torch(tiny_pack, tmp_path):
    script = tmp_path / "live.py"
    script.write_text(
        "import sys, numpy\n"
        "from rtmri_speech.pack.speak import load_live_pack\n"
        "live = load_live_pack(sys.argv[1])\n"
        "frames = (numpy.full((32, 32), 9 * t, numpy.uint8) for t in range(14))\n"
        "print(sum(map(len, live.stream(frames))))\n"
    )
    words = [sys.executable, "-c", WITHOUT, script, tiny_pack]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(14 * 420)]


def test_a_copy_with_scores_needs_no_torch(tiny_pack, tmp_path):
    (tmp_path / "scores.json").write_text('{"summary": {}}')
    words = [SCRIPT.with_name("pack_model.py"), "--pack", tiny_pack, "--scores", tmp_path / "scores.json"]
    command = [sys.executable, "-c", WITHOUT, *words, "--output", tmp_path / "b.pack"]
    subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)


@pytest.mark.parametrize("flags", [["--bf16"], ["--device", "cuda"], ["--gpus", "1"], ["--hifigan-checkpoint", "g_1"]])
def test_checkpoint_flags_are_refused_with_a_pack(tiny_pack, processed, tmp_path, flags):
    words = ["--model", tiny_pack, "--processed-dir", processed, "--clips", "c0", "--output-dir", tmp_path / "out"]
    assert "--model names all of the models" in without_torch(*words, *flags, fails=True).stderr


def test_missing_models_are_refused(processed, tmp_path):
    words = ["--processed-dir", processed, "--clips", "c0", "--output-dir", tmp_path / "out"]
    assert "give --model, or --mri-checkpoint" in without_torch(*words, fails=True).stderr


def test_frames_of_another_size_are_refused_in_one_sentence(tiny_pack, tmp_path):
    folder = tmp_path / "processed" / "samples" / "c0"
    folder.mkdir(parents=True)
    np.save(folder / "mri.npy", tiny_models.moving_bar(4, size=(32, 40)))
    words = ["--model", tiny_pack, "--processed-dir", tmp_path / "processed", "--clips", "c0"]
    said = without_torch(*words, "--output-dir", tmp_path / "out", fails=True).stderr
    assert said.count("\n") == 1
    assert "tiny.pack: was trained on frames of 32×32, these have 32×40" in said


def test_threads_default_to_the_environment_or_the_available_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert available_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {4, 7})
        assert available_threads() == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
def test_onnx_runtime_starts_no_extra_threads(tiny_pack):
    """A thread counts as one of the session's own: the caller computes too."""
    code = (
        "import os, sys\n"
        "import numpy, onnxruntime\n"
        "from rtmri_speech.pack.speak import load_pack\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "speaker = load_pack(sys.argv[1], threads=int(sys.argv[2]))\n"
        "speaker.speech(numpy.zeros((5, 32, 32), numpy.uint8))\n"
        "print(len(os.listdir('/proc/self/task')) - before)\n"
    )
    started = [
        int(subprocess.check_output([sys.executable, "-c", code, str(tiny_pack), count], text=True))
        for count in ("1", "2")
    ]
    # Each of the three graphs has its own.
    assert started == [0, 3]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_clip(tiny_pack):
    code = (
        "import resource, sys\n"
        "import numpy\n"
        "from rtmri_speech.pack.speak import load_pack\n"
        "speaker, frame = load_pack(sys.argv[1], threads=1), numpy.zeros((32, 32), numpy.uint8)\n"
        "for count in (1000, 8000):\n"
        "    for _ in speaker._vocoders['vocoder'].stream(\n"
        "        numpy.zeros((16, 100), numpy.float32) for _ in range(count // 100)\n"
        "    ):\n"
        "        pass\n"
        "    speaker.speech(frame for _ in range(count))\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    short, long = map(int, subprocess.check_output([sys.executable, "-c", code, str(tiny_pack)], text=True).split())
    # Features, mels, and the samples themselves are kept: 8000 frames of 1024, 64 and 1680 bytes, some of them twice.
    assert long - short < 80_000
