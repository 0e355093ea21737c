"""The objects measured, at full or toy size: networks, a dataset from demo clips or noise, a clip."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from bench_acoustic_training import make_dataset

from gpu.report import Report
from rtmri_speech.acoustic.model import AcousticModel, Network
from rtmri_speech.acoustic.predict import AcousticBundle
from rtmri_speech.acoustic.train import AcousticTask, TrainingSettings
from rtmri_speech.dataset.filelists import write_filelist
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.settings.acoustic import Loss
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.training.distributed import Processes
from rtmri_speech.vocoder.config import VocoderConfig, read_config
from rtmri_speech.vocoder.data import VocoderClip, open_clips
from rtmri_speech.vocoder.engine import Vocoder
from rtmri_speech.vocoder.generator import Generator
from rtmri_speech.vocoder.train import Networks

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "clips"
"""Demo clips of `gather_for_gpu.py`: mp4 with FLAC, and FLAC only."""

PRECISIONS = ("float32", "TF32", "bfloat16", "float16")
"""TF32: float32 with products rounded to 10 bits by the tensor cores, the default of cuDNN's convolutions."""

CLIP_FRAMES = 109
"""Frames of a clip of 4 s, the mean length of the sentences used to estimate epochs."""

UTTERANCES = 450


@dataclasses.dataclass
class Trial:
    """Device, size, directory and deadline of a run."""

    device: str
    tiny: bool
    work: Path
    report: Report
    deadline: float
    dataset: Path = Path()
    wavs: Path = Path()

    def left(self) -> float:
        """Return the seconds until the deadline."""
        return self.deadline - time.monotonic()

    @property
    def size(self) -> int:
        return 32 if self.tiny else 256

    @property
    def network(self) -> Network:
        return Network("test_efficientnet", rnn_hidden=8) if self.tiny else Network()

    @property
    def vocoder_config(self) -> VocoderConfig:
        config = dataclasses.replace(read_config(ROOT / "config" / "hifigan_v1_11413.json"), padding="official")
        if self.tiny:
            changed = {"upsample_initial_channel": 16, "mpd_divisor": 32, "msd_divisor": 32, "batch_size": 2}
            config = dataclasses.replace(config, **changed)
        return config

    def training(self, device: str | None = None, **changed) -> AcousticTask:
        """Return a training of the mel generator, to be stepped by the caller."""
        device = device or self.device
        network = {"backbone": self.network.backbone, "rnn_hidden": self.network.rnn_hidden}
        values = {**network, "cnn_pretrained": False, "use_checkpoint": False, "num_workers": 0}
        values |= {"loss": Loss(ramp_steps=10), "lr": 1e-4, "batch_size": 2}
        values |= {"stretch": 4 if self.tiny else 16}
        values |= {"f0_dir": self.work / "f0"} if changed.get("pitch") else {}
        places = {name: self.work / "acoustic" / name for name in ("out_ckpt", "log_dir", "state_dir")}
        settings = TrainingSettings(processed_dir=self.dataset, **places, device=device, **{**values, **changed})
        return AcousticTask(settings, Processes(0, 1, torch.device(device)))

    def networks(self, device: str | None = None, bf16: bool = False) -> Networks:
        """Return the vocoder's networks and optimisers, with fixed random weights."""
        torch.manual_seed(0)
        return Networks(self.vocoder_config, Processes(0, 1, torch.device(device or self.device)), bf16)

    def clips(self) -> list[VocoderClip]:
        names = self.work / "wavs.txt"
        write_filelist(names, sorted(path.stem for path in self.wavs.glob("*.wav")))
        return open_clips(names, self.wavs, self.vocoder_config)

    def frames(self) -> np.ndarray:
        """Return the frames of a clip, uint8 ``(T, size, size)``."""
        count = 12 if self.tiny else CLIP_FRAMES
        frames = np.load(sorted((self.dataset / "samples").glob("*/mri.npy"))[0])
        return np.resize(frames, (count, *frames.shape[1:]))

    def bundle(self, device: str | None = None) -> AcousticBundle:
        """Return a mel generator for inference, with fixed random weights."""
        torch.manual_seed(0)
        model = AcousticModel(self.network).eval()
        model.to(device or self.device, memory_format=torch.channels_last)
        size, scaler = (self.size, self.size), Scaler(np.full(64, -40.0), np.full(64, 10.0), 1)
        return AcousticBundle(model, Path("m.pt"), size, size, "unit", 4, MelSpec.preset("hifigan"), scaler, None)

    def vocoder(self, device: str | None = None, bf16: bool = False) -> Vocoder:
        torch.manual_seed(0)
        config = self.vocoder_config
        return Vocoder(Generator(config), config, device or self.device, bf16)

    def log_mel(self) -> np.ndarray:
        """Return a log mel of the length of `frames`, float32 ``(n_mels, T)``."""
        return np.random.default_rng(0).normal(-4, 1, (64, len(self.frames()))).astype(np.float32)

    def wait(self) -> None:
        """Wait until the device has finished."""
        if self.device == "cuda":
            torch.cuda.synchronize()


@contextlib.contextmanager
def precision(name: str) -> Iterator[str]:
    """Compute in one of `PRECISIONS`; yields its name in the mel generator's settings."""
    # These switches remain readable by cuDNN's context manager, which Grad-CAM uses.
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = name == "TF32"
    try:
        yield "float32" if name == "TF32" else name
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def prepare(trial: Trial, say: Callable[[str], None]) -> None:
    """Make the dataset and the wav files from the demo clips, or from noise if there are none."""
    trial.dataset, trial.wavs = trial.work / "dataset", trial.work / "wavs"
    shutil.rmtree(trial.dataset, ignore_errors=True)
    trial.wavs.mkdir(parents=True, exist_ok=True)
    films = [] if trial.tiny else sorted(CLIPS.glob("*.mp4"))
    if films:
        make_dataset_of(films, trial.dataset)
        say(f"Trained on {len(films)} clips of the demo's corpus, again and again: the losses mean nothing.")
    else:
        make_dataset(trial.dataset, trial.size)
        say("Trained on noise.")
    (trial.work / "f0").mkdir(exist_ok=True)
    for sample in (trial.dataset / "samples").iterdir():
        # Any F0: only the time of learning it is measured.
        length = len(np.load(sample / "mel_db.npy", mmap_mode="r"))
        np.save(trial.work / "f0" / f"{sample.name}.npy", np.float32(120 * (np.arange(length) % 3 > 0)))
    from rtmri_speech.signal.audio import read_audio, write_wav

    sounds = [] if trial.tiny else sorted(CLIPS.glob("*.flac"))
    for path in sounds:
        write_wav(trial.wavs / f"{path.stem}.wav", read_audio(path, sampling_rate=11413), 11413)
    for number in range(0 if sounds else 4):
        rng = np.random.default_rng(number)
        write_wav(trial.wavs / f"noise{number}.wav", rng.normal(0, 0.1, 40 * 420), 11413)


def make_dataset_of(films: list[Path], directory: Path) -> None:
    """Write the processed directory from videos with FLAC files; the last clip is for validation."""
    from rtmri_speech.dataset.clip import Clip
    from rtmri_speech.dataset.process import DatasetSettings, Processing

    names = [film.stem for film in films]
    clips = {film.stem: Clip(film.stem, film, film.with_suffix(".flac")) for film in films}
    parts = {"training": names[:-1], "validation": names[-1:], "test": []}
    Processing(directory, DatasetSettings(MelSpec.preset("hifigan"))).everything(clips, parts)
