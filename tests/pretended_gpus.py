"""Simulated GPUs."""

import os
from pathlib import Path


def pretend_gpus(directory: Path, count: int) -> dict[str, str]:
    """Return the environment of a machine whose nvidia-smi, made in ``directory``, lists ``count`` GPUs nobody uses."""
    tool = directory / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    lines = "\\n".join(f"{number}, GPU-{number}{number}-ab" for number in range(count))
    tool.write_text(f"#!/bin/sh\nprintf '{lines}\\n'\n")
    tool.chmod(0o755)
    (directory / "tmp").mkdir()
    unwanted = ("CUDA_VISIBLE_DEVICES", "LOCAL_RANK")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    path = os.pathsep.join([str(tool.parent), os.environ["PATH"]])
    return {**kept, "PATH": path, "TMPDIR": str(directory / "tmp")}
