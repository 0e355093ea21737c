"""A checkout of the project in a temporary directory and a tiny corpus, for real Snakemake runs."""

import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import yaml

from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.video import write_video

ROOT = Path(__file__).parents[1]
RATE = Fraction(11413, 420)
CLIPS = ["a0", "a1", "a2", "b0", "b1"]
NAMED = {"training": ["a0", "a1"], "validation": ["a2"], "test": ["b0", "b1"]}


def make_recording(video: Path, audio: Path, seed: int, frames: int = 12) -> None:
    """A bar that moves up and down with the pitch of a tone."""
    rng = np.random.default_rng(seed)
    place = (np.sin(np.arange(frames) / rng.uniform(1, 3)) + 1) / 2
    rows = np.arange(48)[None, :, None] / 48
    pictures = np.uint8(30 + 200 * np.exp(-(((rows - place[:, None, None]) / 0.1) ** 2)) * np.ones((1, 1, 48)))
    video.parent.mkdir(parents=True, exist_ok=True)
    write_video(video, pictures, RATE)
    pitch = np.repeat(200 + 300 * place, 420)
    audio.parent.mkdir(parents=True, exist_ok=True)
    write_wav(audio, 0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / 11413), 11413)


TINY_VOCODER = {
    "resblock": "2",
    "batch_size": 2,
    "learning_rate": 0.001,
    "adam_b1": 0.8,
    "adam_b2": 0.99,
    "lr_decay": 0.999,
    "seed": 1234,
    "upsample_rates": [14, 10, 3],
    "upsample_kernel_sizes": [28, 20, 9],
    "upsample_initial_channel": 16,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 2]],
    "segment_size": 2520,
    "num_mels": 16,
    "n_fft": 512,
    "hop_size": 420,
    "win_size": 512,
    "sampling_rate": 11413,
    "fmin": 0,
    "fmax": 5706.5,
    "mpd_divisor": 32,
    "msd_divisor": 32,
}
"""A HiFi-GAN of the tiny corpus' mel."""


TINY_ACOUSTIC = {
    "backbone": "test_efficientnet",
    "image_size": None,
    "cnn_pretrained": False,
    "rnn_hidden": 8,
    "stretch": 4,
    "batch_size": 2,
    "micro_batch_size": 2,
    "num_workers": 0,
    "pin_memory": False,
    "use_checkpoint": False,
    "epochs": 40,
    "lr": 0.003,
    "early_stop": 0,
    "gpus": 0,
    "loss": {"ramp_steps": 10},
}
"""A mel generator of the tiny corpus, trained in seconds."""


class Checkout:
    """A copy of the project's files, with a runnable workflow and modifiable code."""

    def __init__(self, directory: Path, settings: dict) -> None:
        self.directory, self.settings = directory, settings
        for name in ("Snakefile", "rules", "config", "profiles", "src", "workflow", "envs", "models"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            elif source.exists():
                shutil.copy(source, directory / name)
        (directory / "config" / "hifigan_tiny.json").write_text(json.dumps(TINY_VOCODER), encoding="utf-8")

    def configure(self, **sections) -> None:
        for name, section in sections.items():
            kept = self.settings.get(name)
            self.settings[name] = (
                {**kept, **section} if isinstance(section, dict) and isinstance(kept, dict) else section
            )

    def copy(self, directory: Path) -> "Checkout":
        """Copy files and settings to another directory; file times are kept."""
        copy = Checkout.__new__(Checkout)
        copy.directory = directory
        shutil.copytree(self.directory, directory)
        copy.settings = {
            name: dict(section) if isinstance(section, dict) else section for name, section in self.settings.items()
        }
        return copy

    @property
    def results(self) -> Path:
        return self.directory / self.settings["results"]

    def start(self, *arguments: str, environment: dict[str, str] | None = None, **streams) -> subprocess.Popen:
        """Start the workflow with this Python and an otherwise clean environment."""
        path = self.directory / "my config.yaml"
        text = yaml.safe_dump(self.settings, allow_unicode=True)
        # Not anew for nothing: a test may have filled the disk.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "2", f"--configfile={path.name}", *arguments],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": "", **(environment or {})},
            text=True,
            **streams,
        )

    def snakemake(self, *arguments: str, timeout: float = 3600) -> subprocess.CompletedProcess:
        """Run the workflow to its end."""
        with self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
            try:
                out, err = run.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                run.kill()
                raise
        return subprocess.CompletedProcess(run.args, run.returncode, out, err)

    def make(self, *targets: str, timeout: float = 3600) -> str:
        run = self.snakemake(*targets, timeout=timeout)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr

    def pending(self, *targets: str) -> set[str]:
        """Return the pending jobs, as ``rule`` or ``rule id``."""
        run = self.snakemake("-n", *targets)
        out = run.stdout + run.stderr
        assert run.returncode == 0, out
        jobs, rule = set(), None
        for line in out.splitlines():
            words = line.split()
            if words[:1] in (["rule"], ["localrule"]):
                rule = words[1].rstrip(":")
                jobs.add(rule)
            elif words[:1] == ["wildcards:"]:
                jobs.discard(rule)
                jobs.add(f"{rule} {words[1].split('=')[1].rstrip(',')}")
        return jobs - {"dataset"}


def tiny_checkout(directory: Path) -> Checkout:
    """A checkout whose corpus is five clips; its paths are Japanese and hold spaces."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = {
        "results": "結果 1",
        "corpus": {"source": "directories", "videos": "動画 videos", "audio": "audio"},
        "video": {"size": [32, 32]},
        "mel": {"n_fft": 512, "n_mels": 16},
        "bands": {"F1": [300, 900]},
        "split": {"named": NAMED},
        "vocoder": {"config": "config/hifigan_tiny.json"},
    }
    checkout = Checkout(directory, settings)
    for number, id in enumerate(CLIPS):
        make_recording(directory / "動画 videos" / f"{id}.mp4", directory / "audio" / f"{id}.wav", number)
    return checkout
