"""USC's 75 speakers (Lim et al., 2021, Scientific Data 8:187), and the alignments of Annot-16 where they lie.

``subNNN/2drt/video/subNNN_2drt_01_vcv1_r1_video.mp4`` with ``../audio/..._audio.wav``, or ``../recon/..._recon.h5``
alone; also the archive of videos alone. What is said is a text a task, ``trans/<task>.txt``.
"""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction
from pathlib import Path

from rtmri_speech.corpora.reading import Reading, nothing_found, require_directory
from rtmri_speech.dataset.clip import Clip

SIZE = (84, 84)
RATE = Fraction(1_000_000, 12_008)
"""Frames a second: two spirals of 6.004 ms a frame."""

AV_OFFSET_MS = 80.0
"""Measured on one clip of the set, by the regression of `evaluation.sync`."""

CLIPS, SPEAKERS, CLIPS_A_SPEAKER = 2371, 75, 32
EMPTY, GAPS = ("sub036",), {"sub037": 28}
"""Speakers of whom the archive has no clip, or fewer; of sub009 some lack too, how many was not published."""

_NAMED = 3
"""Speakers whose number of clips is noted."""

_FILE = re.compile(r"(sub\d+)_2drt_((\d+)_([a-z]+\d*)(?:_r(\d+))?)_(?:video\.mp4|recon\.h5)")
_ALIGNMENT = re.compile(r"(sub\d+)_(?:2drt_)?(.+)_alignment\.textgrid", re.IGNORECASE)


def read(directory: Path, annotations: Path | None = None) -> Reading:
    """Return the clips of the set.

    Parameters
    ----------
    directory : holds ``subNNN``, or a directory of them.
    annotations : holds Annot-16's ``subNNN/alignments``; None where they lie in ``directory``, or nowhere.

    Raises
    ------
    UserError
        There is no such directory, or nothing of the set in it.
    """
    reading = Reading()
    files = _files(require_directory(directory), "video/*_video.mp4") or _files(directory, "recon/*_recon.h5")
    if not files:
        raise nothing_found(directory, "subNNN/2drt/video/subNNN_2drt_*_video.mp4")
    alignments = {key: path for place in filter(None, (directory, annotations)) for key, path in _alignments(place)}
    texts = {
        path.stem.lower(): path for place in ("trans", "*/trans") for path in sorted(directory.glob(f"{place}/*.txt"))
    }
    unknown = []
    for file in files:
        found = _FILE.fullmatch(file.name)
        if found is None:
            unknown.append(file)
            continue
        speaker, task, number, name, repetition = found.groups()
        id = f"{speaker}_{task}"
        if id in reading.clips:
            # The archive of videos alone repeats them.
            continue
        audio = file.parent.parent / "audio" / f"{speaker}_2drt_{task}_audio.wav"
        text = next((texts[key] for key in (task, f"{number}_{name}", name) if key in texts), None)
        reading.add(
            Clip(
                id,
                file,
                audio if audio.is_file() else None,
                av_offset_ms=AV_OFFSET_MS,
                frame_rate=float(RATE) if file.suffix == ".h5" else None,
                speaker=speaker,
                text=" ".join(text.read_text(encoding="utf-8", errors="replace").split()) or None if text else None,
                repetition=int(repetition or 1),
                alignment=alignments.get(id),
            )
        )
    reading.left_out(directory, unknown, "whose names are not subNNN_2drt_NN_task_rN")
    counts = Counter(clip.speaker for clip in reading.clips.values())
    reading.expect(directory, "clips", len(reading.clips), CLIPS)
    reading.expect(directory, "speakers", len(counts), SPEAKERS - len(EMPTY))
    incomplete = {speaker: count for speaker, count in counts.items() if count != GAPS.get(speaker, CLIPS_A_SPEAKER)}
    for speaker, count in list(incomplete.items())[:_NAMED]:
        reading.expect(directory, f"clips of {speaker}", count, GAPS.get(speaker, CLIPS_A_SPEAKER))
    if len(incomplete) > _NAMED:
        reading.notes.append(f"{directory}: {len(incomplete) - _NAMED} more speakers have not the number expected.")
    return reading


def _files(directory: Path, pattern: str) -> list[Path]:
    return sorted(file for place in ("", "*/") for file in directory.glob(f"{place}sub*/2drt/{pattern}"))


def _alignments(directory: Path) -> list[tuple[str, Path]]:
    """Annot-16's ``subNNN/alignments/<task>/subNNN_<task>_alignment.textgrid`` by the clip's id."""
    files = [file for place in ("", "*/") for file in directory.glob(f"{place}sub*/alignments/*/*")]
    matches = [(_ALIGNMENT.fullmatch(file.name), file) for file in sorted(files)]
    return [(f"{found.group(1)}_{found.group(2)}", file) for found, file in matches if found]
