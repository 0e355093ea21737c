"""USC-TIMIT's real-time MRI (Narayanan et al., 2014): ten speakers, the same 460 sentences, five a file.

``F1/avi/usctimit_mri_f1_001_005.avi`` with ``../wav``, ``../trans`` (rows start,end,phone,word,sentence,index) and
``../textgrids``; each sentence becomes a clip.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

from rtmri_speech.corpora.reading import Reading, nothing_found, require_directory
from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.cutting import Utterance, with_margins
from rtmri_speech.dataset.tiers import SENTENCES, read_tiers, spoken_labels
from rtmri_speech.errors import UserError

SIZE = (68, 68)
RATE = Fraction(2318, 100)

FILES_A_SPEAKER, SPEAKERS = 92, ("F1", "F2", "F3", "F4", "F5", "M1", "M2", "M3", "M4", "M5")

_FILE = re.compile(r"usctimit_mri_([fm]\d+)_(\d+)_(\d+)(_withaudio)?\.avi", re.IGNORECASE)


def read(directory: Path) -> Reading:
    """Return the clips of the set, a sentence each; a file without a transcript is one clip.

    Raises
    ------
    UserError
        There is no such directory, nothing of the set in it, or a transcript is damaged.
    """
    reading = Reading()
    places = ("", "Data", "MRI/Data", "USC-TIMIT/MRI/Data")
    data = next(
        (place for name in places if list((place := require_directory(directory) / name).glob("[FM]*/avi"))), None
    )
    if data is None:
        raise nothing_found(directory, "MRI/Data/F1/avi/usctimit_mri_f1_*.avi")
    sentences = _sentences(directory)
    unknown, silent = [], []
    for folder in sorted(data.glob("[FM]*")):
        stems: dict[str, Path] = {}
        for file in sorted((folder / "avi").glob("*.avi")):
            if _FILE.fullmatch(file.name) is None:
                unknown.append(file)
            else:
                # The file without sound comes first by name, and the wav is the better sound.
                stems.setdefault(file.stem.removesuffix("_withaudio"), file)
        if stems:
            reading.expect(folder, "files", len(stems), FILES_A_SPEAKER)
        for stem, file in stems.items():
            if not _add_file(reading, folder, stem, file, sentences):
                silent.append(file)
    reading.left_out(directory, unknown, "whose names are not usctimit_mri_f1_001_005.avi")
    if silent:
        reading.notes.append(f"{directory}: {len(silent)} files have no transcript and are one clip each.")
    speakers = {clip.speaker for clip in reading.clips.values()}
    reading.expect(directory, "speakers", len(speakers), len(SPEAKERS))
    if "M1" in speakers:
        reading.notes.append(
            f"{directory}: most of M1 is reported out of step; audit_sync.py measures it, corpus.exclude leaves it out."
        )
    return reading


def _add_file(reading: Reading, folder: Path, stem: str, file: Path, sentences: dict[int, str]) -> bool:
    speaker, first, last = _FILE.fullmatch(file.name).group(1, 2, 3)
    wav = folder / "wav" / f"{stem}.wav"
    alignment = next(
        (
            path
            for place, ending in (("trans", "trans"), ("textgrids", "TextGrid"), ("textgrids", "textgrid"))
            if (path := folder / place / f"{stem}.{ending}").is_file()
        ),
        None,
    )
    common: dict[str, Any] = {
        "audio": wav if wav.is_file() else None,
        "speaker": speaker.upper(),
        "alignment": alignment,
    }
    tiers = read_tiers(alignment) if alignment else {}
    labels = spoken_labels(tiers, SENTENCES)
    if not labels:
        reading.add(Clip(f"{speaker.lower()}_{first}_{last}", file, title=stem, **common))
        return False
    expected = int(last) - int(first) + 1
    if len(labels) > expected:
        # They are counted on from the file's first one, into those of the next file.
        raise UserError(alignment, f"holds {len(labels)} sentences, and not {expected}", "take the file as distributed")
    reading.expect(alignment, "sentences", len(labels), expected)
    spoken = [Utterance(label.start, label.end, label.text.strip()) for label in labels]
    for number, utterance in enumerate(with_margins(spoken, None), int(first)):
        if utterance.start >= utterance.end:
            fault = f"its sentence {number} begins at {utterance.start:g} s and ends at {utterance.end:g} s"
            raise UserError(alignment, fault, "take the file as distributed")
        reading.add(
            Clip(
                f"{speaker.lower()}_{number:03d}",
                file,
                start=utterance.start,
                end=utterance.end,
                title=f"{stem}, sentence {number}",
                text=utterance.text or sentences.get(number),
                **common,
            )
        )
    return True


def _sentences(directory: Path) -> dict[int, str]:
    """The lines ``n: text`` of ``list_of_sentences.txt``."""
    for place in ("", "*/", "*/*/", "*/*/*/"):
        for path in sorted(directory.glob(f"{place}list_of_sentences.txt")):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            found = [re.fullmatch(r"\s*(\d+)\s*[:.]\s*(.+?)\s*", line) for line in lines]
            return {int(one.group(1)): one.group(2) for one in found if one}
    return {}
