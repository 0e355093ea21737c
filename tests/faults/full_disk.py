"""A small disk that can be filled to any level, and the workflow's commands, each run in a process of its own."""

import contextlib
import os
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from workflow_checkout import Checkout

PAGE = 4096
"""Bytes that a file takes at least."""


class SmallDisk:
    """A file system of the given size in MB, mounted on a directory (context manager; needs root)."""

    def __init__(self, directory: Path, megabytes: int) -> None:
        self.directory, self.megabytes = directory, megabytes
        self._ballast = directory / "ballast"

    def __enter__(self) -> "SmallDisk":
        if os.name == "nt" or os.geteuid() != 0:
            pytest.skip("mounting a small file system needs root")
        self.directory.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={self.megabytes}m", "tmpfs", str(self.directory)]
        if subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("this machine mounts no tmpfs")
        return self

    def __exit__(self, *_) -> None:
        # Lazily: a process that keeps the models in memory may have its log there for some seconds more.
        subprocess.run(["umount", "--lazy", str(self.directory)], check=True)

    def fill(self, leaving: int = 0) -> None:
        """Fill the disk so that ``leaving`` bytes, in whole pages, are left."""
        self.empty()
        with self._ballast.open("wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(bytes(PAGE))
        os.truncate(self._ballast, max(self._ballast.stat().st_size - leaving // PAGE * PAGE, 0))

    def empty(self) -> None:
        """Free the space."""
        self._ballast.unlink(missing_ok=True)

    def files(self) -> dict[str, bytes]:
        """Return the files on the disk, without the ballast."""
        return {
            path.relative_to(self.directory).as_posix(): path.read_bytes()
            for path in sorted(self.directory.rglob("*"))
            if path.is_file() and path != self._ballast
        }


@dataclass(frozen=True)
class Command:
    """The shell command of one job: a script of the workflow and its arguments.

    Attributes
    ----------
    rule : whose job it is.
    words : script and arguments.
    log : Snakemake's log of the job.
    """

    rule: str
    words: tuple[str, ...]
    log: str


def commands(checkout: Checkout, *targets: str) -> list[Command]:
    """The scripts that make ``targets`` from nothing, in an order in which they can be run; `run:` rules have none."""
    run = checkout.snakemake("--dry-run", "--printshellcmds", "--forceall", *targets)
    assert run.returncode == 0, run.stdout + run.stderr
    found, rule = [], ""
    for line in (run.stdout + run.stderr).splitlines():
        head, _, rest = line.partition(" ")
        if head in ("rule", "localrule"):
            rule = rest.rstrip(":")
        elif line.startswith("Shell command: ") and ".py " in line:
            words = shlex.split(line.removeprefix("Shell command: "))
            begin = next(at for at, word in enumerate(words) if Path(word).parent.name == "scripts")
            end = words.index(">")
            found.append(Command(rule, tuple(words[begin:end]), words[end + 1]))
    return found


def run_command(command: Command, directory: Path, said: Path) -> int:
    """Run a command in this process and return its exit code (for `kill.start`)."""
    os.chdir(directory)
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = list(command.words)
    try:
        runpy.run_path(command.words[0], run_name="__main__")
    except SystemExit as end:
        return end.code or 0
    return 0
