"""Repeatedly kill the tiny workflow at random moments, restart it, and compare its final outputs.

    python tests/faults/torment_workflow.py --kills 100 --seed 1

Each kill takes one process of the run: Snakemake, a rule's script or its shell, a loader. One in seven takes all of
them at once, as a power cut does, and then cuts short what was being written. A Snakemake that loses a job goes on
with others and is interrupted after a while; the jobs of a killed one live on while the next run, after --unlock,
makes the same files. A workflow that comes to its end is compared with the undisturbed one and begun anew.
"""

import argparse
import contextlib
import csv
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64decode
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from corrupt import cut_short
from kill import MARK, cpu_seconds, kill_all, kill_one, kin
from workflow_checkout import TINY_ACOUSTIC, Checkout, tiny_checkout

TARGETS = ("all", "gradcam", "masking")

POWER_CUTS = 1 / 7
"""Share of the kills that take every process at once."""

PATIENCE = 40
"""A run that takes so many times as long as the undisturbed one hangs."""

NO_OUTPUTS = re.compile(
    r"(logs|benchmarks|(dataset/)?\.state|(acoustic|vocoder)/logs(\.superseded)?)/|.*\.snakemake_timestamp$"
)
"""Under results, what tells times by nature, or is kept to go on from; the trainings' logs are compared by value."""

IN_THE_MAKING = re.compile(r"(acoustic|vocoder)/")
"""What a training writes more than once: the best model so far, and pairs that are pruned."""

IN_TEMPORARY = re.compile(r"(^|/)\.")
"""What a job has not published yet: a temporary file, or one in a temporary directory."""

MEASURED = "real_time_factor"
"""The one score that is a measured time."""


def whole_workflow(directory: Path) -> Checkout:
    """The tiny checkout with trainings of a few seconds that save their state often."""
    checkout = tiny_checkout(directory)
    checkout.configure(
        acoustic={**TINY_ACOUSTIC, "epochs": 12, "num_workers": 1, "picture_epochs": 4},
        vocoder={
            "steps": 12,
            "checkpoint_interval": 3,
            "validation_interval": 3,
            "summary_interval": 1,
            "threads": 1,
            "gpus": 0,
        },
        evaluation={"contexts": []},
    )
    return checkout


def outputs(results: Path) -> dict[str, bytes]:
    """Each final output by its path, measured times taken out; nothing that a killed process left may be among them."""
    files = {path.relative_to(results).as_posix(): path for path in results.rglob("*") if path.is_file()}
    return {name: content(path) for name, path in sorted(files.items()) if not NO_OUTPUTS.match(name)}


def content(path: Path) -> bytes:
    """Return the content of a file, without the times in scores and page."""
    match path.name:
        case "scores.json":
            return json.dumps(without_measured(json.loads(path.read_text(encoding="utf-8")))).encode()
        case "scores.csv":
            rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
            return json.dumps([without_measured(row) for row in rows]).encode()
        case "index.html":
            return page_without_times(path.read_text(encoding="utf-8")).encode()
    return path.read_bytes()


def without_measured(value):
    """JSON values without the entries of the measured score."""
    if isinstance(value, dict):
        return {key: without_measured(part) for key, part in value.items() if key != MEASURED}
    return [without_measured(part) for part in value] if isinstance(value, list) else value


def page_without_times(page: str) -> str:
    """The page without its date, what trainings and stages took, and the measured score of each row and clip."""
    for pattern in (
        r"\d{4}-\d\d-\d\d \d\d:\d\d UTC",
        r'<tr><th scope="row">Training, [^<]*</th><td>[^<]*</td></tr>',
        r"<div><h3>Time and memory of the stages</h3>.*?</div>",
    ):
        page = re.sub(pattern, "", page, flags=re.DOTALL)
    start = page.index(">", page.index('id="data"')) + 1
    end = page.index("</script>", start)
    data = json.loads(page[start:end])
    measured = [measure["name"] for measure in data["measures"]].index(MEASURED)
    for row in data["rows"]:
        del row["summary"][measured]
    for clip in data["clips"]:
        for scores in clip["scores"].values():
            del scores[measured]
    return page[:start] + json.dumps(data) + page[end:]


def scalars(results: Path) -> dict[str, list]:
    """What both trainings wrote to TensorBoard: each tag's steps and values."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for stage in ("acoustic", "vocoder"):
        events = EventAccumulator(str(results / stage / "logs"), size_guidance={"scalars": 0}).Reload()
        for tag in events.Tags()["scalars"]:
            found[f"{stage} {tag}"] = [(event.step, event.value) for event in events.Scalars(tag)]
    return found


def unfinished(checkout: Checkout) -> list[Path]:
    """Return the outputs of jobs that Snakemake considers incomplete."""
    marks = checkout.directory / ".snakemake" / "incomplete"
    names = ("".join(path.relative_to(marks).parts).replace("@", "") for path in marks.rglob("*") if path.is_file())
    paths = [checkout.directory / urlsafe_b64decode(name).decode() for name in names if name != "migration_underway"]
    return [path for path in paths if path.is_file()]


@dataclass
class Torment:
    """Kills and their results.

    Attributes
    ----------
    directory : where checkouts are made.
    rng : decides moments and victims.
    killed : how often each kind of process was killed.
    finished : how often the workflow came to its end and was compared.
    cut : how many unfinished files were cut short.
    longest : seconds of processor that a run may use before it is killed.
    """

    directory: Path
    rng: random.Random
    killed: Counter = field(default_factory=Counter)
    finished: int = 0
    cut: int = 0
    longest: float = 0.0

    def __post_init__(self) -> None:
        self.fresh = whole_workflow(self.directory / "fresh 新")
        self.undisturbed = self.fresh.copy(self.directory / "undisturbed")
        start = os.times()
        self.undisturbed.make(*TARGETS, timeout=3600)
        end = os.times()
        self.seconds = end.elapsed - start.elapsed
        self.cpu_seconds = end.children_user + end.children_system - start.children_user - start.children_system
        self.outputs, self.scalars = outputs(self.undisturbed.results), scalars(self.undisturbed.results)
        self.begin()

    def begin(self) -> None:
        """Set up a workflow without results."""
        self.checkout = self.fresh.copy(self.directory / f"tormented {self.finished}")
        self.mark = str(self.checkout.directory)

    def run(self, kills: int, longest: float) -> None:
        """Kill ``kills`` times, then go to the end.

        A run is killed when it has used a random part, at most ``longest``, of the processor time that the whole
        workflow takes: on a busy machine it comes as far as on an idle one.
        """
        self.longest = longest * self.cpu_seconds
        # Whoever is started in the background of a shell is deaf to it, and so would be what it starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: kill_all(self.mark))
            while self.killed.total() < kills:
                self.run_once(self.rng.uniform(0, self.longest))
            self.run_once(None)

    def run_once(self, moment: float | None) -> None:
        """Run until killed after ``moment`` CPU seconds; if the run ends earlier, compare its results."""
        log = self.checkout.directory / "run.log"
        with log.open("w") as out:
            run = self.checkout.start(
                *TARGETS,
                environment={MARK: self.mark},
                stdout=out,
                stderr=subprocess.STDOUT,
                # With its jobs in a group of their own, as a terminal has them.
                start_new_session=True,
            )
            if self.ended(run, moment):
                assert run.returncode == 0, f"a rerun that nobody disturbed failed:\n{log.read_text()}"
                self.compare()
                return
            self.kill(run)
        self.require_whole()
        if run.returncode == 0:
            self.compare()
        elif run.returncode < 0:
            self.checkout.make("--unlock", timeout=PATIENCE * self.seconds)

    def kill(self, run: subprocess.Popen) -> None:
        """Kill at random; a Snakemake that was spared goes on with other jobs for a while, then it is interrupted."""
        if self.rng.random() < POWER_CUTS:
            kill_all(self.mark)
            run.wait()
            self.count("everything at once")
            for path in unfinished(self.checkout):
                cut_short(path, self.rng)
                self.cut += 1
            return
        if kind := kill_one(kin(self.mark), self.rng.choice):
            self.count(kind)
        if not self.ended(run, self.rng.uniform(0, self.longest / 4)):
            # As by Control-C: the jobs get it too.
            os.killpg(run.pid, signal.SIGINT)
            self.ended(run)

    def count(self, kind: str) -> None:
        self.killed[kind] += 1
        print(f"kill {self.killed.total()}: {kind}", file=sys.stderr, flush=True)

    def ended(self, run: subprocess.Popen, moment: float | None = None) -> bool:
        """Whether the run ends before its processes have used ``moment`` seconds more; it must not hang."""
        begin, used = time.monotonic(), cpu_seconds(self.mark)
        while run.poll() is None:
            assert time.monotonic() - begin < PATIENCE * self.seconds, "the run hangs"
            if moment is not None and cpu_seconds(self.mark) - used >= moment:
                return False
            time.sleep(0.1)
        return True

    def require_whole(self) -> None:
        """Require that every file under its final name equals that of the undisturbed run."""
        begun = set(unfinished(self.checkout))
        for path in self.checkout.results.rglob("*"):
            name = path.relative_to(self.checkout.results).as_posix()
            if path in begun or IN_TEMPORARY.search(name) or NO_OUTPUTS.match(name) or IN_THE_MAKING.match(name):
                continue
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    assert content(path) == self.outputs[name], f"{name} is not whole"

    def compare(self) -> None:
        """Compare the final outputs with those of the undisturbed run, and start a new workflow."""
        while kin(self.mark):
            time.sleep(0.5)
        self.finished += 1
        made = outputs(self.checkout.results)
        assert made.keys() == self.outputs.keys(), made.keys() ^ self.outputs.keys()
        different = [name for name in made if made[name] != self.outputs[name]]
        assert not different, f"other than undisturbed: {different}"
        assert scalars(self.checkout.results) == self.scalars
        self.begin()

    def told(self) -> str:
        """Count and kinds, for the log."""
        kinds = "".join(f"\n  {count:4d}  {kind}" for kind, count in self.killed.most_common())
        return (
            f"{self.killed.total()} kills; the workflow came {self.finished} times to its end, each time with the"
            f" {len(self.outputs)} files of the undisturbed run, byte for byte; {self.cut} unfinished files were cut"
            f" short. Killed:{kinds}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--longest", type=float, default=0.2, help="latest moment, as a part of the whole workflow's work"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        torment = Torment(Path(directory), random.Random(args.seed))
        try:
            torment.run(args.kills, args.longest)
        finally:
            print(f"seed {args.seed}: {torment.told()}")


if __name__ == "__main__":
    main()
