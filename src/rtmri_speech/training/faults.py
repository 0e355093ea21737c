"""Faults that end a training with a `UserError`: non-finite losses and running out of memory."""

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
"""Fragments of the messages of torch's CPU allocator and CUDA libraries, which raise a plain RuntimeError."""


def require_finite(value: float, name: str, step: int) -> None:
    """Refuse an infinite or NaN loss before it affects the weights or a checkpoint."""
    if not math.isfinite(value):
        raise UserError(
            f"training step {step}",
            f"the {name} is {value}",
            "lower the learning rate or use float32; the last state on disk is intact and the same command resumes it",
        )


@contextmanager
def reporting_out_of_memory(remedy: str) -> Iterator[None]:
    """Raise a `UserError` with ``remedy`` for a failed allocation on a CUDA device or the CPU."""
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
