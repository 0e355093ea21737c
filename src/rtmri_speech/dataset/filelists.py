"""File lists of the parts, as HiFi-GAN reads them: one ``<id>|...`` a line, the id being the wav's stem."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rtmri_speech.atomic import save_text
from rtmri_speech.dataset.clip import require_id
from rtmri_speech.dataset.split import PARTS, split
from rtmri_speech.errors import UserError
from rtmri_speech.untrusted import read_text


def write_filelist(path: str | Path, ids: Iterable[str]) -> None:
    """Write one line an id. Official readers take what stands before the first ``|``; the lab's expect three fields."""
    save_text(path, "".join(f"{id}|dummy|dummy\n" for id in ids))


def read_filelist(path: str | Path, *, may_be_empty: bool = False) -> list[str]:
    """Return the ids of a file list, in its order; lines may end in CRLF.

    Raises
    ------
    UserError
        The file is missing, names no clip (unless it ``may_be_empty``), or a line holds no id.
    """
    path = Path(path)
    text = read_text(path, missing="make the dataset first (snakemake dataset)", remedy="make the file list again")
    ids = [require_id(line.split("|")[0].strip(), path) for line in text.splitlines() if line.strip()]
    if not ids and not may_be_empty:
        raise UserError(path, "names no clip", "assign it at least one clip")
    return ids


@dataclass(frozen=True)
class Division:
    """Which clips belong to which part, and which of them the hash of this seed and these shares puts elsewhere."""

    parts: dict[str, list[str]]
    elsewhere: list[str]


def divided(
    directory: str | Path, ids: Iterable[str], seed: int, validation: float, test: float, *, anew: bool = False
) -> Division:
    """Divide ``ids``; clips that the lists in ``directory`` name stay in their part, and in their line.

    Scaler, windows and models belong to the lists they were made with: a clip that moved from training to validation
    would be judged by a model that has learnt it.

    Parameters
    ----------
    directory : may hold ``training.txt``, ``validation.txt`` and ``test.txt``.
    seed, validation, test : of `split`, for clips that no list names.
    anew : whether to divide all of them by `split`, whatever is listed.

    Raises
    ------
    UserError
        A list is unusable, or `split` leaves a part empty.
    """
    listed = listed_parts(directory)
    known = {*ids, *(id for members in listed.values() for id in members)}
    by_hash = {id: part for part, members in split(known, seed, validation, test).items() for id in members}
    elsewhere = [id for part, members in listed.items() for id in members if part != by_hash[id]]
    if anew or not listed:
        return Division(split(ids, seed, validation, test), elsewhere)
    for id in sorted(known - {id for members in listed.values() for id in members}):
        listed.setdefault(by_hash[id], []).append(id)
    return Division(listed, elsewhere)


def listed_parts(directory: str | Path) -> dict[str, list[str]]:
    """Return the ids that the lists in ``directory`` name, of each part that has a list.

    Raises
    ------
    UserError
        A list holds what is no id.
    """
    files = {part: Path(directory) / f"{part}.txt" for part in PARTS}
    return {part: read_filelist(file, may_be_empty=True) for part, file in files.items() if file.exists()}


def moved_clips(directory: str | Path, parts: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the clips that the lists in ``directory`` have in another part than ``parts``, sorted."""
    now = {id: part for part, members in parts.items() for id in members}
    listed = listed_parts(directory)
    return sorted(id for part, members in listed.items() for id in members if now.get(id, part) != part)
