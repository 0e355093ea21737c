import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from rtmri_speech.errors import UserError
from rtmri_speech.training.batches import StepBatches
from rtmri_speech.training.state import (
    StopRequest,
    TrainingState,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)


@pytest.fixture
def open_state(tmp_path, said):
    def opened(fingerprint=None, adjustable=None, **settings):
        state = TrainingState(tmp_path / "state", fingerprint or {"data": "a"}, adjustable or {"lr": 1.0}, **settings)
        state.said = said
        return state

    return opened


def test_the_newest_state_is_loaded_and_older_ones_are_pruned(open_state):
    with open_state(keep=2) as state:
        assert state.load() is None
        for step in (1, 5, 12):
            state.save(step, {"weight": torch.full((2,), float(step))})
        assert sorted(path.name for path in state.directory.glob("*.pt")) == ["state_00000005.pt", "state_00000012.pt"]
    with open_state() as state:
        saved = state.load()
    assert saved["step"] == 12
    assert torch.equal(saved["weight"], torch.full((2,), 12.0))


@pytest.mark.parametrize("keep_bytes", [0, 100, 700])
def test_a_truncated_newest_state_is_skipped_with_a_warning(open_state, keep_bytes):
    with open_state() as state:
        state.save(1, {"value": 1})
        state.save(2, {"value": 2})
        newest = state.directory / "state_00000002.pt"
        newest.write_bytes(newest.read_bytes()[:keep_bytes])
        assert state.load()["value"] == 1
    assert any("state_00000002.pt" in sentence and "cannot be read" in sentence for sentence in state.said)


def test_a_state_of_other_data_is_set_aside_and_offered_for_a_warm_start(open_state):
    with open_state({"data": "a", "network": {"hidden": 640}}) as state:
        state.save(7, {"value": 1})
    with open_state({"data": "a", "network": {"hidden": 32}}) as state:
        assert state.load() is None
        assert state.superseded == {"value": 1, "step": 7}
        assert not list(state.directory.glob("*.pt"))
        assert (state.directory.with_name("state.superseded") / "state_00000007.pt").is_file()
    assert any("network.hidden 640 -> 32" in sentence and "starts anew" in sentence for sentence in state.said)


def test_changed_coefficients_continue_and_are_reported(open_state):
    with open_state(adjustable={"lr": 1.0, "loss": {"delta": 0.3}}) as state:
        state.save(3, {})
    with open_state(adjustable={"lr": 0.5, "loss": {"delta": 0.4}}) as state:
        assert state.load()["step"] == 3
    assert any("loss.delta 0.3 -> 0.4" in sentence and "lr 1.0 -> 0.5" in sentence for sentence in state.said)


def test_all_random_generators_are_restored(open_state):
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    with open_state() as state:
        state.save(1, {})
        expected = draw()
        state.load()
    assert draw() == expected


def test_random_states_survive_a_checkpoint(tmp_path):
    save_checkpoint(tmp_path / "random.pt", {"random": random_state()})
    expected = torch.rand(3)
    restore_random_state(load_checkpoint(tmp_path / "random.pt")["random"])
    assert torch.equal(torch.rand(3), expected)


def let_go(said, holder):
    """Let the holder of a lock end once somebody waits for it."""
    while not any("waiting" in sentence for sentence in said):
        time.sleep(0.01)
    holder.stdin.write(b"\n")
    holder.stdin.flush()


def test_a_second_trainer_is_refused_or_waits_with_a_message(open_state, tmp_path):
    code = textwrap.dedent(f"""
        import sys
        from rtmri_speech.training.state import TrainingState
        with TrainingState({str(tmp_path / "state")!r}, {{}}):
            print("held", flush=True)
            sys.stdin.readline()
    """)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"held"
        with (
            pytest.raises(UserError, match=f"in use by another training \\(process {holder.pid}"),
            open_state(wait=False),
        ):
            pass
        waiting = open_state()
        threading.Thread(target=let_go, args=(waiting.said, holder)).start()
        with waiting:
            pass
    assert "waiting" in waiting.said[-1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_raises_an_oserror(tmp_path, monkeypatch):
    kept = tmp_path / "model.pt"
    save_checkpoint(kept, {"value": 1})
    real_open = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r", *a, **k: real_open(Path("/dev/full"), mode, *a, **k))
    with pytest.raises(OSError, match="No space left") as caught:
        save_checkpoint(kept, {"value": torch.zeros(100_000)})
    monkeypatch.undo()
    assert caught.value.filename == str(kept)
    assert load_checkpoint(kept) == {"value": 1}
    assert list(tmp_path.iterdir()) == [kept]


def test_a_file_with_code_is_refused(tmp_path):
    torch.save({"model": os.system}, tmp_path / "bad.pt")
    with pytest.raises(UserError, match=r"bad\.pt: cannot be read as a checkpoint"):
        load_checkpoint(tmp_path / "bad.pt")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_takes_effect_between_two_steps(number, code):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert stop.exit_code == code
    assert signal.getsignal(number) is before


def test_each_epoch_shuffles_every_item():
    batches = StepBatches(items=10, batch_size=4, seed=3)
    assert batches.steps_per_epoch == 3
    first, second = (np.concatenate([batches[3 * epoch + step] for step in range(3)]) for epoch in (0, 1))
    assert set(first[:10]) == set(second[:10]) == set(range(10))
    assert first.tolist() != second.tolist()
    assert first[10:].tolist() == first[:2].tolist()


def test_a_batch_depends_only_on_seed_and_step_and_is_divided_among_processes():
    forward = list(StepBatches(10, 4, seed=3).between(0, 9))
    assert list(StepBatches(10, 4, seed=3).between(5, 9)) == forward[5:]
    shares = [list(StepBatches(10, 4, seed=3).between(0, 9, rank, 2)) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*shares, strict=True)] == [sorted(batch) for batch in forward]
    assert list(StepBatches(10, 4, seed=4).between(0, 9)) != forward


def test_equal_checkpoints_have_equal_bytes(tmp_path):
    """Also after a resume, where strings were read from a state."""
    one = {"optimizer": {"eps": 1e-8}, "scheduler": {"eps": 1e-8, "mode": "min"}, "weight": torch.ones(3)}
    save_checkpoint(tmp_path / "one.pt", one)
    other = {"".join(key): {**value} if isinstance(value, dict) else value for key, value in one.items()}
    other["scheduler"] = {"".join(["e", "ps"]): 1e-8, "".join(["mo", "de"]): "".join(["m", "in"])}
    save_checkpoint(tmp_path / "other" / "one.pt", other)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "other" / "one.pt").read_bytes()
    module = torch.nn.Linear(2, 2).state_dict()
    save_checkpoint(tmp_path / "module.pt", {"model": module})
    read = load_checkpoint(tmp_path / "module.pt")["model"]
    assert type(read) is type(module)
    assert read._metadata == module._metadata


def test_a_state_from_before_a_setting_was_made_with_its_default(tmp_path, said):
    with TrainingState(tmp_path, {"network": {"width": 8}}, {"lr": 1.0}) as state:
        state.save(3, {})
    defaults = {"fingerprint": {"network": {"width": 640, "heads": 1}}, "adjustable": {"lr": 0.1, "average": 0.0}}
    for heads, average, sentence in (
        (1, 0.0, "resumes at step 3."),
        (1, 0.9, "resumes at step 3 with changed average 0.0 -> 0.9."),
        (2, 0.0, "the training changed in network.heads 1 -> 2; it starts anew."),
    ):
        said.clear()
        now = {"network": {"width": 8, "heads": heads}}, {"lr": 1.0, "average": average}
        with TrainingState(tmp_path, *now, defaults=defaults) as state:
            state.load()
        assert said == [f"{tmp_path}: {sentence}"]
