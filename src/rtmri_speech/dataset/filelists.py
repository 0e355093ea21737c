"""File lists of the parts, as HiFi-GAN reads them: one ``<id>|...`` a line, the id being the wav's stem."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rtmri_speech.atomic import save_text
from rtmri_speech.dataset.clip import require_id
from rtmri_speech.errors import UserError


def write_filelist(path: str | Path, ids: Iterable[str]) -> None:
    """Write one line an id. Official readers take what stands before the first ``|``; the lab's expect three fields."""
    save_text(path, "".join(f"{id}|dummy|dummy\n" for id in ids))


def read_filelist(path: str | Path) -> list[str]:
    """Return the ids of a file list, in its order; lines may end in CRLF.

    Raises
    ------
    UserError
        The file is missing, names no clip, or a line holds no id.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(path, "there is no such file list", "make the dataset first (snakemake dataset)") from None
    except UnicodeDecodeError:
        raise UserError(path, "is no UTF-8 text", "make the file list again") from None
    ids = [require_id(line.split("|")[0].strip(), path) for line in lines if line.strip()]
    if not ids:
        raise UserError(path, "names no clip", "give the part at least one clip")
    return ids
