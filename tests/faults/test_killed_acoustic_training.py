"""A killed and resumed training ends bit-identical to an uninterrupted one."""

import random
import signal

import pytest
from kill import ended, killed_after, start, terminated_when
from same_state import assert_same
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rtmri_speech.training.state import load_checkpoint

pytestmark = pytest.mark.slow


def run(settings) -> int:
    from rtmri_speech.acoustic.train import train

    return train(settings)


def scalars(settings):
    events = EventAccumulator(str(settings.log_dir), size_guidance={"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def final_state(settings):
    return load_checkpoint(max(settings.state_dir.glob("state_*.pt")))


def assert_same_ends(one, other):
    assert_same(final_state(one), final_state(other))
    assert_same(load_checkpoint(one.out_ckpt), load_checkpoint(other.out_ckpt))
    assert one.out_ckpt.read_bytes() == other.out_ckpt.read_bytes()
    assert scalars(one) == scalars(other)
    assert {tag.split("/")[0] for tag in scalars(one)} == {"loss", "metrics", "band", "lr", "ramp"}
    assert not list(one.state_dir.glob(".*")), "a temporary file is left"


def resumed_to_the_end(settings, kills, longest, rng):
    """Kill a training at ``kills`` random moments, then run it to the end; return the number of runs killed."""
    killed = 0
    for _ in range(kills):
        code = killed_after(rng.uniform(0, longest), run, settings)
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
    assert ended(start(run, settings)) == 0
    return killed


@pytest.fixture
def pair(tiny_training):
    """Settings of an uninterrupted and of a killed run; every step is saved."""

    def made(**changed):
        return tiny_training("whole", **changed), tiny_training("killed", save_minutes=0, **changed)

    return made


def test_kills_at_random_moments_do_not_change_the_result(pair):
    """Between the points of crash_points.py, with a loader."""
    whole, killed = pair(epochs=20, early_stop=0, num_workers=1)
    assert ended(start(run, whole)) == 0
    assert resumed_to_the_end(killed, kills=8, longest=2.0, rng=random.Random(2)) >= 4
    assert_same_ends(killed, whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_state_and_stops(pair, number, code):
    whole, stopped = pair(epochs=8)
    assert ended(start(run, whole)) == 0
    # Saved by the signal, not by the clock.
    stopped = type(stopped)(**{**vars(stopped), "save_minutes": 60.0})
    assert terminated_when(stopped.out_ckpt.exists, run, stopped, number=number) == code
    assert final_state(stopped)["payload"]["model"]["cnn.backbone.bn1.num_batches_tracked"] > 0
    assert ended(start(run, stopped)) == 0
    assert_same_ends(stopped, whole)
