import math

import pytest
import torch

from rtmri_speech.acoustic.loss import LOGGED_BANDS, MaskedMSEMAE
from rtmri_speech.errors import UserError
from rtmri_speech.settings.acoustic import Loss


def by_loops(prediction, target, mask, ramp):
    """The loss from its definition, value by value, in double precision."""

    def band(m):
        goal = 2.0 if m <= 5 else 3.0 if m <= 15 else 2.4 if m <= 31 else 1.6 if m <= 47 else 1.8
        return 1 + (goal - 1) * ramp

    def time(t):
        goals = [1.6, 1.45, 1.3, 1.2, 1.15, 1.1, 1.05, 1.02]
        return 1 + ((goals[t] if t < len(goals) else 1.0) - 1) * ramp

    windows, frames, bins = len(prediction), len(prediction[0]), len(prediction[0][0])
    d = [[[prediction[p][t][m] - target[p][t][m] for m in range(bins)] for t in range(frames)] for p in range(windows)]
    top = dict.fromkeys(("mse", "mae", "delta", "delta2", "latest"), 0.0)
    bottom = dict.fromkeys(top, 0.0)

    def add(term, weight, value):
        top[term] += weight * value
        bottom[term] += weight

    for p in range(windows):
        for m in range(bins):
            for t in range(frames):
                add("mse", band(m) * time(t) * mask[p][t], d[p][t][m] ** 2)
                add("mae", band(m) * time(t) * mask[p][t], abs(d[p][t][m]))
                if t + 1 < frames:
                    add(
                        "delta", band(m) * time(t + 1) * mask[p][t] * mask[p][t + 1], (d[p][t + 1][m] - d[p][t][m]) ** 2
                    )
                if t + 2 < frames:
                    second = d[p][t + 2][m] - 2 * d[p][t + 1][m] + d[p][t][m]
                    masks = mask[p][t] * mask[p][t + 1] * mask[p][t + 2]
                    add("delta2", band(m) * time(t + 1) * masks, second**2)
            add("latest", band(m), d[p][-1][m] ** 2)
    a, b, c = 0.3 + 0.15 * ramp, 0.1 + 0.05 * ramp, 0.2 + 0.2 * ramp
    mean = {term: top[term] / bottom[term] if bottom[term] else 0.0 for term in top}
    return mean["mse"] + a * mean["delta"] + b * mean["delta2"] + c * mean["latest"], mean["mae"]


def batch(windows=3, frames=4, bins=64, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    prediction, target = (torch.randn(windows, frames, bins, generator=generator, dtype=dtype) for _ in range(2))
    mask = torch.ones(windows, frames, dtype=dtype)
    mask[0, 0] = mask[1, -2] = mask[-1, -1] = 0
    return prediction, target, mask


@pytest.mark.parametrize("ramp", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("frames", [4, 10])
def test_loss_matches_a_direct_implementation(ramp, frames):
    prediction, target, mask = batch(frames=frames)
    loss, mae = MaskedMSEMAE(Loss(), 64)(prediction, target, mask, ramp)
    expected_loss, expected_mae = by_loops(prediction.tolist(), target.tolist(), mask.tolist(), ramp)
    assert loss.item() == pytest.approx(expected_loss, abs=1e-6)
    assert mae.item() == pytest.approx(expected_mae, abs=1e-6)


@pytest.mark.parametrize("ramp", [0.0, 0.5, 1.0])
def test_gradient_matches_finite_differences(ramp):
    prediction, target, mask = batch(windows=2, bins=8)
    criterion = MaskedMSEMAE(Loss(), 8)
    prediction.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: criterion(p, target, mask[:2], ramp)[0], (prediction,), eps=1e-6)


def test_micro_batches_add_up_to_the_batch():
    prediction, target, mask = batch()
    criterion = MaskedMSEMAE(Loss(), 64)
    totals = criterion.totals(mask, 0.7)
    parts = [
        criterion.loss(criterion.sums(prediction[p], target[p], mask[p], 0.7)[0], totals, 0.7)
        for p in (slice(0, 1), slice(1, 3))
    ]
    assert sum(parts).item() == pytest.approx(criterion(prediction, target, mask, 0.7)[0].item(), rel=1e-12)


def test_masked_frames_count_only_in_the_latest_term():
    prediction, target, mask = batch()
    criterion = MaskedMSEMAE(Loss(latest=(0.0, 0.0)), 64)
    before = criterion(prediction, target, mask, 1.0)
    wild = torch.where(mask[..., None] > 0, prediction, prediction + 100)
    assert torch.equal(torch.stack(criterion(wild, target, mask, 1.0)), torch.stack(before))


def test_a_fully_masked_batch_gives_no_nan():
    prediction, target, mask = batch(frames=2)
    criterion = MaskedMSEMAE(Loss(), 64)
    loss, mae = criterion(prediction, target, torch.zeros_like(mask), 0.0)
    assert math.isfinite(loss.item())
    assert mae.item() == 0


def test_the_ramp_rises_over_its_steps():
    assert [MaskedMSEMAE(Loss(ramp_steps=100), 64).ramp(step) for step in (0, 50, 100, 1000)] == [0, 0.5, 1, 1]
    assert MaskedMSEMAE(Loss(ramp_steps=0), 64).ramp(0) == 1
    assert MaskedMSEMAE(Loss(), 64).ramp(60_000) == 0.5


def test_bands_are_reported_unweighted():
    prediction, target, mask = batch()
    sums = MaskedMSEMAE(Loss(), 64).band_sums(prediction, target, mask)
    bins = {"f0": slice(0, 6), "f1": slice(6, 16), "f2": slice(16, 32), "high": slice(48, 64)}
    for (total, count), name in zip(sums, LOGGED_BANDS, strict=True):
        expected = (prediction - target)[mask > 0][:, bins[name]].square()
        assert (total / count).item() == pytest.approx(expected.mean().item())


def test_bands_reach_to_the_next_and_begin_at_0():
    settings = Loss(delta=(0.2, 0.4), bands={"low": (0, 2.0), "high": (10, 1.5)})
    assert MaskedMSEMAE(settings, 16).band.tolist() == [2.0] * 10 + [1.5] * 6
    for wrong, message in (
        ({"delta": (1.0,)}, "acoustic.loss.delta: is .*a list of 2"),
        ({"bands": {"a": (3, 1.0)}}, "begin at bins"),
        ({"time": (1.0, -1.0)}, "acoustic.loss.time"),
    ):
        with pytest.raises(UserError, match=message):
            Loss(**wrong)
