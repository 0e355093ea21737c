"""USC's long single-speaker set: an hour of one speaker, ``video/usc_s1_NN_<rep>.avi``, an utterance each.

Beside them ``usc_s1_NN_<rep>.json``, phones set by hand, and ``articulators/usc_s1_NN_mview.mat``, whole sessions with
sound (AUDIO) and frames (IMAGE), which are read where the videos are not there.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path

from rtmri_speech.corpora.reading import Reading, nothing_found, require_directory
from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.tiers import read_tiers, words_between
from rtmri_speech.errors import UserError

SIZE = (104, 104)
RATE = Fraction(99)

UTTERANCES, SESSIONS = 684, 71

_UTTERANCE = re.compile(r"usc_(s\d+)_(\d+)_(\w+)\.avi")
_SESSION = re.compile(r"usc_(s\d+)_(\d+)_mview\.mat")


def read(directory: Path) -> Reading:
    """Return the utterances of the set, or, where there are no videos, its sessions.

    Raises
    ------
    UserError
        There is no such directory, or nothing of the set in it.
    """
    reading = Reading()
    folders = [require_directory(directory), directory / "video", *sorted(directory.glob("*/video"))]
    videos = [file for folder in folders for file in sorted(folder.glob("usc_s*.avi"))]
    matches = {file: _UTTERANCE.fullmatch(file.name) for file in videos}
    descriptions = {file.stem: file for file in sorted(directory.rglob("usc_s*.json"))}
    unread = []
    for file, found in matches.items():
        if found:
            sound, alignment = file.with_suffix(".wav"), descriptions.get(file.stem)
            try:
                tiers = read_tiers(alignment) if alignment else {}
            except UserError:
                # The form of these files was not published.
                unread.append(alignment)
                tiers, alignment = {}, None
            reading.add(
                Clip(
                    file.stem,
                    file,
                    sound if sound.is_file() else None,
                    speaker=found.group(1),
                    text=words_between(tiers, -math.inf, math.inf),
                    alignment=alignment,
                )
            )
    reading.left_out(
        directory, [file for file, found in matches.items() if not found], "whose names are no utterance's"
    )
    if reading.clips:
        reading.expect(directory, "utterances", len(reading.clips), UTTERANCES)
        reading.left_out(directory, unread, "which hold no phones with start and end")
        if lacking := sum(file.stem not in descriptions for file in matches):
            reading.notes.append(f"{directory}: {lacking} utterances have no .json of phones.")
        return reading
    for file in sorted(directory.rglob("usc_s*_mview.mat")):
        if found := _SESSION.fullmatch(file.name):
            id = file.stem.removesuffix("_mview")
            reading.add(Clip(id, file, file, frame_rate=float(RATE), speaker=found.group(1)))
    if not reading.clips:
        raise nothing_found(directory, "video/usc_s1_*.avi or articulators/usc_s1_*_mview.mat")
    reading.notes.append(f"{directory}: found no video/usc_s1_*.avi; whole sessions are taken from the .mat files.")
    reading.expect(directory, "sessions", len(reading.clips), SESSIONS)
    return reading
