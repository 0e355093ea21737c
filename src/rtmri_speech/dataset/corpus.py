"""The clips of the demo, excluded clips, and the recordings that clips are intervals of."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from rtmri_speech.dataset.clip import Clip, is_id
from rtmri_speech.errors import UserError

AnyClip = TypeVar("AnyClip", bound=Clip)


def included(clips: Mapping[str, AnyClip], exclude: Iterable[str]) -> dict[str, AnyClip]:
    """Return ``clips``, sorted, without the ids in ``exclude``.

    Raises
    ------
    UserError
        An id is not a clip, or no clip is left.
    """
    clips = dict(sorted(clips.items()))
    for id in exclude:
        if clips.pop(id, None) is None:
            raise UserError("corpus.exclude", f"names {id!r}, which is not a clip", "name a clip of the corpus")
    if not clips:
        raise UserError("corpus", "has no clip left", "exclude fewer")
    return clips


def demo_clips(count: int, directory: Path) -> dict[str, Clip]:
    """Return the clips of the embedded corpus: ``videos/<id>.mp4`` and ``audio/<id>.wav``, from id 000."""
    ids = (f"{number:03d}" for number in range(count))
    return {id: Clip(id, directory / "videos" / f"{id}.mp4", directory / "audio" / f"{id}.wav") for id in ids}


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
        id: dataclasses.replace(
            clip, video=directory / f"{names[clip.video]}.mp4", audio=clip.audio or clip.video, frame_rate=None
        )
        for id, clip in clips.items()
    }
