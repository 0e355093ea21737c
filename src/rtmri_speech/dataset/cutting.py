"""Utterances of a long recording: from a tier of its annotation, from its silences, or in equal stretches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rtmri_speech.dataset.tiers import SENTENCES, WORDS, Label, Tiers, find_tier, words_between
from rtmri_speech.errors import UserError
from rtmri_speech.settings.data import Cutting

_SHORTEST_S = 0.3
_HOP_S = 0.01
_FLOOR, _TOP, _THRESHOLD = 10, 95, 0.3
"""Percentiles of a recording's level that are its silence and its speech, and where between them speech begins."""


@dataclass(frozen=True)
class Utterance:
    """A stretch of a recording, seconds in its sound, and what is said in it, where that is known."""

    start: float
    end: float
    text: str | None = None


def utterances_of_tiers(
    tiers: Tiers,
    source: str | Path,
    tier: str | None = None,
    *,
    pause: float = Cutting.pause,
    longest: float = Cutting.longest,
) -> list[Utterance]:
    """Return the labelled stretches of a tier of sentences, or words put together up to the next pause.

    Parameters
    ----------
    tiers : of the recording (`tiers.read_tiers`).
    source : the file, for a refusal.
    tier : name of the tier; None for one that is called sentences or utterances, else one of words.
    pause, longest : of words: seconds between two that part utterances, and of an utterance.

    Returns
    -------
    In order of time; the text is that of the tier of words, where there is one, else the label's.

    Raises
    ------
    UserError
        There is no such tier, or nothing is said in it.
    """
    name = tier if tier is not None else find_tier(tiers, SENTENCES) or find_tier(tiers, WORDS)
    if name not in tiers:
        wanted = f"no tier {tier!r}" if tier else "no tier of sentences or words"
        raise UserError(source, f"has {wanted} (its tiers: {', '.join(tiers) or 'none'})", "name one of its tiers")
    labels = [label for label in tiers[name] if not label.pause and label.end > label.start]
    if not labels:
        raise UserError(source, f"has no label in its tier {name}", "name another tier")
    if name == find_tier(tiers, WORDS):
        return _joined(labels, pause, longest)
    return [
        Utterance(label.start, label.end, words_between(tiers, label.start, label.end) or label.text.strip())
        for label in labels
    ]


def _joined(words: Sequence[Label], pause: float, longest: float) -> list[Utterance]:
    runs: list[list[Label]] = []
    for word in words:
        if runs and word.start - runs[-1][-1].end < pause and word.end - runs[-1][0].start <= longest:
            runs[-1].append(word)
        else:
            runs.append([word])
    return [Utterance(run[0].start, run[-1].end, " ".join(word.text.strip() for word in run)) for run in runs]


def utterances_between_silences(
    blocks: Iterable[np.ndarray], sampling_rate: int, *, pause: float = Cutting.pause, longest: float = Cutting.longest
) -> list[Utterance]:
    """Return the stretches of a sound that are louder than its silence, without a text.

    Silence is what stays below 0.3 of the way from the recording's 10th percentile of level (dB) to its 95th, for at
    least ``pause`` seconds. A stretch longer than ``longest`` is parted at its quietest moments.

    Parameters
    ----------
    blocks : samples, float ``(n,)`` each.
    sampling_rate : Hz.
    """
    level = _level_db(blocks, max(1, round(_HOP_S * sampling_rate)))
    if not len(level):
        return []
    low, high = np.percentile(level, [_FLOOR, _TOP])
    loud = np.flatnonzero(level > low + _THRESHOLD * (high - low))
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) > pause / _HOP_S)
    firsts, lasts = loud[np.r_[0, breaks + 1]], loud[np.r_[breaks, len(loud) - 1]]
    spans = [
        part for first, last in zip(firsts, lasts, strict=True) for part in _parted(level, first, last + 1, longest)
    ]
    return [Utterance(a * _HOP_S, b * _HOP_S) for a, b in spans if (b - a) * _HOP_S >= _SHORTEST_S]


def _level_db(blocks: Iterable[np.ndarray], hop: int) -> np.ndarray:
    """Level of each hop, dB, float64 ``(hops,)``."""
    waiting, powers = np.empty(0, np.float32), []
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        whole = len(waiting) // hop * hop
        powers.append((waiting[:whole].reshape(-1, hop).astype(np.float64) ** 2).mean(axis=1))
        waiting = waiting[whole:]
    return 10 * np.log10(np.concatenate(powers or [np.empty(0)]) + 1e-10)


def _parted(level: np.ndarray, first: int, end: int, longest: float) -> list[tuple[int, int]]:
    if (end - first) * _HOP_S <= longest:
        return [(first, end)]
    third = (end - first) // 3
    middle = first + third + int(np.argmin(level[first + third : end - third]))
    return _parted(level, first, middle, longest) + _parted(level, middle, end, longest)


def equal_stretches(duration: float, seconds: float) -> list[Utterance]:
    """Return stretches of equal length, as near to ``seconds`` as fill the ``duration``, without a text."""
    count = max(1, round(duration / seconds))
    edges = np.linspace(0.0, duration, count + 1)
    return [Utterance(float(a), float(b)) for a, b in itertools.pairwise(edges)]


def with_margins(
    utterances: Sequence[Utterance], duration: float | None, margin: float = Cutting.margin
) -> list[Utterance]:
    """Return utterances with ``margin`` seconds more at each side, up to the middle between two, within the recording.

    One that begins beyond the recording's end is left out.

    Parameters
    ----------
    utterances : in order of time.
    duration : seconds of the recording; None where it is not known, and then the last one gets no margin at its end.
    """
    kept = [one for one in utterances if duration is None or one.start < duration]
    widened = []
    for number, one in enumerate(kept):
        before = kept[number - 1].end if number else None
        after = kept[number + 1].start if number + 1 < len(kept) else None
        start = max(0.0, one.start - margin, (before + one.start) / 2 if before is not None else 0.0)
        if after is not None:
            end = min(one.end + margin, max(one.end, (one.end + after) / 2))
        else:
            end = one.end if duration is None else one.end + margin
        end = end if duration is None else min(end, duration)
        widened.append(replace(one, start=round(min(start, one.start), 4), end=round(end, 4)))
    return widened
