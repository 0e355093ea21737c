"""Faults that end a training with one sentence instead of a traceback or a ruined model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rtmri_speech.errors import UserError

_OUT_OF_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Parts of the messages of torch's CPU allocator and of CUDA's libraries, which raise a plain RuntimeError."""


def require_finite(value: float, name: str, step: int) -> None:
    """Refuse a loss that is infinite or not a number, before it reaches the weights or a checkpoint."""
    if not math.isfinite(value):
        raise UserError(
            f"training step {step}",
            f"the {name} is {value}",
            "lower the learning rate or use float32; the last state on disk is intact and the same command resumes it",
        )


@contextmanager
def telling_out_of_memory(remedy: str) -> Iterator[None]:
    """Tell a failed allocation, on a CUDA device or on the CPU, in one sentence with ``remedy``."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _sentence(error, remedy) from error
    except RuntimeError as error:
        if any(part in str(error) for part in _OUT_OF_MEMORY):
            raise _sentence(error, remedy) from error
        raise


def _sentence(error: BaseException, remedy: str) -> UserError:
    reason = str(error).split("\n")[0][:160].rstrip(".") or "the system gave none"
    return UserError("memory", f"an allocation failed ({reason})", f"{remedy}; the last state on disk is intact")
