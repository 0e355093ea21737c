"""The clips of a configured corpus: the demo, a pair of directories, a table, or the lab's stored clips."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rtmri_speech.dataset.clip import (
    AUDIO_EXTENSIONS,
    Clip,
    clips_from_directories,
    clips_from_table,
    is_id,
    recordings,
)
from rtmri_speech.dataset.lab_format import stored_clips
from rtmri_speech.errors import UserError
from rtmri_speech.settings.data import Corpus, Lab


def corpus_clips(settings: Corpus, results: Path, lab: Lab) -> dict[str, Clip]:
    """Return the clips of the ``corpus`` section by id, sorted, without the excluded ones.

    Parameters
    ----------
    settings : the ``corpus`` section.
    results : results directory, for the demo's recordings.
    lab : its ``lab`` section, for the source ``lab``.

    Raises
    ------
    UserError
        As `clips_from_directories`, `clips_from_table` and `stored_clips`, or no clip is left.
    """
    match settings.source:
        case "demo":
            clips = demo_clips(settings.demo.clips, results / "demo")
        case "directories":
            clips = clips_from_directories(settings.videos, settings.audio)
        case "table":
            clips = clips_from_table(settings.table)
        case "lab" if lab.conventions == "lab":
            clips = lab_clips(lab.processed, settings.videos, settings.audio)
        case "lab":
            clips = clips_from_directories(settings.videos, settings.audio)
    for id in settings.exclude:
        if clips.pop(id, None) is None:
            raise UserError("corpus.exclude", f"names {id!r}, which is not a clip", "name a clip of the corpus")
    if not clips:
        raise UserError("corpus", "has no clip left", "exclude fewer")
    return dict(sorted(clips.items()))


def demo_clips(count: int, directory: Path) -> dict[str, Clip]:
    """Return the clips of the embedded corpus: ``videos/<id>.mp4`` and ``audio/<id>.wav``, from id 000."""
    ids = (f"{number:03d}" for number in range(count))
    return {id: Clip(id, directory / "videos" / f"{id}.mp4", directory / "audio" / f"{id}.wav") for id in ids}


def lab_clips(processed_dir: Path, videos: Path, audio: Path) -> dict[str, Clip]:
    """Return the clips of the lab's processed directory, each with its sound file.

    Raises
    ------
    UserError
        As `stored_clips` and `recordings`.
    """
    sounds = recordings(audio, AUDIO_EXTENSIONS, "audio")
    return {
        id: Clip(id, videos / f"{id}.mp4", sounds.get(id, audio / f"{id}.wav"), stored=stored.source)
        for id, stored in stored_clips(processed_dir).items()
    }


def recording_names(clips: Mapping[str, Clip]) -> dict[Path, str]:
    """Return a unique name, a valid id, for each video of ``clips``; several clips may be intervals of one video.

    It is the file's stem, or the id of the video's first clip if the stem is not a valid id or is also another video's
    stem or clip id.
    """
    videos: dict[Path, list[str]] = {}
    for id, clip in clips.items():
        videos.setdefault(clip.video, []).append(id)
    stems = Counter(video.stem for video in videos)

    def is_free(stem: str, own: list[str]) -> bool:
        return stems[stem] == 1 and (stem in own or stem not in clips) and is_id(stem)

    return {video: video.stem if is_free(video.stem, ids) else ids[0] for video, ids in videos.items()}


def normalised_clips(clips: Mapping[str, Clip], directory: Path) -> dict[str, Clip]:
    """Return ``clips`` with each video replaced by its normalised one, ``<directory>/<name of the recording>.mp4``."""
    names = recording_names(clips)
    return {
        id: dataclasses.replace(clip, video=directory / f"{names[clip.video]}.mp4", audio=clip.audio or clip.video)
        for id, clip in clips.items()
    }
