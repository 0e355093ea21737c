"""Pass damaged files to every entry point for user files; each must be read, or refused with an error message.

    python tests/faults/fuzz.py --count 2000 --seed 1

prints how many inputs of each kind were accepted and how many refused, and every defect: another exception than a
`UserError`, a sentence that does not name the file, a crash, a hang, an explosion of memory, code that is run, or a
write outside the results. The same seed gives the same inputs. The files are read in a process of its own, which is
started anew when an input has ended it.
"""

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import hypothesis
import numpy as np
from corrupt import corrupted, disturbed
from entry_points import KINDS, Kind, write_good_files
from hypothesis import HealthCheck, Phase

LONGEST = 120.0
"""Seconds after which an input counts as a hang; a sound one takes less than two."""

MEMORY = 2 << 30
"""Bytes that reading a file of some kilobytes may take beyond what the process has before."""

LONGEST_SENTENCE = 700

OTHERS_NAMED = (
    "mri_acoustic_model.pt: was trained on frames of",
    "mri_acoustic_model.pt: its mel differs from that of the dataset",
    "gradcam: has no map of",
    "but windows to frame",
    ".wav: there is no such file",
    "training step",
)
"""What a sentence may name instead of the damaged file: the other one of two that do not fit, the directory of maps
that are all 0, a file that settings name, or the step of a training whose numbers, read from a file that is sound but
for its values, became no numbers.
"""


@dataclass(frozen=True)
class Input:
    """A damaged file: its kind, what was done to it, and its bytes."""

    kind: Kind
    damage: str
    data: bytes


@dataclass(frozen=True)
class Outcome:
    """Outcome of an input: ``accepted``, ``refused`` or ``defect``, with the message."""

    input: Input
    verdict: str
    said: str


def inputs(kind: Kind, good: Path, count: int, seed: int) -> Iterator[Input]:
    """Yield ``count`` damaged files of a kind, alternating damaged bytes and, if possible, damaged nested values."""
    data = (good / kind.file).read_bytes()
    foreign = [(good / other.file).read_bytes() for other in KINDS if other.file != kind.file]
    structured = _disturbed_files(kind, data, count // 2, seed) if kind.unpack else []
    yield from structured
    for number in range(count - len(structured)):
        yield Input(kind, *corrupted(data, random.Random(f"{seed} {kind.name} {number}"), foreign))


def _disturbed_files(kind: Kind, data: bytes, count: int, seed: int) -> list[Input]:
    found: list[Input] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=max(count, 1),
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(disturbed(kind.unpack(data), kind.values))
    def gather(content: object) -> None:
        # What no program could have written is no input.
        with contextlib.suppress(TypeError, ValueError, RuntimeError, NotImplementedError):
            found.append(Input(kind, "values deep inside", kind.pack(content)))

    gather()
    return found[:count]


class Reader:
    """A process that reads damaged files one after another, under limits (a context manager).

    Parameters
    ----------
    directory : for the good files and the results, and watched for anything else.

    Attributes
    ----------
    longest : seconds after which an input counts as a hang.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.good, self.results, self.cache = (directory / name for name in ("good", "results", "cache"))
        self._context = get_context("spawn")
        self._process = None
        self.longest = LONGEST

    def __enter__(self) -> "Reader":
        write_good_files(self.good)
        self.cache.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _start(self) -> None:
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(theirs, self.results, self.cache))
        self._process.start()
        theirs.close()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def read(self, given: Input) -> Outcome:
        """Replace the file by the damaged one, read it, and restore the original."""
        path = self.good / given.kind.file
        good = path.read_bytes()
        before = _tree(self.good, path)
        shutil.rmtree(self.results, ignore_errors=True)
        self.results.mkdir()
        path.write_bytes(given.data)
        try:
            verdict, said = self._answer(given.kind.read, path)
        finally:
            path.write_bytes(good)
        if verdict == "refused" and (fault := _fault_of_sentence(said, given.kind, path)):
            verdict, said = "defect", f"{fault}: {said}"
        changed = before ^ _tree(self.good, path)
        strangers = {entry.name for entry in self.directory.iterdir()} - {"good", "results", "cache"}
        if changed or strangers:
            verdict, said = "defect", f"wrote outside the results: {sorted(changed)[:3]} {sorted(strangers)[:3]}"
        return Outcome(given, verdict, said)

    def _answer(self, read: Callable[[Path, Path], object], path: Path) -> tuple[str, str]:
        if self._process is None:
            self._start()
        self._connection.send((read, path))
        try:
            # The first one also waits for the imports.
            if self._connection.poll(self.longest):
                return self._connection.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            self._stop()
            return "defect", f"the process ended with {code}"
        self._stop()
        return "defect", f"hung for {self.longest:g} s"


def _tree(directory: Path, but: Path) -> set[tuple[str, int, int]]:
    entries = (path for path in directory.rglob("*") if path != but and path.is_file())
    return {(str(path.relative_to(directory)), path.stat().st_size, path.stat().st_mtime_ns) for path in entries}


def _fault_of_sentence(said: str, kind: Kind, path: Path) -> str | None:
    if "\n" in said or not said.endswith(".") or len(said) > LONGEST_SENTENCE:
        return "is no sentence on one line"
    if "annot allocate memory" in said or "alloc_cpu" in said:
        return "took all memory before it was refused"
    named = (path.name, str(path.parent), *OTHERS_NAMED)
    if kind.names_file and not any(name in said for name in named):
        return "does not name the file"
    return None


def _serve(connection: object, results: Path, cache: Path) -> None:
    """Read the files named by the other process, until it closes the pipe."""
    os.environ.update(MPLCONFIGDIR=str(cache), OMP_WAIT_POLICY="PASSIVE")
    tempfile.tempdir = str(cache)
    import torch

    from rtmri_speech.errors import UserError
    from rtmri_speech.signal.formants import formant_tracks
    from rtmri_speech.threads import limit_threads

    limit_threads(1)
    torch.set_num_threads(1)
    # librosa compiles its linear predictor at the first call, and keeps it in files beside itself.
    formant_tracks(np.random.default_rng(0).normal(size=2000), 11413, 420)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    watch = _Watch((results, cache))
    sys.addaudithook(watch)
    _limit_memory()
    while True:
        try:
            read, path = connection.recv()
        except EOFError:
            return
        watch.seen, watch.on = [], True
        try:
            read(path, results)
            answer = "accepted", ""
        except UserError as error:
            answer = "refused", str(error)
        except BaseException as error:  # noqa: BLE001 - any other is what is looked for
            lines = traceback.format_exc().strip().split("\n")
            places = [line.strip() for line in lines if "/src/rtmri_speech/" in line or "/scripts/" in line]
            answer = "defect", f"{type(error).__name__}: {str(error)[:200]} | {' < '.join(reversed(places[-4:]))}"
        watch.on = False
        if watch.seen:
            answer = "defect", f"did what no file may make it do: {watch.seen[:3]}"
        connection.send(answer)


class _Watch:
    """An audit hook that records executed code and writes outside the allowed directories."""

    _RUNS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pickle.find_class")
    _CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink")

    def __init__(self, allowed: Sequence[Path]) -> None:
        self.allowed = (*map(str, allowed), os.devnull)
        self.seen: list[str] = []
        self.on = False

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and not self._is_allowed(path):
                self._note(f"open {path} {mode}")
        elif event in self._CHANGES and not self._is_allowed(arguments[0]):
            self._note(f"{event} {arguments[0]}")
        elif event in self._RUNS:
            # The commit of the code is asked of git, and matplotlib asks for the fonts.
            if event == "subprocess.Popen" and list(arguments[1])[:1] in (["git"], ["fc-list"]):
                return
            self._note(f"{event} {arguments[:2]}")

    def _is_allowed(self, path: object) -> bool:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        return not isinstance(path, str) or str(Path(path).absolute()).startswith(self.allowed)

    def _note(self, what: str) -> None:
        self.seen.append(what)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else None
    if pages is not None:
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def fuzz(count: int, seed: int, only: str = "", tell: bool = False) -> list[Outcome]:
    """Read about ``count`` damaged files of all kinds (or of those whose name holds ``only``)."""
    kinds = [kind for kind in KINDS if only in kind.name]
    total = sum(kind.share for kind in kinds)
    outcomes = []
    with tempfile.TemporaryDirectory() as directory, Reader(Path(directory).resolve()) as reader:
        for kind in kinds:
            begin = time.perf_counter()
            for given in inputs(kind, reader.good, max(round(count * kind.share / total), 1), seed):
                outcomes.append(reader.read(given))
            if tell:
                print(f"{kind.name}: {time.perf_counter() - begin:.0f} s", flush=True)
    return outcomes


def table(outcomes: Sequence[Outcome], seed: int) -> str:
    """Return how many inputs of each kind were accepted and refused, and the defects."""
    counts = Counter((outcome.input.kind.name, outcome.verdict) for outcome in outcomes)
    verdicts = ("accepted", "refused", "defect")
    lines = [f"{'kind':<42}{'inputs':>8}" + "".join(f"{verdict:>10}" for verdict in verdicts)]
    for name in dict.fromkeys(outcome.input.kind.name for outcome in outcomes):
        row = [counts[name, verdict] for verdict in verdicts]
        lines.append(f"{name:<42}{sum(row):>8}" + "".join(f"{number:>10}" for number in row))
    totals = [sum(outcome.verdict == verdict for outcome in outcomes) for verdict in verdicts]
    lines.append(f"{'all':<42}{len(outcomes):>8}" + "".join(f"{number:>10}" for number in totals) + f"   seed {seed}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="inputs (default: 2000)")
    parser.add_argument("--seed", type=int, default=1, help="of the damage (default: 1)")
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    parser.add_argument("--keep", type=Path, help="directory for the inputs that show a defect")
    args = parser.parse_args()
    outcomes = fuzz(args.count, args.seed, args.only, tell=True)
    defects = [outcome for outcome in outcomes if outcome.verdict == "defect"]
    for number, outcome in enumerate(defects):
        print(f"DEFECT {number} {outcome.input.kind.name} ({outcome.input.damage}): {outcome.said}")
        if args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
            (args.keep / f"{number:04d}_{Path(outcome.input.kind.file).name}").write_bytes(outcome.input.data)
    print(table(outcomes, args.seed))
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
