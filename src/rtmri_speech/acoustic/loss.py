"""The lab's loss for the mel generator: weighted squared errors of the mel, its differences and its latest frame.

With d = prediction - target over windows ``(P, R, n_mels)`` and a ramp r from 0 to 1,

    L = wMSE(d) + a wMSE(diff d) + b wMSE(diff^2 d) + c wMSE(d of the latest frame),

each a sum weighted by band, time and sound mask over the sum of its own weights. Weights and a, b, c change with r from
their start to their target (`MaskedMSEMAE` of the lab's system, from its description).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from rtmri_speech.settings.acoustic import Loss

TERMS = ("mse", "delta", "delta2", "latest")
"""Terms of the loss, in order of summation."""

LOGGED_BANDS = ("f0", "f1", "f2", "high")
"""Bands whose errors are logged, as in the lab's system."""


class MaskedMSEMAE(nn.Module):
    """Numerators and denominators of the loss separately, so that they can be summed over micro-batches and processes.

    Parameters
    ----------
    settings : the coefficients.
    n_mels : bins of the mel; bands beyond it are empty.
    """

    band: torch.Tensor

    def __init__(self, settings: Loss, n_mels: int) -> None:
        super().__init__()
        self.settings = settings
        edges = [*[first for first, _ in settings.bands.values()][1:], n_mels]
        weights = torch.ones(n_mels)
        self.slices: dict[str, slice] = {}
        for (name, (first, weight)), end in zip(settings.bands.items(), edges, strict=True):
            weights[first:end] = weight
            self.slices[name] = slice(min(first, n_mels), min(end, n_mels))
        self.register_buffer("band", weights, persistent=False)

    def ramp(self, step: int) -> float:
        """Return the ramp of a step: from 0 at step 0 to 1 at ``ramp_steps``."""
        steps = self.settings.ramp_steps
        return min(1.0, step / steps) if steps else 1.0

    def coefficients(self, ramp: float) -> dict[str, float]:
        """Return the factor of each term at a ramp."""
        pairs = {name: getattr(self.settings, name) for name in TERMS[1:]}
        return {"mse": 1.0, **{name: start + (target - start) * ramp for name, (start, target) in pairs.items()}}

    def _weights(self, sound_mask: torch.Tensor, ramp: float) -> dict[str, torch.Tensor]:
        """Weights of each term, ``(P, frames, n_mels)``."""
        length = sound_mask.shape[1]
        targets = (*self.settings.time, *[1.0] * length)[:length]
        time = 1 + (torch.tensor(targets, device=sound_mask.device, dtype=sound_mask.dtype) - 1) * ramp
        band = (1 + (self.band.to(sound_mask.dtype) - 1) * ramp)[None, None]
        both = sound_mask[:, :-1] * sound_mask[:, 1:]
        return {
            "mse": (time * sound_mask)[..., None] * band,
            "delta": (time[1:] * both)[..., None] * band,
            "delta2": (time[1:-1] * both[:, :-1] * sound_mask[:, 2:])[..., None] * band,
            "latest": torch.ones_like(sound_mask[:, -1:])[..., None] * band,
        }

    def totals(self, sound_mask: torch.Tensor, ramp: float) -> torch.Tensor:
        """Return the sum of the weights of each term of `TERMS`, ``(4,)``, for sound masks ``(P, R)``."""
        return torch.stack([weight.sum() for weight in self._weights(sound_mask, ramp).values()])

    def sums(
        self, prediction: torch.Tensor, target: torch.Tensor, sound_mask: torch.Tensor, ramp: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weighted sums of squares of each term of `TERMS`, ``(4,)``, and of absolute values, a scalar.

        Parameters
        ----------
        prediction, target : standardised mels ``(P, R, n_mels)``.
        sound_mask : 1 where the clip has sound, ``(P, R)``.
        ramp : 0 to 1.
        """
        difference = prediction - target
        weights = self._weights(sound_mask, ramp)
        delta = difference.diff(dim=1)
        parts = {"mse": difference, "delta": delta, "delta2": delta.diff(dim=1), "latest": difference[:, -1:]}
        squares = torch.stack([(weights[name] * parts[name].square()).sum() for name in TERMS])
        return squares, (weights["mse"] * difference.abs()).sum()

    def loss(self, sums: torch.Tensor, totals: torch.Tensor, ramp: float) -> torch.Tensor:
        """Return the loss, a scalar, of the sums of a batch or of a part of it over the totals of the whole batch."""
        factors = torch.tensor(list(self.coefficients(ramp).values()), device=sums.device, dtype=sums.dtype)
        return (factors * _ratio(sums, totals)).sum()

    def forward(
        self, prediction: torch.Tensor, target: torch.Tensor, sound_mask: torch.Tensor, ramp: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss and the weighted mean absolute error of one batch, scalars."""
        sums, absolute = self.sums(prediction, target, sound_mask, ramp)
        totals = self.totals(sound_mask, ramp)
        return self.loss(sums, totals, ramp), _ratio(absolute, totals[0])

    def band_sums(self, prediction: torch.Tensor, target: torch.Tensor, sound_mask: torch.Tensor) -> torch.Tensor:
        """Return the unweighted sum of squares and number of values of each band of `LOGGED_BANDS`, ``(bands, 2)``."""
        squares = (prediction - target).square() * sound_mask[..., None]
        frames = sound_mask.sum()
        rows = []
        for name in LOGGED_BANDS:
            bins = self.slices.get(name, slice(0))
            rows.append(torch.stack([squares[..., bins].sum(), frames * len(range(*bins.indices(squares.shape[-1])))]))
        return torch.stack(rows)


PITCH_WEIGHT = 0.3
"""Of the loss of F0 and voicing beside that of the mel. Voicing gets worse on unseen clips with more."""


def pitch_totals(target: torch.Tensor) -> torch.Tensor:
    """Return the numbers of frames that the sums of `pitch_sums` are over, ``(3,)``."""
    if not target.shape[-1]:
        return target.new_zeros(3)
    voiced, speech = (~target.isnan()).sum((0, 1)).to(target.dtype)
    return torch.stack([voiced, speech, speech])


def pitch_sums(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the sums over frames of the absolute error of F0, in units, of the cross-entropy of voicing, in nats, and
    of wrong voicing, ``(3,)``; 0 where none is learnt.

    Parameters
    ----------
    prediction, target : outputs of `acoustic.pitch` and `pitch_targets`, ``(P, R, 2)``, or ``(P, R, 0)`` for none. NaN
        in the target is left out.
    """
    if not target.shape[-1]:
        return target.new_zeros(3)
    voiced, speech = (~target.isnan()).unbind(-1)
    f0, logit = prediction[..., 0][voiced], prediction[..., 1][speech]
    voicing = target[..., 1][speech]
    sums = [
        (f0 - target[..., 0][voiced]).abs().sum(),
        functional.binary_cross_entropy_with_logits(logit, voicing, reduction="sum"),
        ((logit > 0) != (voicing > 0)).sum().to(logit.dtype),
    ]
    return torch.stack(sums)


def pitch_loss(sums: torch.Tensor, totals: torch.Tensor) -> torch.Tensor:
    """Return the weighted loss, a scalar, of the sums of a batch or of a part of it over the totals of the whole."""
    return PITCH_WEIGHT * _ratio(sums[:2], totals[:2]).sum()


def _ratio(value: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """``value / total``, 0 if the total weight is 0 (all masked, or windows too short for a difference)."""
    return torch.where(total > 0, value / total.clamp(min=torch.finfo(total.dtype).tiny), torch.zeros_like(value))
