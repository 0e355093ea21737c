"""Batches from loader processes, for both trainings: errors become `UserError`, and a signal interrupts a wait."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import cv2
import torch
from torch.utils.data import DataLoader, get_worker_info

from rtmri_speech.errors import UserError
from rtmri_speech.training.state import Stopped, StopRequest
from rtmri_speech.workers import kill_loaders

SMALLER = "lower --num_workers (0 needs no shared memory) or enlarge /dev/shm, in a container by --shm-size"
"""Remedy if loader processes run out of shared memory."""

LOST_LOADER = f"{SMALLER}, and run the same command again: the last state on disk is intact"


class _Refusal(NamedTuple):
    """A `UserError` returned from a loader process, because exceptions do not survive the transfer."""

    subject: str
    fault: str
    remedy: str


class _Batches:
    """The batch of each key, or its error; in a loader process, already in shared memory.

    torch would move it there in a background thread, whose failure is not reported: the trainer would hang.
    """

    def __init__(self, batch_of: Callable[[Any], Any]) -> None:
        self._batch_of = batch_of

    def __getitem__(self, key: Any) -> Any:
        try:
            batch = self._batch_of(key)
        except UserError as error:
            return _Refusal(error.subject, error.fault, error.remedy)
        if get_worker_info() is not None:
            try:
                for tensor in _tensors(batch):
                    tensor.share_memory_()
            except RuntimeError as error:
                fault = f"could not hand over its batch ({str(error).splitlines()[0]})"
                return _Refusal("a loader process", fault, SMALLER)
        return batch


def _tensors(batch: Any) -> Iterator[torch.Tensor]:
    if isinstance(batch, torch.Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        yield from _tensors(list(batch.values()))
    elif isinstance(batch, list | tuple):
        for part in batch:
            yield from _tensors(part)


def _as_it_is(batch: Any) -> Any:
    return batch


def _serve_the_trainer(worker: int) -> None:
    """Initialise a loader process: one thread, and signals ignored, since the trainer needs it to finish a step."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def load(
    batch_of: Callable[[Any], Any], keys: Iterable[Any], *, workers: int, prefetch: int = 2, pin_memory: bool = False
) -> DataLoader:
    """Return a loader of the batches of ``keys``, in order; iterate over it through `batches`.

    Parameters
    ----------
    batch_of : picklable function from a key to its batch, tensors in lists, tuples and mappings.
    keys : its arguments.
    workers : number of loader processes; 0 loads between steps.
    prefetch : batches prepared per worker.
    pin_memory : whether to use page-locked memory, for CUDA.
    """
    if workers:
        # A forked process would wait forever for OpenCV's threads, which it does not inherit.
        cv2.setNumThreads(1)
    return DataLoader(
        _Batches(batch_of),
        batch_size=None,
        sampler=keys,
        collate_fn=_as_it_is,
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        persistent_workers=workers > 0,
        # Without CUDA it would only be warned of.
        pin_memory=pin_memory and torch.cuda.is_available(),
        worker_init_fn=_serve_the_trainer,
        # A separate generator: the loader must not draw from the one used by dropout.
        generator=torch.Generator(),
    )


def batches(loader: DataLoader, stop: StopRequest | None = None) -> Iterator[Any]:
    """Yield the batches of a loader.

    Parameters
    ----------
    stop : lets a signal interrupt the wait for a batch; None if other processes wait for this one.

    Raises
    ------
    UserError
        A batch could not be loaded.
    Stopped
        A signal interrupted the wait for a batch; the loader is unusable afterwards.
    """
    waiting = stop.interrupting if stop else contextlib.nullcontext
    try:
        with waiting():
            source = iter(loader)
        while True:
            with waiting():
                batch = next(source, None)
            if batch is None:
                return
            if isinstance(batch, _Refusal):
                raise UserError(*batch)
            yield batch
    except Stopped:
        kill_loaders()
        raise
