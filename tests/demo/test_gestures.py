import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from rtmri_speech.demo import text
from rtmri_speech.demo.gestures import gestural_score
from rtmri_speech.demo.text import PAUSE, Segment


def tiers(segments):
    """Return start, end and target of the non-neutral gestures of each tier."""
    read = {}
    for sequence in ET.fromstring(gestural_score(segments)):
        times = np.cumsum([0.0] + [float(gesture.get("duration_s")) for gesture in sequence])
        read[sequence.get("type").removesuffix("-gestures")] = [
            (start, end, gesture.get("value"))
            for start, end, gesture in zip(times[:-1], times[1:], sequence, strict=True)
            if gesture.get("neutral") == "0"
        ]
    return read


def spoken(*phonemes, seconds=0.1):
    return [Segment(PAUSE, 0.2), *(Segment(phoneme, seconds) for phoneme in phonemes), Segment(PAUSE, 0.2)]


# Scores of VocalTractLab 2.4.2's own planner for phonemes of 0.1 s between pauses of 0.2 s.
PLANNED = {
    ("a", "p", "i:", "t", "u:", "k", "a"): {
        "vowel": [(0, 0.28, "a"), (0.28, 0.48, "i"), (0.48, 0.68, "u"), (0.68, 0.88, "a"), (0.88, 1.1, "@")],
        "lip": [(0.212, 0.325, "ll-labial-closure")],
        "tongue-tip": [(0.422, 0.525, "tt-alveolar-closure")],
        "tongue-body": [(0.632, 0.725, "tb-velar-closure")],
        "velic": [],
    },
    ("a", "m", "i:", "n", "u:", "N", "a"): {
        "lip": [(0.212, 0.372, "ll-labial-closure")],
        "tongue-tip": [(0.422, 0.573, "tt-alveolar-closure")],
        "tongue-body": [(0.630, 0.772, "tb-velar-closure")],
        "velic": [(0.233, 0.348, "0.500000"), (0.435, 0.548, "0.500000"), (0.635, 0.748, "0.500000")],
    },
    ("a", "v", "i:", "z", "u:", "l", "a"): {
        "lip": [(0.223, 0.353, "ll-dental-fricative")],
        "tongue-tip": [(0.423, 0.553, "tt-alveolar-fricative"), (0.635, 0.745, "tt-alveolar-lateral")],
    },
    ("aU", "t", "s", "aI"): {
        "vowel": [(0, 0.2, "a"), (0.2, 0.28, "o"), (0.28, 0.5, "a"), (0.5, 0.58, "e"), (0.58, 0.8, "@")],
    },
}


@pytest.mark.parametrize("phonemes", PLANNED)
def test_gestures_are_where_the_engine_places_them(phonemes):
    score = tiers(spoken(*phonemes))
    for tier, planned in PLANNED[phonemes].items():
        assert [target for *_, target in score[tier]] == [target for *_, target in planned]
        for made, wanted in zip(score[tier], planned, strict=True):
            np.testing.assert_allclose(made[:2], wanted[:2], atol=0.025)


def test_every_tier_covers_the_sentence_without_gaps_in_gestures_the_engine_accepts():
    for number in range(600):
        rng = np.random.default_rng(number)
        segments = text.segments(text.sentence(rng), rng, tempo=rng.uniform(0.8, 1.2))
        duration = sum(segment.seconds for segment in segments)
        for sequence in ET.fromstring(gestural_score(segments)):
            lengths = [float(gesture.get("duration_s")) for gesture in sequence]
            assert sum(lengths) == pytest.approx(duration, abs=1e-4)
            assert min(lengths) >= 0.00499, (number, sequence.get("type"))


def test_clusters_at_one_place_follow_each_other():
    score = tiers(spoken("a", "n", "d", "z", "a"))
    tip = score["tongue-tip"]
    assert [target for *_, target in tip] == ["tt-alveolar-closure", "tt-alveolar-closure", "tt-alveolar-fricative"]
    assert all(first[1] <= second[0] + 1e-6 for first, second in itertools.pairwise(tip))


def test_an_unknown_phoneme_is_refused():
    with pytest.raises(KeyError, match="w"):
        gestural_score(spoken("w"))
