"""(a) The tests marked ``gpu``, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from xml.etree import ElementTree

from gpu.subjects import ROOT, Trial


def checks(trial: Trial, seconds: float) -> None:
    """Run ``tests/gpu``, at most ``seconds``, and report each test; the reason of a failure or a skip with it."""
    results = trial.work / "tests.xml"
    command = [sys.executable, "-m", "pytest", "tests/gpu", "-q", "-p", "no:cacheprovider", f"--junitxml={results}"]
    environment = {**os.environ, "RTMRI_SPEECH_GPU_TESTS": trial.device}
    try:
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        trial.report.note(f"The tests took more than {seconds:.0f} s and were stopped.")
        return
    if not results.is_file():
        trial.report.note(f"The tests did not run: {(run.stdout + run.stderr)[-600:]}")
        return
    trial.report.table("", "test", "seconds", "result")
    for case in ElementTree.parse(results).iter("testcase"):
        result = "passed"
        for kind in ("failure", "error", "skipped"):
            if (found := case.find(kind)) is not None:
                result = f"{kind}: {found.get('message', '')[:300]}"
        trial.report.row(case.get("name"), float(case.get("time")), result)
