"""Tiers are read from every kind of file that they come in."""

import math

import pytest

from rtmri_speech.dataset.tiers import PHONES, SENTENCES, WORDS, Label, find_tier, read_tiers, words_between
from rtmri_speech.errors import UserError

SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
0.6
<exists>
3
"IntervalTier"
"PhonTier"
0
0.6
3
0
0.1
"_"
0.1
0.35
"é"
0.35
0.6
"a ""quoted"" 12"
"TextTier"
"clicks"
0
0.6
1
0.2
"x"
"IntervalTier"
"F1 - words"
0
0.6
2
0
0.1
""
0.1
0.6
"one"
"""

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.6
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "PhonTier"
        xmin = 0
        xmax = 0.6
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = "_"
        intervals [2]:
            xmin = 0.1
            xmax = 0.35
            text = "é"
        intervals [3]:
            xmin = 0.35
            xmax = 0.6
            text = "a ""quoted"" 12"
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 0.6
        points: size = 1
        points [1]:
            number = 0.2
            mark = "x"
    item [3]:
        class = "IntervalTier"
        name = "F1 - words"
        xmin = 0
        xmax = 0.6
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = ""
        intervals [2]:
            xmin = 0.1
            xmax = 0.6
            text = "one"
"""

TIERS = {
    "PhonTier": [Label("_", 0, 0.1), Label("é", 0.1, 0.35), Label('a "quoted" 12', 0.35, 0.6)],
    "clicks": [Label("x", 0.2, 0.2)],
    "F1 - words": [Label("", 0, 0.1), Label("one", 0.1, 0.6)],
}

ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2"/>
<TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="1500"/></TIME_ORDER>
<TIER TIER_ID="sentences"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts3">
<ANNOTATION_VALUE>朝 ご飯</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="words" PARENT_REF="sentences"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>朝</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
<ANNOTATION_VALUE>ご飯</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="phones" PARENT_REF="words"><ANNOTATION>
<REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a3"><ANNOTATION_VALUE>g</ANNOTATION_VALUE></REF_ANNOTATION>
</ANNOTATION><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a5" ANNOTATION_REF="a3" PREVIOUS_ANNOTATION="a4">
<ANNOTATION_VALUE>o</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>
"""

TRANS = """0.10,0.20,hh,he,he ran, and fell,1
0.20,0.40,iy,he,he ran, and fell,1
0.40,0.60,r,ran,he ran, and fell,1
0.70,0.90,s,stop,stop,2
"""


@pytest.mark.parametrize("text", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
@pytest.mark.parametrize("ending", ["TextGrid", "textgrid"])
def test_both_of_praats_text_formats_say_the_same(tmp_path, text, encoding, ending):
    path = tmp_path / f"a.{ending}"
    path.write_text(text, encoding=encoding)
    tiers = read_tiers(path)
    assert tiers == TIERS
    assert (find_tier(tiers, PHONES), find_tier(tiers, WORDS), find_tier(tiers, SENTENCES)) == (
        "PhonTier",
        "F1 - words",
        None,
    )


def test_elan_gives_times_to_what_has_none_of_its_own(tmp_path):
    path = tmp_path / "a.eaf"
    path.write_text(ELAN, encoding="utf-8")
    assert read_tiers(path) == {
        "sentences": [Label("朝 ご飯", 0.5, 1.5)],
        "words": [Label("朝", 0.5, 1.0), Label("ご飯", 1.0, 1.5)],
        "phones": [Label("g", 1.0, 1.25), Label("o", 1.25, 1.5)],
    }


def test_rows_of_phones_give_words_and_sentences(tmp_path):
    path = tmp_path / "a.trans"
    path.write_text(TRANS)
    tiers = read_tiers(path)
    assert tiers["sentences"] == [Label("he ran, and fell", 0.1, 0.6), Label("stop", 0.7, 0.9)]
    assert [word.text for word in tiers["words"]] == ["he", "ran", "stop"]
    assert words_between(tiers, 0.0, 0.65) == "he ran"
    assert words_between(tiers, -math.inf, math.inf) == "he ran stop"


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.TextGrid", b"no tiers", "is not a TextGrid"),
        ("a.TextGrid", SHORT[:-12].encode(), "cut off"),
        ("a.TextGrid", SHORT.replace("0\n0.6\n2\n0\n", '0\n0.6\n"2"\n0\n').encode(), "cut off"),
        ("a.TextGrid", b"\xff\xff\x00", "not Unicode"),
        ("a.TextGrid", b"", "is empty"),
        ("a.eaf", b"<a>", "is not an ELAN file"),
        ("a.eaf", b'<?xml version="1.0" encoding="ETF-8"?><a/>', "is not an ELAN file"),
        ("a.eaf", ELAN.replace('TIME_SLOT_REF2="ts3"', 'TIME_SLOT_REF2="ts9"').encode(), "is not a complete ELAN file"),
        ("a.eaf", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declares entities"),
        ("a.eaf", ELAN.replace('TIME_VALUE="', f'TIME_VALUE="{"9" * 400}').encode(), "is not a complete ELAN file"),
        ("a.json", f'{{"phones": [[0, {"9" * 400}, "a"]]}}'.encode(), "a time in phones that is not a finite"),
        ("a.trans", b"0.1,0.2,hh\n", "line 1: is not start"),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, fault):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=fault):
        read_tiers(tmp_path / name)
