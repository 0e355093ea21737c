import os
import pickle
import subprocess
import sys
import time

import psutil
import pytest

from rtmri_speech.errors import JOB, UserError


def test_a_refusal_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(UserError("clip.wav", "is empty", "record it again")))
    assert isinstance(error, UserError)
    assert str(error) == "clip.wav: is empty; record it again."
    assert (error.subject, error.fault, error.remedy) == ("clip.wav", "is empty", "record it again")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
@pytest.mark.parametrize("by_snakemake", [True, False])
def test_a_job_ends_with_its_shell_and_a_script_by_hand_does_not(by_snakemake):
    script = "import time, rtmri_speech.errors as e; e.run_script(lambda: print(flush=True) or time.sleep(60))"
    environment = {name: value for name, value in os.environ.items() if name != JOB} | (
        {JOB: "1"} if by_snakemake else {}
    )
    shell = subprocess.Popen(
        ["bash", "-c", f"{sys.executable} -c '{script}'; true"], stdout=subprocess.PIPE, env=environment
    )
    shell.stdout.readline()
    (job,) = psutil.Process(shell.pid).children()
    shell.kill()
    shell.wait()
    try:
        if by_snakemake:
            job.wait(60)
        else:
            time.sleep(0.5)
            assert job.is_running()
    finally:
        if job.is_running():
            job.kill()
