"""Formants of vowels whose resonances are known."""

import csv
import json

import numpy as np
import pytest
from scipy.signal import lfilter

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.phonemes import Segment
from rtmri_speech.evaluation.vowels import (
    Vowel,
    draw_vowel_space,
    formant_errors,
    formant_table,
    is_vowel,
    measure_vowels,
    vowel_formants,
    write_vowels,
)
from rtmri_speech.signal.audio import write_wav

RATE = 11413
HIGH, LOW = (300, 2200, 2900), (700, 1250, 2500)
NAN = float("nan")


def vowel(resonances, seconds=0.3):
    """A train of pulses through two-pole resonators (D. Klatt, 1980)."""
    pulses = np.zeros(round(seconds * RATE))
    pulses[np.arange(0, len(pulses), RATE / 120).astype(int)] = 1
    sound = lfilter([1], [1, -0.95], pulses)
    for hertz, width in zip((*resonances, 3600), (60, 90, 120, 150), strict=True):
        radius = np.exp(-np.pi * width / RATE)
        sound = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hertz / RATE), radius**2], sound)
    return 0.5 * sound / np.abs(sound).max()


def test_each_vowel_has_the_formants_of_its_resonances():
    audio = np.concatenate([vowel(HIGH), np.zeros(1000), vowel(LOW)])
    later = (len(audio) - len(vowel(LOW))) / RATE
    segments = [Segment("i:", 0, 0.3), Segment("t", 0.3, later), Segment("a", later, later + 0.3), Segment("o", 5, 6)]
    found = vowel_formants(audio, RATE, segments)
    assert [segment.phoneme for segment, _ in found] == ["i:", "a"]
    for (_, hertz), expected in zip(found, (HIGH, LOW), strict=True):
        assert hertz == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize("phoneme", ["a", "i:", "@", "OY", "AA0", "IY1", "ɯ", "aI", "y"])
def test_vowels_are_known_by_their_symbol(phoneme):
    assert is_vowel(phoneme)


@pytest.mark.parametrize("phoneme", ["", "p", "tS", "N", "HH", "j", "ŋ", "Q", "W", "Y"])
def test_consonants_and_pauses_are_none(phoneme):
    assert not is_vowel(phoneme)


def of(row, clip, start, *hertz):
    return Vowel(clip, row, start, "a", hertz)


def test_errors_are_means_over_the_vowels_of_a_clip_and_then_over_clips():
    found = formant_errors(
        [
            of("recording", "1", 0.0, 500, 1500, 2500), of("mine", "1", 0.0, 510, 1400, NAN),
            of("recording", "1", 1.0, 600, 1500, NAN), of("mine", "1", 1.0, 570, 1500, 2500),
            of("recording", "2", 0.0, 700, 1500, 2500), of("mine", "2", 0.0, 700, 1700, NAN),
        ]
    )["mine"]  # fmt: skip
    assert found["vowels"] == 3
    assert found["F1_hz"]["mean"] == pytest.approx((20 + 0) / 2)
    assert found["F1_bias_hz"]["mean"] == pytest.approx((-10 + 0) / 2)
    assert found["F2_hz"]["mean"] == pytest.approx((50 + 200) / 2)
    assert found["F3_hz"]["mean"] is None and found["F3_hz"]["n"] == 0
    table = formant_table({"mine": found}, {"mine": "Mine"}).splitlines()
    assert table[2].startswith("| Mine | 10 (0 – 20) | 125 (50 – 200) | – | −5 (−10 – 0) |")


def test_sounds_are_compared_with_the_recordings(tmp_path):
    for directory, sound in (("recorded", vowel(LOW)), ("same", vowel(LOW)), ("other", vowel((600, 1500, 2500)))):
        write_wav(tmp_path / directory / "a1.wav", sound, RATE)
        write_wav(tmp_path / directory / "a2.wav", sound, RATE)
    said = {"phonemes": [{"phoneme": "a", "start": 0.0, "end": 0.3}]}
    (tmp_path / "said").mkdir()
    (tmp_path / "said" / "a1.json").write_text(json.dumps(said))
    rows = {name: tmp_path / name for name in ("same", "other")}
    vowels = measure_vowels(tmp_path / "recorded", rows, ["a1", "a2"], tmp_path / "said")
    assert {vowel.clip for vowel in vowels} == {"a1"}
    errors = formant_errors(vowels)
    assert errors["same"]["F2_hz"]["mean"] == 0
    assert errors["other"]["F1_bias_hz"]["mean"] == pytest.approx(-100, abs=40)
    assert errors["other"]["F2_bias_hz"]["mean"] == pytest.approx(250, abs=60)
    write_vowels(tmp_path / "vowels.tsv", vowels)
    with (tmp_path / "vowels.tsv").open() as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    assert [line["row"] for line in lines] == ["recording", "same", "other"] and float(lines[0]["F1_hz"]) > 600
    draw_vowel_space(tmp_path / "space.png", vowels, {})
    assert (tmp_path / "space.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(UserError, match="holds no vowel of these clips"):
        measure_vowels(tmp_path / "recorded", rows, ["a2"], tmp_path / "said")
    with pytest.raises(UserError, match="names a row recording"):
        measure_vowels(tmp_path / "recorded", {"recording": tmp_path}, ["a1"], tmp_path / "said")
