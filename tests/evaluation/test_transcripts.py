"""What is said in a clip is cut out of the annotation of its recording."""

import json
from pathlib import Path

import pytest

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.phonemes import Segment, read_phonemes, spoken_text
from rtmri_speech.evaluation.transcripts import Said, phonemes_and_text, said_in, write_transcript

ROWS = [(0.0, 1.0, "sil"), (1.0, 1.2, "a"), (1.2, 1.5, "b"), (1.5, 2.0, "c"), (2.0, 9.0, "sil")]
WORDS = [(1.0, 1.5, "ab"), (1.5, 2.0, "c")]


def tiers(path, **named):
    lines = ['"ooTextFile"', '"TextGrid"', "0", "9", "<exists>", str(len(named))]
    for name, rows in named.items():
        lines += ['"IntervalTier"', f'"{name}"', "0", "9", str(len(rows))]
        lines += [f'{start} {end} "{label}"' for start, end, label in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_stretch_of_a_recording_has_its_part_of_the_annotation(tmp_path):
    tiers(tmp_path / "long.TextGrid", phones=ROWS, words=WORDS)
    clips = {
        "u1": Clip("u1", Path("long.mp4"), start=0.9, end=1.5),
        # The sound lies a tenth of a second later than the picture, and the annotation is in time of the sound.
        "u2": Clip("u2", Path("long.mp4"), start=1.4, end=1.9, av_offset_ms=100),
    }
    said = said_in(clips, tmp_path)
    write_transcript(tmp_path / "u1.json", "u1", said["u1"])
    assert read_phonemes(tmp_path / "u1.json") == [
        Segment("", -0.9, pytest.approx(0.1)),
        Segment("a", pytest.approx(0.1), pytest.approx(0.3)),
        Segment("b", pytest.approx(0.3), pytest.approx(0.6)),
    ]
    assert spoken_text(tmp_path / "u1.json") == "ab"
    phonemes, text = phonemes_and_text(said["u2"])
    assert text == "c" and [(one["phoneme"], one["start"]) for one in phonemes] == [("c", pytest.approx(0.0))]


def test_a_file_named_after_a_clip_counts_from_its_beginning(tmp_path):
    tiers(tmp_path / "u1.TextGrid", phones=ROWS)
    tiers(tmp_path / "long.TextGrid", words=WORDS)
    (tmp_path / "u1.txt").write_text("she  had\n", encoding="utf-8")
    said = said_in({"u1": Clip("u1", Path("long.mp4"), start=4, end=6)}, tmp_path)["u1"]
    phonemes, text = phonemes_and_text(said)
    assert text == "she had"
    assert [one["phoneme"] for one in phonemes] == ["", "a", "b", "c", ""] and phonemes[1]["start"] == 1.0


def test_a_stretch_that_is_called_as_its_recording_is_in_the_recordings_time(tmp_path):
    tiers(tmp_path / "long.TextGrid", phones=ROWS)
    said = said_in({"long": Clip("long", Path("long.mp4"), start=1.2, end=1.5)}, tmp_path)["long"]
    assert [(one["phoneme"], one["start"]) for one in phonemes_and_text(said)[0]] == [("b", 0.0)]


def test_the_tables_words_and_alignment_come_without_a_directory(tmp_path):
    alignment = tiers(tmp_path / "x.TextGrid", WordTier=WORDS)
    clips = {
        "a": Clip("a", Path("a.mp4"), text="as in the table", alignment=alignment),
        "b": Clip("b", Path("b.mp4"), alignment=alignment),
        "c": Clip("c", Path("c.mp4"), text="words alone"),
        "d": Clip("d", Path("d.mp4")),
    }
    said = said_in(clips, None)
    assert list(said) == ["a", "b", "c"]
    assert {id: phonemes_and_text(one)[1] for id, one in said.items()} == {
        "a": "as in the table",
        "b": "ab c",
        "c": "words alone",
    }


def test_a_description_of_a_clip_gives_its_phonemes_and_text(tmp_path):
    content = {"phonemes": [{"phoneme": "a", "start": 0.1, "end": 0.2}], "text": "ah"}
    (tmp_path / "a.json").write_text(json.dumps(content))
    said = said_in({"a": Clip("a", Path("a.mp4"))}, tmp_path)["a"]
    assert phonemes_and_text(said) == ([{"phoneme": "a", "start": 0.1, "end": 0.2}], "ah")


def test_an_annotation_of_neither_phonemes_nor_words_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no tier of phonemes \(its tiers: tones\)"):
        phonemes_and_text(Said(tiers(tmp_path / "a.TextGrid", tones=WORDS)))
    with pytest.raises(UserError, match="no such directory"):
        said_in({}, tmp_path / "absent")
