"""The process that keeps the models in memory: asked by many, never stale, and gone when nobody asks."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny_models
from pretended_gpus import pretend_gpus

from rtmri_speech.errors import UserError
from rtmri_speech.synthesis.models import Models
from rtmri_speech.synthesis.synthesiser import load_synthesiser
from rtmri_speech.synthesis.warm import WarmSynthesiser

IDLE = 3.0


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Models:
    folder = tmp_path_factory.mktemp("warm models")
    return Models(
        str(tiny_models.write_acoustic(folder / "mri_acoustic_model.pt")),
        tuple(str(tiny_models.write_vocoder(folder / f"g_0000000{seed}", seed)) for seed in (1, 2)),
    )


def ended(directory) -> bool:
    deadline = time.monotonic() + 60
    while list(directory.glob("*.json")):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_it_says_what_the_models_say_and_ends_when_nobody_asks(models, tmp_path):
    asked = WarmSynthesiser(models, tmp_path, 1, IDLE)
    here = load_synthesiser(models)
    assert asked.mel == here.mel
    assert asked.frame_size == here.frame_size
    for seed, frames in ((1, 150), (2, 5)):
        clip = tiny_models.moving_bar(frames, seed)
        mine, its = here.speech(clip), asked.speech(iter(clip))
        np.testing.assert_allclose(its.mel_db, mine.mel_db, atol=1e-4)
        assert its.audio.keys() == mine.audio.keys() == {"g_00000001", "g_00000002"}
        for name, audio in mine.audio.items():
            np.testing.assert_allclose(its.audio[name], audio, atol=1e-5)

    # A refusal of the models, and a video that breaks off, leave it ready for the next clip.
    with pytest.raises(UserError, match="was trained on frames of 32×32, these have 16×16"):
        asked.speech(np.zeros((200, 16, 16), np.uint8))

    def broken():
        yield from tiny_models.moving_bar(100)
        raise UserError("x.mp4", "is cut off", "copy it again")

    with pytest.raises(UserError, match=r"x\.mp4: is cut off"):
        asked.speech(broken())
    np.testing.assert_array_equal(asked.speech(clip).mel_db, its.mel_db)

    # Who does not know the key gets no answer, and does not disturb.
    (address,) = tmp_path.glob("*.json")
    stated = json.loads(address.read_text())
    address.write_text(json.dumps({**stated, "key": "00" * 32}))
    from rtmri_speech.synthesis.warm import _asked

    assert _asked(address) is None
    address.write_text(json.dumps(stated))
    np.testing.assert_array_equal(asked.speech(clip).mel_db, its.mel_db)

    del asked
    assert ended(tmp_path)


def test_changed_models_are_never_answered_for_by_an_old_process(models, tmp_path):
    first = WarmSynthesiser(models, tmp_path, 1, IDLE)
    clip = tiny_models.moving_bar(6)
    before = first.speech(clip)
    again = WarmSynthesiser(models, tmp_path, 1, IDLE)
    assert len(list(tmp_path.glob("*.json"))) == 1
    tiny_models.write_acoustic(tmp_path / "other.pt", seed=9)
    other = WarmSynthesiser(
        dataclasses.replace(models, mri_checkpoint=str(tmp_path / "other.pt")), tmp_path, 1, IDLE
    ).speech(clip)
    np.testing.assert_array_equal(again.speech(clip).mel_db, before.mel_db)
    assert np.abs(other.mel_db - before.mel_db).max() > 0.1
    tiny_models.write_acoustic(tmp_path / "other.pt", seed=10)
    newest = WarmSynthesiser(
        dataclasses.replace(models, mri_checkpoint=str(tmp_path / "other.pt")), tmp_path, 1, IDLE
    ).speech(clip)
    assert np.abs(newest.mel_db - other.mel_db).max() > 0.1


def test_the_address_of_a_killed_process_is_not_asked(models, tmp_path):
    first = WarmSynthesiser(models, tmp_path, 1, IDLE)
    (address,) = tmp_path.glob("*.json")
    stated = address.read_text()
    del first
    assert ended(tmp_path)
    # As after a kill; and its port is now that of a program that never answers.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address.write_text(json.dumps({**json.loads(stated), "port": silent.getsockname()[1]}))
        assert WarmSynthesiser(models, tmp_path, 1, IDLE).speech(tiny_models.moving_bar(5)).mel_db.shape == (5, 16)


def test_a_process_whose_address_was_removed_does_not_keep_the_next_one_waiting(models, tmp_path):
    WarmSynthesiser(models, tmp_path, 1, 600.0)
    (address,) = tmp_path.glob("*.json")
    address.unlink()
    assert WarmSynthesiser(models, tmp_path, 1, IDLE).speech(tiny_models.moving_bar(5)).mel_db.shape == (5, 16)


def test_models_that_cannot_be_loaded_are_refused_in_their_own_words(models, tmp_path):
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=r"broken\.pt: cannot be read as a checkpoint"):
        WarmSynthesiser(dataclasses.replace(models, mri_checkpoint=str(broken)), tmp_path, 1, IDLE)
    with pytest.raises(UserError, match=r"missing\.pt: there is no such file"):
        WarmSynthesiser(dataclasses.replace(models, mri_checkpoint=str(tmp_path / "missing.pt")), tmp_path, 1, IDLE)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for nvidia-smi is a script with #!")
def test_it_holds_its_gpu_as_long_as_it_lives(models, tmp_path, monkeypatch, capsys):
    for name, value in pretend_gpus(tmp_path, 1).items():
        monkeypatch.setenv(name, value)
    first = WarmSynthesiser(models, tmp_path / "warm", 1, IDLE, gpus=1)
    assert "Computes on GPU 0." in capsys.readouterr().err
    # Who asks it needs no GPU.
    second = WarmSynthesiser(models, tmp_path / "warm", 1, IDLE, gpus=1)
    clip = tiny_models.moving_bar(6)
    np.testing.assert_array_equal(first.speech(clip).mel_db, second.speech(clip).mel_db)
    assert not capsys.readouterr().err
    del first, second
    another = "from rtmri_speech.devices import take_gpus; take_gpus(1)"
    told = subprocess.run([sys.executable, "-c", another], capture_output=True, text=True, check=True).stderr
    assert "waiting" in told
    assert told.endswith("Computes on GPU 0.\n")
    assert not list((tmp_path / "warm").glob("*.json")), "it was still there when another had its GPU"
