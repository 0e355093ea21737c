"""Averages of maps by band and phoneme, shares of mass, and phoneme files."""

import itertools
import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.explain.aggregate import aggregate, findings
from rtmri_speech.explain.phonemes import Phoneme, phonemes_of_frames, read_phonemes
from rtmri_speech.explain.regions import Regions, mass_share, region_mask
from rtmri_speech.explain.sequences import write_sequence

REPOSITORY = Path(__file__).parents[2]
RAINBOW = REPOSITORY.parent / "shared/real_clips/rainbow.TextGrid"

SHORT_TEXTGRID = """"ooTextFile"
"TextGrid"
0
0.5
<exists>
2
"IntervalTier"
"words"
0
0.5
1
0
0.5
"say ""2"" [1] = 3"
"IntervalTier"
"phones"
0
0.5
3
0
0.1
""
0.1
0.3
"a"
0.3
0.5
"t"
"""

LONG_TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 0.5
        points: size = 1
        points [1]:
            number = 0.2
            mark = "click"
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 0.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = ""
        intervals [2]:
            xmin = 0.1
            xmax = 0.3
            text = "a"
        intervals [3]:
            xmin = 0.3
            xmax = 0.5
            text = "t"
"""

SPOKEN = [Phoneme("", 0, 0.1), Phoneme("a", 0.1, 0.3), Phoneme("t", 0.3, 0.5)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", [SHORT_TEXTGRID, LONG_TEXTGRID], ids=["short", "long"])
def test_phonemes_of_a_textgrid(tmp_path, text, encoding):
    path = tmp_path / "a.TextGrid"
    path.write_text(text, encoding=encoding)
    assert read_phonemes(path) == SPOKEN


def test_phonemes_of_the_demos_description(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"phonemes": [{"phoneme": p.name, "start": p.start, "end": p.end} for p in SPOKEN]}))
    assert read_phonemes(path) == SPOKEN
    path.write_text("{}")
    with pytest.raises(UserError, match=r"a\.json: holds no phonemes"):
        read_phonemes(path)


@pytest.mark.skipif(not RAINBOW.exists(), reason="the recording is not here")
def test_phonemes_of_a_real_recording_tile_it():
    spoken = read_phonemes(RAINBOW)
    assert spoken[0].start == 0 and spoken[-1].end == pytest.approx(31.8)
    assert all(a.end == b.start for a, b in itertools.pairwise(spoken))


def test_a_frame_has_the_phoneme_at_its_middle():
    assert phonemes_of_frames(SPOKEN, 6, Fraction(10)) == ["", "a", "a", "t", "t", ""]


def test_a_share_of_mass_is_that_of_its_pixels():
    left = region_mask([[[0, 0], [64, 0], [64, 256], [0, 256]]])
    assert left[:, :63].all() and not left[:, 65:].any()
    assert mass_share(np.ones((256, 256)), left) == pytest.approx(0.25, abs=0.005)
    heat = np.zeros((256, 256))
    heat[10, 10], heat[10, 200] = 3, 1
    assert mass_share(heat, left) == 0.75
    assert np.isnan(mass_share(np.zeros((256, 256)), left))


def test_the_demos_regions_do_not_share_pixels_between_groups():
    regions = Regions.read(REPOSITORY / "config/demo_regions.json")
    tract, elsewhere = (region_mask(polygons) for polygons in regions.whole_groups().values())
    assert (tract & elsewhere).mean() < 0.02
    assert tract.mean() < elsewhere.mean()


def test_what_is_no_region_is_refused(tmp_path):
    path = tmp_path / "r.json"
    for content in ("[]", '{"a": {"b": [[1, 2]]}}', "{", '{"a": [1]}'):
        path.write_text(content)
        with pytest.raises(UserError, match=r"r\.json: holds"):
            Regions.read(path)


def test_averages_count_each_clip_alike_and_phonemes_their_own_frames(tmp_path):
    """Two clips, one ten times as loud; a lights up on the left, t on the right."""
    left, right = np.zeros((2, 8, 8), np.float32)
    left[:, :3], right[:, 5:] = 1, 1  # Enlarging blurs the cells between.
    clips = {"a0": (1, [left, left, right, right]), "a1": (10, [right, right, right, right])}
    for id, (loudness, maps) in clips.items():
        folder = tmp_path / "gradcam" / id
        facts = write_sequence(folder / "gradcam_F1_sequence.npy", loudness * np.stack(maps))
        (folder / "gradcam_F1.json").write_text(json.dumps(facts | {"frames": 4, "frame_rate": "10"}))
        sample = tmp_path / "processed/samples" / id
        sample.mkdir(parents=True)
        np.save(sample / "mri.npy", np.full((4, 256, 256), 90, np.uint8))
    phonemes = tmp_path / "phonemes"
    phonemes.mkdir()
    spoken = [{"phoneme": "a", "start": 0, "end": 0.2}, {"phoneme": "t", "start": 0.2, "end": 0.4}]
    (phonemes / "a0.json").write_text(json.dumps({"phonemes": spoken}))
    half = [[0, 0], [128, 0], [128, 256], [0, 256]]
    regions = Regions({"left": {"l": half}, "right": {"r": [[x + 128, y] for x, y in half]}})
    facts = aggregate(
        tmp_path / "gradcam",
        tmp_path / "processed",
        ["a0", "a1"],
        ["F1"],
        tmp_path / "out",
        phoneme_dir=phonemes,
        regions=regions,
    )
    found = facts["bands"]["F1"]
    # Half of the first clip and none of the second.
    assert found["mass_share"]["left"] == pytest.approx(0.25, abs=0.01)
    shares = {part["phoneme"]: (part["frames"], part["mass_share"]["left"]) for part in found["phonemes"]}
    assert shares == {"a": (2, pytest.approx(1)), "t": (2, pytest.approx(0, abs=1e-4))}
    assert np.load(tmp_path / "out/average_F1.npy").sum() == pytest.approx(1, abs=1e-4)
    assert np.load(tmp_path / "out/phonemes_F1.npy").shape == (2, 256, 256)
    assert cv2.imread(str(tmp_path / "out/phonemes_F1.png")).shape == (256, 512, 3)
    assert findings(facts) == ["F1: not more mass on the left (25%, 0.5 times its area) than on right (75%)."]
