"""The mel generator's rule through Snakemake: a stopped training is retried and resumes."""

import json
import os
import signal
import threading
import time

import pytest
from workflow_checkout import TINY_ACOUSTIC


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_a_terminated_training_resumes_in_the_same_run(checkout):
    checkout.configure(acoustic=TINY_ACOUSTIC)
    results = checkout.directory / "結果 1"
    stopped = []

    def stop_the_trainer():
        holder, model = results / ".state" / "acoustic" / "holder.txt", results / "acoustic" / "mri_acoustic_model.pt"
        end = time.monotonic() + 120
        while time.monotonic() < end and not model.exists():
            time.sleep(0.02)
        # The first epoch's model is there: the training is under way.
        os.kill(int(holder.read_text(encoding="utf-8").split()[1]), signal.SIGTERM)
        stopped.append(True)

    thread = threading.Thread(target=stop_the_trainer)
    thread.start()
    checkout.make("結果 1/acoustic/mri_acoustic_model.pt", "結果 1/mels_ft_log_normalized/a0.npy", "--retries", "1")
    thread.join()
    assert stopped
    told = (results / "logs" / "train_acoustic.log").read_text(encoding="utf-8")
    assert "resumes at step" in told
    assert "all 40 epochs" in told
    assert (results / "mels_ft_log_normalized" / "a2.npy").is_file()
    assert not (results / "mels_ft_log_normalized" / "b0.npy").exists(), "a test clip was exported for training"


@pytest.mark.slow
def test_trainings_with_two_gpus_run_in_two_processes(checkout):
    from rtmri_speech.training.state import load_checkpoint

    # Without batch statistics and dropout two processes take the steps of one.
    still = {**TINY_ACOUSTIC, "epochs": 4, "freeze_batch_norm": True, "dropout": 0.0}
    losses = {}
    for gpus in (1, 2):
        results = f"結果 {gpus}"
        checkout.configure(
            results=results,
            dataset="結果 1/dataset",
            acoustic={**still, "gpus": gpus},
            vocoder={"base": None, "steps": 2, "gpus": gpus, "threads": 2, "checkpoint_interval": 2},
        )
        checkout.make(f"{results}/vocoder/g_00000002")
        for record in ("acoustic", "vocoder"):
            told = json.loads((checkout.directory / results / "provenance" / f"{record}.json").read_text("utf-8"))
            assert [maker["settings"]["processes"] for maker in told["made_by"]] == [gpus]
        model = load_checkpoint(checkout.directory / results / "acoustic" / "mri_acoustic_model.pt")
        losses[gpus] = (model["epoch"], model["val_loss"], model["train_loss"])
    assert losses[2] == pytest.approx(losses[1], abs=1e-4)
