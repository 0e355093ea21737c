"""Scripts of single clips as forks of a process that has their libraries in memory; importing takes longer than a clip.

`client` is what a rule starts in place of Python, `server` the process that it asks; POSIX only.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from rtmri_speech.forkserver.client import DIRECTORY
from rtmri_speech.staleness import code_times

__all__ = ["CLIENT", "DIRECTORY", "place"]

CLIENT = Path(__file__).with_name("client.py")
"""Run by its path, without the package."""


def place(results: str | Path, scripts: Path) -> Path:
    """Return where the servers lie that work on ``results`` with the package and the ``scripts`` as they are now."""
    name = hashlib.sha256("\n".join(code_times(scripts)).encode()).hexdigest()[:8]
    return Path(results, ".state", "forks", name).absolute()
