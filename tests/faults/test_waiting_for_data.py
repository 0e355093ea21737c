"""A training that waits for data stops at a signal, and a lost batch ends it with an error message."""

import errno
import fcntl
import multiprocessing
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from full_disk import Command, run_command
from kill import ended, start
from test_two_trainers import train_acoustic, train_vocoder
from workflow_checkout import ROOT

from rtmri_speech.acoustic.data import Segments
from rtmri_speech.directory_lock import DirectoryLock
from rtmri_speech.errors import UserError
from rtmri_speech.training.loading import batches, load
from rtmri_speech.training.state import StopRequest
from rtmri_speech.vocoder.data import Excerpts


def run_without_data_after(command, directory, said, waits: Path) -> int:
    """Run a training whose third batch never comes; ``waits`` is written when it is asked for."""
    # Loader processes get the blocked reader too.
    multiprocessing.set_start_method("fork", force=True)
    for owner, name in ((Segments, "micro_batches"), (Excerpts, "__getitem__")):
        original, calls = getattr(owner, name), []

        def blocked(self, key, original=original, calls=calls):
            calls.append(key)
            if len(calls) > 2:
                waits.write_text("waits")
                time.sleep(1000)
            return original(self, key)

        setattr(owner, name, blocked)
    return run_command(command, directory, said)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("training", [train_acoustic, train_vocoder])
def test_a_training_waiting_for_data_stops_and_keeps_its_steps(tmp_path, tiny_processed, training, workers):
    script, settings = training(tmp_path, tiny_processed)
    if training is train_acoustic:
        settings |= {"num_workers": workers, "epochs": 50, "batch_size": 2}
    else:
        config = Path(settings["config"])
        config.write_text(config.read_text().replace("{", f'{{"num_workers": {workers}, ', 1), encoding="utf-8")
        settings |= {"training_steps": 50}
    words = [str(ROOT / "workflow" / "scripts" / script)]
    words += [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
    words += ["--no-cnn_pretrained"] if training is train_acoustic else []
    said, waits = tmp_path / "said.txt", tmp_path / "waits"
    process = start(run_without_data_after, Command("", tuple(words), ""), tmp_path, said, waits)
    while not waits.exists():
        assert process.is_alive(), said.read_text(encoding="utf-8")
        time.sleep(0.05)
    time.sleep(1)
    process.terminate()
    # Five seconds is what it may take on a machine with nothing else to do.
    assert ended(process, within=20) == 128 + signal.SIGTERM, said.read_text(encoding="utf-8")
    assert "Traceback" not in said.read_text(encoding="utf-8")
    assert list((tmp_path / "state").glob("state_*2.pt")), "the two steps are lost"


def refused_batch(key):
    raise UserError("clip a", "is broken", "mend it")


def one_batch(key):
    return {"mel": torch.zeros(4)}


def batch_without_shared_memory(key):
    def share(self):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    torch.Tensor.share_memory_ = share
    return [(torch.zeros(4),)]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_loader_process_is_reported_with_its_message(workers):
    with pytest.raises(UserError, match=r"^clip a: is broken; mend it\.$"):
        next(batches(load(refused_batch, [0], workers=workers)))


def test_lack_of_shared_memory_names_the_setting():
    with pytest.raises(UserError, match=r"could not hand over its batch .*; lower --num_workers .* /dev/shm"):
        next(batches(load(batch_without_shared_memory, [0], workers=1)))


def load_after_opencv_used_threads() -> int:
    """Fork a loader process when OpenCV has threads here."""
    multiprocessing.set_start_method("fork", force=True)
    cv2.setNumThreads(4)
    for _ in range(20):
        cv2.GaussianBlur(np.zeros((2000, 2000), np.float32), (31, 31), 5)
    return len(list(batches(load(one_batch, [0, 1], workers=1)))) - 2


def test_a_forked_loader_does_not_wait_for_opencv_threads():
    assert ended(start(load_after_opencv_used_threads), within=60) == 0


def test_a_signal_before_waiting_for_data_stops_training_too():
    from rtmri_speech.training.state import Stopped

    with StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped):
            next(batches(load(one_batch, [0], workers=0), stop))
        assert stop.exit_code == 143


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_reported_and_used(tmp_path, monkeypatch, capsys, number):
    def flock(*_):
        raise OSError(number, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    lock = DirectoryLock(tmp_path)
    assert lock.acquire() is None
    assert "this file system has no locks" in capsys.readouterr().err
    lock.release()
