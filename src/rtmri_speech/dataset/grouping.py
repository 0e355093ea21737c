"""Which clips must not be parted between training and scoring: those of one text, speaker or recording."""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.corpus import recording_names
from rtmri_speech.dataset.split import SPLITS, split_clips
from rtmri_speech.errors import UserError, some_of
from rtmri_speech.settings.data import By, Split
from rtmri_speech.settings.fields import plain

FEWEST_RECORDINGS = 3
"""Recordings that can fill three splits; fewer are divided into blocks."""

_NAMED = 3
"""Clips that a sentence names."""


@dataclass(frozen=True)
class Divided:
    """Clips in splits.

    Attributes
    ----------
    splits : sorted ids of each of `SPLITS`.
    by : what is kept in one part.
    groups : what each clip has in common with those that must be in one part with it: its group (`groups_of`), and of a
        recording that is divided into blocks, its block.
    left_out : clips in no part, since they lie in the gap between two blocks.
    notes : what is to be known of it, in sentences.
    """

    splits: dict[str, list[str]]
    by: By
    groups: dict[str, str]
    left_out: list[str]
    notes: list[str]


def groups_of(clips: Mapping[str, Clip], by: By) -> dict[str, str]:
    """Return the group of each clip: what it has in common with those that must be in one part with it.

    ``clip``: nothing, each is its own. ``text``: what is said, whatever its case, spaces and punctuation.
    ``recording``: the video; the only clip of one is its own group.

    Raises
    ------
    UserError
        A clip has no text or speaker.
    """
    if by == "clip":
        return {id: id for id in clips}
    if by == "recording":
        counts, names = Counter(clip.video for clip in clips.values()), recording_names(clips)
        return {id: names[clip.video] if counts[clip.video] > 1 else id for id, clip in clips.items()}
    found = {id: clip.speaker if by == "speaker" else clip.text and _plain(clip.text) for id, clip in clips.items()}
    if lacking := [id for id, value in found.items() if not value]:
        raise UserError(
            "split.by",
            f"is {by}, and of {len(lacking)} of {len(clips)} clips no {by} is known ({some_of(lacking, _NAMED)})",
            f"fill in the column {by} of the table, or choose another of {', '.join(get_args(By))}",
        )
    return {id: str(value) for id, value in found.items()}


def divide(clips: Mapping[str, Clip], settings: Split) -> Divided:
    """Divide the clips of a corpus as the section ``split_clips`` says.

    Where ``by`` is empty, clips cut from one recording are kept together; of fewer than `FEWEST_RECORDINGS` each is
    divided into contiguous blocks, training first, with a gap between them, unless clips are named for a part.
    ``test_speaker`` puts all clips of one speaker into the test part and divides the others.

    Raises
    ------
    UserError
        What `split_clips` and `groups_of` raise, or there is no such speaker.
    """
    by: By | None = settings.by
    gap = settings.gap
    shares = {name: plain(getattr(settings, name)) for name in ("seed", "validation", "test", "named")}
    if settings.test_speaker is not None:
        return _without_speaker(clips, settings.test_speaker, by, shares)
    recordings = Counter(clip.video for clip in clips.values())
    named = any(shares["named"].values())
    if by is None:
        cut = len(clips) > len(recordings) and any(clip.start or clip.end for clip in clips.values())
        by = "recording" if cut and not (named and len(recordings) < FEWEST_RECORDINGS) else "clip"
    if by == "recording" and len(recordings) < FEWEST_RECORDINGS and len(clips) > len(recordings) and not named:
        return _in_blocks(clips, shares["validation"], shares["test"], gap)
    groups = groups_of(clips, by)
    splits = split_clips(clips, **shares, groups=groups)
    return Divided(splits, by, groups, [], _shared(clips, splits, by))


def shared_groups(splits: Mapping[str, Iterable[str]], groups: Mapping[str, str]) -> dict[str, str]:
    """Return the test clips whose group training or validation has too, each with that group."""
    seen = {groups[id] for part in ("training", "validation") for id in splits[part]}
    return {id: groups[id] for id in splits["test"] if groups[id] in seen}


def _shared(clips: Mapping[str, Clip], splits: Mapping[str, Sequence[str]], by: By) -> list[str]:
    """What a split by clip leaves on both sides, where texts are known."""
    if by != "clip" or not all(clip.text for clip in clips.values()):
        return []
    shared = shared_groups(splits, groups_of(clips, "text"))
    if not shared:
        return []
    return [
        f"Of {len(splits['test'])} test clips {len(shared)} say what training clips say too"
        f" ({some_of(shared, _NAMED)}): split: {{by: text}} keeps them apart."
    ]


def _without_speaker(clips: Mapping[str, Clip], speaker: str, by: By | None, shares: Mapping[str, Any]) -> Divided:
    speakers = groups_of(clips, "speaker")
    test = sorted(id for id in clips if speakers[id] == speaker)
    if not test:
        known = ", ".join(sorted(set(speakers.values())))
        raise UserError("split.test_speaker", f"is {speaker!r}, who speaks in no clip", f"give one of {known}")
    others = {id: clip for id, clip in clips.items() if speakers[id] != speaker}
    if not others:
        raise UserError("split.test_speaker", f"is {speaker!r}, the only speaker", "leave it out")
    named = {part: [id for id in ids if id in others] for part, ids in shares["named"].items() if part != "test"}
    inner: By = by or "recording"
    if inner == "speaker" and len(set(speakers.values())) < 3:
        inner = "recording"
    splits = split_clips(others, shares["seed"], shares["validation"], 0, named, groups_of(others, inner))
    return Divided({**splits, "test": test}, "speaker", speakers, [], [])


def _in_blocks(clips: Mapping[str, Clip], validation: float, test: float, gap: float) -> Divided:
    """Each recording's clips in order of time: training, then validation, then test, ``gap`` seconds apart."""
    splits: dict[str, list[str]] = {part: [] for part in SPLITS}
    left_out: list[str] = []
    ordered = sorted(clips.values(), key=lambda clip: (str(clip.video), clip.start or 0.0, clip.id))
    for _, run in itertools.groupby(ordered, key=lambda clip: clip.video):
        recording = list(run)
        counts = _block_sizes(len(recording), validation, test)
        following: list[Clip] = []
        for part in reversed(SPLITS):
            recording, block = recording[: -counts[part] or None], recording[-counts[part] :] if counts[part] else []
            # What ends in the gap before the next block, or beyond it, is in no part.
            begin = min((clip.start or 0.0 for clip in following), default=None)
            kept = [clip for clip in block if begin is None or (clip.end is not None and clip.end <= begin - gap)]
            splits[part] += [clip.id for clip in kept]
            left_out += [clip.id for clip in block if clip not in kept]
            following += block
    for part, share in (("training", 1.0), ("validation", validation), ("test", test)):
        if share and not splits[part] and len(clips) > len(SPLITS):
            raise UserError(
                f"split.{part}",
                f"has no clip left, since {gap:g} s between the blocks of one recording take them all",
                "cut more or shorter clips, or give a smaller split.gap",
            )
    recordings = len({clip.video for clip in clips.values()})
    notes = [
        f"All clips are of {recordings} recording{'s' if recordings > 1 else ''}: its blocks in time are the splits,"
        f" training first, at least {gap:g} s apart"
        + (f"; {len(left_out)} clips lie between and are left out ({some_of(left_out, _NAMED)})." if left_out else ".")
    ]
    names = groups_of(clips, "recording")
    groups = {id: f"{names[id]}, {part}" for part, ids in splits.items() for id in ids}
    return Divided({part: sorted(ids) for part, ids in splits.items()}, "recording", groups, sorted(left_out), notes)


def _block_sizes(count: int, validation: float, test: float) -> dict[str, int]:
    """Clips of each block; the gap may take the last one of validation, which has two where there are five or more."""
    tests = min(max(1, round(test * count)), max(count - 2, 0)) if test else 0
    least = 2 if count >= 5 else 1
    validations = min(max(least, round(validation * count)), max(count - tests - 1, 0)) if validation else 0
    return {"training": count - tests - validations, "validation": validations, "test": tests}


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(letter if letter.isalnum() else " " for letter in folded).split())
