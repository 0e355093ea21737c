"""The machine a project runs on: whether PyTorch can use its GPU, and how a command is typed."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from rtmri_speech.command_line import quoted

_OF_TORCH = ("torch", "torchvision", "torchaudio")


def gpu_notes(in_use: bool, there: bool) -> list[str]:
    """Return how to install the PyTorch that can use this machine's GPU; empty if it can, or there is none.

    Parameters
    ----------
    in_use : whether torch finds a CUDA device.
    there : whether the machine has one (`devices.has_gpu`).
    """
    if in_use or not there:
        return []
    installed = {one.name: one.version for one in importlib.metadata.distributions() if one.name in _OF_TORCH}
    return [
        "This machine has a GPU that the installed PyTorch cannot use. The build for its driver:",
        *(f"  {command}" for command in torch_commands(installed)),
    ]


def torch_commands(installed: Mapping[str, str]) -> list[str]:
    """Return the commands that replace PyTorch's build by the one for the GPU's driver, which uv chooses.

    Parameters
    ----------
    installed : version of each installed package of PyTorch, such as ``2.9.1+cpu``.
    """
    names = [name for name in _OF_TORCH if name in installed]
    # Of these alone, so that other packages keep their versions.
    again = " ".join(f"--reinstall-package {name}" for name in names)
    packages = " ".join(f"{name}=={installed[name].partition('+')[0]}" for name in names)
    return ["pip install uv", f"uv pip install --torch-backend=auto {again} {packages}"]


def snakemake_command(configuration: Path, cores: int) -> str:
    """Return the command that runs the workflow with a configuration, as it is typed here."""
    program = "snakemake" if shutil.which("snakemake") else f"{quoted(sys.executable)} -m snakemake"
    return f"{program} --cores {cores} {quoted(f'--configfile={configuration}')}"
