"""Tests that need a GPU: results equal those on the CPU, and trainings resume and fail cleanly.

    RTMRI_SPEECH_GPU_TESTS=cpu python -m pytest tests/gpu

runs the tests themselves on the CPU.
"""

import dataclasses
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from same_state import assert_same
from tiny_models import SPEC, TRAINED_VOCODER, moving_bar, write_acoustic, write_noise, write_vocoder
from torch.nn.parallel import DistributedDataParallel

from rtmri_speech.acoustic.predict import load_acoustic_model, predict_db
from rtmri_speech.acoustic.train import AcousticTask, train
from rtmri_speech.errors import UserError
from rtmri_speech.explain.bands import Band
from rtmri_speech.explain.gradcam import grad_cam
from rtmri_speech.synthesis.synthesiser import LiveSynthesiser, Synthesiser
from rtmri_speech.training.distributed import Processes
from rtmri_speech.training.state import load_checkpoint
from rtmri_speech.vocoder import train as vocoder_training
from rtmri_speech.vocoder.config import write_config
from rtmri_speech.vocoder.data import Excerpts, open_clips
from rtmri_speech.vocoder.engine import export_onnx, load_vocoder

pytestmark = pytest.mark.gpu

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
STILL = {"backbone": "test_efficientnet", "rnn_hidden": 8, "dropout": 0.0}
LOSS_TOLERANCE = {"float32": 2e-3, "bfloat16": 5e-2, "float16": 2e-2}
"""Relative difference allowed between the losses of a first step on the device and on the CPU in float32."""

VOCODER = dataclasses.replace(TRAINED_VOCODER, discriminator_start=2)


@pytest.fixture
def float32():
    """Use full float32 precision instead of cuDNN's TF32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    yield
    matmul.allow_tf32, cudnn.allow_tf32 = before


@pytest.fixture
def wavs(tmp_path):
    write_noise(tmp_path, ["a", "b"])
    return tmp_path


@pytest.fixture
def models(tmp_path):
    return write_acoustic(tmp_path / "mri.pt"), write_vocoder(tmp_path / "vocoder" / "g_00000001")


def losses(settings, count=1, parallel=lambda model: model):
    """Losses of the first steps."""
    device = torch.device(settings.device)
    training = AcousticTask(settings, Processes(0, 1, device))
    training.parallel, found = parallel(training.model), []
    for step in range(count):
        batch = training.segments.micro_batches(training.plan.keys(step))
        found.append(training.step(batch)["loss"])
        training.steps += 1
    return found


def train_vocoder(place, device, name, config=VOCODER, **changed):
    clips = [open_clips(place / f"{part}.txt", place / "wavs", config) for part in ("training", "validation")]
    places = {"directory": place / name, "state_directory": place / name / "state"}
    run = vocoder_training.Run(**places, epochs=1, device=device, **changed)
    return vocoder_training.train(config, *clips, run)


@pytest.mark.parametrize("channels_last", [False, True], ids=["plain", "channels_last"])
@pytest.mark.parametrize("precision", LOSS_TOLERANCE)
def test_first_steps_of_the_mel_generator_equal_those_on_the_cpu(
    device, float32, tiny_training, precision, channels_last
):
    changed = {"amp": precision, "channels_last": channels_last, **STILL}
    (expected,) = losses(tiny_training(**STILL))
    (found,) = losses(tiny_training(device=device, **changed))
    assert found == pytest.approx(expected, rel=LOSS_TOLERANCE[precision])


@pytest.mark.parametrize("precision", LOSS_TOLERANCE)
def test_a_mel_generators_state_is_restored_exactly_and_resumed(device, tiny_training, precision):
    settings = tiny_training(device=device, amp=precision, epochs=2)
    assert train(settings) == 0
    state = load_checkpoint(max(settings.state_dir.glob("state_*.pt")))["payload"]
    again = AcousticTask(settings, Processes(0, 1, torch.device(device)))
    again.load_state({**state, "step": 2 * again.plan.per_epoch})
    for name in ("model", "optimizer", "scaler"):
        assert_same(again.state()[name], state[name])
    assert bool(state["scaler"]) == (precision == "float16")
    assert train(dataclasses.replace(settings, epochs=3)) == 0
    assert load_checkpoint(settings.out_ckpt.with_name("model_last.pt"))["epoch"] == 3


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
def test_first_steps_of_the_vocoder_equal_those_on_the_cpu(device, float32, wavs, bf16):
    clips = open_clips(wavs / "training.txt", wavs / "wavs", VOCODER)
    batch, found = Excerpts(clips, VOCODER)[0], []
    for where, reduced in (("cpu", False), (device, bf16)):
        torch.manual_seed(0)
        networks = vocoder_training.Networks(VOCODER, Processes(0, 1, torch.device(where)), reduced)
        found.append(networks.step(batch["mel"].to(where), batch["audio"].to(where), adversarial=True))
    for name, expected in found[0].items():
        assert found[1][name] == pytest.approx(expected, rel=LOSS_TOLERANCE["bfloat16" if bf16 else "float32"])


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
def test_a_vocoders_state_is_restored_exactly_and_resumed(device, wavs, bf16):
    changed = {"bf16": bf16, "checkpoint_interval": 4, "validation_interval": 4}
    assert train_vocoder(wavs, device, "out", steps=4, **changed) == 0
    file = wavs / "out" / "state" / "state_00000004.pt"
    state = load_checkpoint(file)["payload"]
    networks = vocoder_training.Networks(VOCODER, Processes(0, 1, torch.device(device)), bf16)
    networks.resume(state["networks"])
    assert_same(networks.state(), state["networks"])
    assert train_vocoder(wavs, device, "out", steps=6, **changed) == 0
    assert (wavs / "out" / "g_00000006").is_file()


def test_out_of_memory_names_the_setting_to_lower(device, tiny_training, wavs):
    if device != "cuda":
        pytest.skip("only a CUDA device has a limit to set")
    torch.cuda.empty_cache()
    try:
        torch.cuda.set_per_process_memory_fraction(1e-6)
        with pytest.raises(UserError, match=r"memory: an allocation failed .*lower --micro_batch_size or --stretch"):
            train(tiny_training(device=device))
        with pytest.raises(UserError, match=r"memory: an allocation failed .*lower batch_size or segment_size"):
            train_vocoder(wavs, device, "out", steps=2)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_ddp_over_one_process_takes_the_same_steps(device, float32, tiny_training, tmp_path):
    settings = tiny_training(device=device, **STILL)
    expected = losses(settings, 3)
    dist.init_process_group(
        "nccl" if device == "cuda" else "gloo", init_method=(tmp_path / "store").as_uri(), rank=0, world_size=1
    )
    try:
        found = losses(settings, 3, DistributedDataParallel)
    finally:
        dist.destroy_process_group()
    assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("script", ["train_mri_acoustic_model.py", "train.py"])
def test_ddp_over_every_gpu(device, wavs, tiny_processed, script):
    count = torch.cuda.device_count() if device == "cuda" else 2
    if count < 2:
        pytest.skip("one GPU")
    out = wavs / "out"
    write_config(wavs / "config.json", dataclasses.replace(VOCODER, batch_size=2 * count))
    if script == "train.py":
        words = ["--config", wavs / "config.json", "--input_wavs_dir", wavs / "wavs", "--checkpoint_path", out]
        words += ["--input_training_file", wavs / "training.txt", "--input_validation_file", wavs / "validation.txt"]
        words += ["--training_steps", 3]
    else:
        words = ["--processed_dir", tiny_processed, "--out_ckpt", out / "model.pt", "--log_dir", out / "logs"]
        words += ["--backbone", "test_efficientnet", "--rnn_hidden", 8, "--epochs", 1, "--stretch", 4]
        words += ["--batch_size", 2 * count, "--no-cnn_pretrained", "--num_workers", 0]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
    command = [*torchrun, SCRIPTS / script, *words, "--device", device]
    run = subprocess.run(
        list(map(str, command)), env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert list(out.glob("g_*")) or (out / "model.pt").is_file()


@pytest.mark.parametrize("context", ["sequence", "window", "causal"])
def test_mels_equal_those_on_the_cpu(device, float32, models, context):
    frames = moving_bar(20)
    expected, found = (predict_db(load_acoustic_model(models[0], where), frames, context) for where in ("cpu", device))
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_speech_equals_that_on_the_cpu(device, float32, models):
    frames, made = moving_bar(20), []
    for where in ("cpu", device):
        vocoder = load_vocoder(models[1], device=where)
        made.append(Synthesiser(load_acoustic_model(models[0], where), {"v": vocoder}).speech(frames).audio["v"])
    np.testing.assert_allclose(made[1], made[0], atol=1e-3 * np.abs(made[0]).max())


def test_a_live_stream_equals_that_on_the_cpu(device, float32, models):
    frames, made = moving_bar(12), []
    for where in ("cpu", device):
        vocoder = load_vocoder(models[1], device=where, block_frames=4)
        live = LiveSynthesiser(load_acoustic_model(models[0], where), vocoder)
        made.append(np.concatenate(list(live.stream(frames))))
    np.testing.assert_allclose(made[1], made[0], atol=1e-3 * np.abs(made[0]).max())


@pytest.mark.parametrize("stride", [None, 16])
def test_gradcam_maps_equal_those_on_the_cpu(device, float32, models, stride):
    """On CUDA, cuDNN's LSTM has no backward pass in evaluation mode."""
    frames, bands = moving_bar(9), [Band("F1", 300, 900), Band("F2", 900, 2500)]
    expected, found = (
        grad_cam(load_acoustic_model(models[0], where), frames, bands, [3], stride=stride) for where in ("cpu", device)
    )
    for name, maps in expected.sequences.items():
        np.testing.assert_allclose(found.sequences[name], maps, atol=1e-3 * maps.max())
        np.testing.assert_allclose(found.details[name][3], expected.details[name][3], atol=1e-3 * maps.max())


def test_a_vocoder_on_the_device_is_exported(device, models, tmp_path):
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]:
        pytest.skip(f"{', '.join(missing)} not installed")
    vocoder, mel = load_vocoder(models[1], device=device), np.zeros((SPEC.n_mels, 9), np.float32)
    before = vocoder.synthesise(mel)
    assert export_onnx(vocoder, tmp_path / "g.onnx") <= 1e-4
    np.testing.assert_array_equal(vocoder.synthesise(mel), before, "the vocoder is where it was")
