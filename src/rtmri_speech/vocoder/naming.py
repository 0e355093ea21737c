"""The names of a checkpoint's two files, ``g_<steps>`` and ``do_<steps>``, and which pairs a directory holds."""

from __future__ import annotations

import re
from pathlib import Path

from rtmri_speech.errors import UserError

_PAIR = re.compile(r"(g|do)_(\d{8,})")


def generator_file(directory: str | Path, steps: int) -> Path:
    """Return the path of the generator after ``steps`` steps."""
    return Path(directory) / f"g_{steps:08d}"


def discriminator_file(directory: str | Path, steps: int) -> Path:
    """Return the path of the discriminators and optimisers after ``steps`` steps."""
    return Path(directory) / f"do_{steps:08d}"


def steps_of(path: str | Path) -> int:
    """Return the number of steps in the name of a ``g_`` or ``do_`` file.

    Raises
    ------
    UserError
        The name is not of that form.
    """
    match = _PAIR.fullmatch(Path(path).name)
    if not match:
        raise UserError(path, "is not named g_<steps> or do_<steps>, with eight digits", "name it so")
    return int(match[2])


def pairs(directory: str | Path) -> list[int]:
    """Return the steps of the complete pairs in ``directory``, lowest first."""
    found: dict[str, set[int]] = {"g": set(), "do": set()}
    if Path(directory).is_dir():
        for path in Path(directory).iterdir():
            if match := _PAIR.fullmatch(path.name):
                found[match[1]].add(int(match[2]))
    return sorted(found["g"] & found["do"])
