"""rtMRIDB, version 1 (NII-SRC, NINJAL): ``rtMRIDB.sqlite3`` names the stretches of ``rtmridb_v1_mp4/<file>.mp4``."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

from rtmri_speech.corpora.reading import Reading, nothing_found, require_directory
from rtmri_speech.dataset.clip import Clip, id_of
from rtmri_speech.errors import UserError

SIZE = RATE = None
"""The rows give the rate of each video."""

DATABASE, TABLE = "rtMRIDB.sqlite3", "rtmri"

COLUMNS = ("id", "file", "start", "end", "text", "jtext", "subject", "fps")
"""What is read of a row, one labelled stretch of a video; ``start`` and ``end`` are seconds."""


def read(directory: Path) -> Reading:
    """Return the labelled stretches; a row without times or a video is left out, and counted.

    Raises
    ------
    UserError
        There is no such directory, no database in it, or the database lacks the table or a column.
    """
    reading = Reading()
    places = (require_directory(directory), *sorted(directory.iterdir()))
    database = next((path for place in places if (path := place / DATABASE).is_file()), None)
    if database is None:
        raise nothing_found(directory, DATABASE)
    videos = {path.stem: path for place in ("", "*/") for path in sorted(database.parent.glob(f"{place}*.mp4"))}
    times: Counter[tuple[str | None, str]] = Counter()
    timeless, unseen = [], []
    for row in _rows(database):
        stem = Path(str(row["file"])).name.removesuffix(".mp4")
        begin, end = _seconds(row["start"]), _seconds(row["end"])
        name = f"{stem}_{row['id']}"
        if stem not in videos:
            unseen.append(f"{stem}.mp4")
            continue
        if begin is None or end is None or not 0 <= begin < end:
            timeless.append(name)
            continue
        text = " ".join(str(row["jtext"] or row["text"] or "").split()) or None
        speaker = None if row["subject"] is None else str(row["subject"])
        if text:
            times[speaker, text] += 1
        if rate := _seconds(row["fps"]):
            reading.rates[videos[stem]] = Fraction(rate).limit_denominator(10_000)
        reading.add(
            Clip(
                id_of(name),
                videos[stem],
                start=begin,
                end=end,
                title=name if id_of(name) != name else None,
                speaker=speaker,
                text=text,
                repetition=times[speaker, text] if text else None,
            )
        )
    reading.left_out(database, timeless, "rows without a start and an end in seconds")
    reading.left_out(database, sorted(set(unseen)), "videos that rows name and that are not there")
    if not reading.clips:
        raise nothing_found(directory, f"row of {DATABASE} whose video is there (rtmridb_v1_mp4/<file>.mp4)")
    return reading


def _rows(database: Path) -> list[dict[str, Any]]:
    try:
        connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
        try:
            connection.row_factory = sqlite3.Row
            named = ", ".join(f'"{column}"' for column in COLUMNS)
            known = {row["name"] for row in connection.execute(f"PRAGMA table_info({TABLE})")}
            if lacking := [column for column in COLUMNS if column not in known]:
                held = f"table {TABLE} lacks {', '.join(lacking)}" if known else f"has no table {TABLE}"
                raise UserError(database, held, "take version 1 of the database as distributed")
            return [dict(row) for row in connection.execute(f"SELECT {named} FROM {TABLE} ORDER BY id")]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise UserError(database, f"cannot be read as a database ({error})", "copy it again from the archive") from None


def _seconds(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
