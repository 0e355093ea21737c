"""Clips of a corpus and their ids."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path

from rtmri_speech.errors import UserError
from rtmri_speech.paths import written_path
from rtmri_speech.settings.fields import setting

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

VIDEO_EXTENSIONS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm", ".mpg")
AUDIO_EXTENSIONS = (".wav", ".flac")

_COLUMNS = ("id", "video", "audio", "start", "end", "av_offset_ms")


@dataclass(frozen=True)
class Clip:
    """A recording, or an interval of one; a job receives it as the flags of its fields.

    Raises
    ------
    UserError
        The id is not a valid file name, the interval is empty, or the offset exceeds `LONGEST_OFFSET_S`.
    """

    id: str = setting(MISSING, "Name of the clip in all artifacts.")
    video: Path = setting(MISSING, "The video file; it need not exist.")
    audio: Path | None = setting(None, "The sound file; empty for the video's audio track.")
    start: float | None = setting(None, "Start of the interval, seconds in the video; empty for the video's start.")
    end: float | None = setting(None, "End of the interval, seconds in the video; empty for the video's end.")
    av_offset_ms: float = setting(0.0, "Delay of the sound against the picture, ms; the cut compensates for it.")

    def __post_init__(self) -> None:
        _require_file_name(self.id)
        begin, end = self.start or 0, math.inf if self.end is None else self.end
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
    from rtmri_speech.untrusted import read_text

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
        if not math.isfinite(value):
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
