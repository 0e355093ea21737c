"""TensorBoard logs that are continued seamlessly on resume, and progress for terminals, log files and Snakemake."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from tqdm import tqdm

from rtmri_speech.atomic import replacing

_log = logging.getLogger(__name__)

PLAIN_INTERVAL = 30.0
"""Seconds between lines of progress without a terminal."""

FILE_INTERVAL = 1.0
"""Seconds between updates of the progress file."""


class TrainingLog:
    """A TensorBoard log that after a kill and resume equals that of an uninterrupted run (a context manager).

    Parameters
    ----------
    directory : of the event files; created if missing.
    resumed_step : the last step whose events are kept; later ones will be written again. None for a new training:
        existing event files are moved to ``<directory>.superseded``.

    Raises
    ------
    OSError
        By each method, naming the directory: the disk is full or fails.
    """

    def __init__(self, directory: str | Path, resumed_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._directory = directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for path in sorted(directory.glob("events.out.tfevents.*")):
            if resumed_step is None:
                aside = directory.with_name(directory.name + ".superseded")
                aside.mkdir(exist_ok=True)
                path.replace(aside / path.name)
            else:
                cut_events(path, resumed_step)
        # The writer begins to write at once.
        self._hook, threading.excepthook = threading.excepthook, self._report_of_thread
        try:
            with self._named():
                self._writer = SummaryWriter(str(directory))
        except OSError:
            threading.excepthook = self._hook
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.close()
        finally:
            threading.excepthook = self._hook

    def _report_of_thread(self, failure: threading.ExceptHookArgs) -> None:
        # An error of the writer's thread is raised by the next call, which names the directory.
        if not issubclass(failure.exc_type, OSError):
            self._hook(failure)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = error.filename or str(self._directory)
            raise

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write each value under its tag at ``step``."""
        with self._named():
            for tag, value in values.items():
                self._writer.add_scalar(tag, value, step)

    def sound(self, tag: str, samples: np.ndarray, sampling_rate: int, step: int) -> None:
        """Write a sound, float ``(N,)`` in [-1, 1]."""
        with self._named():
            self._writer.add_audio(tag, samples[None], step, sampling_rate)

    def pictures(self, tag: str, rows: list[np.ndarray], step: int) -> None:
        """Write stacked mels ``(n_mels, T)`` as one picture, low frequencies at the bottom."""
        with self._named():
            self._writer.add_image(tag, stacked_picture(rows), step, dataformats="HWC")

    def flush(self) -> None:
        """Flush all events; call it before a state is saved, so that no saved step lacks its events."""
        with self._named():
            self._writer.flush()


def cut_events(path: str | Path, last_step: int) -> None:
    """Remove events after ``last_step``, and an incomplete record left by a kill, from an event file.

    A file without either is not touched; a file that would be empty is deleted.
    """
    from tensorboard.compat.proto.event_pb2 import Event

    path = Path(path)
    kept, whole, lasting = [], 0, 0
    for record, body in _records(path):
        event = Event.FromString(body)
        whole += len(record)
        if event.step <= last_step:
            kept.append(record)
            lasting += event.HasField("summary")
    if len(kept) and whole == path.stat().st_size and sum(map(len, kept)) == whole:
        return
    if not lasting:
        path.unlink()
        return
    with replacing(path) as temporary:
        temporary.write_bytes(b"".join(kept))


def _records(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield each complete TFRecord and its body: uint64 length, uint32 CRC, body, uint32 CRC."""
    with path.open("rb") as file:
        while len(head := file.read(12)) == 12:
            (length,) = struct.unpack("<Q", head[:8])
            rest = file.read(length + 4)
            if len(rest) < length + 4:
                return
            yield head + rest, rest[:-4]


def stacked_picture(mels: list[np.ndarray]) -> np.ndarray:
    """Return mels ``(n_mels, T)`` as one RGB picture, uint8 ``(H, W, 3)``, on a common scale, for visual comparison."""
    import cv2

    low, high = min(mel.min() for mel in mels), max(mel.max() for mel in mels)
    gray = [np.uint8(255 * (mel[::-1] - low) / max(high - low, 1e-6)) for mel in mels]
    large = [cv2.resize(row, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST) for row in gray]
    gap = np.zeros((6, large[0].shape[1]), dtype=np.uint8)
    column = np.concatenate([part for row in large for part in (row, gap)][:-1])
    return cv2.applyColorMap(column, cv2.COLORMAP_MAGMA)[..., ::-1].copy()


class Progress:
    """A bar on a terminal; in a log file, a plain line every `PLAIN_INTERVAL` seconds (a context manager).

    Parameters
    ----------
    total, done : total steps, and those of earlier runs.
    name : of the task.
    file : JSON file for other processes, updated every `FILE_INTERVAL` seconds and removed at the end, with ``step``,
        ``steps``, ``steps_per_second``, ``seconds_left`` and, under ``losses``, the values shown.
    """

    def __init__(self, total: int, done: int, name: str, file: Path) -> None:
        self._total, self._done, self._first, self._name, self._file = total, done, done, name, file
        self._start = self._last = time.monotonic()
        self._written = -math.inf
        terminal = sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=done, desc=name, dynamic_ncols=True) if terminal else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.unlink(missing_ok=True)
        if self._bar is not None:
            self._bar.close()

    def advance(self, values: Mapping[str, float]) -> None:
        """Advance by a step and show ``values``."""
        self._done += 1
        now = time.monotonic()
        rate = (self._done - self._first) / max(now - self._start, 1e-9)
        if now - self._written >= FILE_INTERVAL:
            self._written = now
            self._write(values, rate)
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()}, refresh=False)
            self._bar.update()
        elif now - self._last >= PLAIN_INTERVAL or self._done == self._total:
            self._last = now
            shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            _log.info(f"{self._name} {self._done}/{self._total}: {shown} ({rate:.3g}/s)")

    def _write(self, values: Mapping[str, float], rate: float) -> None:
        progress = {
            "step": self._done,
            "steps": self._total,
            "steps_per_second": rate,
            "seconds_left": (self._total - self._done) / rate,
            "losses": dict(values),
        }
        # Only shown: a full disk stops the training when it saves its state, not before.
        with contextlib.suppress(OSError), replacing(self._file, durable=False) as temporary:
            temporary.write_text(json.dumps(progress), encoding="utf-8")
