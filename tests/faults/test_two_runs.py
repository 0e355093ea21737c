"""Two runs of the workflow at once: the second is told, whatever directory it was started in; readers go on."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from race import held_when
from workflow_checkout import Checkout, tiny_checkout

from rtmri_speech.directory_lock import DirectoryLock

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="Windows stops no process"),
]

ONE_CLIP = "dataset/samples/a0/mri.npy"
TOLD = r"another run of snakemake \(process (\d+) on [^)]+\) makes files here; wait for it"


@pytest.fixture
def pair(tmp_path):
    """Two checkouts with the same absolute results."""
    one = tiny_checkout(tmp_path / "one")
    one.configure(results=str(tmp_path / "shared results"))
    return one, one.copy(tmp_path / "two")


def held(checkout: Checkout, *targets: str, making_in: Path | None = None):
    """A run of ``checkout``, stopped when it has begun to make files, in its results or in ``making_in``."""
    run = checkout.start(*targets, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    making = DirectoryLock((making_in or checkout.results) / ".state" / "run")
    return held_when(lambda: " on " in (making.holder() or ""), run)


def test_the_second_of_two_runs_is_told_who_is_there(pair):
    one, two = pair
    # A job that was begun when Snakemake was stopped may still end, those that need it cannot begin.
    target = f"{one.results}/dataset/scaler.json"
    with held(one, target) as first:
        second = two.snakemake(target)
        out = second.stdout + second.stderr
        assert second.returncode != 0
        found = re.search(re.escape(str(one.results)) + ": " + TOLD + ", or give this one other results", out)
        assert found and int(found[1]) == first.pid, out
        assert "Traceback" not in out
        # To look at what would be made is free.
        assert any(job.startswith("fit_scaler") for job in two.pending(target))
    assert first.returncode == 0
    assert "Nothing to be done" in two.make(target)


def test_in_one_directory_unlock_does_not_let_a_second_run_in(pair):
    one, _ = pair
    target = f"{one.results}/{ONE_CLIP}"
    with held(one, target) as first:
        second = one.snakemake(target)
        assert second.returncode != 0
        assert "no other Snakemake process is trying to create the same files" in " ".join(second.stderr.split())
        # Its message names --unlock for locks that a kill left; this one's holder lives.
        one.make("--unlock")
        second = one.snakemake(target)
        assert second.returncode != 0
        assert re.search(TOLD, second.stderr), second.stderr
    assert first.returncode == 0


def test_death_lets_the_next_run_in(pair):
    one, two = pair
    target = f"{one.results}/{ONE_CLIP}"
    with held(one, target) as first:
        first.kill()
        first.wait()
        two.make(target)


def test_a_dataset_is_made_by_one_run_and_read_by_many(pair, tmp_path):
    one, two = pair
    for checkout, name in ((one, "results 1"), (two, "results 2")):
        checkout.configure(results=str(tmp_path / name), dataset=str(tmp_path / "shared dataset"))
    lists = [f"{tmp_path}/shared dataset/hifigan_filelists/{part}.txt" for part in ("training", "test")]
    clip = f"{tmp_path}/shared dataset/samples/a0/mri.npy"
    with held(one, clip, making_in=tmp_path / "shared dataset"):
        # It makes something else of the same dataset.
        second = two.snakemake(lists[0])
        assert second.returncode != 0
        assert re.search("shared dataset: " + TOLD + r"\.", second.stderr), second.stderr
    two.make(*lists)
    settings = [str(checkout.results / "settings.json") for checkout in (one, two)]
    with held(one, settings[0]):
        two.make(settings[1])
