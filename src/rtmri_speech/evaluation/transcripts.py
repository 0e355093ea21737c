"""What is said in a clip, cut out of the annotation of its recording: a small JSON file each for all that follows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtmri_speech.atomic import save_json
from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.tiers import (
    ALIGNMENTS,
    PHONES,
    SENTENCES,
    WORDS,
    annotation_text,
    find_tier,
    read_tiers,
    words_between,
)
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.phonemes import find_phonemes, no_phonemes, read_phonemes, spoken_text


@dataclass(frozen=True)
class Said:
    """The sources of what is said in a clip.

    Attributes
    ----------
    alignment : a file of tiers, or a description of the clip in JSON; None where there is neither.
    begin, end : the clip in the time of that file, seconds; ``end`` is None for its end.
    text : the words, if the clip's table, its set or a text file contains them.
    """

    alignment: Path | None
    begin: float = 0.0
    end: float | None = None
    text: str | None = None


def said_in(clips: Mapping[str, Clip], directory: Path | None) -> dict[str, Said]:
    """Return the sources of what is said, of each clip that has one.

    Parameters
    ----------
    clips : by id.
    directory : ``corpus.phonemes``: a file that has a clip's id for a name counts from the clip's beginning; one with
        the name of a recording that clips are cut from counts from the recording's, as a clip's own ``alignment`` does.

    Raises
    ------
    UserError
        There is no such directory, or a text file cannot be read.
    """
    if directory is not None and not directory.is_dir():
        raise UserError("corpus.phonemes", f"names {directory}, and there is no such directory", "check the path")
    held = {path.name for path in directory.iterdir()} if directory is not None else set()
    said = {}
    for id, clip in clips.items():
        cut = clip.start is not None or clip.end is not None
        begin = (clip.start or 0.0) + clip.av_offset_ms / 1000
        end = None if clip.end is None else clip.end + clip.av_offset_ms / 1000
        stems = dict.fromkeys(path.stem for path in (clip.video, clip.audio) if path is not None)
        of_recording = [
            directory / f"{stem}{ending}" for stem in stems for ending in ALIGNMENTS if f"{stem}{ending}" in held
        ]
        own = None if directory is None or (cut and id in stems) else find_phonemes(directory, id)
        text = clip.text
        for name in (f"{id}.txt", *([] if cut else [f"{stem}.txt" for stem in stems])):
            if name in held:
                text = " ".join(annotation_text(directory / name).split()) or text
                break
        if own is not None:
            said[id] = Said(own, text=text)
        elif alignment := next(iter(of_recording), clip.alignment):
            said[id] = Said(alignment, begin, end, text)
        elif text:
            said[id] = Said(None, text=text)
    return said


def write_transcript(path: str | Path, id: str, said: Said) -> None:
    """Write ``{"id", "text", "phonemes"}`` of a clip, its phonemes in seconds from its beginning (`read_phonemes`).

    Raises
    ------
    UserError
        The annotation cannot be read, or has neither phonemes nor words.
    """
    phonemes, text = phonemes_and_text(said)
    save_json(path, {"id": id, "text": text, "phonemes": phonemes})


def phonemes_and_text(said: Said) -> tuple[list[dict[str, str | float]], str | None]:
    """Return the phonemes that reach into a clip, and its words; an annotation without either is refused."""
    alignment, text = said.alignment, said.text
    if alignment is None:
        return [], text
    end = math.inf if said.end is None else said.end
    if (
        alignment.suffix == ".json"
        and said.begin == 0.0
        and said.end is None
        and '"phonemes"' in annotation_text(alignment)
    ):
        segments = [(one.phoneme, one.start, one.end) for one in read_phonemes(alignment)]
        text = text or spoken_text(alignment)
    else:
        tiers = read_tiers(alignment)
        name = find_tier(tiers, PHONES)
        if name is None and find_tier(tiers, WORDS) is None and find_tier(tiers, SENTENCES) is None:
            raise no_phonemes(alignment, tiers)
        segments = [("" if label.pause else label.text, label.start, label.end) for label in tiers.get(name or "", [])]
        text = text or words_between(tiers, said.begin, end)
    return [
        {"phoneme": phoneme, "start": round(start - said.begin, 6), "end": round(stop - said.begin, 6)}
        for phoneme, start, stop in segments
        if stop > said.begin and start < end
    ], text
