"""A listening test as a folder that opens without a server: opinion scores (MOS) or preferences (AB).

The listener sees neither systems nor clips: sounds are named by a hash, and the key that names them is beside the
folder, not in it. The order is shuffled for each listener from the seed and the listener's name. Answers are downloaded
as a CSV file, and `evaluation.listening` counts them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, Literal

import numpy as np

from rtmri_speech.atomic import replacing_directory, save_text
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.listening import KEY_COLUMNS
from rtmri_speech.evaluation.metrics import speech_frames
from rtmri_speech.signal.audio import read_audio, write_wav

Kind = Literal["mos", "ab"]
Language = Literal["en", "ja"]

KEY_FILE, SHEET = "key.csv", "sheet"

LEVEL_DBFS = -26.0
"""Level of the speech in every sound, RMS of its speech frames re full scale, as in ITU-T P.800."""

_FRAME_S = 0.02
_PEAK = 0.99


def write_listening_test(
    output: str | Path,
    systems: Mapping[str, Path],
    ids: Sequence[str],
    *,
    kind: Kind,
    seed: int,
    sampling_rate: int,
    language: Language = "en",
) -> int:
    """Write ``sheet/index.html`` with its sounds, and ``key.csv``, to ``output``; return the number of trials.

    Parameters
    ----------
    systems : name of each system, or of the recordings, to its directory of ``<id>.wav``.
    ids : clips to hear.
    kind : ``mos``: every sound is rated from 1 to 5 (absolute category rating, ITU-T P.800). ``ab``: of each clip every
        two systems are compared, which is heard first being random.
    seed : of names and order.
    sampling_rate : of the sounds, Hz.

    Raises
    ------
    UserError
        A sound is missing, unreadable or silent, or there are fewer than two systems for ``ab``.
    """
    output = Path(output)
    if kind == "ab" and len(systems) < 2:
        raise UserError("--sounds", "names one system, and a preference needs two", "give two or more NAME=DIR")
    names = {(system, id): _code(seed, system, id) for id in ids for system in systems}
    with replacing_directory(output / SHEET) as sheet:
        for (system, id), code in names.items():
            wav = systems[system] / f"{id}.wav"
            write_wav(sheet / "sounds" / f"{code}.wav", levelled(wav, sampling_rate), sampling_rate)
        trials: list[list[str]] = (
            [[code] for code in names.values()]
            if kind == "mos"
            else [[names[a, id], names[b, id]] for id in ids for a, b in itertools.combinations(systems, 2)]
        )
        # The page lists them, in an order that reveals nothing.
        random.Random(seed).shuffle(trials)
        save_text(sheet / "index.html", _page({"kind": kind, "seed": seed, "language": language, "trials": trials}))
    key = io.StringIO()
    table = csv.writer(key, lineterminator="\n")
    table.writerow(KEY_COLUMNS)
    table.writerows([code, system, id] for (system, id), code in names.items())
    save_text(output / KEY_FILE, key.getvalue())
    return len(trials)


def levelled(wav: Path, sampling_rate: int) -> np.ndarray:
    """Return a sound with its speech at `LEVEL_DBFS`, or as loud as its peak permits, float ``(N,)``.

    Raises
    ------
    UserError
        It cannot be read, or is silent.
    """
    audio = read_audio(wav, sampling_rate=sampling_rate).astype(np.float64)
    hop = round(_FRAME_S * sampling_rate)
    speech = np.repeat(speech_frames(audio, hop), hop)
    level = float(np.sqrt(np.mean(audio[: len(speech)][speech] ** 2))) if speech.any() else 0.0
    if level == 0:
        raise UserError(wav, "is silent", "leave the clip out of the test (--input_file)")
    gain = 10 ** (LEVEL_DBFS / 20) / level
    return audio * min(gain, _PEAK / np.abs(audio).max())


def _code(seed: int, system: str, id: str) -> str:
    return hashlib.sha256(json.dumps([seed, system, id]).encode()).hexdigest()[:12]


def _page(data: Mapping[str, Any]) -> str:
    page = (Path(__file__).parent / "listening.html").read_text(encoding="utf-8")
    return Template(page).substitute(language=data["language"], data=json.dumps(data).replace("<", "\\u003c"))
