"""Who speaks in each clip, and the statistics of each speaker's mel.

Recordings differ in level from speaker to speaker and from bin to bin of the mel, by the voice, the microphone and the
filter against the scanner's noise, none of which a picture shows.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from rtmri_speech.atomic import save_json
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError, some_of
from rtmri_speech.untrusted import read_json, require_type

_log = logging.getLogger(__name__)

FOLDER = "speakers"
"""Directory of a dataset with who speaks in the clips of each split, ``<split>.json``."""

_NAMED = 8
"""Speakers or clips that a sentence names."""


def write_speakers(path: str | Path, speakers: Mapping[str, str | None]) -> None:
    """Write the list of a split's speakers by clip, of those that are known."""
    save_json(path, {id: speaker for id, speaker in speakers.items() if speaker})


def read_speakers(processed_dir: str | Path) -> dict[str, str]:
    """Return who speaks in each clip of a dataset, where that is known; refuse a damaged list."""
    remedy = "delete it and make it again (snakemake dataset)"
    found: dict[str, str] = {}
    # The newest list last: a clip in two has been moved, and the older list was not needed since.
    for path in sorted(Path(processed_dir, FOLDER).glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
        found |= require_type(read_json(path, missing=remedy, remedy=remedy), dict[str, str], "speakers", path, remedy)
    return found


def require_speakers(speakers: Mapping[str, str | None], source: str | Path) -> dict[str, str]:
    """Return the speaker of each clip; refuse clips whose speaker is not known, naming ``source``."""
    known = {id: speaker for id, speaker in speakers.items() if speaker}
    if unknown := [id for id in speakers if id not in known]:
        raise UserError(
            source,
            f"does not say who speaks in {some_of(unknown, 1)}, which acoustic.speaker_statistics and"
            " speaker_embedding need",
            "fill in the column speaker of the clips' table (corpus: {source: table}), or leave these settings out",
        )
    return known


def speakers_of(processed_dir: str | Path, ids: Iterable[str]) -> dict[str, str]:
    """Return the speaker of each clip of a dataset; see `require_speakers`."""
    named = read_speakers(processed_dir)
    return require_speakers({id: named.get(id) for id in ids}, Path(processed_dir) / FOLDER)


def scalers_of(processed_dir: str | Path, speakers: Mapping[str, str]) -> dict[str, Scaler]:
    """Return the scaler of each speaker's clips by name, sorted.

    Parameters
    ----------
    processed_dir : the dataset.
    speakers : of each of its training clips.

    Raises
    ------
    UserError
        A clip cannot be read, or a speaker's hold no frame with sound.
    """
    found = {}
    for name in sorted(set(speakers.values())):
        ids = [id for id, speaker in speakers.items() if speaker == name]
        found[name] = Scaler.of((open_sample(processed_dir, id) for id in ids), f"training clips of {name}")
    return found


def require_known(speaker: str, known: Collection[str], source: str | Path) -> None:
    """Refuse a speaker whom the model in ``source`` does not know, naming those it does."""
    if not known:
        raise UserError("--speaker", f"is {speaker!r}, but {source} distinguishes no speakers", "leave it out")
    if speaker not in known:
        raise UserError(
            "--speaker",
            f"is {speaker!r}, whom {source} does not know",
            f"give one of {some_of(known, _NAMED)}, or leave it out for a mean of all",
        )


def known_speakers(named: Mapping[str, str | None], known: Collection[str]) -> dict[str, str | None]:
    """Return the speaker by whom each clip's mel is predicted, or None for a mean of all.

    Parameters
    ----------
    named : who speaks in each clip, None if that is not known.
    known : speakers of the model, none for one that distinguishes none.
    """
    found = {id: speaker if speaker in known else None for id, speaker in named.items()}
    if known and (others := [id for id, speaker in found.items() if speaker is None]):
        _log.info(
            f"{some_of(others, _NAMED)}: as far as is known, spoken by none of the model's speakers"
            f" ({some_of(known, _NAMED)}); a mean of all of them stands for the speaker."
        )
    return found


def clip_speakers(processed_dir: str | Path, ids: Collection[str], known: Collection[str]) -> dict[str, str | None]:
    """Return `known_speakers` of clips of a dataset."""
    named = read_speakers(processed_dir) if known else {}
    return known_speakers({id: named.get(id) for id in ids}, known)
