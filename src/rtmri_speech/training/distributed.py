"""One training over several processes, started by ``torchrun``; alone, all of it costs nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

_LONGEST_WAIT = timedelta(hours=24)
"""The other processes wait as long while the first one waits for the lock of the state."""


@dataclass(frozen=True)
class Processes:
    """The processes of a training: this one's ``rank`` of ``size``, and its ``device``."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and speaks."""
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


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the process group that ``torchrun`` describes in RANK, LOCAL_RANK and WORLD_SIZE; without them be alone.

    ``device``: a torch device, or ``auto`` for CUDA when there is one. Several processes take one CUDA device each
    (NCCL), or the CPU (gloo).
    """
    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Processes(
            0, 1, torch.device("cuda" if cuda and device == "auto" else "cpu" if device == "auto" else device)
        )
        return
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=_LONGEST_WAIT)
    try:
        yield Processes(dist.get_rank(), size, own)
    finally:
        dist.destroy_process_group()
