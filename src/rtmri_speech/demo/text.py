"""Sentences of a small closed language and their phonemes, learnable from minutes of speech.

The words are English, their phonemes (SAMPA) the nearest ones for which VocalTractLab's German speaker has shapes;
`rtmri_speech.demo.gestures` has the gestures of each.
"""

from __future__ import annotations

import dataclasses

import numpy as np

PAUSE = ""
"""The phoneme symbol of silence."""

REDUCED_VOWEL = "@"
"""The vowel that is unstressed if the word has another."""

VOWEL_SECONDS = {
    "a": 0.10, "a:": 0.16, "e:": 0.15, "i:": 0.14, "o:": 0.15, "u:": 0.14, "E": 0.10, "I": 0.085, "O": 0.11, "U": 0.085,
    "@": 0.065, "aI": 0.19, "aU": 0.19, "OY": 0.20,
}  # fmt: skip
CONSONANT_SECONDS = {
    "p": 0.09, "b": 0.08, "t": 0.085, "d": 0.07, "k": 0.09, "g": 0.075, "m": 0.075, "n": 0.07, "N": 0.08, "f": 0.10,
    "v": 0.07, "s": 0.11, "z": 0.09, "S": 0.11, "h": 0.06, "l": 0.07, "j": 0.07, "tS": 0.13,
}  # fmt: skip
PHONEME_SECONDS = VOWEL_SECONDS | CONSONANT_SECONDS
"""Mean duration of each phoneme at tempo 1, seconds."""

LEXICON: dict[str, dict[str, str]] = {
    "name": {
        "anna": "E n a", "bob": "b O b", "tom": "t O m", "ben": "b E n", "sam": "s E m", "dan": "d E n",
        "lucy": "l u: s i:", "tim": "t I m", "mom": "m O m", "dad": "d E d", "he": "h i:", "she": "S i:",
    },
    "verb": {
        "bought": "b O t", "sold": "s o: l d", "made": "m e: d", "found": "f aU n d", "took": "t U k", "gave": "g e: v",
        "likes": "l aI k s", "needs": "n i: d z", "sees": "s i: z", "had": "h E d", "loves": "l a v z",
    },
    "determiner": {
        "the": "d @", "a": "@", "his": "h I z", "my": "m aI", "five": "f aI v", "nine": "n aI n", "ten": "t E n",
        "some": "s a m",
    },
    "adjective": {
        "old": "o: l d", "big": "b I g", "small": "s m O l", "nice": "n aI s", "good": "g U d", "tall": "t O l",
        "noisy": "n OY z i:", "funny": "f a n i:", "new": "n u:", "cold": "k o: l d", "hot": "h O t",
    },
    "noun": {
        "fish": "f I S", "cat": "k E t", "dogs": "d O g z", "house": "h aU s", "boat": "b o: t", "moon": "m u: n",
        "tea": "t i:", "coffee": "k O f i:", "knife": "n aI f", "book": "b U k", "shoes": "S u: z", "bike": "b aI k",
        "lamp": "l E m p", "ball": "b O l", "cheese": "tS i: z", "soup": "s u: p", "honey": "h a n i:",
        "beach": "b i: tS", "toys": "t OY z", "potato": "p @ t e: t o:", "banana": "b @ n a: n a",
        "tomato": "t @ m a: t o:", "song": "s O N", "yacht": "j O t",
    },
    "adverb": {
        "today": "t @ d e:", "tonight": "t @ n aI t", "now": "n aU", "again": "@ g E n", "soon": "s u: n",
        "outside": "aU t s aI d", "home": "h o: m",
    },
    "conjunction": {"and": "E n d", "so": "s o:"},
}  # fmt: skip
"""Words by class, each with its phonemes."""

FORMS = (
    "name verb determiner noun",
    "name verb determiner adjective noun",
    "name verb noun adverb",
    "name verb determiner noun adverb",
    "name verb determiner adjective noun adverb",
    "name verb noun , conjunction noun",
)
"""Sentences as word classes; a comma is a pause. All are short: synthesis is slower than real time."""

COMMA = ","

LEADING_SECONDS = (0.14, 0.22)
COMMA_SECONDS = (0.16, 0.24)
TRAILING_SECONDS = (0.18, 0.26)
"""Shortest and longest pause before, in and after a sentence, seconds; long enough to show the rest posture."""

DURATION_SPREAD = (0.88, 1.15)
"""Range of a phoneme's duration relative to its mean."""

FINAL_LENGTHENING = 1.3
"""Lengthening of the last two phonemes before a pause (as in every language studied)."""


@dataclasses.dataclass(frozen=True)
class Segment:
    """A phoneme or pause: its symbol (`PAUSE` for silence), duration, and whether it has a pitch accent."""

    phoneme: str
    seconds: float
    accented: bool = False


def sentence(rng: np.random.Generator) -> list[str]:
    """Return the words of a random sentence; `COMMA` stands for a pause."""
    form = FORMS[rng.integers(len(FORMS))].split()
    return [slot if slot == COMMA else str(rng.choice(list(LEXICON[slot]))) for slot in form]


def segments(words: list[str], rng: np.random.Generator, tempo: float = 1.0) -> list[Segment]:
    """Return the phonemes of a sentence with their durations, between a leading and a trailing pause.

    Parameters
    ----------
    words : from `sentence`.
    rng : draws the durations.
    tempo : speaking rate; 2 halves every phoneme, but not the pauses around the sentence.
    """
    spoken = [Segment(PAUSE, rng.uniform(*LEADING_SECONDS))]
    for word, following in zip(words, [*words[1:], COMMA], strict=True):
        if word == COMMA:
            spoken.append(Segment(PAUSE, rng.uniform(*COMMA_SECONDS)))
            continue
        phonemes = pronunciation(word)
        stressed = _stressed_vowel(phonemes)
        for place, phoneme in enumerate(phonemes):
            final = following == COMMA and place >= len(phonemes) - 2
            seconds = PHONEME_SECONDS[phoneme] / tempo * rng.uniform(*DURATION_SPREAD)
            spoken.append(Segment(phoneme, seconds * (FINAL_LENGTHENING if final else 1), place == stressed))
    spoken.append(Segment(PAUSE, rng.uniform(*TRAILING_SECONDS)))
    return spoken


def pronunciation(word: str) -> list[str]:
    """Return the phonemes of a word of the `LEXICON`."""
    return next(words[word] for words in LEXICON.values() if word in words).split()


def _stressed_vowel(phonemes: list[str]) -> int | None:
    """Index of the first full vowel; None in a word with only the reduced one."""
    full = (i for i, phoneme in enumerate(phonemes) if phoneme in VOWEL_SECONDS and phoneme != REDUCED_VOWEL)
    return next(full, None)
