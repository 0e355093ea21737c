"""Two trainers with the same state: the second waits with a message, or is refused with --no_wait."""

import json
import os
import time

import numpy as np
import pytest
from full_disk import Command, run_command
from kill import ended, start
from workflow_checkout import ROOT, TINY_VOCODER

from rtmri_speech.dataset.filelists import write_filelist
from rtmri_speech.directory_lock import DirectoryLock
from rtmri_speech.signal.audio import write_wav

pytestmark = pytest.mark.slow


def train_acoustic(tmp_path, processed):
    words = {"processed_dir": processed, "out_ckpt": tmp_path / "model.pt", "state_dir": tmp_path / "state"}
    words |= {"backbone": "test_efficientnet", "rnn_hidden": 8, "epochs": 1, "stretch": 4, "log_dir": tmp_path / "logs"}
    return "train_mri_acoustic_model.py", words


def train_vocoder(tmp_path, processed):
    rng = np.random.default_rng(0)
    for part, id in (("training", "a"), ("validation", "v")):
        (tmp_path / "wavs").mkdir(exist_ok=True)
        write_wav(tmp_path / "wavs" / f"{id}.wav", rng.normal(size=12 * 420) * 0.1, 11413)
        write_filelist(tmp_path / f"{part}.txt", [id])
    (tmp_path / "config.json").write_text(json.dumps(TINY_VOCODER), encoding="utf-8")
    words = {"config": tmp_path / "config.json", "input_wavs_dir": tmp_path / "wavs", "training_steps": 2}
    words |= {f"input_{part}_file": tmp_path / f"{part}.txt" for part in ("training", "validation")}
    return "train.py", words | {"checkpoint_path": tmp_path / "out", "state_dir": tmp_path / "state"}


@pytest.mark.parametrize("training", [train_acoustic, train_vocoder])
def test_the_second_trainer_waits_or_is_refused(tmp_path, tiny_processed, training):
    script, settings = training(tmp_path, tiny_processed)
    words = [str(ROOT / "workflow" / "scripts" / script)]
    words += ["--no-cnn_pretrained", "--num_workers", "0"] if training is train_acoustic else []
    words += [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
    said = tmp_path / "said.txt"
    first = DirectoryLock(tmp_path / "state")
    assert first.acquire() is None
    first_known_as = rf"process {os.getpid()} on "

    refused = Command("training", (*words, "--no_wait"), "")
    assert ended(start(run_command, refused, tmp_path, said)) == 2
    (told,) = said.read_text(encoding="utf-8").splitlines()
    assert told.startswith(f"error: {tmp_path / 'state'}: is in use by another training ({first_known_as}")
    assert told.endswith("); wait for it or stop it.")

    waiting = start(run_command, Command("training", tuple(words), ""), tmp_path, said)
    while "waiting for it to end" not in said.read_text(encoding="utf-8"):
        assert waiting.is_alive(), said.read_text(encoding="utf-8")
        time.sleep(0.05)
    assert not list((tmp_path / "state").glob("state_*.pt"))
    first.release()
    assert ended(waiting) == 0
    assert list((tmp_path / "state").glob("state_*.pt"))
