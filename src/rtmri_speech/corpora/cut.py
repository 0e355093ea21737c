"""Whole recordings into a table of utterances: the clips of `dataset.cutting` with ids, files and texts."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from rtmri_speech.atomic import save_text
from rtmri_speech.dataset.clip import COLUMNS, LONGEST_ID, Clip, id_of
from rtmri_speech.dataset.cutting import (
    Utterance,
    equal_stretches,
    utterances_between_silences,
    utterances_of_tiers,
    with_margins,
)
from rtmri_speech.dataset.tiers import ALIGNMENTS, read_tiers, words_between
from rtmri_speech.errors import UserError
from rtmri_speech.settings.data import Cutting

_RATE = 16_000
"""Samples per second at which silences are looked for, Hz."""


def cut_recordings(recordings: Mapping[str, Clip], cutting: Cutting) -> list[Clip]:
    """Return the utterances of recordings, each a clip whose id is the recording's with a number.

    Raises
    ------
    UserError
        A recording cannot be read, has no annotation (``by`` tier), or holds no utterance.
    """
    return [clip for recording in recordings.values() for clip in _cut(recording, cutting)]


def write_table(path: str | Path, clips: Iterable[Clip]) -> None:
    """Write clips as the TSV that `clips_from_table` reads, files relative to it where they lie below or beside it."""
    path = Path(path)
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(COLUMNS)
    for clip in clips:
        cells = {name: getattr(clip, name) for name in COLUMNS}
        for name in ("video", "audio", "alignment"):
            cells[name] = cells[name] and _relative(cells[name], path.absolute().parent)
        cells["text"] = cells["text"] and " ".join(cells["text"].split())
        table.writerow(["" if value is None or value == 0.0 else value for value in cells.values()])
    save_text(path, text.getvalue())


def _relative(file: Path, base: Path) -> str:
    try:
        return Path(os.path.relpath(file.absolute(), base)).as_posix()
    except ValueError:  # another drive of Windows
        return str(file.absolute())


def _cut(recording: Clip, cutting: Cutting) -> list[Clip]:
    from rtmri_speech.signal.video import probe

    if recording.start is not None or recording.end is not None:
        raise UserError(recording.id, "is a stretch of a recording already", "give whole recordings")
    info = probe(recording.video, recording.frame_rate)
    duration = None if info.frames is None else float(info.frames / info.rate)
    alignment = recording.alignment or _alignment_of(recording, cutting.alignments)
    tiers = read_tiers(alignment) if alignment else {}
    # The times of annotation and sound are the sound's, and a clip's are the picture's.
    offset = recording.av_offset_ms / 1000
    if cutting.by == "tier":
        if alignment is None:
            place = cutting.alignments or recording.video.parent
            raise UserError(
                recording.video,
                f"has no annotation {recording.video.stem}{ALIGNMENTS[0]} in {place}",
                "name its directory with --alignments, or cut --by silence or equal",
            )
        found = utterances_of_tiers(tiers, alignment, cutting.tier, pause=cutting.pause, longest=cutting.longest)
    elif cutting.by == "silence":
        found = _between_silences(recording, cutting)
    else:
        if duration is None:
            raise UserError(recording.video, "does not state its duration", "copy it into an mp4, or cut --by silence")
        found = [
            replace(one, start=one.start + offset, end=one.end + offset)
            for one in equal_stretches(duration, cutting.seconds)
        ]
    if cutting.by != "tier" and tiers:
        found = [replace(one, text=words_between(tiers, one.start, one.end)) for one in found]
    in_picture = [
        replace(one, start=max(0.0, one.start - offset), end=one.end - offset) for one in found if one.end > offset
    ]
    margin = 0.0 if cutting.by == "equal" else cutting.margin
    kept = with_margins(in_picture, duration, margin)
    if not kept:
        raise UserError(recording.video, "holds no utterance", "cut it another way, or leave it out")
    return [_clip(recording, number, one, alignment) for number, one in enumerate(kept, 1)]


def _clip(recording: Clip, number: int, utterance: Utterance, alignment: Path | None) -> Clip:
    name = recording.title or recording.id
    id = f"{recording.id}_{number:03d}"
    return replace(
        recording,
        id=id if len(id) <= LONGEST_ID else id_of(id),
        start=utterance.start,
        end=utterance.end,
        title=f"{name}, utterance {number}" if recording.title else None,
        text=utterance.text,
        alignment=alignment,
    )


def _alignment_of(recording: Clip, directory: Path | None) -> Path | None:
    stems = dict.fromkeys(path.stem for path in (recording.video, recording.audio) if path is not None)
    places = (
        [directory]
        if directory
        else dict.fromkeys(path.parent for path in (recording.video, recording.audio) if path is not None)
    )
    files = (place / f"{stem}{ending}" for place in places for stem in stems for ending in ALIGNMENTS)
    return next((file for file in files if file.is_file()), None)


def _between_silences(recording: Clip, cutting: Cutting) -> list[Utterance]:
    from rtmri_speech.signal.audio import audio_blocks

    blocks = audio_blocks(recording.audio or recording.video, sampling_rate=_RATE)
    return utterances_between_silences(blocks, _RATE, pause=cutting.pause, longest=cutting.longest)
