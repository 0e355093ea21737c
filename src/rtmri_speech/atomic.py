"""Files appear whole or not at all: written beside, flushed to the disk, renamed."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` (its directory is made) that takes its place when the block ends well.

    The temporary name keeps the suffix, because writers choose their format by it. When the block raises, the
    temporary file is removed and ``path`` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem[:40]}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        # The user knows the file by its own name, not by the temporary one.
        error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def save_npy(path: str | Path, array: np.ndarray) -> None:
    """Write ``array`` to ``path`` in NumPy's format, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as out:
        np.save(out, array, allow_pickle=False)


def save_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON with a final newline, whole or not at all."""
    save_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def save_text(path: str | Path, text: str) -> None:
    """Write ``text`` in UTF-8 with ``\\n`` line ends on every system, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
