"""States that trainings wrote before both had one trainer are resumed.

The files in ``data`` were written after step 5 of `tiny_training` and of the vocoder's training below by commit
c345f0a4aa; to keep them small, their tensors were then filled with 0.01.
"""

import dataclasses
import gzip
from pathlib import Path

import pytest
import torch
from tiny_models import TRAINED_VOCODER, write_noise

from rtmri_speech.acoustic.train import AcousticTask
from rtmri_speech.acoustic.train import train as train_acoustic
from rtmri_speech.errors import UserError
from rtmri_speech.training.distributed import Processes
from rtmri_speech.training.state import load_checkpoint, save_checkpoint
from rtmri_speech.vocoder.data import open_clips
from rtmri_speech.vocoder.train import Run, VocoderTask
from rtmri_speech.vocoder.train import train as train_vocoder

ALONE = Processes(0, 1, torch.device("cpu"))


def put_state(name, directory, fingerprint):
    """Write the state of ``name`` to ``directory``; digests of data may differ between machines."""
    directory.mkdir(parents=True)
    path = directory / "state_00000005.pt"
    path.write_bytes(gzip.decompress((Path(__file__).parent / "data" / f"{name}.pt.gz").read_bytes()))
    state = load_checkpoint(path)
    state["fingerprint"]["data"] = fingerprint["data"]
    save_checkpoint(path, state)
    return state["payload"]


def test_a_state_of_the_mel_generator_is_resumed(tiny_training, said):
    settings = tiny_training()
    before = put_state("acoustic", settings.state_dir, AcousticTask(settings, ALONE).fingerprint())
    assert train_acoustic(settings) == 0
    assert said[0] == f"{settings.state_dir}: resumes at step 5."
    after = load_checkpoint(max(settings.state_dir.glob("state_*.pt")))["payload"]
    assert list(after) == list(before)
    assert list(after["scheduler"]) == list(before["scheduler"])
    assert (before["scheduler"]["last_epoch"], after["scheduler"]["last_epoch"]) == (1, 3)
    moments = before["optimizer"]["state"][0], after["optimizer"]["state"][0]
    assert [moment["step"].item() for moment in moments] == [5, 9]
    assert before["best"]["val_loss"] >= after["best"]["val_loss"] == after["best_loss"]


def test_a_state_of_the_vocoder_is_resumed(tmp_path, said):
    write_noise(tmp_path, ["a", "b", "c"])
    changed = {"learning_rate": 1e-3, "lr_decay": 0.9, "stft_weight": 5.0, "discriminator_start": 4}
    config = dataclasses.replace(TRAINED_VOCODER, **changed, augment_rate=0.05, seed=3)
    parts = [open_clips(tmp_path / f"{part}.txt", tmp_path / "wavs", config) for part in ("training", "validation")]
    directory = tmp_path / "out"
    where = {"directory": directory, "state_directory": directory / "state"}
    run = Run(**where, steps=8, epochs=1, checkpoint_interval=4, validation_interval=4, device="cpu", wait=False)
    fingerprint = VocoderTask(config, *parts, run, ALONE).fingerprint()
    before = put_state("vocoder", run.state_directory, fingerprint)
    assert train_vocoder(config, *parts, run) == 0
    assert said[0] == f"{run.state_directory}: resumes at step 5."
    after = load_checkpoint(run.state_directory / "state_00000008.pt")["payload"]
    assert list(after) == list(before)
    assert after["learning_rate"]["rate"] == pytest.approx(before["learning_rate"]["rate"] * 0.9**2)
    steps = [payload["networks"]["optim_g"]["state"][0]["step"].item() for payload in (before, after)]
    assert steps == [5, 8]
    assert set(after["pair_errors"]) == {4, 8}


@pytest.mark.parametrize("lost", ["scheduler", "model", "optimizer"])
def test_a_state_of_another_form_is_refused_in_a_sentence(tiny_training, lost):
    settings = tiny_training()
    put_state("acoustic", settings.state_dir, AcousticTask(settings, ALONE).fingerprint())
    (path,) = settings.state_dir.glob("state_*.pt")
    state = load_checkpoint(path)
    state["payload"][lost] = {"of": "another version"}
    save_checkpoint(path, state)
    with pytest.raises(UserError, match=r"state: .*; (delete it|use a checkpoint)"):
        train_acoustic(settings)
