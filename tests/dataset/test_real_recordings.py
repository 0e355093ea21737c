"""Two real recordings of other frame rates, sizes, codecs and sampling rates become samples in step."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.frames import write_frames
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.sound import write_sound
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.sync import audit_sync, sync_clip
from rtmri_speech.signal.audio import WavSamples
from rtmri_speech.signal.mel import MelSpec

REAL = Path(__file__).parents[3] / "shared" / "real_clips"
SPEC = MelSpec.preset("hifigan")

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not here")

RECORDINGS = {"rainbow": "rainbow.mp4", "lac": "lac12112011_13_30_52.avi"}


def clip(name, start, end):
    video = REAL / "videos" / RECORDINGS[name]
    return Clip(name, video, REAL / "audio" / f"{video.stem}.wav", start, end)


@pytest.mark.parametrize("resampling", ["nearest", "mean"])
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_cut_has_one_frame_per_hop_of_its_sound(tmp_path, name, resampling):
    write_frames(tmp_path / "samples" / name / "mri.npy", clip(name, 2, 5), SPEC.frame_rate, (128, 128), resampling)
    write_sound(tmp_path, clip(name, 2, 5), SPEC)
    sample = open_sample(tmp_path, name)
    assert abs(len(sample.mri) - 3 * float(SPEC.frame_rate)) < 1.01
    assert sample.mri.shape[1:] == (128, 128) and sample.mri.std() > 10
    assert sample.sound_mask.all() and np.ptp(sample.mel_db) > 40


@pytest.mark.parametrize("name", RECORDINGS)
def test_without_resampling_another_rate_is_refused_with_a_suitable_one(tmp_path, name):
    with pytest.raises(UserError, match="hop_length") as refusal:
        write_frames(tmp_path / "mri.npy", clip(name, 0, 1), Fraction(11413, 420), sampling_rate=11413)
    assert "27.174" in str(refusal.value)


def test_sound_and_picture_are_in_step(tmp_path):
    """An independent regression from picture to sound finds a lag below two frames."""
    cut = clip("rainbow", 0, 25)
    write_frames(tmp_path / "samples" / "rainbow" / "mri.npy", cut, SPEC.frame_rate, (64, 64), "nearest")
    write_sound(tmp_path, cut, SPEC)
    with WavSamples(tmp_path / "wavs" / "rainbow.wav") as audio:
        frames = open_sample(tmp_path, "rainbow").mri
        found = audit_sync({"rainbow": sync_clip(frames, audio, SPEC.sampling_rate, SPEC.hop_length)})
    assert abs(found.clips["rainbow"].offset_ms) < 2000 / float(SPEC.frame_rate)
