"""A killed loader process (as when memory runs out) ends the training with an error message."""

import os
import time
from contextlib import suppress

import psutil
import pytest
from full_disk import Command, run_command
from kill import ended, start
from workflow_checkout import ROOT


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_losing_a_loader_process_is_reported_and_training_resumes(tmp_path, tiny_processed):
    words = {"processed_dir": tiny_processed, "out_ckpt": tmp_path / "model.pt", "state_dir": tmp_path / "state"}
    words |= {"backbone": "test_efficientnet", "rnn_hidden": 8, "stretch": 4, "num_workers": 1, "save_minutes": 0}
    script = str(ROOT / "workflow" / "scripts" / "train_mri_acoustic_model.py")
    command = [script, *(str(word) for name, value in words.items() for word in (f"--{name}", value))]
    command += ["--no-cnn_pretrained"]
    said = tmp_path / "said.txt"
    training = start(run_command, Command("", (*command, "--epochs", "4000"), ""), tmp_path, said)
    while not list((tmp_path / "state").glob("state_*.pt")):
        assert training.is_alive(), said.read_text(encoding="utf-8")
        time.sleep(0.05)
    # More than once, since the first kill may find no loader yet.
    while training.is_alive():
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(training.pid).children():
                child.kill()
        time.sleep(0.2)
    assert ended(training, within=600) == 2
    told = said.read_text(encoding="utf-8")
    assert told.splitlines()[-1] == (
        "error: a worker process: was killed, often because memory ran out;"
        " lower --num_workers (0 needs no shared memory) or enlarge /dev/shm, in a container by --shm-size,"
        " and run the same command again: the last state on disk is intact."
    )
    assert "Traceback" not in told
    assert ended(start(run_command, Command("", (*command, "--epochs", "1"), ""), tmp_path, said), within=600) == 0
    assert "resumes at step" in said.read_text(encoding="utf-8")
