"""Obsolete flags of the memo, the lab's list of commands for its earlier system: accepted and reported as ignored."""

from __future__ import annotations

import argparse
import sys
from typing import Any


class Ignored(argparse.Action):
    """An option whose value is discarded, with a notice on stderr."""

    def __init__(self, option_strings: list[str], dest: str, **settings: Any) -> None:
        # Without a metavar, --help would show the SUPPRESS that keeps it out of the namespace.
        settings.setdefault("metavar", "VALUE")
        super().__init__(option_strings, argparse.SUPPRESS, default=argparse.SUPPRESS, **settings)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        """Report that ``option`` is ignored."""
        print(f"{option}: ignored.", file=sys.stderr)


def add_code_dir(parser: argparse._ActionsContainer) -> None:
    """Add the memo's ``--mri-code-dir``, in both spellings; this package replaces that code."""
    parser.add_argument(
        "--mri-code-dir",
        "--mri_code_dir",
        action=Ignored,
        metavar="DIR",
        help="of the memo; ignored, the code is this package",
    )
