"""Atomic file writes: a temporary file beside the target, fsync, rename."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

_TEMPORARY = re.compile(r"\..*\.([0-9a-f]{8})-([0-9]+)-[0-9a-f]{8}(\.[^.]*)?")
"""Name of a temporary file: stem of the target, machine, process, a random token, suffix."""


@contextmanager
def replacing(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block succeeds; creates the directory.

    Without ``durable``, the disk is not waited for: after a power failure, the file may be empty.

    The temporary name keeps the suffix, because writers choose their format by it. If the block raises, the temporary
    file is removed and ``path`` is unchanged. A killed process leaves it behind; its name identifies the process, for
    `remove_abandoned`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(path)
    try:
        with _named_finally(temporary, path):
            yield temporary
            if durable:
                _synchronise(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_directory(path: str | Path) -> Iterator[Path]:
    """Yield a new directory beside ``path`` that replaces it, with all that it holds, when the block succeeds.

    A job whose workflow was killed, and that still writes, thus writes nothing where the next workflow removes and
    makes the same directory. As `replacing` otherwise, but for a moment between two renames in which a kill leaves no
    directory ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, former = _temporary_beside(path), _temporary_beside(path)
    temporary.mkdir()
    try:
        with _named_finally(temporary, path):
            yield temporary
            for written in temporary.rglob("*"):
                if written.is_file():
                    _synchronise(written)
            if path.exists():
                path.rename(former)
            try:
                temporary.rename(path)
            except OSError:
                if former.exists():
                    former.rename(path)
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def _synchronise(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb+") as written:
        os.fsync(written.fileno())


@contextmanager
def _named_finally(temporary: Path, path: Path) -> Iterator[None]:
    """Let an `OSError` of the block name ``path``, or what is below it, instead of ``temporary`` or of nothing."""
    try:
        yield
    except OSError as error:
        failed = temporary if error.filename is None else Path(os.fsdecode(error.filename))
        if failed.is_relative_to(temporary):
            error.filename = str(path / failed.relative_to(temporary))
        raise


def _temporary_beside(path: Path) -> Path:
    writer = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    return path.with_name(f".{path.stem[:40]}.{writer}{path.suffix}")


def remove_abandoned(directory: str | Path) -> list[Path]:
    """Remove temporary files and directories in and below ``directory`` whose writer, a process of this machine, has
    exited.

    Returns
    -------
    list of Path
        What was removed.
    """
    # psutil is a dependency of Snakemake, which calls this.
    import psutil

    removed = []
    for folder, directories, names in os.walk(directory):
        for name in [*names, *directories]:
            match = _TEMPORARY.fullmatch(name)
            if match and match[1] == _machine() and not psutil.pid_exists(int(match[2])):
                removed.append(Path(folder, name))
                if name in directories:
                    directories.remove(name)
                    shutil.rmtree(removed[-1], ignore_errors=True)
                else:
                    removed[-1].unlink(missing_ok=True)
    return removed


def _machine() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def save_npy(path: str | Path, array: np.ndarray) -> None:
    """Write ``array`` to ``path`` in NumPy's format, atomically."""
    header = np.lib.format.header_data_from_array_1_0(array)
    # np.save bypasses Python's file object and loses the errno of a full disk.
    content = np.ascontiguousarray(array.T if header["fortran_order"] else array)
    with replacing(path) as temporary, temporary.open("wb") as out:
        np.lib.format.write_array_header_1_0(out, header)
        out.write(content.data)


def save_npy_rows(path: str | Path, rows: Iterable[np.ndarray], shape: tuple[int, ...], dtype: type) -> int:
    """Write an iterable of rows as one array ``(N, *shape)``, atomically; return N.

    One row is in memory at a time. A full disk is an `OSError`; writing to a memory map would be a SIGBUS.
    """

    def write_header(count: int) -> None:
        described = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
        np.lib.format.write_array_header_1_0(out, {**described, "shape": (count, *shape)})

    with replacing(path) as temporary, temporary.open("wb") as out:
        write_header(0)
        begin, count = out.tell(), 0
        for row in rows:
            out.write(np.ascontiguousarray(row, dtype).data)
            count += 1
        # N is known only now; NumPy's header has room for a larger first axis.
        out.seek(0)
        write_header(count)
        assert out.tell() == begin
    return count


def copy_file(source: str | Path, target: str | Path) -> None:
    """Copy a file, atomically."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def save_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON with a final newline, atomically."""
    save_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def save_text(path: str | Path, text: str) -> None:
    """Write ``text`` in UTF-8 with ``\\n`` line ends on every system, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
