"""A stopped workflow leaves no process; finished clips are kept, and the same command makes the others."""

import os
import signal
import subprocess
import time
import uuid

import pytest
from kill import MARK, kin, kind_of
from workflow_checkout import CLIPS, tiny_checkout

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals"),
]

JOB = "preprocess_rtmri_data clip"


def waited(condition, within: float = 120.0) -> bool:
    """Return whether ``condition()`` became true within the given seconds."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_leaves_no_process_and_loses_no_finished_clip(tmp_path, number):
    checkout = tiny_checkout(tmp_path / "止める run")
    mark = uuid.uuid4().hex
    samples = checkout.results / "dataset" / "samples"

    def finished() -> dict[str, int]:
        """Return the time of the last file of each finished clip."""
        return {path.parent.name: path.stat().st_mtime_ns for path in samples.glob("*/figure.png")}

    run = checkout.start(
        "dataset",
        environment={MARK: mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert waited(lambda: len(finished()) >= 3 and any(kind_of(process) == JOB for process in kin(mark)))
        if number == signal.SIGINT:
            # As a terminal does: to all that it started.
            os.killpg(run.pid, number)
        else:
            run.send_signal(number)
        run.wait(120)
    finally:
        run.kill()
    assert waited(lambda: not kin(mark), within=60), [process.cmdline() for process in kin(mark)]
    if number == signal.SIGKILL:
        checkout.make("--unlock")
    before = finished()
    checkout.make("dataset")
    after = finished()
    assert set(after) == set(CLIPS)
    # Snakemake makes anew what was under way, one clip on each of two cores.
    assert sum(after[id] == written for id, written in before.items()) >= max(1, len(before) - 2)
    assert checkout.pending("dataset") == set()
