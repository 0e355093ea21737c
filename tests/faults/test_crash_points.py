"""A writer killed, or failed by the disk, at any of its points leaves whole files and ends byte-equal when resumed."""

import os

import pytest
from crash_points import SCENARIOS, Fault, Operation, Scenario, Trial, told

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

QUICK = ("a file replaced", "a directory replaced", "checkpoint")

EVERY = {"mel generator": 27, "HiFi-GAN": 27, "Snakemake's metadata": 3}
"""One fault in so many is committed where each takes a training or a run of Snakemake; crash_points.py commits all."""


def suffer(scenario, place, every=1):
    trial = Trial(scenario, place)
    faults = trial.faults()[::every]
    wrong = {fault: said for fault in faults if (said := trial.suffer(fault))}
    print(told(scenario, faults, list(wrong)))
    assert faults
    assert not wrong, "\n".join(f"{fault}: {said}" for fault, said in wrong.items())
    return faults


@pytest.mark.parametrize("name", QUICK)
def test_every_point_of_an_atomic_publish(tmp_path, name):
    faults = suffer(BY_NAME[name], tmp_path / "trial")
    assert {fault.operation.kind for fault in faults} >= {"write", "fsync", "rename"}
    assert {fault.way for fault in faults} == {"killed before", "killed after", "ENOSPC", "EIO"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BY_NAME if name not in QUICK])
def test_points_of_the_other_writers_and_of_trainings(tmp_path, name):
    suffer(BY_NAME[name], tmp_path / "trial", EVERY.get(name, 5 if "seed" in name or "two" in name else 1))


# ---- the harness finds what it looks for ----


def in_place(data, directory):
    with (directory / "a.txt").open("wb", buffering=0) as file:
        file.write(b"new")
        os.fsync(file.fileno())


def unnoticed(data, directory):
    try:
        in_place(data, directory)
    except OSError:
        (directory / "a.txt").unlink()


def remembers(data, directory):
    from rtmri_speech.atomic import save_text

    seen = directory / "seen.txt"
    save_text(directory / "a.txt", "again" if seen.exists() else "new")
    save_text(seen, "")


@pytest.mark.parametrize(
    ("run", "kind", "file", "way", "said"),
    [
        (in_place, "write", "a.txt", "EIO", "left a part of a.txt"),
        (unnoticed, "write", "a.txt", "ENOSPC", "was not noticed"),
        (remembers, "rename", "seen.txt", "killed after", "left other bytes: ['a.txt']"),
        (in_place, "fsync", "b.txt", "killed before", "was not reached"),
    ],
)
def test_the_harness_finds_a_writer_that_is_not_atomic(tmp_path, run, kind, file, way, said):
    def before(data, directory):
        (directory / "a.txt").write_text("old")

    trial = Trial(Scenario("planted", run, before=before), tmp_path / "trial")
    found = trial.suffer(Fault(Operation(kind, file, 1), way))
    assert found is not None and said in found
