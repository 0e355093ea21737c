"""Every point at which a writer can be interrupted, by name: it is killed there, or the disk fails, and it is resumed.

    python tests/faults/crash_points.py [--only WORD]

Of an undisturbed run of each `Scenario`, every rename, removal, fsync and write of a file below its directory is
recorded. The scenario is then run once for each `Fault`: killed before and after each of them, and with ENOSPC and EIO
from each rename, fsync and write. Each time it must leave only whole files under final names, end
in one sentence if it can, and after the same command once more equal the undisturbed run, byte for byte.

The operations are observed in Python (`Observed`). Libraries in C write by themselves: of their files, the fsync and
the rename are among the points, the single writes are not.
"""

import argparse
import builtins
import contextlib
import dataclasses
import errno
import functools
import io
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from kill import ended, start
from tiny_models import TRAINED_VOCODER, write_noise
from workflow_checkout import tiny_checkout

TEMPORARY = re.compile(r"(?<![^/])\.([^/]*)\.[0-9a-f]{8}-\d+-[0-9a-f]{8}(?=[./]|$)")
"""A temporary file or directory of `rtmri_speech.atomic`."""

EVENTS = re.compile(r"events\.out\.tfevents\.[^/]*")
"""A log of TensorBoard, named by time and process."""

KILLS = "killed before", "killed after"
ERRORS = "ENOSPC", "EIO"

WAYS = {"rename": (*KILLS, *ERRORS), "fsync": (*KILLS, *ERRORS), "write": (*KILLS, *ERRORS), "remove": KILLS}
"""What can go wrong in each operation."""

SENTENCE = re.compile(r"error: (.*): (no space is left on the disk|the disk failed \(.*\)); .*\.")

BY_PROCESS = re.compile(
    r"(.*/)?(events\.out\.tfevents\..*|holder\.txt|lock|__pycache__/.*|\.snakemake.*)"
    r"|(.*/)?(logs\.superseded|logs|benchmarks)/.*"
)
"""What tells times or processes by nature; logs of TensorBoard are compared by value."""


@dataclass(frozen=True, order=True)
class Operation:
    """The ``occurrence``-th operation of a ``kind`` on a ``name`` below the directory."""

    kind: str
    name: str
    occurrence: int


@dataclass(frozen=True)
class Fault:
    """What happens at an operation: one of `WAYS`."""

    operation: Operation
    way: str

    def __str__(self) -> str:
        at = self.operation
        return f"{self.way}: {at.kind} of {at.name} ({at.occurrence})"


class Observed:
    """Observes this process's operations on files below a directory, and commits one fault.

    Attributes
    ----------
    operations : so far.
    """

    def __init__(self, directory: Path, fault: Fault | None) -> None:
        self.directory, self.fault = directory, fault
        self.operations: list[Operation] = []
        self._counts: Counter = Counter()
        self._lock = threading.RLock()

    def install(self) -> None:
        """Observe from now on, for the rest of the process."""
        for name, kind, place in (
            ("rename", "rename", 1),
            ("replace", "rename", 1),
            ("unlink", "remove", 0),
            ("remove", "remove", 0),
            ("fsync", "fsync", 0),
        ):
            setattr(os, name, functools.partial(self._call, getattr(os, name), kind, place))
        opened = functools.partial(self._open, io.open)
        # pathlib opens by the one, everybody else by the other.
        io.open = builtins.open = opened

    def _call(self, original: Callable, kind: str, place: int, *arguments, dir_fd: int | None = None) -> None:
        given = {} if dir_fd is None else {"dir_fd": dir_fd}
        path = arguments[place]
        if isinstance(path, int) or dir_fd is not None:
            folder = Path(f"/proc/self/fd/{path if dir_fd is None else dir_fd}").readlink()
            path = folder if dir_fd is None else folder / path
        with self._at(kind, path):
            original(*arguments, **given)

    def _open(self, original: Callable, file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **more):
        if isinstance(file, int) or not set(mode) & set("wax+") or self._name(file) is None:
            return original(file, mode, buffering, encoding, errors, newline, **more)
        observed = self

        class Raw(io.FileIO):
            def write(self, data) -> int:
                with observed._at("write", file):
                    return super().write(data)

        raw = Raw(file, mode.replace("b", "").replace("t", ""), **more)
        buffered = raw if buffering == 0 else (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    def _name(self, path) -> str | None:
        path = Path(os.fsdecode(path)).absolute()
        if not path.is_relative_to(self.directory):
            return None
        return EVENTS.sub("events", TEMPORARY.sub(r"\1", path.relative_to(self.directory).as_posix()))

    @contextlib.contextmanager
    def _at(self, kind: str, path) -> Iterator[None]:
        """An operation: recorded, and disturbed if it is the fault's."""
        name = self._name(path)
        if name is None or (kind == "remove" and not os.path.lexists(path)):
            yield
            return
        with self._lock:
            self._counts[kind, name] += 1
            operation = Operation(kind, name, self._counts[kind, name])
            self.operations.append(operation)
        way = self.fault.way if self.fault and self.fault.operation == operation else None
        if way in ERRORS:
            number = getattr(errno, way)
            raise OSError(number, os.strerror(number))
        if way == "killed before":
            os.kill(os.getpid(), signal.SIGKILL)
        yield
        if way == "killed after":
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Scenario:
    """A writer whose every operation is disturbed.

    Attributes
    ----------
    name : of the scenario.
    run : ``run(data, directory)`` writes below ``directory``, and returns an exit code or None.
    prepare : ``prepare(data)`` writes what it reads.
    before : ``before(data, directory)`` writes what stands in the directory before.
    only : the operations to disturb, by a regular expression over ``kind name``; the others occur in another scenario.
    ways : the faults to commit.
    processes : of a training; the first one is disturbed.
    every_write : whether to disturb every write of a file, else the first, the middle and the last one.
    pieces : whether each file under its final name is at any time either the former or the new one.
    unlock : ``unlock(data, directory)`` is run before the scenario is resumed after a kill.
    tolerated : regular expression over names whose failed writing ends nothing.
    """

    name: str
    run: Callable[[Path, Path], int | None]
    prepare: Callable[[Path], object] = lambda data: None
    before: Callable[[Path, Path], object] = lambda data, directory: None
    only: str = ".*"
    ways: tuple[str, ...] = (*KILLS, *ERRORS)
    processes: int = 1
    every_write: bool = True
    pieces: bool = True
    unlock: Callable[[Path, Path], object] | None = None
    tolerated: str = "(?!)"


@dataclass
class Trial:
    """A scenario's runs, in a directory of their own."""

    scenario: Scenario
    place: Path

    def __post_init__(self) -> None:
        self.data, self.directory, self.former = (self.place / name for name in ("data", "run", "former"))
        self.said, self.record = self.place / "said.txt", self.place / "operations.txt"
        self.data.mkdir(parents=True)
        self.scenario.prepare(self.data)
        self.former.mkdir()
        self.scenario.before(self.data, self.former)
        self.begin()
        code = self.run(None)
        assert code == 0, f"{self.scenario.name} undisturbed: {self.said.read_text(encoding='utf-8')}"
        lines = self.record.read_text(encoding="utf-8").splitlines()
        fields = (line.split("\t") for line in lines)
        self.operations = [Operation(kind, name, int(number)) for kind, name, number in fields]
        self.whole = Result.of(self.directory)

    def begin(self) -> None:
        """Restore what stood in the directory before."""
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.copytree(self.former, self.directory)

    def faults(self) -> list[Fault]:
        """Return everything that can go wrong."""
        last = {(at.kind, at.name): at.occurrence for at in self.operations}

        def is_tried(at: Operation) -> bool:
            number = last[at.kind, at.name]
            if at.kind == "write" and not self.scenario.every_write and at.occurrence not in (1, number // 2, number):
                return False
            return re.fullmatch(self.scenario.only, f"{at.kind} {at.name}") is not None

        return [
            Fault(operation, way)
            for operation in filter(is_tried, self.operations)
            for way in WAYS[operation.kind]
            if way in self.scenario.ways
        ]

    def run(self, fault: Fault | None, call: Callable | None = None) -> int:
        """Run the scenario, or another call of it, in processes of its own; return the first one's exit code."""
        call, size = call or self.scenario.run, self.scenario.processes
        places = self.data, self.directory, self.said, self.record
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        group = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)} if size > 1 else {}
        processes = [
            start(_disturbed, call, *places, fault if rank == 0 else None, rank, environment=group | _rank(rank))
            for rank in range(size)
        ]
        try:
            return ended(processes[0], within=600)
        finally:
            for process in processes[1:]:
                # As torchrun does it.
                if processes[0].exitcode:
                    process.kill()
                ended(process, within=600)

    def suffer(self, fault: Fault) -> str | None:
        """Disturb the scenario and resume it; return what is wrong, or None."""
        self.begin()
        code = self.run(fault)
        said = self.said.read_text(encoding="utf-8")
        wrong = self._wrong_end(fault, code, said) or self._wrong_pieces(fault)
        if wrong is None:
            wrong = self._wrong_resumption(fault)
        return wrong

    def _wrong_end(self, fault: Fault, code: int, said: str) -> str | None:
        if fault.way in KILLS:
            return None if code == -signal.SIGKILL else f"was not reached (exit code {code}): {said[-500:]}"
        if re.fullmatch(self.scenario.tolerated, fault.operation.name):
            return None
        if code == 0:
            return "was not noticed"
        last = said.strip().split("\n")[-1]
        told = SENTENCE.fullmatch(last)
        if told is None or "Traceback" in said:
            return f"was not told in a sentence: {said[-1500:]}"
        if TEMPORARY.search(told[1]):
            return f"the sentence names a temporary file: {last}"
        return None

    def _wrong_pieces(self, fault: Fault) -> str | None:
        for path in sorted(self.directory.rglob("*")):
            name = path.relative_to(self.directory).as_posix()
            if path.is_dir() or BY_PROCESS.fullmatch(name):
                continue
            if TEMPORARY.search(name):
                if fault.way in ERRORS:
                    return f"left {name}"
            elif self.scenario.pieces:
                former = self.former / name
                whole = [former.read_bytes()] if former.is_file() else []
                if path.read_bytes() not in [*whole, self.whole.files.get(name)]:
                    return f"left a part of {name}"
        for path in self.former.rglob("*") if self.scenario.pieces else ():
            name = path.relative_to(self.former)
            top = self.directory / name.parts[0]
            # Killed between two renames, a directory is missing as a whole.
            if not (self.directory / name).exists() and (top.exists() or fault.way in ERRORS) and not self._is_new(top):
                return f"lost {name}"
        return None

    def _is_new(self, top: Path) -> bool:
        """Whether a file or directory is as the undisturbed run leaves it."""
        names = [path.relative_to(self.directory).as_posix() for path in (top, *top.rglob("*")) if path.is_file()]
        expected = {name for name in self.whole.files if name.split("/")[0] == top.name}
        return bool(names) and set(names) == expected

    def _wrong_resumption(self, fault: Fault) -> str | None:
        from rtmri_speech.atomic import remove_abandoned

        # As the next workflow does at its start.
        remove_abandoned(self.directory)
        if self.scenario.unlock and fault.way in KILLS:
            self.run(None, self.scenario.unlock)
        code = self.run(None)
        if code != 0:
            return f"could not be resumed: {self.said.read_text(encoding='utf-8')[-1500:]}"
        return Result.of(self.directory).difference(self.whole)


def _rank(rank: int) -> dict[str, str]:
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)}


def _disturbed(call, data: Path, directory: Path, said: Path, record: Path, fault: Fault | None, rank: int) -> int:
    """Run a scenario in this process, as a script would; what it says goes to a file."""
    from rtmri_speech.errors import run_script
    from rtmri_speech.training import logging as training_logging

    # Written once, and not by the clock.
    training_logging.FILE_INTERVAL = float("inf")
    out = os.open(said if rank == 0 else os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    observed = Observed(directory, fault)
    if rank == 0:
        observed.install()
    try:
        run_script(functools.partial(call, data, directory))
    except SystemExit as end:
        lines = [f"{at.kind}\t{at.name}\t{at.occurrence}\n" for at in observed.operations]
        if fault is None and rank == 0:
            record.write_text("".join(lines), encoding="utf-8")
        return end.code or 0
    except BaseException:  # noqa: BLE001 - told as by Python
        traceback.print_exc()
        return 1


@dataclass(frozen=True)
class Result:
    """What a scenario leaves: files by name, and the values in logs of TensorBoard by directory and tag."""

    files: dict[str, bytes]
    scalars: dict[str, list]

    @classmethod
    def of(cls, directory: Path) -> "Result":
        """Return what is below a directory."""
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        names = {
            path.relative_to(directory).as_posix(): path for path in sorted(directory.rglob("*")) if path.is_file()
        }
        files = {name: path.read_bytes() for name, path in names.items() if not BY_PROCESS.fullmatch(name)}
        scalars = {}
        for folder in {path.parent for path in names.values() if EVENTS.fullmatch(path.name)}:
            if folder.name.endswith(".superseded"):
                continue
            events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
            for tag in events.Tags()["scalars"]:
                scalars[f"{folder.name} {tag}"] = [(event.step, event.value) for event in events.Scalars(tag)]
        return cls(files, scalars)

    def difference(self, other: "Result") -> str | None:
        """Return how this differs from ``other``, or None."""
        if self.files.keys() != other.files.keys():
            return f"left other files: {sorted(self.files.keys() ^ other.files.keys())}"
        different = [name for name, content in self.files.items() if content != other.files[name]]
        if different:
            return f"left other bytes: {different}"
        return None if self.scalars == other.scalars else "logged other values"


# ---- the scenarios ----


def _write_file(data: Path, directory: Path) -> None:
    from rtmri_speech.atomic import save_json

    save_json(directory / "new" / "a.json", {"a": ["é", 1.5]})


def _write_rows(data: Path, directory: Path) -> None:
    from rtmri_speech.atomic import save_npy, save_npy_rows

    save_npy(directory / "a.npy", np.arange(30000.0))
    save_npy_rows(directory / "rows.npy", iter(np.arange(60000.0).reshape(30, 2000)), (2000,), np.float32)


def _write_directory(data: Path, directory: Path) -> None:
    from rtmri_speech.atomic import replacing_directory, save_json

    with replacing_directory(directory / "media") as media:
        (media / "plain.txt").write_text("written in place", encoding="utf-8")
        (media / "inner").mkdir()
        save_json(media / "inner" / "a.json", {"a": 1})


def _former_file(data: Path, directory: Path) -> None:
    (directory / "new").mkdir()
    (directory / "new" / "a.json").write_text("former", encoding="utf-8")


def _former_directory(data: Path, directory: Path) -> None:
    for name in ("plain.txt", "of old/a.txt"):
        path = directory / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("former", encoding="utf-8")


def _write_sound(data: Path, directory: Path) -> None:
    from rtmri_speech.signal.audio import write_wav

    write_wav(directory / "a.wav", np.sin(np.arange(20000.0)), 11413)


def _write_video(data: Path, directory: Path) -> None:
    from fractions import Fraction

    from rtmri_speech.signal.video import write_video

    write_video(directory / "a.mp4", np.zeros((4, 32, 32), np.uint8), Fraction(25))


def _write_checkpoint(data: Path, directory: Path) -> None:
    import torch

    from rtmri_speech.training.state import save_checkpoint

    save_checkpoint(directory / "a.pt", {"weights": [torch.arange(5000.0) + number for number in range(5)]})


def _processed(data: Path) -> None:
    from entry_points import make_processed

    make_processed(data / "processed")


def _train_mel_generator(data: Path, directory: Path, seed: int = 0, epochs: int = 2) -> int:
    """Two steps an epoch, with a state after each."""
    from entry_points import acoustic_settings

    from rtmri_speech.acoustic.train import train
    from rtmri_speech.settings.acoustic import Loss

    settings = acoustic_settings(
        data / "processed",
        directory,
        provenance=directory / "model.json",
        use_checkpoint=False,
        loss=Loss(ramp_steps=3),
        epochs=epochs,
        batch_size=4,
        micro_batch_size=2,
        max_train_steps=2,
        max_val_steps=None,
        save_minutes=0,
        seed=seed,
    )
    return train(settings)


def _speech(data: Path) -> None:
    from rtmri_speech.vocoder.config import write_config

    write_noise(data, ["a", "b", "c", "d"])
    write_config(data / "config.json", dataclasses.replace(TRAINED_VOCODER, discriminator_start=1))


def _train_vocoder(data: Path, directory: Path, seed: int = 1234, steps: int = 4) -> int:
    """Two steps an epoch; after each a validation, a pair and a state."""
    from rtmri_speech.vocoder.config import read_config
    from rtmri_speech.vocoder.data import open_clips
    from rtmri_speech.vocoder.train import Run, train

    config = dataclasses.replace(read_config(data / "config.json"), seed=seed)
    parts = [open_clips(data / f"{part}.txt", data / "wavs", config) for part in ("training", "validation")]
    intervals = {"checkpoint_interval": 1, "validation_interval": 1, "summary_interval": 1}
    places = {"directory": directory / "out", "state_directory": directory / "state"}
    places |= {"provenance": directory / "vocoder.json"}
    run = Run(**places, steps=steps, epochs=1, keep_last=1, device="cpu", wait=False, **intervals)
    return train(config, *parts, run)


def _copied_checkout(data: Path, directory: Path) -> None:
    import yaml

    settings = tiny_checkout(directory).settings
    (directory / "mine.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")


def _snakemake(data: Path, directory: Path, *flags: str) -> int:
    """Run Snakemake in this process, for two jobs of a moment that it runs in processes of their own."""
    from snakemake.cli import main

    os.chdir(directory)
    targets = [f"結果 1/{name}" for name in ("settings.json", "dataset/sources.txt")]
    try:
        main([*flags, "--cores", "1", "--configfile=mine.yaml", *targets])
    except SystemExit as end:
        return end.code or 0
    return 0


def _unlock(data: Path, directory: Path) -> int:
    return _snakemake(data, directory, "--unlock")


_RESUMED_STEPS = r"rename state/state_\d+\.pt"
"""A killed training goes on from the state before or after: within an epoch, at its end, or just after it."""

_TRAININGS = {
    "mel generator": (_train_mel_generator, _processed),
    "HiFi-GAN": (_train_vocoder, _speech),
}

SCENARIOS = [
    Scenario("a new file", _write_file),
    Scenario("a file replaced", _write_file, before=_former_file),
    Scenario("arrays", _write_rows),
    Scenario("a new directory", _write_directory),
    Scenario("a directory replaced", _write_directory, before=_former_directory),
    Scenario("sound", _write_sound),
    Scenario("video", _write_video),
    Scenario("checkpoint", _write_checkpoint),
    *(
        Scenario(name, run, prepare, every_write=False, pieces=False, tolerated=r"state/progress\.json")
        for name, (run, prepare) in _TRAININGS.items()
    ),
    *(
        Scenario(
            f"{name}, another seed" if size == 1 else f"{name}, two processes",
            functools.partial(run, seed=5) if size == 1 else run,
            prepare,
            only=_RESUMED_STEPS,
            ways=KILLS,
            processes=size,
            pieces=False,
        )
        for name, (run, prepare) in _TRAININGS.items()
        for size in (1, 2)
    ),
    Scenario(
        "Snakemake's metadata",
        _snakemake,
        before=_copied_checkout,
        only=r".* \.snakemake/(metadata|incomplete|locks)/.*",
        ways=KILLS,
        pieces=False,
        unlock=_unlock,
    ),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--list", action="store_true", help="print the faults, commit none")
    args = parser.parse_args()
    defects = 0
    with tempfile.TemporaryDirectory() as directory:
        for number, scenario in enumerate(SCENARIOS):
            if args.only not in scenario.name:
                continue
            trial = Trial(scenario, Path(directory).resolve() / str(number))
            faults, wrong = trial.faults(), []
            for fault in faults:
                if args.list:
                    print(fault)
                elif said := trial.suffer(fault):
                    wrong.append(fault)
                    print(f"DEFECT {scenario.name}, {fault}: {said}", flush=True)
            defects += len(wrong)
            print(told(scenario, faults, wrong), flush=True)
    return 1 if defects else 0


def told(scenario: Scenario, faults: Iterable[Fault], wrong: list[Fault]) -> str:
    """Return a line with the numbers of faults of each kind."""
    counts = Counter(f"{fault.operation.kind} {fault.way}" for fault in faults)
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return f"{scenario.name}: {counts.total()} faults, {len(wrong)} defects ({kinds})"


if __name__ == "__main__":
    sys.exit(main())
