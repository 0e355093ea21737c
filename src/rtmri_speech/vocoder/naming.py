"""The names of a checkpoint's two files, ``g_<steps>`` and ``do_<steps>``, and which pairs a directory holds.

Written with eight digits, as the official program does; read with any number of them, and with the ending ``.pt`` that
the memo's table of paths gives them.
"""

from __future__ import annotations

import re
from pathlib import Path

from rtmri_speech.errors import UserError

PAIR_FILE = re.compile(r"(g|do)_(\d+)(?:\.pt)?")
"""Which of the two a file is, and its steps."""


def generator_file(directory: str | Path, steps: int) -> Path:
    """Return the path that the generator after ``steps`` steps is written to."""
    return Path(directory) / f"g_{steps:08d}"


def discriminator_file(directory: str | Path, steps: int) -> Path:
    """Return the path that the discriminators and optimisers after ``steps`` steps are written to."""
    return Path(directory) / f"do_{steps:08d}"


def steps_of(path: str | Path) -> int:
    """Return the number of steps in the name of a ``g_`` or ``do_`` file.

    Raises
    ------
    UserError
        The name is not of that form.
    """
    match = PAIR_FILE.fullmatch(Path(path).name)
    if not match:
        raise UserError(path, "is not named g_<steps> or do_<steps>, such as g_00055000", "name it so")
    return int(match[2])


def discriminators_beside(generator: str | Path) -> Path:
    """Return the ``do_`` file beside a ``g_`` file, of the same steps; where there is none, the path it should have."""
    generator = Path(generator)
    steps = steps_of(generator)
    return _named(generator.parent)["do"].get(steps, generator.with_name(generator.name.replace("g_", "do_", 1)))


def pair_files(directory: str | Path) -> dict[int, tuple[Path, Path]]:
    """Return the complete pairs in ``directory`` as they are named there, by steps, lowest first."""
    found = _named(directory)
    return {steps: (found["g"][steps], found["do"][steps]) for steps in pairs(directory)}


def pairs(directory: str | Path) -> list[int]:
    """Return the steps of the complete pairs in ``directory``, lowest first."""
    found = _named(directory)
    return sorted(found["g"].keys() & found["do"].keys())


def _named(directory: str | Path) -> dict[str, dict[int, Path]]:
    """Files of a directory that are named as a pair's, by kind and steps; of two for the same steps the plain name."""
    found: dict[str, dict[int, Path]] = {"g": {}, "do": {}}
    if Path(directory).is_dir():
        for path in sorted(Path(directory).iterdir()):
            if match := PAIR_FILE.fullmatch(path.name):
                found[match[1]].setdefault(int(match[2]), path)
    return found
