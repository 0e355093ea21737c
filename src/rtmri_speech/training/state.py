"""Resumable state of a training, safe against a kill at any moment.

A `TrainingState` is a directory of numbered state files under a file lock. Each file is written atomically, contains
the random states, and has a fingerprint (data, mel, network): a training with another fingerprint does not resume from
it.
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
"""Raised by torch for a truncated, foreign or damaged file: its unpickler executes the operations on damaged operands.
"""

_REAL = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_REAL |= {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
"""Tensor types of networks and states."""

_WRAPPERS = "_orig_mod.", "module.", "_orig_mod."
"""Prefixes of `torch.compile` and `DistributedDataParallel`, in either order."""

_UNFIT = (LookupError, TypeError, ValueError, AttributeError, AssertionError, OverflowError, RuntimeError)
"""Raised on restoring a malformed state: missing keys, wrong types or shapes."""


def save_checkpoint(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` (tensors, numbers, strings, lists and dicts of them) with `torch.save`, atomically.

    Equal contents give equal bytes, also after a resume: pickle stores repeated strings as references, but only if they
    are the same object, so strings are interned.

    Raises
    ------
    OSError
        The disk is full or not writable; an existing ``path`` is unchanged.
    """
    with replacing(path) as temporary, temporary.open("wb") as out:
        try:
            torch.save(_with_shared_words(content), out)
        except RuntimeError as error:
            # torch wraps the error of a full disk; raise the original.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def _with_shared_words(value: Any) -> Any:
    """Return equal values with all strings interned."""
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
    """Read a file of `save_checkpoint`, or of another torch program, onto the CPU without executing code from it.

    Prefixes of weight names from multi-device training or compilation are removed. With ``memory_map``, tensors are
    read from disk on use; files of torch before 1.6 are read whole.

    Raises
    ------
    UserError
        The file is missing, damaged, or has content other than plain tensors and values.
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
    """Remove prefixes in `_WRAPPERS` shared by all keys of a dict; return other values unchanged."""
    for prefix in _WRAPPERS:
        if isinstance(value, dict) and value and all(isinstance(key, str) and key.startswith(prefix) for key in value):
            value = {key.removeprefix(prefix): part for key, part in value.items()}
    return value


def is_plain(value: Any) -> bool:
    """Return whether a value is a dense tensor of real numbers in memory."""
    return (
        isinstance(value, torch.Tensor)
        and value.dtype in _REAL
        and value.layout is torch.strided
        and value.device.type != "meta"
    )


def adamw_difference(found: Any, optimiser: torch.optim.Optimizer) -> str | None:
    """Return why a value cannot be the state of the AdamW ``optimiser``, or None if it can.

    Some parameters, or all, may have no moments yet.
    """
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    if not isinstance(found, Mapping) or not isinstance(found.get("state"), Mapping):
        return "it is not an optimiser's state"
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
    """Restore all random generators from `random_state`; CUDA only if the number of devices is the same."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def seed_random_generators(seed: int) -> None:
    """Seed all random generators (Python, NumPy, torch and every CUDA device)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_for_step(seed: int, step: int, *purpose: int) -> int:
    """Return a 63-bit seed, a function of ``seed``, ``step`` and ``purpose`` (such as a rank)."""
    return int(np.random.SeedSequence([seed, step, *purpose]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def refusing_unfit(source: str | Path) -> Iterator[None]:
    """Raise a `UserError` if the block cannot restore a state of ``source``: damaged, or of another version."""
    try:
        yield
    except _UNFIT as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UserError(source, f"holds a state of another form ({reason})", "delete it to begin anew") from error


class TrainingState:
    """The state files of a training, locked while it runs (a context manager).

    Parameters
    ----------
    directory : of the files ``state_XXXXXXXX.pt``; created if missing.
    fingerprint : data, mel and network as JSON values; files with another fingerprint are set aside.
    adjustable : settings (learning rate, loss coefficients, ...) that may change between runs; changes are reported.
    defaults : ``fingerprint`` and ``adjustable`` of the default settings: a state from before there was a setting was
        made with its default.
    keep : number of files to keep.
    wait : wait for a trainer that still holds the lock, and log it; else refuse.

    Attributes
    ----------
    superseded : after `load`, the content of the newest file with another fingerprint, or None.

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
        # Under the lock, temporary files are leftovers of a killed trainer.
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
        """Return the content of the newest readable file, with ``step``, and restore the random states.

        Unreadable files are skipped. If the fingerprint differs, the files are moved to ``<directory>.superseded`` and
        None is returned. These cases, and changed adjustable settings, are reported.
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
            changed = f" with changed {', '.join(changes)}" if changes else ""
            _log.info(f"{self.directory}: resumes at step {step}{changed}.")
            with refusing_unfit(path):
                restore_random_state(generators)
            return {**payload, "step": step, "adjustable": adjustable}
        return None

    def save(self, step: int, payload: Mapping[str, Any]) -> None:
        """Write the state after ``step`` steps and remove all but the last ``keep`` files.

        Raises
        ------
        OSError
            The disk is full; existing files are unchanged.
        """
        content = {
            "fingerprint": self.fingerprint,
            "adjustable": self.adjustable,
            "random": random_state(),
            "payload": dict(payload),
        }
        save_checkpoint(self.directory / f"state_{step:08d}.pt", content)
        self.prune()

    def prune(self) -> None:
        """Remove all but the last ``keep`` files."""
        for _, path in self._files()[: -self._keep]:
            path.unlink()

    @property
    def _aside(self) -> Path:
        return self.directory.with_name(self.directory.name + ".superseded")

    def _set_aside(self, path: Path) -> None:
        self._aside.mkdir(exist_ok=True)
        path.replace(self._aside / path.name)

    def _drop_set_aside(self) -> None:
        """Delete the states set aside earlier: they are large, so only one training's are kept."""
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
    """List differing values as ``path a -> b``, nested ones by dotted path, long ones by path only."""
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
    """A signal interrupted a wait; like `KeyboardInterrupt` it is not an error."""


class StopRequest:
    """Records SIGTERM and SIGINT for the training loop, which checks between steps (a context manager).

    A second SIGINT interrupts immediately.
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
        """Raise `Stopped` if a signal arrives within the block or has arrived before."""
        self._interrupting = True
        try:
            if self.requested:
                raise Stopped
            yield
        finally:
            self._interrupting = False

    @property
    def requested(self) -> bool:
        """Whether a signal has arrived."""
        return self._signal is not None

    @property
    def exit_code(self) -> int:
        """Exit code for the signal (143 for SIGTERM, 130 for SIGINT); 0 without one."""
        return 128 + self._signal if self._signal is not None else 0
