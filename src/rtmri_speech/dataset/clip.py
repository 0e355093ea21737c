"""Clips of a corpus and their ids."""

from __future__ import annotations

import csv
import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, replace
from fractions import Fraction
from pathlib import Path

from rtmri_speech.errors import UserError
from rtmri_speech.paths import written_path
from rtmri_speech.settings.fields import setting
from rtmri_speech.signal.store_paths import ARRAY_ENDINGS, PICTURE_ENDINGS, is_frame_store

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

COLUMNS = (
    *("id", "video", "audio", "start", "end", "av_offset_ms", "frame_rate"),
    *("title", "speaker", "text", "repetition", "alignment"),
)
"""Columns of a table of clips."""

_RATIO = re.compile(r"[0-9]{1,9}([.][0-9]{1,9})?|[0-9]{1,9}/0*[1-9][0-9]{0,8}")
"""A positive number, or a ratio of two, in a table."""

_MADE_OF = 60
"""Letters of a name that an id made of it keeps."""

_DIGEST = 8
"""Hexadecimal digits of a name's hash in an id made of it."""


@dataclass(frozen=True)
class Clip:
    """A recording, or an interval of one; a job receives it as the flags of its fields.

    Raises
    ------
    UserError
        The id can be no file's name, a frame rate or repetition is no positive number, the stretch holds no time, or
        the offset is beyond `LONGEST_OFFSET_S`.
    """

    id: str = setting(MISSING, "Name of the clip in all artifacts.")
    video: Path = setting(MISSING, "The video, a file or a directory of pictures; it need not exist.")
    audio: Path | None = setting(None, "The sound file; empty for the video's audio track.")
    start: float | None = setting(None, "Start of the interval, seconds in the video; empty for the video's start.")
    end: float | None = setting(None, "End of the interval, seconds in the video; empty for the video's end.")
    av_offset_ms: float = setting(0.0, "Delay of the sound against the picture, ms; the cut compensates for it.")
    frame_rate: float | None = setting(None, "Frames per second of a video that does not store it.")
    title: str | None = setting(None, "Shown in place of the id.")
    speaker: str | None = None
    """Who speaks, if known."""
    text: str | None = None
    """What is said, if known."""
    repetition: int | None = None
    """Which of several times the speaker says it, from 1, if known."""
    alignment: Path | None = None
    """File of tiers (`tiers.read_tiers`), in the time of the whole sound, or None."""

    def __post_init__(self) -> None:
        _require_file_name(self.id)
        for name, value in (("frame_rate", self.frame_rate), ("repetition", self.repetition)):
            if value is not None and value <= 0:
                raise UserError(self.id, f"{name} is {value}", "give a positive number, or leave it out")
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
        """Source files of the clip."""
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


def id_of(name: str) -> str:
    """Return the id of a recording by its name, a file's without the ending.

    A name that can be an id is one. Of any other, letters and digits of ASCII are kept, '_' takes the place of what
    lies between, and eight digits of its SHA-256 follow: two names never have one id but by a hash's chance. In which
    Unicode form a name is written makes no difference.
    """
    name = unicodedata.normalize("NFC", name)
    if is_id(name):
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    kept = re.sub("[^A-Za-z0-9]+", "_", plain).strip("_")[:_MADE_OF].rstrip("_")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{kept}-{digest}" if kept else f"clip-{digest}"


def recording_name(path: Path) -> str:
    """Return the name of a recording: the file's without its ending, or the directory's."""
    return path.name if path.is_dir() else path.stem


def _title_of(path: Path, id: str) -> str | None:
    name = recording_name(path)
    return None if name == id else name


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
    """Return the clips of a pair of directories by id, made of the file's stem (`id_of`).

    A stem in only one of the directories is a clip too, so that the missing file is reported when the clip is
    processed. With ``own_track``, or without an audio directory, a video without a sound file uses its own track.

    Raises
    ------
    UserError
        A directory is missing or empty, or two files of one directory share a stem.
    """
    found = recordings(videos, video_extensions, "video")
    sounds = recordings(audio, audio_extensions, "audio") if audio is not None else {}
    if not found:
        raise UserError(videos, "holds no video", f"put files ending in {', '.join(video_extensions)} there")
    if audio is None or own_track:
        return {id: Clip(id, path, sounds.get(id), title=_title_of(path, id)) for id, path in sorted(found.items())}
    clips = {}
    for id in sorted(found.keys() | sounds.keys()):
        stem = recording_name(found.get(id) or sounds[id])
        video, sound = found.get(id, videos / f"{stem}.mp4"), sounds.get(id, audio / f"{stem}.wav")
        clips[id] = Clip(id, video, sound, title=_title_of(video, id))
    return clips


def with_rate(clips: Mapping[str, Clip], rate: float | None) -> dict[str, Clip]:
    """Return ``clips`` with ``rate``, frames per second, for videos that do not say theirs, and have none yet."""
    if rate is None:
        return dict(clips)
    return {
        id: replace(clip, frame_rate=rate) if clip.frame_rate is None and is_frame_store(clip.video) else clip
        for id, clip in clips.items()
    }


def recordings(directory: Path, extensions: Iterable[str], kind: str) -> dict[str, Path]:
    """Return the files of a directory with one of ``extensions``, by id; ``kind`` names them in errors.

    Where no video is wanted or there is one, these are all; else frames that are stored without a clock
    (`signal.frame_store`) are the videos: arrays, and directories of pictures.

    Raises
    ------
    UserError
        The directory is missing, or two files share an id.
    """
    if not directory.is_dir():
        raise UserError(directory, "there is no such directory", f"give the {kind} directory of the corpus")
    extensions = {extension.lower() for extension in extensions}
    paths = [path for path in sorted(directory.iterdir()) if not path.name.startswith(".")]
    files = [path for path in paths if path.suffix.lower() in extensions]
    if kind == "video" and not files:
        files = [path for path in paths if path.suffix.lower() in ARRAY_ENDINGS or holds_pictures(path)]
    found: dict[str, Path] = {}
    for path in files:
        id = id_of(recording_name(path))
        if id in found:
            raise UserError(path, f"has the same id as {found[id].name}", "rename or move one of the two")
        found[id] = path
    return found


def holds_pictures(path: Path) -> bool:
    """Tell whether ``path`` is a directory of frames, one a file."""
    return path.is_dir() and any(file.suffix.lower() in PICTURE_ENDINGS for file in path.iterdir())


def clips_from_table(table: Path) -> dict[str, Clip]:
    """Return the clips of a TSV by id, in its order.

    Columns ``id`` and ``video`` are needed; the others of `Clip` may be missing or empty: ``audio``, ``start``, ``end``
    (seconds), ``av_offset_ms``, ``frame_rate`` (such as 27.174 or 20000/736), ``title``, ``speaker``, ``text``,
    ``repetition`` and ``alignment``. Paths are written as in a configuration (`written_path`), relative ones from the
    table's directory.

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
            raise UserError(table, f"has no column {needed!r}", f"its first line must name {', '.join(COLUMNS)}")
    for column in columns:
        if column not in COLUMNS:
            raise UserError(table, f"has an unknown column {column!r}", f"use {', '.join(COLUMNS)}, split by tabs")
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

    def word(column: str) -> str | None:
        return (row.get(column) or "").strip() or None

    def number(column: str) -> float | None:
        field = word(column)
        if field is None:
            return None
        try:
            value = float(field)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UserError(where, f"{column} is {field!r}", "give a number or leave it empty")
        return value

    def fraction(column: str) -> float | None:
        field = word(column)
        if field and not _RATIO.fullmatch(field):
            raise UserError(where, f"{column} is {field!r}", "give a number such as 27.174 or 20000/736")
        return float(Fraction(field)) if field else None

    def whole(column: str) -> int | None:
        field = word(column)
        if field and not re.fullmatch("[0-9]{1,9}", field):
            raise UserError(where, f"{column} is {field!r}", "give a whole number or leave it empty")
        return int(field) if field else None

    def file(column: str) -> Path | None:
        field = word(column)
        return Path(written_path(field, f"{where}, {column}", base)) if field else None

    video, audio = file("video"), file("audio")
    if video is None:
        raise UserError(where, "names no video", "fill in the video column")
    try:
        return Clip(
            id=require_id(word("id") or "", where),
            video=video,
            audio=audio,
            start=number("start"),
            end=number("end"),
            av_offset_ms=number("av_offset_ms") or 0.0,
            frame_rate=fraction("frame_rate"),
            title=word("title"),
            speaker=word("speaker"),
            text=word("text"),
            repetition=whole("repetition"),
            alignment=file("alignment"),
        )
    except UserError as error:
        raise UserError(where, error.fault, error.remedy) from None
