"""File lists of the parts, as HiFi-GAN reads them: one ``<id>|...`` a line, the id being the wav's stem."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rtmri_speech.atomic import save_text
from rtmri_speech.dataset.clip import require_id
from rtmri_speech.errors import UserError
from rtmri_speech.foreign import read_text


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
    text = read_text(path, missing="make the dataset first (snakemake dataset)", remedy="make the file list again")
    ids = [require_id(line.split("|")[0].strip(), path) for line in text.splitlines() if line.strip()]
    if not ids:
        raise UserError(path, "names no clip", "give the part at least one clip")
    return ids
