"""Learning rate schedules by steps and validation errors: warm-up, cosine, exponential, plateau."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

_IMPROVEMENT = 1e-4
"""Relative improvement below which a validation counts as stalled, as in torch's ``ReduceLROnPlateau``."""


@dataclass
class LearningRate:
    """A learning rate with the state of its schedule.

    Call `begin_step` before a step, `end_step` after it and `validated` after a validation; `apply` sets the rate of
    optimisers.

    Parameters
    ----------
    schedule : ``plateau`` (lowered when validation stalls, as torch's ``ReduceLROnPlateau``), ``cosine`` (falls to 0
        at ``total_steps``) or ``exponential`` (multiplied by ``decay`` every ``decay_steps`` steps).
    base : the rate of the settings.
    warmup_steps : steps of linear increase to ``base``; validations before are ignored.
    total_steps : of ``cosine``.
    decay, decay_steps : of ``exponential``.
    factor, patience, floor : of ``plateau``: factor on the rate after more than ``patience`` stalled validations, and
        minimum rate.
    least_change : ``plateau`` does not lower the rate by this or less.

    Attributes
    ----------
    rate : the current rate.
    best, stalled : minimum validation error, and number of validations since without improvement.
    """

    schedule: Literal["plateau", "cosine", "exponential"]
    base: float
    warmup_steps: int = 0
    total_steps: int = 0
    decay: float = 1.0
    decay_steps: int = 1
    factor: float = 0.1
    patience: int = 10
    floor: float = 0.0
    least_change: float = 0.0

    def __post_init__(self) -> None:
        self.rate = self._validated_rate = self.base
        self.best, self.stalled, self._validations = math.inf, 0, 0

    def begin_step(self, step: int) -> None:
        """Set the rate for step ``step`` (from 0) by warm-up and cosine."""
        rise = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        if self.schedule == "cosine":
            self.rate = self.base * rise * (0.5 * (1 + math.cos(math.pi * step / self.total_steps)))
        elif step < self.warmup_steps:
            self.rate = self.base * rise

    def end_step(self, steps: int) -> None:
        """Decay an exponential rate if due, ``steps`` steps after the start of the training."""
        if self.schedule == "exponential" and steps % self.decay_steps == 0:
            self.rate *= self.decay

    def validated(self, error: float, steps: int) -> None:
        """Record a validation ``error`` after ``steps`` steps; lower a plateau rate if it has stalled."""
        if self.schedule == "cosine" or steps < self.warmup_steps:
            return
        self._validations += 1
        if error < self.best * (1 - _IMPROVEMENT):
            self.best, self.stalled = error, 0
        else:
            self.stalled += 1
        if self.schedule == "plateau" and self.stalled > self.patience:
            lower = max(self.rate * self.factor, self.floor)
            if self.rate - lower > self.least_change:
                self.rate = lower
            self.stalled = 0
        self._validated_rate = self.rate

    def at_floor(self, steps: int) -> bool:
        """Return whether a plateau rate is at its minimum after ``steps`` steps."""
        return self.schedule == "plateau" and steps >= self.warmup_steps and self.rate <= self.floor

    def forget(self) -> None:
        """Reset the plateau: later errors are not comparable with earlier ones."""
        self.best, self.stalled = math.inf, 0

    def apply(self, *optimisers: torch.optim.Optimizer) -> None:
        """Set the rate of every parameter group."""
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.rate

    def state(self) -> dict[str, float]:
        """Return the state for `load_state`."""
        return {"rate": self.rate, "base": self.base, "best": self.best, "stalled": self.stalled}

    def load_state(self, state: Mapping[str, float]) -> None:
        """Resume from `state`; a changed ``base`` scales the current rate."""
        self.best, self.stalled = state["best"], int(state["stalled"])
        self.rate = state["rate"] * self.base / state["base"] if state["base"] != self.base else state["rate"]

    def torch_state(self) -> dict[str, Any]:
        """Return the state of an equivalent torch ``ReduceLROnPlateau``, the format of checkpoints."""
        optimiser = torch.optim.SGD([torch.zeros(1)], self.base)
        equal = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, factor=self.factor, patience=self.patience, min_lr=self.floor, eps=self.least_change
        )
        return equal.state_dict() | {
            "best": self.best,
            "num_bad_epochs": self.stalled,
            "last_epoch": self._validations,
            "_last_lr": [self._validated_rate],
        }

    def load_torch_state(self, state: Mapping[str, Any], rate: float) -> None:
        """Resume from `torch_state` and ``rate``, which is in the optimiser's state."""
        self.best, self.stalled, self._validations = (state[name] for name in ("best", "num_bad_epochs", "last_epoch"))
        (self._validated_rate,) = state["_last_lr"]
        self.rate = rate
