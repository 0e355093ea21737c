"""Clips of a corpus and their ids, and access to processed clips."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.paths import written_path
from rtmri_speech.untrusted import read_array, read_text

ID_PATTERN = "[A-Za-z0-9][A-Za-z0-9_-]*"
"""Valid ids: usable as file names on every system and as a Snakemake wildcard."""

LONGEST_ID = 100
"""Maximum length of an id: most systems limit file names, of which it is a part, to 255 bytes."""

_DEVICES = re.compile("con|prn|aux|nul|com[0-9]|lpt[0-9]", re.IGNORECASE)
"""Device names on Windows, with any suffix: datasets must be portable."""

_NO_FILE_NAME = re.compile(r'^$|^[-. ]|[. ]$|[\x00-\x1f/\\:*?"<>|]')
"""Not allowed in file names on some system, or mistaken for a flag."""

LONGEST_OFFSET_S = 3600.0
"""Maximum audio-video offset, seconds."""

LOUDEST_DB = 1000
"""Bound on the absolute value of a mel, dB."""

VIDEO_EXTENSIONS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm", ".mpg")
AUDIO_EXTENSIONS = (".wav", ".flac")

_COLUMNS = ("id", "video", "audio", "start", "end", "av_offset_ms")


@dataclass(frozen=True)
class Clip:
    """A recording, or an interval of one.

    Attributes
    ----------
    id : name of the clip in all artifacts.
    video : the video file; it need not exist.
    audio : the sound file; None for the video's audio track.
    start, end : the interval, seconds in the video; None for its start or end.
    av_offset_ms : delay of the sound against the picture, ms; the cut compensates for it.

    Raises
    ------
    UserError
        The id is not a valid file name, the interval is empty, or the offset exceeds `LONGEST_OFFSET_S`.
    """

    id: str
    video: Path
    audio: Path | None = None
    start: float | None = None
    end: float | None = None
    av_offset_ms: float = 0.0

    def __post_init__(self) -> None:
        _require_file_name(self.id)
        begin, end = self.start or 0, np.inf if self.end is None else self.end
        if not 0 <= begin < end:
            raise UserError(
                self.id, f"start {self.start} and end {self.end} are not a valid interval", "give 0 <= start < end"
            )
        if not abs(self.av_offset_ms) <= 1000 * LONGEST_OFFSET_S:
            raise UserError(
                self.id, f"av_offset_ms is {self.av_offset_ms:g}", f"give at most {LONGEST_OFFSET_S:g} s, in ms"
            )

    @property
    def sources(self) -> list[Path]:
        """The files the clip is made from."""
        return list(dict.fromkeys([self.video, self.audio or self.video]))


def require_id(text: str, source: str | Path) -> str:
    """Return ``text`` if it is a valid clip id; refuse it otherwise, naming ``source``."""
    if is_id(text):
        return text
    if _DEVICES.fullmatch(text):
        raise UserError(
            source, f"{text!r} is a device name on Windows, not a valid clip id", "give the clip another id"
        )
    raise UserError(
        source,
        f"{text[:LONGEST_ID]!r} is not a valid clip id",
        f"use up to {LONGEST_ID} letters, digits, '_' and '-', beginning with a letter or digit (a TSV gives any "
        "file an id)",
    )


def is_id(text: str) -> bool:
    """Return whether ``text`` is a valid clip id."""
    return len(text) <= LONGEST_ID and bool(re.fullmatch(ID_PATTERN, text)) and not _DEVICES.fullmatch(text)


def _require_file_name(id: str) -> None:
    """Refuse ids that are not valid file names on every system: synthesis by hand names its output after any video."""
    if len(id) > LONGEST_ID or _NO_FILE_NAME.search(id) or _DEVICES.fullmatch(id):
        raise UserError("id", f"{id[:LONGEST_ID]!r} is not a valid file name", "give the clip another id")


def ids_pattern(ids: Iterable[str]) -> str:
    """Return a regular expression that matches exactly ``ids``.

    The expression is a trie, so that matching takes time proportional to the length of an id; an alternation of 10,000
    ids doubles the time of a dry run.
    """
    by_letter: dict[str, list[str]] = {}
    for id in sorted(ids):
        by_letter.setdefault(id[:1], []).append(id[1:])
    ends = by_letter.pop("", None) is not None
    letters: dict[str, str] = {}
    for letter, rest in by_letter.items():
        continuation = ids_pattern(rest)
        letters[continuation] = letters.get(continuation, "") + re.escape(letter)
    branches = "|".join(f"[{letter}]{continuation}" for continuation, letter in letters.items())
    return (f"(?:{branches})" + ("?" if ends else "")) if branches else ""


def clips_from_directories(
    videos: Path,
    audio: Path | None = None,
    video_extensions: Iterable[str] = VIDEO_EXTENSIONS,
    audio_extensions: Iterable[str] = AUDIO_EXTENSIONS,
    own_track: bool = False,
) -> dict[str, Clip]:
    """Return the clips of a pair of directories by id, the file's stem.

    A stem in only one of the directories is a clip too, so that the missing file is reported when the clip is
    processed. With ``own_track``, or without an audio directory, a video without a sound file uses its own track.

    Raises
    ------
    UserError
        A directory is missing or empty, a stem is not a valid id, or two files of one directory share a stem.
    """
    found = recordings(videos, video_extensions, "video")
    sounds = recordings(audio, audio_extensions, "audio") if audio is not None else {}
    if not found:
        raise UserError(videos, "holds no video", f"put files ending in {', '.join(video_extensions)} there")
    if audio is None or own_track:
        return {id: Clip(id, path, sounds.get(id)) for id, path in sorted(found.items())}
    return {
        id: Clip(id, found.get(id, videos / f"{id}.mp4"), sounds.get(id, audio / f"{id}.wav"))
        for id in sorted(found.keys() | sounds.keys())
    }


def recordings(directory: Path, extensions: Iterable[str], kind: str) -> dict[str, Path]:
    """Return the files of a directory with one of ``extensions``, by id; ``kind`` names them in errors.

    Raises
    ------
    UserError
        The directory is missing, a stem is not a valid id, or two files share a stem.
    """
    if not directory.is_dir():
        raise UserError(directory, "there is no such directory", f"give the {kind} directory of the corpus")
    extensions = {extension.lower() for extension in extensions}
    found: dict[str, Path] = {}
    for path in sorted(directory.iterdir()):
        if path.suffix.lower() not in extensions or path.name.startswith("."):
            continue
        id = require_id(path.stem, path)
        if id in found:
            raise UserError(path, f"has the same id as {found[id].name}", "rename or move one of the two")
        found[id] = path
    return found


def clips_from_table(table: Path) -> dict[str, Clip]:
    """Return the clips of a TSV by id, in its order.

    Columns ``id`` and ``video`` are needed; ``audio``, ``start``, ``end`` (seconds) and ``av_offset_ms`` may be missing
    or empty. Paths are as in a configuration (`written_path`), relative to the table's directory.

    Raises
    ------
    UserError
        The table is missing, a column is missing or unknown, or a row has an invalid id, number or length.
    """
    remedy = "save the table as UTF-8, separated by tabs"
    text = read_text(table, missing="check corpus.table", remedy=remedy)
    if "\0" in text:
        raise UserError(table, "is not text (it contains NUL bytes)", remedy)
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    try:
        return _clips_of_rows(rows, table)
    except csv.Error as error:
        raise UserError(f"{table}, line {rows.line_num}", f"is not a valid table line ({error})", remedy) from None


def _clips_of_rows(rows: csv.DictReader, table: Path) -> dict[str, Clip]:
    columns = rows.fieldnames or []
    for needed in ("id", "video"):
        if needed not in columns:
            raise UserError(table, f"has no column {needed!r}", f"its first line must name {', '.join(_COLUMNS)}")
    for column in columns:
        if column not in _COLUMNS:
            raise UserError(table, f"has an unknown column {column!r}", f"use {', '.join(_COLUMNS)}, split by tabs")
    clips: dict[str, Clip] = {}
    for row in rows:
        clip = _clip_of_row(row, f"{table}, line {rows.line_num}", table.parent)
        if clip.id in clips:
            raise UserError(
                f"{table}, line {rows.line_num}", f"id {clip.id!r} is used twice", "give each clip its own id"
            )
        clips[clip.id] = clip
    if not clips:
        raise UserError(table, "names no clip", "add a line for each clip")
    return clips


def _clip_of_row(row: Mapping[str, str | None], where: str, base: Path) -> Clip:
    if None in row:
        raise UserError(where, "has more fields than the first line", "check the tabs")

    def number(column: str) -> float | None:
        field = (row.get(column) or "").strip()
        if not field:
            return None
        try:
            value = float(field)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise UserError(where, f"{column} is {field!r}", "give a number or leave it empty")
        return value

    def file(column: str) -> Path | None:
        field = (row.get(column) or "").strip()
        return Path(written_path(field, f"{where}, {column}", base)) if field else None

    video, audio = file("video"), file("audio")
    if video is None:
        raise UserError(where, "names no video", "fill in the video column")
    try:
        return Clip(
            id=require_id((row["id"] or "").strip(), where),
            video=video,
            audio=audio,
            start=number("start"),
            end=number("end"),
            av_offset_ms=number("av_offset_ms") or 0.0,
        )
    except UserError as error:
        raise UserError(where, error.fault, error.remedy) from None


SAMPLE_FILES = ("mri.npy", "mel_db.npy", "mask.npy")
"""The arrays of a processed clip."""


@dataclass(frozen=True)
class Sample:
    """A processed clip.

    Attributes
    ----------
    id : name of the clip.
    mri : gray frames, uint8 ``(T, H, W)``, a read-only memory map (or the lab's float32 in [0, 1]).
    mel_db : mel in dB, float32 ``(T, n_mels)``.
    mask : sound mask, 1 for frames with sound, else 0, float32 ``(T,)``.
    """

    id: str
    mri: np.ndarray
    mel_db: np.ndarray
    mask: np.ndarray


def open_sample(processed_dir: str | Path, id: str) -> Sample:
    """Open ``samples/<id>`` of a processed directory, frames memory-mapped.

    Raises
    ------
    UserError
        ``id`` is invalid, a file is missing, unreadable or has implausible values, or the lengths differ.
    """
    directory = Path(processed_dir) / "samples" / require_id(id, processed_dir)
    mri = load_frames(directory / "mri.npy")
    mel_db, mask = (
        load_array(directory / name, dimensions).astype(np.float32, copy=False)
        for name, dimensions in (("mel_db.npy", 2), ("mask.npy", 1))
    )
    for name, array, largest in (("mel_db.npy", mel_db, LOUDEST_DB), ("mask.npy", mask, 1)):
        if not (np.abs(array) <= largest).all():
            raise UserError(directory / name, f"holds NaN or numbers beyond {largest}", "make the clip again")
    if not len(mri) == len(mel_db) == len(mask):
        raise UserError(
            directory,
            f"mri.npy, mel_db.npy and mask.npy have {len(mri)}, {len(mel_db)} and {len(mask)} frames",
            "make the clip again",
        )
    return Sample(id, mri, mel_db, mask)


def load_frames(path: Path) -> np.ndarray:
    """Return the frames of an ``mri.npy``, ``(T, H, W)`` uint8 or the lab's floats in [0, 1], as a memory map."""
    frames = load_array(path, dimensions=3, memory_map=True)
    if frames.dtype != np.uint8 and frames.dtype.kind != "f":
        raise UserError(path, f"holds frames of {frames.dtype}", "it must be uint8, or floats in [0, 1]; make it again")
    if not frames.size:
        raise UserError(path, f"has shape {frames.shape}", "it must have frames and pixels; make it again")
    return frames


def load_array(path: Path, dimensions: int, memory_map: bool = False) -> np.ndarray:
    """Return the array of an ``.npy`` file; refuse it if missing, damaged or of other dimensions."""
    array = read_array(
        path,
        missing="make the dataset first (snakemake dataset)",
        remedy="delete it and make it again",
        memory_map=memory_map,
    )
    if array.ndim != dimensions:
        raise UserError(path, f"has shape {array.shape}", f"it must have {dimensions} dimensions; make it again")
    return array
