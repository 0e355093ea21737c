"""Names of a checkpoint's two files, ``g_<steps>`` and ``do_<steps>``, and the pairs in a directory.

Written with eight digits, as by the official program; read with any number of digits, and with the suffix ``.pt`` used
in the lab's memo.
"""

from __future__ import annotations

import re
from pathlib import Path

from rtmri_speech.errors import UserError

PAIR_FILE = re.compile(r"(g|do)_(\d+)(?:\.pt)?")
"""Kind of a file, and its steps."""


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
        The name does not have that form.
    """
    match = PAIR_FILE.fullmatch(Path(path).name)
    if not match:
        raise UserError(path, "is not named g_<steps> or do_<steps>, such as g_00055000", "name it so")
    return int(match[2])


def discriminators_beside(generator: str | Path) -> Path:
    """Return the path of the ``do_`` file with the same steps beside a ``g_`` file; it need not exist."""
    generator = Path(generator)
    steps = steps_of(generator)
    return _named(generator.parent)["do"].get(steps, generator.with_name(generator.name.replace("g_", "do_", 1)))


def pair_files(directory: str | Path) -> dict[int, tuple[Path, Path]]:
    """Return the files of the complete pairs in ``directory`` by steps, ascending."""
    found = _named(directory)
    return {steps: (found["g"][steps], found["do"][steps]) for steps in pairs(directory)}


def pairs(directory: str | Path) -> list[int]:
    """Return the steps of the complete pairs in ``directory``, ascending."""
    found = _named(directory)
    return sorted(found["g"].keys() & found["do"].keys())


def _named(directory: str | Path) -> dict[str, dict[int, Path]]:
    """Files of a directory by kind and steps; names without ``.pt`` take precedence."""
    found: dict[str, dict[int, Path]] = {"g": {}, "do": {}}
    if Path(directory).is_dir():
        for path in sorted(Path(directory).iterdir()):
            if match := PAIR_FILE.fullmatch(path.name):
                found[match[1]].setdefault(int(match[2]), path)
    return found
