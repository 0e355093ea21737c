"""What a training keeps to be killed at any moment and go on as if it had not been.

A `TrainingState` is a directory of numbered state files under a file lock. Each file is written whole or not at all,
holds the random states too, and belongs to one fingerprint (data, mel, network): a training of something else never
goes on from it.
"""

from __future__ import annotations

import json
import logging
import math
import pickle
import random
import re
import signal
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np
import torch

from rtmri_speech.atomic import replacing
from rtmri_speech.directory_lock import DirectoryLock
from rtmri_speech.errors import UserError

_log = logging.getLogger(__name__)

_STATE_FILE = re.compile(r"state_(\d{8,})\.pt")

_UNREADABLE = (
    RuntimeError,
    EOFError,
    LookupError,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    MemoryError,
    struct.error,
    pickle.UnpicklingError,
)
"""What torch raises for a truncated, foreign or damaged file: its unpickler runs the file's operations as they come, on
whatever the damage has left of their operands.
"""

_REAL = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_REAL |= {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
"""Types of tensors that networks and their states are made of."""

_WRAPPERS = "_orig_mod.", "module.", "_orig_mod."
"""Prefixes of `torch.compile` and `DistributedDataParallel`, which wrap a network in either order."""

_UNFIT = (LookupError, TypeError, ValueError, AttributeError, AssertionError, OverflowError, RuntimeError)
"""What restoring a state of another form raises: missing keys, other types, other shapes."""


def save_checkpoint(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` (tensors, numbers, words, lists and dicts of them) with `torch.save`, whole or not at all.

    Equal contents make equal bytes, also after a resume: pickle writes a word that it has met before as a reference,
    and tells words apart that are equal but not the same object.

    Raises
    ------
    OSError
        The disk is full or not writable; what stood at ``path`` is still there.
    """
    with replacing(path) as temporary, temporary.open("wb") as out:
        try:
            torch.save(_with_shared_words(content), out)
        except RuntimeError as error:
            # torch hides a full disk behind its own message; the cause tells the user what to do.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def _with_shared_words(value: Any) -> Any:
    """The same values, every word the one object of that spelling."""
    if type(value) is str:
        return sys.intern(value)
    if type(value) in (list, tuple):
        return type(value)(_with_shared_words(part) for part in value)
    if type(value) in (dict, OrderedDict):
        shared = type(value)((_with_shared_words(key), _with_shared_words(part)) for key, part in value.items())
        if metadata := getattr(value, "_metadata", None):
            shared._metadata = _with_shared_words(metadata)
        return shared
    return value


def load_checkpoint(
    path: str | Path, remedy: str = "give a file written by the training", *, memory_map: bool = False
) -> dict[str, Any]:
    """Read a file of `save_checkpoint`, or of another program of torch, onto the CPU without running any code of it.

    Names of weights are those of the network, also where a training over several devices, or a compiled network, wrote
    them under a prefix. With ``memory_map`` tensors are read from the disk when they are used; a file of torch before
    1.6 is read whole.

    Raises
    ------
    UserError
        The file is missing, is damaged, or holds something else than plain tensors and values.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(path, "there is no such file", remedy)
    try:
        mapped = memory_map and zipfile.is_zipfile(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except _UNREADABLE as error:
        reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
        raise UserError(path, f"cannot be read as a checkpoint ({reason})", remedy) from error
    if not isinstance(content, dict):
        raise UserError(path, f"holds a {type(content).__name__}, not a dict", remedy)
    return _without_wrapper({key: _without_wrapper(value) for key, value in content.items()})


def _without_wrapper(value: Any) -> Any:
    """A table whose keys all begin with a prefix of `_WRAPPERS` without it; anything else as it is."""
    for prefix in _WRAPPERS:
        if isinstance(value, dict) and value and all(isinstance(key, str) and key.startswith(prefix) for key in value):
            value = {key.removeprefix(prefix): part for key, part in value.items()}
    return value


def is_plain(value: Any) -> bool:
    """Tell whether a value from a file is a dense tensor of real numbers in memory."""
    return (
        isinstance(value, torch.Tensor)
        and value.dtype in _REAL
        and value.layout is torch.strided
        and value.device.type != "meta"
    )


def adamw_difference(found: Any, optimiser: torch.optim.Optimizer) -> str | None:
    """Return why a value from a file cannot be the state of ``optimiser``, an AdamW; None when it can.

    Some parameters, or all, may have no moments yet.
    """
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    if not isinstance(found, Mapping) or not isinstance(found.get("state"), Mapping):
        return "it is no optimiser's state"
    entries, groups = found["state"], found.get("param_groups")
    if any(isinstance(entry, Mapping) and "exp_avg_var" in entry for entry in entries.values()):
        return "it is AdaBelief's, and this trains with AdamW"
    groups = groups if isinstance(groups, list) else ()
    numbers = [group.get("params") if isinstance(group, Mapping) else None for group in groups]
    expected = [group["params"] for group in optimiser.state_dict()["param_groups"]]
    if repr(numbers) != repr(expected) or entries.keys() - set(range(len(parameters))):
        return "it numbers other parameters than AdamW's here"
    for number, entry in entries.items():
        moments = [entry.get(name) if isinstance(entry, Mapping) else None for name in ("exp_avg", "exp_avg_sq")]
        if not all(is_plain(moment) and moment.shape == parameters[number].shape for moment in moments):
            return f"its moments of parameter {number} are missing or of another shape"
        step = entry.get("step")
        step = step if is_plain(step) and step.numel() == 1 else torch.tensor(step if type(step) is int else math.nan)
        if not all(value.isfinite().all() for value in (step, *moments)):
            return f"its state of parameter {number} is not finite"
    return None


def random_state() -> dict[str, Any]:
    """Return the states of all random generators (Python, NumPy, torch, every CUDA device) as values and tensors."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, keys.tolist(), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put all random generators back to where `random_state` found them; CUDA only when the devices are as many."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def seed_random_generators(seed: int) -> None:
    """Begin all random generators (Python, NumPy, torch and every CUDA device) at ``seed``."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_for_step(seed: int, step: int, *purpose: int) -> int:
    """Return a 63-bit seed that depends on ``seed``, ``step`` and ``purpose`` (such as a rank) and on nothing else."""
    return int(np.random.SeedSequence([seed, step, *purpose]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def refusing_unfit(source: str | Path) -> Iterator[None]:
    """Refuse a state of ``source`` that the block cannot restore: of another version of the program, or damaged."""
    try:
        yield
    except _UNFIT as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UserError(source, f"holds a state of another form ({reason})", "delete it to begin anew") from error


class TrainingState:
    """The state files of one training, held under a lock while it runs (a context manager).

    Parameters
    ----------
    directory : where the files ``state_XXXXXXXX.pt`` are kept; made if missing.
    fingerprint : what the training is of (data, mel, network) as JSON values; files of another one are set aside.
    adjustable : settings (learning rate, loss coefficients, ...) that may change between runs; what changed is said.
    defaults : ``fingerprint`` and ``adjustable`` of the default settings: a state from before there was a setting was
        made with its default.
    keep : how many files are kept.
    wait : wait for a trainer that still holds the lock, and log it; else refuse.

    Attributes
    ----------
    superseded : after `load`, what the newest file of another fingerprint held, or None.

    Raises
    ------
    UserError
        Another trainer holds the lock and ``wait`` is false.
    """

    def __init__(
        self,
        directory: str | Path,
        fingerprint: Mapping[str, Any],
        adjustable: Mapping[str, Any] | None = None,
        *,
        defaults: Mapping[str, Mapping[str, Any]] | None = None,
        keep: int = 2,
        wait: bool = True,
    ) -> None:
        self.directory = Path(directory)
        # Through JSON, so that a tuple equals the list it was saved as.
        self.fingerprint: dict[str, Any] = json.loads(json.dumps(fingerprint))
        self.adjustable: dict[str, Any] = json.loads(json.dumps(adjustable or {}))
        self.superseded: dict[str, Any] | None = None
        self._defaults = {"fingerprint": {}, "adjustable": {}} | json.loads(json.dumps(defaults or {}))
        self._keep, self._wait = keep, wait
        self._lock = DirectoryLock(self.directory)

    def __enter__(self) -> Self:
        if holder := self._lock.acquire():
            if not self._wait:
                raise UserError(self.directory, f"is in use by another training ({holder})", "wait for it or stop it")
            _log.info(f"{self.directory}: another training ({holder}) works here; waiting for it to end.")
            self._lock.acquire(wait=True)
        # Nobody else writes here now: what a killed trainer left unfinished is of no use.
        for path in self.directory.glob(".*"):
            path.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def _files(self) -> list[tuple[int, Path]]:
        found = [
            (int(match[1]), path) for path in self.directory.iterdir() if (match := _STATE_FILE.fullmatch(path.name))
        ]
        return sorted(found)

    def load(self) -> dict[str, Any] | None:
        """Return what the newest readable file of this fingerprint holds, with ``step``, and restore the random states.

        An unreadable file is passed over for the one before it. Files of another fingerprint are set aside in
        ``<directory>.superseded`` and None is returned. Each of these, and each changed adjustable setting, is said.
        """
        for step, path in reversed(self._files()):
            try:
                with refusing_unfit(path):
                    saved = load_checkpoint(path)
                    payload, generators = saved["payload"], saved["random"]
                    adjustable = _completed(saved["adjustable"], self._defaults["adjustable"])
                    fingerprint = _completed(saved["fingerprint"], self._defaults["fingerprint"])
                    changes = _differences(adjustable, self.adjustable)
                    differing = ", ".join(_differences(fingerprint, self.fingerprint))
            except UserError as error:
                _log.info(f"{path}: this state cannot be read ({error.fault}); the one before it is used.")
                self._set_aside(path)
                continue
            if differing:
                _log.info(f"{self.directory}: the training changed in {differing}; it starts anew.")
                self.superseded = {**payload, "step": step}
                self._drop_set_aside()
                for _, old in self._files():
                    self._set_aside(old)
                return None
            if changes:
                _log.info(f"{self.directory}: goes on from step {step} with changed {', '.join(changes)}.")
            else:
                _log.info(f"{self.directory}: goes on from step {step}.")
            with refusing_unfit(path):
                restore_random_state(generators)
            return {**payload, "step": step, "adjustable": adjustable}
        return None

    def save(self, step: int, payload: Mapping[str, Any]) -> None:
        """Write the state after ``step`` steps and remove all but the last ``keep`` files.

        Raises
        ------
        OSError
            The disk is full; the files that were there still are.
        """
        content = {
            "fingerprint": self.fingerprint,
            "adjustable": self.adjustable,
            "random": random_state(),
            "payload": dict(payload),
        }
        save_checkpoint(self.directory / f"state_{step:08d}.pt", content)
        for _, path in self._files()[: -self._keep]:
            path.unlink()

    @property
    def _aside(self) -> Path:
        return self.directory.with_name(self.directory.name + ".superseded")

    def _set_aside(self, path: Path) -> None:
        self._aside.mkdir(exist_ok=True)
        path.replace(self._aside / path.name)

    def _drop_set_aside(self) -> None:
        """Only one training is kept aside: states are large."""
        for path in self._aside.glob("state_*.pt"):
            path.unlink()


def _completed(saved: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """``saved`` with what it, or a table in it, lacks."""
    complete = {**defaults, **saved}
    for name, table in defaults.items():
        if isinstance(table, Mapping):
            complete[name] = {**table, **saved.get(name, {})}
    return complete


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Name each value that differs, nested ones by dotted path, as ``path a -> b``; long values by name only."""
    found = []
    for key in sorted({*before, *now}):
        a, b = before.get(key), now.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            values = f" {a!r} -> {b!r}"
            found.append(f"{prefix}{key}" + (values if len(values) < 80 else ""))
    return found


class Stopped(BaseException):
    """A signal came during a wait that may have no end; like `KeyboardInterrupt` it is no error."""


class StopRequest:
    """Records SIGTERM and SIGINT for the training loop, which reads them between two steps (a context manager).

    A second SIGINT interrupts at once, for a user who cannot wait.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._interrupting = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number
        if self._interrupting:
            raise Stopped

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise `Stopped` at a signal that comes within, or has come before."""
        self._interrupting = True
        try:
            if self.requested:
                raise Stopped
            yield
        finally:
            self._interrupting = False

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self._signal is not None

    @property
    def exit_code(self) -> int:
        """The exit code that tells the shell of the signal (143 for SIGTERM, 130 for SIGINT); 0 without one."""
        return 128 + self._signal if self._signal is not None else 0
