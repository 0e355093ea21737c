"""The schedules compared with torch's, and resumed."""

import math

import pytest
import torch

from rtmri_speech.training.schedule import LearningRate

ERRORS = [5, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2.9999, 2, 2, 2, 2, 2, 2]


def an_optimiser(rate=0.1):
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], rate)


@pytest.mark.parametrize("settings", [{"factor": 0.1, "patience": 4}, {"factor": 0.5, "patience": 0, "floor": 0.01}])
def test_the_plateau_schedule_equals_torchs(settings):
    optimiser = an_optimiser()
    named = {"factor": settings["factor"], "patience": settings["patience"], "min_lr": settings.get("floor", 0)}
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, **named)
    ours = LearningRate("plateau", 0.1, least_change=1e-8, **settings)
    for steps, error in enumerate(ERRORS):
        theirs.step(error)
        ours.validated(error, steps)
        ours.end_step(steps + 1)
        assert ours.rate == optimiser.param_groups[0]["lr"]
        assert ours.torch_state() == theirs.state_dict()
    assert ours.rate <= 0.011
    assert ours.at_floor(len(ERRORS)) == ("floor" in settings)


def test_a_plateau_state_of_torch_is_resumed():
    optimiser = an_optimiser()
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.3, patience=2)
    ours = LearningRate("plateau", 0.1, factor=0.3, patience=2, least_change=1e-8)
    for error in ERRORS[:6]:
        theirs.step(error)
    ours.load_torch_state(theirs.state_dict(), optimiser.param_groups[0]["lr"])
    for steps, error in enumerate(ERRORS[6:]):
        theirs.step(error)
        ours.validated(error, steps)
        assert (ours.rate, ours.torch_state()) == (optimiser.param_groups[0]["lr"], theirs.state_dict())


def test_the_exponential_schedule_equals_torchs_per_epoch():
    optimiser = an_optimiser()
    theirs = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.9)
    ours = LearningRate("exponential", 0.1, decay=0.9, decay_steps=3)
    for step in range(12):
        ours.begin_step(step)
        assert ours.rate == optimiser.param_groups[0]["lr"]
        optimiser.step()
        ours.end_step(step + 1)
        if step % 3 == 2:
            theirs.step()
        ours.validated(1.0, step + 1)
    assert ours.rate == pytest.approx(0.1 * 0.9**4)


def test_cosine_and_warm_up_equal_torchs():
    optimiser = an_optimiser()
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 20)
    ours = LearningRate("cosine", 0.1, warmup_steps=4, total_steps=20)
    for step in range(20):
        ours.begin_step(step)
        rise = min(1, (step + 1) / 4)
        assert ours.rate == pytest.approx(rise * optimiser.param_groups[0]["lr"])
        ours.validated(1.0, step + 1)
        optimiser.step()
        theirs.step()


def test_warm_up_reaches_the_rate_and_delays_the_plateau():
    rate = LearningRate("plateau", 0.1, warmup_steps=3, factor=0.5, patience=0)
    rates = []
    for step in range(6):
        rate.begin_step(step)
        rates.append(rate.rate)
        rate.validated(1.0, step + 1)
    assert rates == pytest.approx([0.1 / 3, 0.2 / 3, 0.1, 0.1, 0.05, 0.025])


def test_changing_the_learning_rate_scales_the_current_one():
    reached = LearningRate("exponential", 0.1, decay=0.5)
    reached.end_step(1)
    reached.validated(3.0, 1)
    for base, expected in ((0.1, 0.05), (0.05, 0.025)):
        resumed = LearningRate("exponential", base, decay=0.5)
        resumed.load_state(reached.state())
        assert (resumed.rate, resumed.best, resumed.stalled) == (pytest.approx(expected), 3.0, 0)


def test_the_plateau_restarts_for_another_loss():
    rate = LearningRate("plateau", 0.1, patience=2)
    for steps in range(3):
        rate.validated(1.0, steps)
    rate.forget()
    assert (rate.best, rate.stalled) == (math.inf, 0)
