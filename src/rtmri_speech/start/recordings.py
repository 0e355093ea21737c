"""Finds the recordings of a folder: a public set by its layout, else each video with its sound and annotation."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from rtmri_speech.corpora.configured import SETS
from rtmri_speech.corpora.reading import NothingFound, Reading
from rtmri_speech.dataset.clip import (
    AUDIO_EXTENSIONS,
    VIDEO_EXTENSIONS,
    Clip,
    clips_from_directories,
    holds_pictures,
    id_of,
    recording_name,
    with_rate,
)
from rtmri_speech.dataset.sound import TOLERATED_FRAMES, TOLERATED_SHARE
from rtmri_speech.dataset.tiers import ALIGNMENTS, annotation_text
from rtmri_speech.errors import UserError, some_of
from rtmri_speech.signal.audio import sound_length, track_rate
from rtmri_speech.signal.store_paths import ARRAY_ENDINGS
from rtmri_speech.signal.video import probe

_NAMED = 3

_MADE_SPEECH = ("_generated", "_original")
"""Endings of the names of synthesised files and of what they are compared with."""


@dataclass(frozen=True)
class Seen:
    """A clip, and what its files declare.

    Attributes
    ----------
    size : height and width of the picture, pixels.
    rate : frames per second.
    seconds : of the picture.
    sound_rate : Hz.
    """

    clip: Clip
    size: tuple[int, int]
    rate: Fraction
    seconds: float
    sound_rate: int


@dataclass
class Found:
    """What a folder holds.

    Attributes
    ----------
    source : of ``corpus.source``: the name of a public set, or directories.
    seen : its clips that can be used, by id.
    refused : a sentence for each clip that cannot, by id.
    notes : what else is to be said.
    """

    source: str
    seen: dict[str, Seen] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find_recordings(directory: Path, source: str | None = None, frame_rate: float | None = None) -> Found:
    """Return what a folder holds, after opening every file of it.

    Parameters
    ----------
    directory : looked through with all its folders.
    source : name of a public set; None to recognise it by its layout.
    frame_rate : frames per second of pictures and arrays that do not store it.

    Raises
    ------
    UserError
        There is no such directory, nothing of the ``source`` in it, no video, or none that can be used; then the fault
        of the first one.
    """
    if not directory.is_dir():
        raise UserError(directory, "there is no such directory", "give the folder of your recordings")
    from tqdm import tqdm

    found, reading = _of_set(directory, source) or _of_folder(directory)
    found.notes += reading.notes
    first = None
    for id, clip in tqdm(with_rate(reading.clips, frame_rate).items(), "looking", unit="clip", disable=None):
        try:
            found.seen[id] = look_at(clip)
        except UserError as error:
            first = first or error
            found.refused[id] = str(error)
    if not found.seen:
        raise first or UserError(directory, "holds no video", "give the folder of your recordings")
    return found


def look_at(clip: Clip) -> Seen:
    """Return what the files of a clip declare.

    Raises
    ------
    UserError
        A file cannot be read, there is no sound, or it is not as long as the picture.
    """
    info = probe(clip.video, clip.frame_rate)
    if clip.audio is None and not track_rate(clip.video):
        raise UserError(clip.video, "has no sound of its own and no sound file", f"put {clip.video.stem}.wav beside it")
    sound_rate, sound_s = sound_length(clip.audio or clip.video)
    picture_s = float(info.frames / info.rate) if info.frames else sound_s
    if picture_s is None:
        raise UserError(clip.video, "does not state its duration", "copy it into an mp4")
    end = min(clip.end or picture_s, picture_s) if clip.start is not None or clip.end is not None else picture_s
    apart = 0.0 if sound_s is None or clip.end is not None else sound_s - clip.av_offset_ms / 1000 - picture_s
    if abs(apart) > max(float(TOLERATED_FRAMES / info.rate), TOLERATED_SHARE * picture_s):
        raise UserError(
            clip.audio or clip.video,
            f"is {sound_s:.2f} s of sound, {abs(apart):.2f} s {'longer' if apart > 0 else 'shorter'} than the picture",
            "check that the two belong together, or cut them to the same begin and end",
        )
    return Seen(clip, (info.height, info.width), info.rate, end - (clip.start or 0.0), sound_rate)


def _of_set(directory: Path, source: str | None) -> tuple[Found, Reading] | None:
    for name in [source] if source else SETS:
        try:
            return Found(name), SETS[name].read(directory)
        except NothingFound:
            if source:
                raise
    return None


def _of_folder(directory: Path) -> tuple[Found, Reading]:
    videos, sounds, arrays, annotations, texts = _files(directory)
    reading, found = Reading(), Found("directories")
    videos = videos or arrays
    stems = Counter(id_of(recording_name(video)) for video in videos)
    for video in videos:
        name = recording_name(video)
        if stems[id_of(name)] > 1:
            name = "_".join([*video.parent.relative_to(directory).parts, name])
        id = id_of(name)
        if id in reading.clips:
            found.refused[f"{id} ({video.suffix})"] = f"{video}: has the name of {reading.clips[id].video.name}."
            continue
        key = id_of(recording_name(video))
        text = _nearest(video, texts.get(key, ()))
        reading.add(
            Clip(
                id,
                video,
                _nearest(video, sounds.get(key, ())),
                title=None if name == id else name,
                text=" ".join(annotation_text(text).split()) or None if text else None,
                alignment=_nearest(video, annotations.get(key, ())),
            )
        )
    unseen = [path.name for key, paths in sounds.items() if key not in stems for path in paths]
    if unseen:
        reading.notes.append(f"Sound files without a video of their name: {len(unseen)} ({some_of(unseen, _NAMED)}).")
    return found, reading


ByName = dict[str, list[Path]]


def _files(directory: Path) -> tuple[list[Path], ByName, list[Path], ByName, ByName]:
    """Videos, sounds by name, arrays and directories of pictures, annotations by name, and texts by name."""
    videos: list[Path] = []
    arrays: list[Path] = []
    sounds, annotations, texts = ByName(), ByName(), ByName()
    kinds = ((AUDIO_EXTENSIONS, sounds), (tuple(map(str.lower, ALIGNMENTS)), annotations), ((".txt",), texts))
    for place, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        pictures = [name for name in folders if holds_pictures(Path(place, name))]
        arrays += [Path(place, name) for name in pictures]
        folders[:] = [name for name in folders if name not in pictures]
        for path in (Path(place, name) for name in sorted(files) if not name.startswith(".")):
            ending = path.suffix.lower()
            if path.stem.endswith(_MADE_SPEECH):
                continue
            if ending in VIDEO_EXTENSIONS:
                videos.append(path)
            elif ending in ARRAY_ENDINGS:
                arrays.append(path)
            for endings, by_name in kinds:
                if ending in endings:
                    by_name.setdefault(id_of(path.stem), []).append(path)
    return videos, sounds, arrays, annotations, texts


def _nearest(video: Path, files: Iterable[Path]) -> Path | None:
    """The file that has most of its folders in common with the video."""
    return max(files, key=lambda file: len(os.path.commonpath([file.parent, video.parent])), default=None)


def as_directories(clips: Mapping[str, Clip]) -> tuple[Path, Path | None] | None:
    """Return the directories of videos and of sounds (or None) that give exactly these clips; None without such two."""
    videos = {clip.video.parent for clip in clips.values()}
    sounds = {clip.audio and clip.audio.parent for clip in clips.values()}
    if len(videos) > 1 or len(sounds) > 1:
        return None
    places = videos.pop(), sounds.pop()
    try:
        return places if clips_from_directories(*places) == clips else None
    except UserError:
        return None


def describe(found: Found) -> list[str]:
    """Return what was found, in sentences for a terminal."""
    seen = list(found.seen.values())
    kind = "own recordings" if found.source == "directories" else f"the public set {found.source}"
    minutes = sum(one.seconds for one in seen) / 60
    lines = [f"Clips: {len(seen)} of {kind}, {minutes:.1f} minutes."]
    lines.append(f"Frames per second: {_counted(f'{float(one.rate):.5g}' for one in seen)}.")
    lines.append(f"Picture size: {_counted('{1}x{0}'.format(*one.size) for one in seen)}.")
    lines.append(f"Sound: {_counted(f'{one.sound_rate} Hz' for one in seen)}.")
    lengths = sorted(one.seconds for one in seen)
    lines.append(f"Length: {lengths[0]:.1f} to {lengths[-1]:.1f} s.")
    for what, values in (
        ("Annotations (TextGrid and the like)", [one.clip.alignment for one in seen]),
        ("Texts", [one.clip.text for one in seen]),
    ):
        if count := sum(value is not None for value in values):
            lines.append(f"{what}: {count}.")
    speakers = sorted({one.clip.speaker for one in seen if one.clip.speaker})
    lines.append(f"Speakers: {some_of(speakers, 8)}." if speakers else "Speakers: not known.")
    if titled := [one.clip for one in seen if one.clip.title]:
        lines.append(f"File names that become ids: {some_of((f'{c.title} -> {c.id}' for c in titled), _NAMED)}.")
    return [*lines, *found.notes, *_refusals(list(found.refused.values()))]


def _refusals(sentences: Sequence[str]) -> list[str]:
    return [f"Clips that cannot be used: {len(sentences)}", *(f"  {one}" for one in sentences)] if sentences else []


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values).most_common()
    if len(counts) == 1:
        return counts[0][0]
    return some_of((f"{value} ({count} clips)" for value, count in counts), 4)
