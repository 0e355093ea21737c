"""Phonemes are read from both kinds of file, and each frame gets the one at its middle."""

import json

import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.phonemes import Segment, find_phonemes, phoneme_of_frames, read_phonemes
from rtmri_speech.signal.mel import MelSpec

TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.6
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 0.6
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 0.6
            text = "a ""word"" of two"
    item [2]:
        class = "IntervalTier"
        name = "Phones"
        xmin = 0
        xmax = 0.6
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = "sil"
        intervals [2]:
            xmin = 0.1
            xmax = 0.35
            text = "ɕ"
        intervals [3]:
            xmin = 0.35
            xmax = 0.6
            text = "a:"
"""
SEGMENTS = [Segment("", 0, 0.1), Segment("ɕ", 0.1, 0.35), Segment("a:", 0.35, 0.6)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_textgrid_gives_its_tier_of_phones(tmp_path, encoding):
    path = tmp_path / "x.TextGrid"
    path.write_text(TEXTGRID, encoding=encoding)
    assert read_phonemes(path) == SEGMENTS


def test_a_description_gives_its_phonemes(tmp_path):
    path = tmp_path / "x.json"
    phonemes = [{"phoneme": s.phoneme, "start": s.start, "end": s.end} for s in SEGMENTS]
    path.write_text(json.dumps({"id": "x", "phonemes": phonemes}))
    assert read_phonemes(path) == SEGMENTS
    assert find_phonemes(tmp_path, "x") == path
    assert find_phonemes(tmp_path, "y") is None


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("x.json", b"{}", "phonemes is None"),
        ("x.json", b"[1", "is not valid JSON"),
        ("x.TextGrid", TEXTGRID.replace("Phones", "tones").encode(), "its tiers: words, tones"),
        ("x.TextGrid", b"\xff\xff\x00", "not Unicode"),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, fault):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=fault):
        read_phonemes(tmp_path / name)


def test_a_frame_has_the_phoneme_at_its_middle():
    # 10 frames a second: middles at 0.05, 0.15, ... 0.65 s.
    spec = MelSpec(sampling_rate=8000, n_fft=1024, win_length=1024, hop_length=800, n_mels=8)
    assert phoneme_of_frames(SEGMENTS, 7, spec) == ["", "ɕ", "ɕ", "a:", "a:", "a:", ""]
