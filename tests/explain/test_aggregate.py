"""Averages of maps by band and phoneme, and shares of mass."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.explain.aggregate import aggregate
from rtmri_speech.explain.regions import Regions, mass_share, region_mask
from rtmri_speech.explain.sequences import write_sequence
from rtmri_speech.signal.mel import MelSpec

REPOSITORY = Path(__file__).parents[2]


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


def test_an_invalid_region_is_refused(tmp_path):
    path = tmp_path / "r.json"
    for content in ("[]", '{"a": {"b": [[1, 2]]}}', "{", '{"a": [1]}'):
        path.write_text(content)
        with pytest.raises(UserError, match=r"r\.json: (holds|is not valid JSON|its content is)"):
            Regions.read(path)


def test_averages_weight_clips_equally_and_phonemes_by_frames(tmp_path):
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
    spec = MelSpec.preset("hifigan", sampling_rate=4000, hop_length=400)
    (tmp_path / "processed/meta.json").write_text(json.dumps({"mel": spec.to_dict()}))
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
    assert facts == json.loads((tmp_path / "out/aggregate.json").read_text())
    assert facts["findings"] == ["F1: not more mass on the left (25%, 0.5 times its area) than on right (75%)."]
