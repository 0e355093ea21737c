"""A tiny synthetic processed directory, in which the mel depends on the picture."""

import os

# Before NumPy and torch are imported: the processes of pytest share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal
from pathlib import Path

import numpy as np
import pytest
from logged import logged

from rtmri_speech.dataset.filelists import write_filelist
from rtmri_speech.dataset.meta import write_meta
from rtmri_speech.dataset.sample import Sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.dataset.windows import window_starts
from rtmri_speech.signal.mel import MelSpec

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs are deaf to SIGINT, and so would be every process that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

TINY_SPEC = MelSpec.preset("hifigan", n_fft=512, win_length=512, n_mels=12)


def make_processed(
    directory: Path,
    lengths=(("training", (13, 9, 17)), ("validation", (11, 8)), ("test", (9,))),
    size=(32, 32),
    spec=TINY_SPEC,
    ref_frames=4,
    seed=0,
) -> Path:
    """Write a processed directory of clips ``a0``, ``a1``...: the position of a bright bar determines the mel."""
    rng = np.random.default_rng(seed)
    number, training = 0, []
    for part, counts in lengths:
        ids = []
        for frames in counts:
            place = np.abs(np.cumsum(rng.normal(0, 0.12, frames)) + rng.uniform()) % 1
            rows = np.arange(size[0]) / size[0]
            bar = np.exp(-(((rows[None] - place[:, None]) / 0.15) ** 2))
            mri = np.uint8(20 + 200 * bar[:, :, None] * np.linspace(0.4, 1, size[1]) + rng.integers(0, 20, (1, *size)))
            centres = np.arange(spec.n_mels) / spec.n_mels
            mel_db = -80 + 70 * np.exp(-(((centres[None] - place[:, None]) / 0.3) ** 2)).astype(np.float32)
            mask = np.ones(frames, np.float32)
            mask[-1] = 0
            id = f"a{number}"
            folder = directory / "samples" / id
            folder.mkdir(parents=True)
            for name, array in (("mri", mri), ("mel_db", np.float32(mel_db)), ("mask", mask)):
                np.save(folder / f"{name}.npy", array)
            if part == "training":
                training.append(Sample(id, mri, np.float32(mel_db), mask))
            ids.append(id)
            number += 1
        write_filelist(directory / "hifigan_filelists" / f"{part}.txt", ids)
        if part != "test":
            (directory / f"pairs_ref{ref_frames}_npy").mkdir(exist_ok=True)
            np.save(directory / f"pairs_ref{ref_frames}_npy" / f"{part}.npy", window_starts(counts, ref_frames))
    scaler = Scaler.of(training)
    scaler.save(directory / "scaler.json")
    write_meta(directory, spec, size, ref_frames)
    return directory


@pytest.fixture
def said():
    """The sentences that the package logs during a test."""
    with logged() as sentences:
        yield sentences


@pytest.fixture
def tiny_processed(tmp_path):
    """A processed directory of six clips, 32×32 pixels, 12 mel bins."""
    return make_processed(tmp_path / "processed")


@pytest.fixture(scope="session")
def make_tiny_processed():
    """The maker of `tiny_processed`, for other lengths and sizes."""
    return make_processed


@pytest.fixture
def tiny_training(tiny_processed, tmp_path):
    """Make the settings of a training of a second or two on `tiny_processed`; keyword arguments replace some."""
    from rtmri_speech.acoustic.train import TrainingSettings
    from rtmri_speech.settings.acoustic import Loss

    def settings(name="run", **changed):
        run = tmp_path / name
        values = {
            "processed_dir": tiny_processed,
            "out_ckpt": run / "model.pt",
            "log_dir": run / "logs",
            "state_dir": run / "state",
            "backbone": "test_efficientnet",
            "rnn_hidden": 8,
            "loss": Loss(ramp_steps=10),
            "stretch": 4,
            "epochs": 3,
            "batch_size": 4,
            "micro_batch_size": 2,
            "lr": 3e-3,
            "picture_epochs": 0,
            "device": "cpu",
            "cnn_pretrained": False,
            "use_checkpoint": False,
            "num_workers": 0,
        }
        return TrainingSettings(**{**values, **changed})

    return settings
