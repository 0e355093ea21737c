"""Resolves paths in a configuration or table: home directory, Unicode form, checkout."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path

from rtmri_speech.errors import UserError


def written_path(text: str, key: str, base: Path | None = None) -> str:
    """Return ``text`` as a path, with ``~`` expanded and names in the Unicode form found on disk.

    Parameters
    ----------
    text : as written in the configuration.
    key : the setting, for a refusal.
    base : directory of a relative path; None leaves it relative to the working directory.

    Raises
    ------
    UserError
        The text is empty, contains a control character (as ``"D:\\new"`` does in YAML's double quotes) or a brace (a
        wildcard to Snakemake), or the user of ``~user`` is unknown.
    """
    if not text:
        raise UserError(key, "is an empty path", "give a path, or leave the setting out")
    if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in text):
        raise UserError(
            key,
            f"is {text!r}, which holds a control character (in double quotes YAML reads \\n, \\t, \\r as such)",
            "write the path with / or in single quotes",
        )
    if "{" in text or "}" in text:
        raise UserError(key, f"is {text!r}, but braces are wildcards in a path", "rename it without { and }")
    if not text.startswith("~"):
        return spelled_as_on_disk(text if base is None else str(base / text))
    try:
        return spelled_as_on_disk(str(Path(text).expanduser()))
    except RuntimeError:
        raise UserError(key, f"is {text!r}, and there is no such home directory", "give the whole path") from None


def spelled_as_on_disk(text: str) -> str:
    """Return ``text`` with each missing component replaced by an entry that differs only in Unicode form.

    macOS, and archives made on it, use NFD (letter, then combining mark); keyboards produce NFC.
    """
    path = Path(text)
    if text.isascii() or path.exists():
        return text
    found = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        if not (found / part).exists() and found.is_dir():
            part = _names(found, found.stat().st_mtime_ns).get(unicodedata.normalize("NFC", part), part)
        found /= part
    return str(found)


@lru_cache(maxsize=16)
def _names(directory: Path, changed: int) -> dict[str, str]:
    """Names in a directory by NFC form; cached, because a table may name thousands of files in it."""
    return {unicodedata.normalize("NFC", entry.name): entry.name for entry in directory.iterdir()}


def of_checkout(path: Path, checkout: Path) -> Path:
    """Return ``name``, or its path in the checkout if it exists only there."""
    return path if path.exists() or path.is_absolute() else checkout / path
