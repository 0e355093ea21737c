"""What the reader of a set gives: its clips, and where what is there differs from what was published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.errors import UserError, some_of

_NAMED = 3
"""Files that a note names."""


@dataclass
class Reading:
    """The clips of a set by id, notes in sentences, and the frame rates that the set itself gives of its videos.

    A note says, for example, "found 3 clips, expected 2371".
    """

    clips: dict[str, Clip] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rates: dict[Path, Fraction] = field(default_factory=dict)

    def add(self, clip: Clip) -> None:
        """Add a clip; another one of its id is refused."""
        if clip.id in self.clips:
            raise UserError(
                clip.video, f"has the same id as {self.clips[clip.id].video} ({clip.id})", "keep one of them"
            )
        self.clips[clip.id] = clip

    def expect(self, where: str | Path, what: str, found: object, expected: object) -> None:
        """Note a difference between what was found and what was published."""
        if found != expected:
            self.notes.append(f"{where}: found {found} {what}, expected {expected}.")

    def left_out(self, where: str | Path, files: Sequence[Path | str], why: str) -> None:
        """Note files, or rows, that are no clips."""
        if files:
            few = some_of((Path(file).name for file in files), _NAMED)
            self.notes.append(f"{where}: {len(files)} left out, {why} ({few}).")


def require_directory(directory: Path) -> Path:
    """Return the directory of a set; one that is not there is refused."""
    if not directory.is_dir():
        raise UserError(directory, "there is no such directory", "give the set's directory as corpus.directory")
    return directory


class NothingFound(UserError):
    """The refusal of a directory that holds nothing of a set's published layout."""


def nothing_found(directory: Path, layout: str) -> NothingFound:
    """Return the refusal of a directory that holds nothing of the published layout."""
    return NothingFound(directory, f"holds no {layout}", "give the directory as it is unpacked from the set's archive")


def format_notes(reading: Reading, size: tuple[int, int] | None, rate: Fraction | None) -> list[str]:
    """Return where the first video of each speaker has another size (width, height) or rate than was published.

    None was not published; a rate that the set gives of a video itself comes first. A video that cannot be read is left
    to its own job, which says what is wrong.
    """
    # FFmpeg's and OpenCV's libraries come with it, which a plan of other corpora needs not.
    from rtmri_speech.signal.video import RATE_TOLERANCE, probe

    firsts: dict[str | None, Clip] = {}
    for clip in reading.clips.values():
        firsts.setdefault(clip.speaker, clip)
    notes = []
    for clip in firsts.values():
        try:
            info = probe(clip.video, clip.frame_rate)
        except UserError:
            continue
        shown = (info.width, info.height), info.rate
        wanted = size or shown[0], reading.rates.get(clip.video, rate) or shown[1]
        if shown[0] != wanted[0] or abs(shown[1] / wanted[1] - 1) > RATE_TOLERANCE:
            found, expected = (f"{w}x{h} at {float(one):.3f} frames/s" for (w, h), one in (shown, wanted))
            notes.append(f"{clip.video}: found {found}, expected {expected}.")
    return notes
