"""Moving averages of weights, which validate better than the weights of the last step."""

from __future__ import annotations

import copy
import itertools
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def start_average(module: M) -> M:
    """Return a copy of a module for `update_average`; it is not trained itself."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def update_average(averaged: nn.Module, module: nn.Module, kept: float) -> None:
    """Move an average towards a module's weights and buffers: ``kept * average + (1 - kept) * weight``.

    Counters, such as those of batch normalisation, are copied.
    """
    pairs = (itertools.chain(one.parameters(), one.buffers()) for one in (averaged, module))
    for mean, tensor in zip(*pairs, strict=True):
        if mean.is_floating_point():
            mean.lerp_(tensor, 1 - kept)
        else:
            mean.copy_(tensor)
