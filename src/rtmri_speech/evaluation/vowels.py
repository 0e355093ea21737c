"""Formants of vowels in generated speech against the recording: errors in Hz, and the vowel space as a figure."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.atomic import replacing, save_text
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.metrics import summarise
from rtmri_speech.evaluation.phonemes import Segment, find_phonemes, read_phonemes
from rtmri_speech.evaluation.scores import null_for_nan
from rtmri_speech.signal.audio import read_audio, sound_length
from rtmri_speech.signal.formants import formant_tracks
from rtmri_speech.tables import markdown_table, with_interval

RECORDING = "recording"

FORMANTS = ("F1", "F2", "F3")

STEPS_PER_SECOND = 100
"""Formants are measured every 10 ms, since a video frame is as long as half a vowel."""

SYMBOLS = frozenset("aeiouyAEIOUV@{}&ɑɐɒæɔəɚɛɜɝɞɪʊʌɵøœɶɤɯɨʉʏ")
"""First characters of vowels in SAMPA, the IPA, ARPAbet and romanised Japanese."""


@dataclass(frozen=True)
class Vowel:
    """The formants of one vowel.

    Attributes
    ----------
    clip, row, start : where it is: a clip, `RECORDING` or a system, and the vowel's start in seconds.
    name : of the phoneme.
    hertz : of F1 to F3, NaN where none was found.
    """

    clip: str
    row: str
    start: float
    name: str
    hertz: tuple[float, ...]


def is_vowel(phoneme: str) -> bool:
    """Return whether a phoneme's symbol is a vowel's, diphthongs included."""
    return phoneme[:1] in SYMBOLS


def vowel_formants(audio: np.ndarray, sampling_rate: int, segments: Sequence[Segment]) -> list[tuple[Segment, tuple]]:
    """Return each vowel with the median of its formants over the middle half of its duration, Hz.

    Parameters
    ----------
    audio : ``(N,)``.
    segments : phonemes; vowels with their middle beyond the sound are left out.
    """
    hop = sampling_rate // STEPS_PER_SECOND
    tracks = formant_tracks(audio, sampling_rate, hop, len(FORMANTS))
    found = []
    for segment in segments:
        middle, half = (segment.start + segment.end) / 2, (segment.end - segment.start) / 4
        first = math.floor((middle - half) * sampling_rate / hop)
        part = tracks[max(first, 0) : max(math.ceil((middle + half) * sampling_rate / hop), first + 1)]
        if is_vowel(segment.phoneme) and len(part) and middle * sampling_rate < len(audio):
            known = [column[~np.isnan(column)] for column in part.T]
            found.append((segment, tuple(float(np.median(values)) if len(values) else math.nan for values in known)))
    return found


def measure_vowels(
    recorded: str | Path,
    rows: Mapping[str, str | Path],
    ids: Sequence[str],
    phonemes: str | Path,
    *,
    progress: Callable[[Sequence[str]], Iterator[str]] = iter,
) -> list[Vowel]:
    """Return the vowels of the recordings and of each system.

    Parameters
    ----------
    recorded : directory of ``<id>.wav``.
    rows : the same of each system.
    phonemes : directory of the clips' phonemes; clips without are left out.

    Raises
    ------
    UserError
        No clip has vowels, a sound is missing, or a system is called as the recordings are.
    """
    if RECORDING in rows:
        raise UserError("--generated", f"names a row {RECORDING}", "give it another name")
    vowels = []
    for id in progress(ids):
        if (path := find_phonemes(phonemes, id)) is None:
            continue
        segments = read_phonemes(path)
        for row, directory in {RECORDING: recorded, **rows}.items():
            wav = Path(directory) / f"{id}.wav"
            rate, _ = sound_length(wav)
            vowels += [
                Vowel(id, row, segment.start, segment.phoneme, hertz)
                for segment, hertz in vowel_formants(read_audio(wav, sampling_rate=rate), rate, segments)
            ]
    if not vowels:
        raise UserError(phonemes, "holds no vowel of these clips", "give a directory with their phonemes")
    return vowels


def formant_errors(vowels: Sequence[Vowel]) -> dict[str, Any]:
    """Return each system's errors against the recording.

    Returns
    -------
    By row, `summarise` over the clips of ``<formant>_hz``, the mean absolute difference, and ``<formant>_bias_hz``, the
    mean difference; and ``vowels``, how many. Undefined values are None.
    """
    reference = {(vowel.clip, vowel.start): vowel.hertz for vowel in vowels if vowel.row == RECORDING}
    found: dict[str, Any] = {}
    for row in dict.fromkeys(vowel.row for vowel in vowels if vowel.row != RECORDING):
        differences: dict[str, list[np.ndarray]] = {}
        for vowel in vowels:
            if vowel.row == row and (vowel.clip, vowel.start) in reference:
                difference = np.subtract(vowel.hertz, reference[vowel.clip, vowel.start])
                differences.setdefault(vowel.clip, []).append(difference)
        clips = []
        for each in differences.values():
            columns = [column[~np.isnan(column)] for column in np.transpose(each)]
            clips.append(
                {
                    name: float(of(column).mean()) if len(column) else math.nan
                    for formant, column in zip(FORMANTS, columns, strict=True)
                    for name, of in ((f"{formant}_hz", np.abs), (f"{formant}_bias_hz", np.asarray))
                }
            )
        found[row] = summarise(clips) | {"vowels": sum(map(len, differences.values()))}
    return null_for_nan(found)


def formant_table(errors: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Return `formant_errors` as a Markdown table; ``titles`` of rows, where they have one."""
    head = [
        "",
        *(f"{formant}, Hz ↓" for formant in FORMANTS),
        *(f"{formant} bias, Hz" for formant in FORMANTS),
        "vowels",
    ]
    lines = [
        [
            titles.get(row, row),
            *(with_interval(of[f"{formant}_hz"], 0) for formant in FORMANTS),
            *(with_interval(of[f"{formant}_bias_hz"], 0) for formant in FORMANTS),
            str(of["vowels"]),
        ]
        for row, of in errors.items()
    ]
    return markdown_table(head, lines)


def write_vowels(path: str | Path, vowels: Sequence[Vowel]) -> None:
    """Write the vowels as a table (tab-separated), one per line; a formant not found is empty."""
    text = io.StringIO()
    rows = csv.writer(text, delimiter="\t", lineterminator="\n")
    rows.writerow(["clip", "row", "start_s", "vowel", *(f"{formant}_hz" for formant in FORMANTS)])
    for vowel in vowels:
        hertz = ("" if math.isnan(value) else f"{value:.0f}" for value in vowel.hertz)
        rows.writerow([vowel.clip, vowel.row, f"{vowel.start:.3f}", vowel.name, *hertz])
    save_text(path, text.getvalue())


def draw_vowel_space(path: str | Path, vowels: Sequence[Vowel], titles: Mapping[str, str]) -> None:
    """Write a figure for each system: mean F1 and F2 of each vowel in the recordings, and where the system has it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = list(dict.fromkeys(vowel.row for vowel in vowels if vowel.row != RECORDING))
    figure = Figure(figsize=(4.6 * len(rows), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    means = {row: _means(vowels, row) for row in [RECORDING, *rows]}
    for axes, row in zip(figure.subplots(1, len(rows), squeeze=False, sharex=True, sharey=True)[0], rows, strict=True):
        for name, there in means[RECORDING].items():
            here = means[row].get(name)
            if here is not None:
                axes.annotate("", here, there, arrowprops={"arrowstyle": "->", "color": "0.6", "shrinkA": 8})
                axes.plot(*here, "o", color="C1", markersize=4)
            axes.annotate(name, there, ha="center", va="center")
        axes.set(title=titles.get(row, row), xlabel="F2, Hz")
    first = figure.axes[0]
    points = np.array([place for of in means.values() for place in of.values()])
    margin = 0.08 * np.ptp(points, axis=0) + 20
    (right, bottom), (left, top) = points.min(0) - margin, points.max(0) + margin
    # As in phonetics: F2 from right to left, F1 downwards.
    first.set(xlim=(left, right), ylim=(top, bottom), ylabel="F1, Hz")
    figure.suptitle("Vowels of the recordings (symbols) and of each system (dots)")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, metadata={"Software": None})


def _means(vowels: Sequence[Vowel], row: str) -> dict[str, np.ndarray]:
    """Mean F2 and F1 of each vowel that has both."""
    places: dict[str, list[tuple[float, float]]] = {}
    for vowel in vowels:
        first, second = vowel.hertz[:2]
        if vowel.row == row and not math.isnan(first + second):
            places.setdefault(vowel.name, []).append((second, first))
    return {name: np.mean(of, axis=0) for name, of in places.items()}
