"""A temporary SLURM and a prepared dataset for all tests in this directory."""

import copy
import shutil
import tempfile
from pathlib import Path

import pytest
from cluster_workflow import SETTINGS, ClusterWorkflow
from throwaway_slurm import Slurm, missing
from workflow_checkout import CLIPS, NAMED, Checkout, make_recording


@pytest.fixture(scope="session")
def start_slurm():
    """Start a SLURM in a directory of its own; stopped after the tests."""
    if lack := missing():
        pytest.skip(f"no cluster test: {lack}")
    from contextlib import ExitStack

    with ExitStack() as stack:

        def started(**settings) -> Slurm:
            # Not below pytest's own directory, whose long path would not fit a socket's name.
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))
            return stack.enter_context(Slurm(directory / "s", **settings))

        yield started


@pytest.fixture(scope="session")
def slurm(start_slurm) -> Slurm:
    """The SLURM of most tests."""
    return start_slurm()


def made_checkout(directory: Path) -> Checkout:
    """A checkout with the recordings of a tiny corpus, without results."""
    directory.mkdir()
    settings = copy.deepcopy(SETTINGS)
    settings["split"] = {"named": NAMED}
    checkout = Checkout(directory, settings)
    for number, id in enumerate(CLIPS):
        make_recording(directory / "videos" / f"{id}.mp4", directory / "audio" / f"{id}.wav", number)
    return checkout


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, slurm) -> ClusterWorkflow:
    """The whole workflow as documented: Snakemake is a job, and submits the larger jobs."""
    workflow = ClusterWorkflow(made_checkout(tmp_path_factory.mktemp("cluster") / "undisturbed"), slurm)
    workflow.drive("infer")
    return workflow


@pytest.fixture
def untrained(undisturbed, tmp_path):
    """Make a workflow, on a given cluster, whose dataset is made and whose trainings are not; keywords set settings."""

    def made(slurm: Slurm, **sections) -> ClusterWorkflow:
        copied = undisturbed.checkout.copy(tmp_path / "clone")
        for made in ("acoustic", ".state"):
            shutil.rmtree(copied.directory / "results" / made)
        copied.configure(**sections)
        return ClusterWorkflow(copied, slurm)

    return made
