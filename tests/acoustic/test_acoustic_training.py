import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from lab_tree import write_lab_acoustic
from same_state import assert_same
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rtmri_speech.acoustic.loss import MaskedMSEMAE
from rtmri_speech.acoustic.model import AcousticModel, Network
from rtmri_speech.acoustic.predict import load_acoustic_model
from rtmri_speech.acoustic.train import AcousticTask, train
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.errors import UserError
from rtmri_speech.settings.acoustic import Augmentation, Loss
from rtmri_speech.training.distributed import Processes
from rtmri_speech.training.state import load_checkpoint, save_checkpoint

TESTS = Path(__file__).parents[1]
ALONE = Processes(0, 1, torch.device("cpu"))
STILL = {"freeze_batch_norm": True, "backbone": "test_efficientnet", "rnn_hidden": 8, "dropout": 0.0}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def scalars(settings):
    events = EventAccumulator(str(settings.log_dir), size_guidance={"scalars": 0}).Reload()
    # By step: the files of two runs of one process within a second are not read in their order.
    return {tag: sorted((event.step, event.value) for event in events.Scalars(tag)) for tag in events.Tags()["scalars"]}


def test_training_reduces_the_loss_and_logs_the_labs_tags(tiny_training, said):
    settings = tiny_training(epochs=25, picture_epochs=25)
    assert train(settings) == 0
    found = scalars(settings)
    bands = {f"band/{part}_{band}" for part in ("train", "val") for band in ("f0", "f1", "f2", "high")}
    metrics = {f"metrics/{part}_{kind}" for part in ("train", "val") for kind in ("mse", "mae")}
    assert set(found) == {"loss/train", "loss/val", "lr", "ramp"} | bands | metrics
    assert [step for step, _ in found["loss/val"]] == list(range(1, 26))
    assert min(value for _, value in found["metrics/val_mse"]) < 0.6 * found["metrics/val_mse"][0][1]
    images = EventAccumulator(str(settings.log_dir)).Reload().Tags()["images"]
    assert images == ["mel_true_above_predicted/a3", "mel_true_above_predicted/a4"]


def test_the_checkpoint_has_the_labs_keys_and_is_self_contained(tiny_training, said):
    settings = tiny_training()
    train(settings)
    content = load_checkpoint(settings.out_ckpt)
    lab = write_lab_acoustic(settings.out_ckpt.with_name("lab.pt"))
    assert set(load_checkpoint(lab)) < set(content)
    assert content["val_loss"] == pytest.approx(min(value for _, value in scalars(settings)["loss/val"]), rel=1e-6)
    assert content["training_ids"] == ["a0", "a1", "a2"]
    bundle = load_acoustic_model(settings.out_ckpt, "cpu")
    assert bundle.seen == ("a0", "a1", "a2", "a3", "a4")
    last = load_checkpoint(settings.out_ckpt.with_name("model_last.pt"))
    assert last["epoch"] == 3
    assert set(last) == set(content)


@pytest.mark.parametrize("micro", [1, 3])
def test_accumulated_gradients_equal_those_of_one_batch(tiny_training, said, micro):
    gradients = []
    for size in (4, micro):
        settings = tiny_training(micro_batch_size=size, grad_clip=0.0, lr=1e-30, **STILL)
        training = AcousticTask(settings, ALONE)
        training.step(training.segments.micro_batches(training.plan.keys(0)))
        gradients.append({name: parameter.grad for name, parameter in training.model.named_parameters()})
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, rtol=1e-3, atol=1e-6, msg=name)


def test_segments_and_single_windows_have_the_same_loss(tiny_training, said):
    """The same windows, with shared or separate frames."""
    losses = []
    for stretch in (1, 100):
        settings = tiny_training(stretch=stretch, batch_size=1000, lr=1e-30, **STILL)
        training = AcousticTask(settings, ALONE)
        keys = [(0, number) for number in range(len(training.segments))]
        losses.append(training.step(training.segments.micro_batches(keys))["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_best_model_is_selected_with_full_weights_during_the_ramp(tiny_training, said):
    """With a learning rate of zero the validation loss is constant, while the training loss rises with the ramp."""
    settings = tiny_training(
        lr=1e-30, min_lr=0.0, epochs=5, weight_decay=0.0, early_stop=3, loss=Loss(ramp_steps=8), **STILL
    )
    train(settings)
    found = scalars(settings)
    assert len({value for _, value in found["loss/val"]}) == 1
    assert [value for _, value in found["ramp"]] == [3 / 8, 6 / 8, 1.0, 1.0]
    assert found["loss/train"][-1][1] > 1.1 * found["loss/train"][0][1]
    assert "no better for 3 epochs" in said[-1]
    assert load_checkpoint(settings.out_ckpt)["epoch"] == 1


def test_a_plateau_lowers_the_rate_to_its_minimum_and_ends_training(tiny_training, said):
    settings = tiny_training(lr=1e-6, min_lr=1e-7, plateau_patience=0, epochs=20, early_stop=0, **STILL)
    train(settings)
    assert "its floor" in said[-1]
    rates = [value for _, value in scalars(settings)["lr"]]
    assert rates == pytest.approx([1e-6, 1e-6, 5e-7, 2.5e-7, 1.25e-7])


def test_the_cosine_schedule_rises_and_falls(tiny_training, said):
    settings = tiny_training(schedule="cosine", warmup_steps=6, epochs=4)
    train(settings)
    cosine = [3e-3 * 0.5 * (1 + np.cos(np.pi * step / 12)) for step in (2, 5, 8, 11)]
    assert [value for _, value in scalars(settings)["lr"]] == pytest.approx([0.5 * cosine[0], *cosine[1:]])


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precisions_give_similar_steps(tiny_training, said, precision):
    losses = []
    for name in ("float32", precision):
        settings = tiny_training(name, amp=name, epochs=1, max_train_steps=2)
        train(settings)
        losses.append(scalars(settings)["loss/train"][0][1])
        assert bool(load_checkpoint(settings.out_ckpt)["scaler_state_dict"]) == (name == "float16")
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[1] != losses[0]


def test_recomputing_changes_no_result(tiny_training, said):
    ends = []
    for name, recomputing in (("plain", False), ("recomputed", True)):
        settings = tiny_training(name, use_checkpoint=recomputing, ckpt_segments=3)
        train(settings)
        ends.append(load_checkpoint(settings.out_ckpt)["model_state_dict"])
    for key, value in ends[0].items():
        torch.testing.assert_close(ends[1][key], value, rtol=1e-4, atol=1e-5, msg=key)


def test_training_continues_with_changed_coefficients_and_selects_the_best_afresh(tiny_training, said):
    settings = tiny_training(epochs=2)
    train(settings)
    said.clear()
    changed = dataclasses.replace(settings, epochs=3, loss=Loss(delta=(0.5, 0.9), ramp_steps=10))
    train(changed)
    assert any("resumes at step" in s and "epochs 2 -> 3" in s and "loss.delta" in s for s in said)
    assert any("judged anew" in sentence for sentence in said)
    assert load_checkpoint(changed.out_ckpt)["epoch"] == 3
    assert [step for step, _ in scalars(settings)["lr"]] == [1, 2, 3]


def test_a_changed_rate_takes_effect(tiny_training, said):
    settings = tiny_training(epochs=1)
    train(settings)
    train(dataclasses.replace(settings, epochs=2, lr=1e-5))
    assert [value for _, value in scalars(settings)["lr"]] == pytest.approx([3e-3, 1e-5])


def test_a_finished_training_is_reported_and_restores_its_model(tiny_training, said):
    settings = tiny_training()
    train(settings)
    before = load_checkpoint(settings.out_ckpt)
    settings.out_ckpt.unlink()
    assert train(settings) == 0
    assert any("is finished (all 3 epochs)" in sentence for sentence in said)
    torch.testing.assert_close(load_checkpoint(settings.out_ckpt)["model_state_dict"], before["model_state_dict"])


def test_another_network_starts_over_with_matching_weights_on_request(tiny_training, said):
    train(tiny_training())
    wider = tiny_training(backbone="test_efficientnet", rnn_hidden=9)
    training = []
    for resume in ("auto", "warm"):
        said.clear()
        train(dataclasses.replace(wider, resume=resume, epochs=1))
        assert any("network.rnn_hidden 8 -> 9; it starts anew" in s for s in said) or resume == "warm"
        training.append(any("warm start with" in sentence for sentence in said))
        wider = dataclasses.replace(wider, backbone="test_efficientnet", rnn_hidden=8)
    assert training == [False, True]


def test_a_missing_resume_checkpoint_is_reported_and_training_starts(tiny_training, said):
    settings = tiny_training()
    train(dataclasses.replace(settings, resume_ckpt=settings.out_ckpt))
    assert said[0].endswith("model.pt: there is no such checkpoint yet; the training starts anew.")


def lab_file(path, settings, epoch=2, without=None):
    """A checkpoint as the lab's program writes it, for the tiny network's sizes."""
    torch.manual_seed(5)
    model = AcousticModel(Network.of(settings, 12))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    state = {key: value for key, value in model.state_dict().items() if key != without}
    values = {"epoch": epoch, "model_state_dict": state, "optimizer_state_dict": optimizer.state_dict()}
    save_checkpoint(path, {**values, "val_loss": 1.0, "val_mse": 1.0, "train_loss": 1.0})
    return model


def test_a_lab_checkpoint_is_trained_further_from_its_epoch(tiny_training, said, tmp_path):
    settings = tiny_training(resume_ckpt=tmp_path / "lab.pt", lr=1e-30, weight_decay=0.0, **STILL)
    model = lab_file(tmp_path / "lab.pt", settings)
    train(settings)
    assert any("lab.pt: goes on from its epoch 2" in sentence for sentence in said)
    assert [step for step, _ in scalars(settings)["lr"]] == [3]
    torch.testing.assert_close(load_checkpoint(settings.out_ckpt)["model_state_dict"], model.state_dict())


@pytest.mark.parametrize(
    ("left_out", "first_epoch", "sentence"),
    [
        (["optimizer_state_dict"], 3, "lab.pt: its optimiser is left out (it has none)."),
        (["optimizer_state_dict", "val_mse"], 1, "lab.pt: lacks val_mse; its weights are trained from the first epoch"),
        (["epoch"], 1, "lab.pt: lacks epoch; its weights are trained from the first epoch on."),
    ],
)
def test_published_weights_are_trained_further(tiny_training, said, tmp_path, left_out, first_epoch, sentence):
    settings = tiny_training(resume_ckpt=tmp_path / "lab.pt", lr=1e-30, weight_decay=0.0, **STILL)
    model = lab_file(tmp_path / "lab.pt", settings)
    content = load_checkpoint(tmp_path / "lab.pt")
    save_checkpoint(tmp_path / "lab.pt", {key: content[key] for key in content if key not in left_out})
    train(settings)
    assert any(sentence in line for line in said)
    assert scalars(settings)["lr"][0][0] == first_epoch
    torch.testing.assert_close(load_checkpoint(settings.out_ckpt)["model_state_dict"], model.state_dict())


def test_a_checkpoint_with_a_missing_key_is_refused_by_name(tiny_training, said, tmp_path):
    settings = tiny_training(resume_ckpt=tmp_path / "lab.pt")
    lab_file(tmp_path / "lab.pt", settings, without="head.bias")
    with pytest.raises(UserError, match=r"lab\.pt: lacks key head\.bias"):
        train(settings)
    save_checkpoint(tmp_path / "lab.pt", {"epoch": 1})
    with pytest.raises(UserError, match=r"lab\.pt: lacks the key model_state_dict"):
        train(settings)


def test_a_nan_loss_stops_training_and_keeps_the_last_state(tiny_training, said, monkeypatch):
    settings = tiny_training(save_minutes=0)
    from rtmri_speech.acoustic import train as module

    real, steps = module.MaskedMSEMAE.loss, []

    def broken(self, sums, totals, ramp):
        steps.append(1)
        return real(self, sums, totals, ramp) * (float("nan") if len(steps) > 5 else 1)

    monkeypatch.setattr(module.MaskedMSEMAE, "loss", broken)
    with pytest.raises(UserError, match=r"training step 2: the loss is nan; lower the learning rate"):
        train(settings)
    monkeypatch.undo()
    assert train(settings) == 0
    assert any("resumes at step 2" in sentence for sentence in said)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")],
)
def test_out_of_memory_names_the_relevant_flags(tiny_training, said, monkeypatch, error):
    def full(*args, **kwargs):
        raise error

    monkeypatch.setattr("rtmri_speech.acoustic.model.AcousticModel.forward", full)
    with pytest.raises(UserError, match=r"memory: an allocation failed .* lower --micro_batch_size or --stretch"):
        train(tiny_training())


def test_a_full_disk_keeps_the_last_state(tiny_training, said, monkeypatch):
    settings = tiny_training(save_minutes=0)
    from rtmri_speech.training import state

    real, saved = state.save_checkpoint, []

    def full(path, content):
        saved.append(path)
        # Those before step 0 and after steps 1 to 3 fit.
        if len(saved) > 4:
            raise OSError(28, "No space left on device", str(path))
        real(path, content)

    monkeypatch.setattr(state, "save_checkpoint", full)
    with pytest.raises(OSError, match="No space left"):
        train(settings)
    monkeypatch.undo()
    assert train(settings) == 0
    assert any("resumes at step 3" in sentence for sentence in said)


def test_two_processes_give_the_same_loss_curve_as_one(tiny_training, said, monkeypatch):
    monkeypatch.syspath_prepend(TESTS / "faults")
    from kill import ended, start

    one, two = tiny_training("one", epochs=4, **STILL), tiny_training("two", epochs=4, micro_batch_size=1, **STILL)
    train(one)
    assert run_together(two, start, ended) == [0, 0]
    for tag, curve in scalars(one).items():
        assert scalars(two)[tag] == [(step, pytest.approx(value, abs=1e-4)) for step, value in curve], tag
    assert load_checkpoint(two.out_ckpt).keys() == load_checkpoint(one.out_ckpt).keys()
    # With batch statistics and dropout the curves differ, but the checkpoint is of one kind, and either goes on alone.
    both = tiny_training("both", epochs=2, micro_batch_size=1)
    assert run_together(both, start, ended) == [0, 0]
    assert train(dataclasses.replace(both, epochs=3)) == 0
    assert (
        load_checkpoint(both.out_ckpt)["model_state_dict"].keys()
        == AcousticModel(Network.of(both, 12)).state_dict().keys()
    )


def run_together(settings, start, ended):
    port = str(20_000 + os.getpid() % 20_000)
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    workers = [
        start(quiet_train, settings, environment={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in (0, 1)
    ]
    return [ended(worker) for worker in workers]


def quiet_train(settings):
    return train(settings)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_script_starts_and_stops_several_processes(tiny_processed, tmp_path, number, code):
    script = TESTS.parent / "workflow" / "scripts" / "train_mri_acoustic_model.py"
    command = [
        sys.executable,
        script,
        "--gpus",
        "2",
        "--processed_dir",
        tiny_processed,
        "--out_ckpt",
        tmp_path / "m.pt",
    ]
    command += ["--backbone", "test_efficientnet", "--rnn_hidden", "8", "--stretch", "4", "--batch_size", "2"]
    command += ["--no-cnn_pretrained", "--num_workers", "0", "--early_stop", "0", "--picture_epochs", "0", "--epochs"]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": ""}
    log = tmp_path / "log"
    with log.open("w") as out:
        # A session of its own, so that the signal could be sent to all of it, as a terminal does.
        options = {"env": environment, "stderr": out, "start_new_session": True}
        endless = subprocess.Popen([str(word) for word in (*command, 100_000)], **options)
    try:
        while not (tmp_path / "m.pt").exists():
            assert endless.poll() is None, log.read_text()
            time.sleep(0.05)
        os.killpg(endless.pid, number)
        assert endless.wait(300) == code
    finally:
        endless.kill()
    step = max(int(state.stem.split("_")[1]) for state in (tmp_path / ".m.state").glob("state_*.pt"))
    (planned,) = re.findall(rf"stopped by a signal after step {step} of (\d+)", log.read_text())
    epochs = step * 100_000 // int(planned) + 2
    command = [str(word) for word in (*command, epochs)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert f"resumes at step {step}" in run.stderr
    assert load_checkpoint(tmp_path / "m.pt")["provenance"]["made_by"][0]["settings"]["processes"] == 2


def test_the_weights_in_the_checkpoint_are_the_moving_average(tiny_training):
    """The average, written out again from the weights after each step."""
    settings = tiny_training(average=0.9, choose="last")
    training, expected = AcousticTask(settings, ALONE), None
    training.begin(None)
    expected = {key: value.clone() for key, value in training.model.state_dict().items()}
    for step in range(12):
        training.steps = step
        training.step(training.segments.micro_batches(training.plan.keys(step)))
        kept = min(0.9, (1 + step) / (10 + step))
        for key, value in training.model.state_dict().items():
            whole = not value.is_floating_point()
            expected[key] = value.clone() if whole else kept * expected[key] + (1 - kept) * value
    training.validate(None, None)
    for key, value in training.best["model_state_dict"].items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-6, msg=key)
    assert not torch.equal(training.best["model_state_dict"]["head.weight"], training.model.head.weight)


@pytest.mark.parametrize(("choose", "expected"), [("best", 2), ("last", 4)])
def test_the_chosen_epoch_is_in_the_checkpoint(tiny_training, monkeypatch, choose, expected):
    losses, loss = iter([3.0, 1.0, 2.0, 4.0]), MaskedMSEMAE.loss

    def scripted(self, sums, totals, ramp):
        return loss(self, sums, totals, ramp) if sums.requires_grad else torch.tensor(next(losses))

    monkeypatch.setattr(MaskedMSEMAE, "loss", scripted)
    settings = tiny_training(choose=choose, epochs=4, early_stop=0)
    train(settings)
    assert load_checkpoint(settings.out_ckpt)["epoch"] == expected
    assert not list(losses)


def assert_same_last_state(*runs):
    states = [load_checkpoint(max(run.state_dir.glob("state_*.pt")))["payload"] for run in runs]
    for name in ("model", "averaged", "optimizer"):
        assert_same(states[0][name], states[1][name], name)


def test_a_training_with_an_average_resumes_bit_for_bit(tiny_training):
    changed = {"average": 0.8, "choose": "last", "mel_floor_db": 30.0, "schedule": "plateau"}
    whole, stopped = tiny_training("whole", **changed, epochs=4), tiny_training("stopped", **changed, epochs=2)
    train(whole)
    train(stopped)
    train(dataclasses.replace(stopped, epochs=4))
    assert_same_last_state(whole, stopped)
    assert_same(*(load_checkpoint(run.out_ckpt)["model_state_dict"] for run in (whole, stopped)))


LINEAR = {"backbone": "principal_components", "components": 6}


def test_a_training_on_principal_components_resumes_bit_for_bit_and_keeps_them(tiny_training, said):
    """Against components by a singular value decomposition of the training clips."""
    changed = {**LINEAR, "lr": 0.02, "average": 0.8, "augmentation": Augmentation(shift=0.1), "use_checkpoint": True}
    whole, stopped = tiny_training("whole", **changed, epochs=12), tiny_training("stopped", **changed, epochs=5)
    train(whole)
    train(stopped)
    train(dataclasses.replace(stopped, epochs=12))
    assert_same_last_state(whole, stopped)
    errors = [value for _, value in scalars(whole)["metrics/val_mse"]]
    assert min(errors) < 0.7 * errors[0]
    clips = [open_sample(whole.processed_dir, id).mri for id in ("a0", "a1", "a2")]
    pictures = np.concatenate(clips).reshape(-1, 32 * 32) / 255
    axes = np.linalg.svd(pictures - pictures.mean(0), full_matrices=False)[2][:6]
    found = load_checkpoint(whole.out_ckpt)["model_state_dict"]
    np.testing.assert_allclose(found["cnn.mean"], pictures.mean(0), atol=1e-6)
    along = found["cnn.axes"] / found["cnn.axes"].norm(dim=0)
    np.testing.assert_allclose(np.abs((along.numpy() * axes.T).sum(0)), 1, atol=1e-3)


def test_other_components_start_over_and_a_checkpoint_keeps_its_own(tiny_training, said):
    settings = tiny_training(**LINEAR)
    train(settings)
    fewer = dataclasses.replace(settings, components=4)
    train(dataclasses.replace(fewer, resume="warm"))
    assert any("warm start with" in sentence for sentence in said)
    content = load_checkpoint(settings.out_ckpt)
    axes = content["model_state_dict"]["cnn.axes"]
    assert axes.shape == (1024, 4) and axes.abs().sum(0).min() > 0
    # Axes of other clips are read differently by the weights that were trained on them.
    content["model_state_dict"]["cnn.axes"] = axes.flip(1)
    other = tiny_training("other", **LINEAR, resume_ckpt=settings.out_ckpt.with_name("given.pt"), epochs=4)
    other = dataclasses.replace(other, components=4)
    save_checkpoint(other.resume_ckpt, content)
    train(other)
    assert torch.equal(load_checkpoint(other.out_ckpt)["model_state_dict"]["cnn.axes"], axes.flip(1))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"cnn_pretrained": Path("w.pth")}, "acoustic.cnn_pretrained: is w.pth, but principal components are computed"),
        ({"output_stride": 8}, "acoustic.output_stride: is 8, but principal components have no stages"),
    ],
)
def test_settings_of_a_cnn_are_refused_beside_principal_components(tiny_training, changed, sentence):
    with pytest.raises(UserError, match=sentence):
        tiny_training(**LINEAR, **changed)
