"""(a) The tests marked ``gpu``, in a process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from xml.etree import ElementTree

from gpu.subjects import ROOT, Trial

WRITING = 15
"""Seconds for an interrupted pytest to write its results."""


def checks(trial: Trial, seconds: float) -> None:
    """Run ``tests/gpu``, at most ``seconds``, and report each test, with the reason of a failure or skip."""
    results = trial.work / "tests.xml"
    command = [sys.executable, "-m", "pytest", "tests/gpu", "-q", "-p", "no:cacheprovider", f"--junitxml={results}"]
    environment = {**os.environ, "RTMRI_SPEECH_GPU_TESTS": trial.device}
    output = trial.work / "tests.log"
    results.unlink(missing_ok=True)
    with output.open("w") as log:
        run = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            run.wait(seconds)
        except subprocess.TimeoutExpired:
            trial.report.note(f"The tests took more than {seconds:.0f} s: tests not listed did not run.")
            # On SIGINT, pytest writes the results of finished tests.
            run.send_signal(signal.SIGINT)
        try:
            run.wait(WRITING)
        except subprocess.TimeoutExpired:
            # Including the processes started by tests.
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    if not results.is_file():
        trial.report.note(f"The tests have no results: {output.read_text(errors='replace')[-600:]}")
        return
    trial.report.table("", "test", "seconds", "result")
    for case in ElementTree.parse(results).iter("testcase"):
        result = "passed"
        for kind in ("failure", "error", "skipped"):
            if (found := case.find(kind)) is not None:
                result = f"{kind}: {found.get('message', '')[:300]}"
        trial.report.row(case.get("name"), float(case.get("time")), result)
