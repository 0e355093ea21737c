"""A full disk ends a stage in one sentence without partial files, and the same command finishes later."""

import json
import re
from pathlib import Path

import pytest
from full_disk import PAGE, SmallDisk, commands, run_command
from kill import ended, start
from torment_workflow import IN_THE_MAKING, NO_OUTPUTS, TARGETS, content, whole_workflow

pytestmark = pytest.mark.slow

SENTENCE = re.compile(
    r"error: (\S.*): no space is left on the disk; free some and run the same command again; nothing.*\."
)


@pytest.fixture
def disk(tmp_path):
    """Of 64 MB, to be filled; it holds the results of `checkout`."""
    with SmallDisk(tmp_path / "whole 新" / "結果", 64) as disk:
        yield disk


@pytest.fixture
def checkout(disk, tmp_path):
    checkout = whole_workflow(tmp_path / "whole 新")
    checkout.configure(results=disk.directory.name, acoustic={"num_workers": 0})
    return checkout


class Stage:
    """A rule's script, run on the small disk with more and less space."""

    def __init__(self, disk, checkout, command, said):
        self.disk, self.checkout, self.command, self.said = disk, checkout, command, said
        self.before = disk.files()

    def run(self, space=None):
        """Run it with ``space`` bytes for what it writes; return its exit code."""
        if space is not None:
            used = size(self.written(self.disk.files()))
            self.disk.fill(max(space - used, 0))
        code = ended(start(run_command, self.command, self.checkout.directory, self.said), within=1200)
        self.disk.empty()
        return code

    def written(self, files):
        return {name: held for name, held in files.items() if held != self.before.get(name)}

    def undo(self):
        for name in self.written(self.disk.files()):
            path = self.disk.directory / name
            path.unlink()
            if name in self.before:
                path.write_bytes(self.before[name])

    def require_told(self):
        """Require a final error message that names a file of the disk and the remedy."""
        lines = self.said.read_text(encoding="utf-8").splitlines()
        told = SENTENCE.fullmatch(lines[-1])
        assert told, "\n".join(lines)
        assert self.disk.directory.name in told[1]
        assert not any("Traceback" in line for line in lines), "\n".join(lines)

    def require_nothing_partial(self, made):
        for name, held in self.written(self.disk.files()).items():
            assert not Path(name).name.startswith("."), f"{self.command.rule} left {name}"
            if not NO_OUTPUTS.match(name) and not IN_THE_MAKING.match(name):
                assert held == made[name], f"{self.command.rule} left a part of {name}"


def size(files):
    """Disk space of files, in whole pages."""
    return sum(-(-len(held) // PAGE) * PAGE for held in files.values())


def outputs(disk):
    """The final outputs on the disk, measured times taken out."""
    return {name: content(disk.directory / name) for name in disk.files() if not NO_OUTPUTS.match(name)}


def require_that_each_stage_copes(disk, checkout, said, *targets):
    """Make ``targets`` script by script, a rule's first one also on a full disk and on one that fills up half-way."""
    tried = set()
    for command in commands(checkout, *targets):
        stage = Stage(disk, checkout, command, said)
        if command.rule not in tried:
            tried.add(command.rule)
            assert stage.run(space=0) != 0
            stage.require_told()
            stage.require_nothing_partial({})
            stage.undo()
            assert stage.run() == 0, said.read_text(encoding="utf-8")
            made, finished = disk.files(), outputs(disk)
            stage.undo()
            assert stage.run(space=size(stage.written(made)) // 2) != 0
            stage.require_told()
            stage.require_nothing_partial(made)
            assert stage.run() == 0, said.read_text(encoding="utf-8")
            assert outputs(disk) == finished
        else:
            assert stage.run() == 0, said.read_text(encoding="utf-8")
    return tried


def test_every_script_of_the_workflow(disk, checkout, tmp_path):
    results = disk.directory.name
    polygon = checkout.directory / "my polygon.json"
    polygon.write_text(json.dumps([[0, 0], [128, 0], [128, 256], [0, 256]]))
    checkout.configure(
        synthesis={
            "masks": {"left": {"type": "custom", "polygons": polygon.name}},
            "new_videos": checkout.settings["corpus"]["videos"],
        },
        vocoder={"extra_mels_weight": 0.5},
    )
    # These have no script.
    parts = [f"dataset/hifigan_filelists/{part}.txt" for part in ("training", "validation", "test")]
    checkout.make(*(f"{results}/{name}" for name in ("settings.json", "dataset/sources.txt", *parts)))
    tried = require_that_each_stage_copes(
        disk,
        checkout,
        tmp_path / "said.txt",
        *TARGETS,
        f"{results}/masked/left/b0_side_by_side.mp4",
        f"{results}/infer_new/a0_generated.wav",
    )
    assert {"prepare_clip", "train_acoustic", "fine_tune_vocoder", "infer_clip", "make_report", "mask_video"} <= tried


def test_a_clip_of_the_demo(disk, checkout, tmp_path):
    checkout.configure(
        corpus={"source": "demo", "demo": {"clips": 4}},
        split={"named": {"training": ["000"], "validation": ["001"], "test": ["002"]}},
    )
    clip = f"{disk.directory.name}/demo/videos/000.mp4"
    assert require_that_each_stage_copes(disk, checkout, tmp_path / "said.txt", clip) == {"make_demo_clip"}


def test_a_raw_recording(disk, checkout, tmp_path):
    checkout.configure(corpus={"raw_videos": {}})
    video = f"{disk.directory.name}/normalized_videos/a0.mp4"
    assert require_that_each_stage_copes(disk, checkout, tmp_path / "said.txt", video) == {"normalize_video"}


@pytest.mark.parametrize("name", ["dataset/samples/a0/mri.npy", "settings.json"])
def test_snakemake_reports_a_full_disk_and_the_rerun_completes(disk, checkout, name):
    """Also if the job's log is on the full disk, and for rules without a script."""
    target = f"{disk.directory.name}/{name}"
    checkout.make(f"{disk.directory.name}/dataset/hifigan_filelists/training.txt")
    disk.fill()
    run = checkout.snakemake(target)
    out = run.stdout + run.stderr
    assert run.returncode != 0
    assert "no space is left on the disk; free some and run the same command again; nothing was lost." in out, out
    assert "Traceback" not in out, out
    assert not (checkout.directory / target).exists()
    disk.empty()
    checkout.make(target)
    assert (checkout.directory / target).stat().st_size
