"""Stored sequences, cut-outs and the command of the memo."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_gradcam import random_frames, small_bundle

from rtmri_speech.errors import UserError
from rtmri_speech.explain.bands import Band
from rtmri_speech.explain.clips import ClipSettings, explain_clip
from rtmri_speech.explain.gradcam import grad_cam
from rtmri_speech.explain.maps import model_maps
from rtmri_speech.explain.sequences import Interval, enlarged, open_sequence, write_sequence

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/mri_gradcam_formant.py"
RATE = Fraction(11413, 420)


@pytest.mark.parametrize("scaling", ["clip", "frame"])
def test_raw_maps_are_recovered_by_the_stored_scale(tmp_path, scaling):
    maps = np.random.default_rng(0).gamma(1, 3e-4, (5, 4, 4)).astype(np.float32)
    maps[2] = 0
    facts = write_sequence(tmp_path / "gradcam_F1_sequence.npy", maps, scaling, (32, 48))
    (tmp_path / "gradcam_F1.json").write_text(json.dumps(facts | {"frames": 5, "frame_rate": "11413/420"}))
    stored = open_sequence(tmp_path, "F1")
    large = np.stack([enlarged(heat, (32, 48)) for heat in maps])
    assert stored.maps.dtype == np.float32 and stored.maps.shape == (5, 32, 48)
    np.testing.assert_allclose(np.stack(list(stored.raw())), large, atol=1e-6 * large.max())
    assert not stored.maps[2].any()
    if scaling == "clip":
        assert stored.maps.max() == 1 and stored.maps.max((1, 2)).argmax() == large.max((1, 2)).argmax()
        assert np.sort(stored.maps.max((1, 2)))[-2] < 1
    else:
        np.testing.assert_allclose(stored.maps.max((1, 2)), [1, 1, 0, 1, 1])
        np.testing.assert_allclose(stored.maps.min((1, 2)), 0)


def test_an_interval_takes_the_frames_whose_middle_lies_in_it():
    for text, start, end in (("first2s", 0, 2), ("0.8-1.2", 0.8, 1.2), ("1-1.5s", 1, 1.5)):
        wanted = [t for t in range(104) if start <= (t + 0.5) * 420 / 11413 < end]
        assert list(Interval.parse(text).frames(104, RATE)) == wanted
    with pytest.raises(UserError, match=r"9-10 holds no frame; the clip has 3\.83 s"):
        Interval.parse("9-10").frames(104, RATE)
    for wrong in ("2-1", "last2s", "first0s"):
        with pytest.raises(UserError, match="write seconds as"):
            Interval.parse(wrong)


def test_all_files_of_a_clip_are_written(tmp_path):
    bundle, frames = small_bundle(), random_frames(12)
    settings = ClipSettings(
        bands=(Band("F1", 300, 900),), target_frames=(3, 7), intervals=(Interval.parse("0.1-0.3"),), stride=8
    )
    explain_clip(bundle, frames, tmp_path, settings, source="a0")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gradcam_F1.json",
        "gradcam_F1_0.1-0.3_sequence.npy",
        "gradcam_F1_average.png",
        "gradcam_F1_frame0003.png",
        "gradcam_F1_frame0003_detail.png",
        "gradcam_F1_frame0007.png",
        "gradcam_F1_frame0007_detail.png",
        "gradcam_F1_sequence.npy",
    ]
    stored = open_sequence(tmp_path, "F1")
    assert stored.maps.shape == (12, 256, 256)
    raw = grad_cam(bundle, frames, settings.bands, stride=8).sequences["F1"]
    large = np.stack([enlarged(heat, (256, 256)) for heat in raw])
    np.testing.assert_allclose(np.stack(list(stored.raw())), large, atol=1e-5 * large.max())
    np.testing.assert_array_equal(np.load(tmp_path / "gradcam_F1_0.1-0.3_sequence.npy"), stored.maps[3:8])
    assert cv2.imread(str(tmp_path / "gradcam_F1_average.png")).shape == (256, 256, 3)
    assert stored.facts["bins"] == bundle.mel.band(300, 900).tolist()


def test_a_sequence_without_its_scale_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"gradcam_F1\.json: there is no such file"):
        open_sequence(tmp_path, "F1")


def test_the_script_refuses_before_loading_models(tmp_path):
    def run(*arguments):
        return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=120)

    both = run("--mri-checkpoint", "m.pt", "--output-dir", tmp_path, "--video", "a.mp4", "--processed-dir", "p")
    assert both.returncode == 2 and "exclude each other" in both.stderr
    missing = run("--mri-checkpoint", tmp_path / "m.pt", "--output-dir", tmp_path, "--video", "a.mp4")
    assert missing.returncode == 2 and "m.pt" in missing.stderr and "Traceback" not in missing.stderr


def test_another_method_writes_the_same_files_and_is_named_in_them(tmp_path):
    bundle, frames = small_bundle(), random_frames(5)
    settings = ClipSettings(bands=(Band("F1", 300, 900),), method="integrated_gradients")
    explain_clip(bundle, frames, tmp_path, settings, source="a0")
    stored = open_sequence(tmp_path, "F1")
    assert stored.facts["method"] == "integrated_gradients" and stored.facts["cells"] == [64, 64]
    maps = model_maps(bundle, frames, settings.bands, "integrated_gradients")["F1"]
    large = np.stack([enlarged(heat, (256, 256)) for heat in maps])
    np.testing.assert_allclose(np.stack(list(stored.raw())), large, atol=1e-6 * large.max())
    with pytest.raises(UserError, match="--target-frames: are not explained by occlusion"):
        other = ClipSettings(bands=settings.bands, method="occlusion", target_frames=(1,))
        explain_clip(bundle, frames, tmp_path, other, source="a0")
