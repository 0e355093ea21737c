"""Converts phonemes to a gestural score: articulator, target, start and end of each gesture.

VocalTractLab turns the score into motion. It has one tier of targets each for vowel, lips, tongue tip, tongue body,
velum, vocal folds, pitch and lung pressure (P. Birkholz, "Modeling consonant-vowel coarticulation for articulatory
speech synthesis", *PLoS ONE*, 2013). The engine's own planner searches for the time of every closure, at 0.25 s of CPU
time each; the rules here, derived from its scores, are within 15 ms at no cost. The planner also silently drops unknown
phonemes; here that is an error.
"""

from __future__ import annotations

import dataclasses
import itertools

from rtmri_speech.demo.text import PAUSE, Segment

VOWEL_TARGETS = {
    "a": "a", "a:": "a", "e:": "e", "i:": "i", "o:": "o", "u:": "u", "E": "E", "I": "I", "O": "O", "U": "U", "@": "@",
    "aI": "a e", "aU": "a o", "OY": "O e",
}  # fmt: skip
"""Shape of each vowel, two for a diphthong."""

VOWEL_LEAD = 0.020
"""A vowel's gesture starts this many seconds before the preceding consonants: they are coarticulated."""
FOLDS_APART_SECONDS = 0.150
"""After a pause, the vocal folds open this long before a voiceless consonant, instead of closing briefly."""
GLIDE_SECONDS = 0.125
"""The second half of a diphthong, at most."""
LAST_VOWEL = "@"
"""Target of the tongue after the last vowel."""


@dataclasses.dataclass(frozen=True)
class Stroke:
    """One articulator's part in a consonant.

    The gesture starts ``lead`` seconds before the phoneme and ends ``early`` seconds before its end; reaching or
    leaving a target takes about 60 ms.
    """

    tier: str
    target: str
    lead: float
    early: float


_VOICELESS_STOP = Stroke("glottal-shape", "voiceless-plosive", 0.010, 0.040)
_VOICED_STOP = Stroke("glottal-shape", "voiced-plosive", 0.010, 0.040)
_VOICELESS_FRICATIVE = Stroke("glottal-shape", "voiceless-fricative", 0.057, 0.057)
_VOICED_FRICATIVE = Stroke("glottal-shape", "voiced-fricative", 0.057, 0.057)
_NASAL = Stroke("velic", "0.500000", 0.067, 0.053)


def _closure(tier: str, target: str, early: float) -> Stroke:
    return Stroke(tier, target, 0.085, early)


def _narrowing(tier: str, target: str) -> Stroke:
    return Stroke(tier, target, 0.073, 0.047)


_LIPS, _TIP, _BODY = (
    ("lip", "ll-labial-closure"),
    ("tongue-tip", "tt-alveolar-closure"),
    ("tongue-body", "tb-velar-closure"),
)

CONSONANTS: dict[str, tuple[Stroke, ...]] = {
    **{
        phoneme: (_closure(*place, early), other)
        for place, phonemes in ((_LIPS, "pbm"), (_TIP, "tdn"), (_BODY, "kgN"))
        for phoneme, early, other in zip(
            phonemes, (0.072, 0.050, 0.033), (_VOICELESS_STOP, _VOICED_STOP, _NASAL), strict=True
        )
    },
    "f": (_narrowing("lip", "ll-dental-fricative"), _VOICELESS_FRICATIVE),
    "v": (_narrowing("lip", "ll-dental-fricative"), _VOICED_FRICATIVE),
    "s": (_narrowing("tongue-tip", "tt-alveolar-fricative"), _VOICELESS_FRICATIVE),
    "z": (_narrowing("tongue-tip", "tt-alveolar-fricative"), _VOICED_FRICATIVE),
    "S": (_narrowing("tongue-tip", "tt-postalveolar-fricative"), _VOICELESS_FRICATIVE),
    "l": (Stroke("tongue-tip", "tt-alveolar-lateral", 0.065, 0.055),),
    "j": (_narrowing("tongue-body", "tb-palatal-fricative"),),
    "h": (Stroke("glottal-shape", "h", 0.060, 0.060),),
    # An affricate releases its closure into a narrowing: two successive targets of one articulator.
    "tS": (
        _closure("tongue-tip", "tt-postalveolar-closure", 0.135),
        Stroke("tongue-tip", "tt-postalveolar-fricative", 0.010, 0.047),
        Stroke("glottal-shape", "voiceless-fricative", 0.014, 0.057),
    ),
}
"""Gestures of each consonant."""

NEUTRAL = {"lip": "", "tongue-tip": "", "tongue-body": "", "velic": "0.000000", "glottal-shape": "modal"}
"""Target of each articulator outside consonants; for tongue and lips, that of the vowel."""
STEADY = {"f0": "80.000000", "lung-pressure": "8000.000000"}
"""Pitch (semitones above 1 Hz) and lung pressure (dPa) of the whole score."""
UNITS = {"f0": "st", "lung-pressure": "dPa"}
SHORTEST_GESTURE = 0.005
"""Seconds; the engine refuses gestures shorter than 0.001."""
TIME_CONSTANT = 0.012
"""Seconds of the engine's low-pass filter from target to motion."""

Gesture = tuple[float, float, str]
"""Start and end in seconds, and the target."""


def gestural_score(segments: list[Segment]) -> str:
    """Return the score of phonemes between pauses, in VocalTractLab's XML.

    Pitch and lung pressure are left constant: `rtmri_speech.demo.articulation` sets them state by state.

    Raises
    ------
    KeyError
        A phoneme is in neither `VOWEL_TARGETS` nor `CONSONANTS`.
    """
    edges = [0.0, *itertools.accumulate(segment.seconds for segment in segments)]
    end = edges[-1]
    tiers = {"vowel": _vowel_gestures(segments, edges)}
    for tier, neutral in NEUTRAL.items():
        tiers[tier] = _filled(_consonant_gestures(segments, edges, tier), neutral, end)
    tiers |= {tier: [(0.0, end, target)] for tier, target in STEADY.items()}
    return "\n".join(["<gestural_score>", *(_sequence(tier, tiers[tier]) for tier in tiers), "</gestural_score>", ""])


def _vowel_gestures(segments: list[Segment], edges: list[float]) -> list[Gesture]:
    vowels = [i for i, segment in enumerate(segments) if segment.phoneme in VOWEL_TARGETS]
    # Each vowel extends from the first consonant or pause before it to that before the next vowel.
    spans = [edges[previous + 1] - VOWEL_LEAD for previous in [-1, *vowels]]
    spans[0] = 0.0
    gestures = []
    for vowel, start, end in zip(vowels, spans[:-1], spans[1:], strict=True):
        first, *second = VOWEL_TARGETS[segments[vowel].phoneme].split()
        glide = max(edges[vowel], end - GLIDE_SECONDS)
        gestures += [(start, glide, first), (glide, end, *second)] if second else [(start, end, first)]
    return [*gestures, (spans[-1], edges[-1], LAST_VOWEL)]


def _consonant_gestures(segments: list[Segment], edges: list[float], tier: str) -> list[Gesture]:
    gestures: list[Gesture] = []
    before = [PAUSE, *(segment.phoneme for segment in segments[:-1])]
    for segment, previous, start, end in zip(segments, before, edges[:-1], edges[1:], strict=True):
        if segment.phoneme == PAUSE or segment.phoneme in VOWEL_TARGETS:
            continue
        for stroke in CONSONANTS[segment.phoneme]:
            if stroke.tier == tier:
                apart = previous == PAUSE and stroke.target.startswith("voiceless")
                begin = max(start - (FOLDS_APART_SECONDS if apart else stroke.lead), 0.0)
                gestures.append((begin, max(end - stroke.early, begin + SHORTEST_GESTURE), stroke.target))
    return gestures


def _filled(gestures: list[Gesture], neutral: str, end: float) -> list[Gesture]:
    """Fill gaps with ``neutral`` and remove overlaps: a later gesture truncates an earlier one and absorbs tiny
    gaps."""
    filled: list[Gesture] = []
    now = 0.0
    for (start, stop, target), following in itertools.zip_longest(gestures, gestures[1:]):
        start = now if start - now < SHORTEST_GESTURE else start
        stop = min(stop, end, following[0] if following else end)
        if stop - start < SHORTEST_GESTURE:
            continue
        if start > now:
            filled.append((now, start, neutral))
        filled.append((start, stop, target))
        now = stop
    return [*filled, (now, end, neutral)]


def _sequence(tier: str, gestures: list[Gesture]) -> str:
    lines = [f'  <gesture_sequence type="{tier}-gestures" unit="{UNITS.get(tier, "")}">']
    for start, end, target in gestures:
        neutral = int(tier != "glottal-shape" and target == NEUTRAL.get(tier))
        lines.append(
            f'    <gesture value="{target}" slope="0.000000" duration_s="{end - start:.6f}" '
            f'time_constant_s="{TIME_CONSTANT:.6f}" neutral="{neutral}" />'
        )
    return "\n".join([*lines, "  </gesture_sequence>"])
