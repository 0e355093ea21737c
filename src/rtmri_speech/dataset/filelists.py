"""File lists of the splits in HiFi-GAN's format: one ``<id>|...`` per line, where id is the wav's stem."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rtmri_speech.atomic import save_text
from rtmri_speech.dataset.clip import require_id
from rtmri_speech.dataset.split import SPLITS, split_clips
from rtmri_speech.errors import UserError
from rtmri_speech.untrusted import read_text


def write_filelist(path: str | Path, ids: Iterable[str]) -> None:
    """Write one line per id. HiFi-GAN reads the field before the first ``|``; the lab's readers expect three fields."""
    save_text(path, "".join(f"{id}|dummy|dummy\n" for id in ids))


def read_filelist(path: str | Path, *, may_be_empty: bool = False) -> list[str]:
    """Return the ids of a file list, in its order; lines may end in CRLF.

    Raises
    ------
    UserError
        The file is missing, has no clip (unless it ``may_be_empty``), or a line has no valid id.
    """
    path = Path(path)
    text = read_text(path, missing="make the dataset first (snakemake dataset)", remedy="make the file list again")
    ids = [require_id(line.split("|")[0].strip(), path) for line in text.splitlines() if line.strip()]
    if not ids and not may_be_empty:
        raise UserError(path, "names no clip", "assign it at least one clip")
    return ids


def filelist_of(processed_dir: str | Path, split: str) -> Path:
    """Return the path of a split's file list in a dataset."""
    return Path(processed_dir) / "hifigan_filelists" / f"{split}.txt"


def clips_of(processed_dir: str | Path, *splits: str, may_be_empty: bool = False) -> list[str]:
    """Return the ids of the clips in these splits of a dataset; see `read_filelist`."""
    paths = [filelist_of(processed_dir, split) for split in splits]
    return [id for path in paths for id in read_filelist(path, may_be_empty=may_be_empty)]


def recorded_ids(directory: str | Path, filelist: str | Path | None = None) -> list[str]:
    """Return the ids of a file list, or of all ``<id>.wav`` of a directory, sorted.

    Raises
    ------
    UserError
        As of `read_filelist`, or the directory holds no wav.
    """
    if filelist is not None:
        return read_filelist(filelist)
    ids = sorted(path.stem for path in Path(directory).glob("*.wav"))
    if not ids:
        raise UserError(directory, "holds no .wav file", "give the directory of the recordings")
    return ids


@dataclass(frozen=True)
class SplitAssignment:
    """The clips of each split, and those that a new split with this seed and these shares would move."""

    splits: dict[str, list[str]]
    displaced: list[str]


def assign_splits(
    directory: str | Path, ids: Iterable[str], seed: int, validation: float, test: float, *, reassign: bool = False
) -> SplitAssignment:
    """Split ``ids``; clips in the existing lists in ``directory`` keep their split and position.

    Scaler, windows and models depend on the lists: a clip moved from training to validation would be evaluated with a
    model trained on it.

    Parameters
    ----------
    directory : may hold ``training.txt``, ``validation.txt`` and ``test.txt``.
    seed, validation, test : of `split_clips`, for clips not in a list.
    reassign : whether to ignore the existing lists.

    Raises
    ------
    UserError
        A list is invalid, or `split_clips` leaves a split empty.
    """
    listed = listed_splits(directory)
    known = {*ids, *(id for members in listed.values() for id in members)}
    by_hash = {id: split for split, members in split_clips(known, seed, validation, test).items() for id in members}
    displaced = [id for split, members in listed.items() for id in members if split != by_hash[id]]
    if reassign or not listed:
        return SplitAssignment(split_clips(ids, seed, validation, test), displaced)
    for id in sorted(known - {id for members in listed.values() for id in members}):
        listed.setdefault(by_hash[id], []).append(id)
    return SplitAssignment(listed, displaced)


def listed_splits(directory: str | Path) -> dict[str, list[str]]:
    """Return the ids in the existing lists in ``directory``, by split.

    Raises
    ------
    UserError
        A list contains an invalid id.
    """
    files = {split: Path(directory) / f"{split}.txt" for split in SPLITS}
    return {split: read_filelist(file, may_be_empty=True) for split, file in files.items() if file.exists()}


def moved_clips(directory: str | Path, splits: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the clips that are in another split in the lists in ``directory`` than in ``splits``, sorted."""
    now = {id: split for split, members in splits.items() for id in members}
    listed = listed_splits(directory)
    return sorted(id for split, members in listed.items() for id in members if now.get(id, split) != split)
