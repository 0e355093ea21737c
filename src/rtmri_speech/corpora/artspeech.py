"""ArtSpeech's database 2 (Nancy): ``<speaker>/<session>`` with sound, a TextGrid and ``NPY_MR/0001.npy``, a frame each.

Frames are 136 x 136, 50 a second. Sound and TextGrid begin with the third frame, so that the sound lies two frames
before the picture (vribeiro1/artspeech reads the frames from number SYNC_SHIFT = 2 on).
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from rtmri_speech.corpora.reading import Reading, nothing_found, require_directory
from rtmri_speech.dataset.clip import Clip, id_of
from rtmri_speech.dataset.cutting import Utterance, with_margins
from rtmri_speech.dataset.tiers import SENTENCES, read_tiers, spoken_labels, words_between

SIZE = (136, 136)
RATE = Fraction(50)
SHIFT_FRAMES = 2
AV_OFFSET_MS = -1000.0 * SHIFT_FRAMES / float(RATE)


def read(directory: Path) -> Reading:
    """Return the sentences of each session's TextGrid; a session without one is one clip.

    Raises
    ------
    UserError
        There is no such directory, nothing of the set in it, or a TextGrid is damaged.
    """
    reading = Reading()
    sessions = sorted(
        {path.parent for place in ("*/*/", "*/*/*/") for path in require_directory(directory).glob(f"{place}NPY_MR")}
    )
    if not sessions:
        raise nothing_found(directory, "<speaker>/<session>/NPY_MR/0001.npy")
    silent, whole = [], []
    for session in sessions:
        speaker = session.parent.name
        name = f"{speaker}_{session.name}"
        sound = next((path for stem in (f"vol_{name}", name) if (path := session / f"{stem}.wav").is_file()), None)
        if sound is None:
            silent.append(session)
            continue
        common: dict[str, Any] = {"frame_rate": float(RATE), "av_offset_ms": AV_OFFSET_MS, "speaker": speaker}
        frames = session / "NPY_MR"
        grids = sorted(path for path in session.iterdir() if path.suffix.lower() == ".textgrid")
        # The one that was corrected by hand comes first.
        grids.sort(key=lambda path: not path.stem.endswith("_adjusted"))
        tiers = read_tiers(grids[0]) if grids else {}
        labels = spoken_labels(tiers, SENTENCES)
        if not labels:
            whole.append(session)
            reading.add(Clip(id_of(name), frames, sound, title=name, alignment=grids[0] if grids else None, **common))
            continue
        count = sum(path.suffix == ".npy" for path in frames.iterdir())
        # Times of the TextGrid are the sound's, and a clip's are the picture's.
        shift = -AV_OFFSET_MS / 1000
        spoken = [
            Utterance(
                label.start + shift,
                label.end + shift,
                words_between(tiers, label.start, label.end) or label.text.strip(),
            )
            for label in labels
        ]
        kept = with_margins(spoken, count / float(RATE))
        reading.left_out(
            grids[0], [f"{one.start:.2f} s" for one in spoken[len(kept) :]], "sentences after the last frame"
        )
        for number, utterance in enumerate(kept, 1):
            title = f"{name}, sentence {number}"
            id = id_of(f"{name}_{number:03d}")
            reading.add(
                Clip(
                    id,
                    frames,
                    sound,
                    utterance.start,
                    utterance.end,
                    title=title,
                    text=utterance.text,
                    alignment=grids[0],
                    **common,
                )
            )
    reading.left_out(directory, silent, "sessions without a wav")
    if whole:
        reading.notes.append(f"{directory}: {len(whole)} sessions have no TextGrid of sentences and are one clip each.")
    if not reading.clips:
        raise nothing_found(directory, "session with a wav")
    return reading
