"""Training in several processes started by ``torchrun``; no-ops in a single process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from rtmri_speech.errors import UserError

_LONGEST_WAIT = timedelta(hours=24)
"""Timeout of the other processes while the first one waits for the lock of the state."""


@dataclass(frozen=True)
class Processes:
    """The processes of a training: this one's ``rank`` of ``size``, and its ``device``."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and reports messages."""
        return self.rank == 0

    def shared(self, value: Any) -> Any:
        """Return the first process's ``value`` in every process."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of ``values`` over all processes."""
        if self.size > 1:
            values = values.to(self.device)
            dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Return whether ``flag`` is true in any process."""
        return flag if self.size == 1 else bool(self.total(torch.tensor(float(flag))) > 0)

    def parallel(self, module: nn.Module, **options: Any) -> nn.Module:
        """Wrap ``module`` so that a backward pass averages gradients over all processes.

        ``options`` are those of `torch.nn.parallel.DistributedDataParallel`.
        """
        if self.size == 1:
            return module
        devices = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices, **options)


def chosen_device(name: str) -> torch.device:
    """Return the torch device of a name; ``auto`` is CUDA if available, else the CPU.

    Raises
    ------
    UserError
        The name is invalid, or there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError("--device", f"is {name!r}", "give auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError("--device", f"is {name!r}, but torch sees {torch.cuda.device_count()} CUDA devices", "give cpu")
    return device


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the process group described by torchrun's RANK, LOCAL_RANK and WORLD_SIZE, if set.

    ``device`` is a name for `chosen_device`. Several processes use one CUDA device each (NCCL), or the CPU (gloo).
    """
    own, size = chosen_device(device), int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Processes(0, 1, own)
        return
    cuda = own.type == "cuda"
    if cuda:
        own = chosen_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=_LONGEST_WAIT)
    try:
        yield Processes(dist.get_rank(), size, own)
    finally:
        dist.destroy_process_group()
