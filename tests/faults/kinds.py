"""A kind of file that users give, and how it is read.

`read(file, results)` works, writing only into ``results``, or raises a `UserError`.
"""

import contextlib
import io
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corrupt import PLAIN_VALUES
from hypothesis import strategies as st

from rtmri_speech.errors import UserError

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


@dataclass(frozen=True)
class Kind:
    """A kind of file and how it is read.

    Attributes
    ----------
    name : of the kind.
    file : the valid file to damage, relative to the directory of good files.
    read : what a script does with it; ``read(file, results)``.
    share : relative number of inputs.
    unpack, pack : to the structure of dicts, lists and values in the file and back, for damage deep inside; None where
        there is none.
    values : values to insert.
    names_file : whether a refusal must name the file (a configuration's names the key).
    """

    name: str
    file: str
    read: Callable[[Path, Path], Any]
    share: float = 1.0
    unpack: Callable[[bytes], Any] | None = None
    pack: Callable[[Any], bytes] | None = None
    values: st.SearchStrategy = PLAIN_VALUES
    names_file: bool = True


def run_script_here(name: str, *arguments: Any) -> None:
    """Run a script in this process; an error message becomes a `UserError`, other exceptions propagate."""
    said, argv = io.StringIO(), sys.argv
    sys.argv = [name, *map(str, arguments)]
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(str(SCRIPTS / name), run_name="__main__")
    except SystemExit as end:
        if end.code:
            line = said.getvalue().strip().split("\n")[-1]
            raise UserError(line.removeprefix("error: ").removesuffix("."), "was refused", "see there") from None
    finally:
        sys.argv = argv
