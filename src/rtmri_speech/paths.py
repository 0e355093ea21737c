"""Paths as people write them in a configuration or a table: the home directory, another Unicode form, the checkout."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path

from rtmri_speech.errors import UserError


def written_path(text: str, key: str, base: Path | None = None) -> str:
    """Return the path that ``text`` stands for: ``~`` is the home directory, and names are spelled as on the disk.

    Parameters
    ----------
    text : as written in the configuration.
    key : the setting, for a refusal.
    base : where a relative path begins; None for the working directory, and the path stays relative.

    Raises
    ------
    UserError
        The text holds a control character, as ``"D:\\new"`` in double quotes of YAML does, or a brace, which Snakemake
        takes for a wildcard; or it is empty, or the user of ``~user`` is unknown.
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
        raise UserError(key, f"is {text!r}, and no such home directory is known", "give the whole path") from None


def spelled_as_on_disk(text: str) -> str:
    """Return ``text`` with each part that is not there spelled as an entry that differs in its Unicode form alone.

    A Mac, and an archive made on one, names a file in NFD (a letter, then its mark); keyboards write NFC.
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
    """The names in a directory by their NFC form; read once, as a table may name thousands of files in it."""
    return {unicodedata.normalize("NFC", entry.name): entry.name for entry in directory.iterdir()}


def of_checkout(path: Path, checkout: Path) -> Path:
    """Return a file that the configuration names: as it is, or in the checkout, if that has it alone."""
    return path if path.exists() or path.is_absolute() else checkout / path
