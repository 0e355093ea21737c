"""One clip from files to sample: frames, sound of as many hops, and its mel."""

from fractions import Fraction

import librosa
import numpy as np
import pytest
import soundfile as sf

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.figure import draw_sample
from rtmri_speech.dataset.frames import write_frames
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.sound import sound_mask, write_sound
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.video import write_video

RATE = Fraction(11413, 420)
SPEC = MelSpec.preset("hifigan")


@pytest.fixture
def recording(tmp_path):
    """Forty frames, frame t of brightness 5 t + 10; a click at the middle of every fifth frame."""
    frames = 40
    write_video(tmp_path / "v.mp4", (np.full((32, 32), 5 * t + 10, np.uint8) for t in range(frames)), RATE, crf=0)
    sound = 0.001 * np.sin(np.arange(frames * 420) / 3)
    for t in range(2, frames, 5):
        sound[t * 420 + 210] = 0.9
    sf.write(tmp_path / "v.wav", sound, 11413, subtype="PCM_16")
    return Clip("v", tmp_path / "v.mp4", tmp_path / "v.wav")


def made(tmp_path, clip, spec=SPEC, **settings):
    write_frames(tmp_path / "samples" / clip.id / "mri.npy", clip, spec.frame_rate, (32, 32))
    write_sound(tmp_path, clip, spec, **settings)
    return open_sample(tmp_path, clip.id)


def test_every_frame_is_stored_once_in_order(tmp_path, recording):
    sample = made(tmp_path, recording)
    assert sample.mri.dtype == np.uint8 and sample.mri.shape == (40, 32, 32)
    np.testing.assert_allclose(sample.mri.mean((1, 2)), 5 * np.arange(40) + 10, atol=1)


def test_a_click_in_the_middle_of_a_frame_is_in_the_mel_of_that_frame(tmp_path, recording):
    sample = made(tmp_path, recording)
    power = sample.mel_db[:, 40:].mean(1)
    assert all(power[t] >= power[t - 1] - 1e-3 and power[t] >= power[t + 1] - 1e-3 for t in range(2, 40, 5))


def test_a_cut_takes_frames_and_sound_together(tmp_path, recording):
    whole = made(tmp_path / "a", recording)
    start, end = 10 / float(RATE), 30 / float(RATE)
    cut = made(tmp_path / "b", Clip("v", recording.video, recording.audio, start=start, end=end))
    np.testing.assert_array_equal(cut.mri, whole.mri[10:30])
    assert cut.sound_mask.all()
    # Away from the ends, where the cut's padding is reflected.
    np.testing.assert_allclose(cut.mel_db[4:-4], whole.mel_db[14:26], atol=0.2)


def test_delayed_sound_is_shifted_back(tmp_path, recording):
    sound, rate = sf.read(recording.audio)
    late = tmp_path / "late.wav"
    sf.write(late, np.concatenate([np.full(840, 0.001), sound[:-840]]), rate, subtype="PCM_16")
    shifted = made(tmp_path / "b", Clip("v", recording.video, late, av_offset_ms=1000 * 840 / 11413))
    straight = made(tmp_path / "a", recording)
    np.testing.assert_allclose(shifted.mel_db[4:34], straight.mel_db[4:34], atol=0.2)
    assert shifted.sound_mask.tolist() == [1] * 38 + [0] * 2


def test_the_mel_is_that_of_the_written_wav(tmp_path, recording):
    sample = made(tmp_path, recording, gain=0.5)
    audio, rate = sf.read(tmp_path / "wavs" / "v.wav")
    assert (len(audio), rate) == (40 * 420, 11413)
    padded = np.pad(audio, (814, 814), mode="reflect")
    spectrum = np.sqrt(np.abs(librosa.stft(padded, n_fft=2048, hop_length=420, center=False)) ** 2 + 1e-9)
    mel = librosa.filters.mel(sr=11413, n_fft=2048, n_mels=64) @ spectrum
    np.testing.assert_allclose(sample.mel_db.T, 20 * np.log10(np.maximum(mel, 1e-5)), atol=1e-3)


def test_gain_is_the_same_for_every_clip(tmp_path, recording):
    made(tmp_path, recording, gain=0.5)
    audio, _ = sf.read(tmp_path / "wavs" / "v.wav")
    assert np.abs(audio).max() == pytest.approx(0.45, abs=1e-3)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", ["PCM_U8", "PCM_24", "FLOAT"])
def test_stereo_and_other_depths_are_handled(tmp_path, recording, channels, kind):
    sound, rate = sf.read(recording.audio)
    other = tmp_path / "other.wav"
    sf.write(other, np.stack([sound] * channels, 1), rate, subtype=kind)
    made(tmp_path, Clip("v", recording.video, other))
    written, _ = sf.read(tmp_path / "wavs" / "v.wav")
    np.testing.assert_allclose(written, sound, atol=1 / 128 if kind == "PCM_U8" else 1 / 16384)


def test_a_few_missing_frames_are_masked_and_many_are_refused(tmp_path, recording):
    sound, rate = sf.read(recording.audio)
    short = tmp_path / "short.wav"
    sf.write(short, sound[: 36 * 420], rate)
    sample = made(tmp_path, Clip("v", recording.video, short))
    assert sample.sound_mask.tolist() == [1] * 36 + [0] * 4
    sf.write(short, sound[: 20 * 420], rate)
    with pytest.raises(UserError, match=r"short\.wav: has 0\.74 s of sound for 1\.47 s"):
        write_sound(tmp_path, Clip("v", recording.video, short), SPEC)
    assert not (tmp_path / "wavs" / "v.wav").exists()


@pytest.mark.parametrize("spec", [SPEC, MelSpec.preset("lab")], ids=["centred", "start"])
@pytest.mark.parametrize("samples", [0, 419, 420, 2047, 2048, 2467, 2468, 4200, 16800])
def test_the_mask_is_one_where_a_frame_has_complete_sound(spec, samples):
    needed = 420 if spec.alignment == "centred" else 2048
    expected = [float(t * 420 + needed <= samples) for t in range(40)]
    assert sound_mask(40, samples, spec).tolist() == expected


def test_the_labs_mel_ends_before_the_video_and_is_masked_there(tmp_path, recording):
    sample = made(tmp_path, recording, MelSpec.preset("lab"))
    assert sample.mel_db.shape == (40, 64)
    assert sample.sound_mask.tolist() == [1] * 36 + [0] * 4


def test_the_figure_is_drawn_for_short_and_float_samples(tmp_path, recording):
    sample = made(tmp_path, recording)
    lab = type(sample)("v", sample.mri[:3] / np.float32(255), sample.mel_db[:3], np.zeros(3, np.float32))
    for number, each in enumerate([sample, lab]):
        draw_sample(tmp_path / f"{number}.png", each, SPEC)
        assert (tmp_path / f"{number}.png").stat().st_size > 5000
