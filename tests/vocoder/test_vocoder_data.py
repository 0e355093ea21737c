import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
from logged import logged

from rtmri_speech.dataset.filelists import write_filelist
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec, log_mel
from rtmri_speech.vocoder.config import VocoderConfig
from rtmri_speech.vocoder.data import Excerpts, open_clips, read_mel, whole_clip

RATE, HOP = 11413, 420
CONFIG = VocoderConfig(padding="official", batch_size=3, segment_size=2520, seed=7)


@pytest.fixture
def corpus(tmp_path):
    """Three clips whose mels and samples both encode the frame number."""
    rng = np.random.default_rng(0)
    for name, frames in {"a": 30, "b": 20, "c": 12}.items():
        audio = rng.uniform(-0.5, 0.5, frames * HOP + 100)
        audio[: frames * HOP] = np.repeat(np.arange(frames) / 100, HOP)
        (tmp_path / "mels").mkdir(exist_ok=True)
        (tmp_path / "true").mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"{name}.wav", audio, RATE, subtype="FLOAT")
        mel = np.tile(np.arange(frames, dtype=np.float32) / 100, (64, 1))
        np.save(tmp_path / "mels" / f"{name}.npy", mel)
        np.save(tmp_path / "true" / f"{name}.npy", mel + 1)
    write_filelist(tmp_path / "list.txt", ["a", "b", "c"])
    return tmp_path


def clips_of(corpus, config=CONFIG, **directories):
    return open_clips(corpus / "list.txt", corpus, config, **directories)


def test_mel_and_audio_of_an_excerpt_start_at_the_same_frame(corpus):
    excerpts = Excerpts(clips_of(corpus, mels_dir=corpus / "mels"), CONFIG)
    starts = set()
    for step in range(20):
        batch = excerpts[step]
        assert batch["mel"].shape == (3, 64, 6) and batch["audio"].shape == (3, 6 * HOP)
        frames_of_audio = batch["audio"].reshape(3, 6, HOP)
        assert (frames_of_audio == batch["mel"][:, 0, :, None]).all()
        starts |= set(batch["mel"][:, 0, 0].tolist())
    assert len(starts) > 15


def test_a_batch_depends_on_seed_and_step_only(corpus):
    clips = clips_of(corpus)
    one, other = Excerpts(clips, CONFIG), Excerpts(clips, CONFIG)
    later = [one[step]["audio"] for step in (0, 3, 5)][-1]
    assert (other[5]["audio"] == later).all()
    reseeded = Excerpts(clips, dataclasses.replace(CONFIG, seed=8))
    assert not (reseeded[5]["audio"] == later).all()


def test_the_batch_is_divided_among_processes(corpus):
    clips, config = clips_of(corpus), dataclasses.replace(CONFIG, batch_size=4)
    whole = Excerpts(clips, config)[9]["audio"]
    for rank in (0, 1):
        assert (Excerpts(clips, config, rank=rank, ranks=2)[9]["audio"] == whole[rank::2]).all()
    with pytest.raises(UserError, match="multiple of the 3 processes"):
        Excerpts(clips, config, ranks=3)


def test_true_mels_are_used_with_their_probability(corpus):
    clips = clips_of(corpus, mels_dir=corpus / "mels", extra_mels_dir=corpus / "true")
    excerpts = Excerpts(clips, CONFIG, extra_mels_weight=0.8)
    drawn = np.concatenate([(excerpts[step]["mel"][:, 0, 0] >= 1).numpy() for step in range(200)])
    assert drawn.mean() == pytest.approx(0.8, abs=0.06)
    none = Excerpts(clips, CONFIG)
    assert not any((none[step]["mel"] >= 1).any() for step in range(20))
    assert whole_clip(clips[0], CONFIG)[0].max() < 1, "validation hears the predicted mel only"


@pytest.mark.parametrize("preset", ["hifigan", "lab"])
def test_a_computed_mel_is_that_of_the_whole_recording(corpus, preset):
    """Inside a clip, an excerpt's mel equals the same frames of the dataset's mel of the whole wav."""
    rng = np.random.default_rng(1)
    audio = rng.normal(size=60 * HOP) * 0.1
    soundfile.write(corpus / "a.wav", audio, RATE, subtype="DOUBLE")
    write_filelist(corpus / "list.txt", ["a"])
    spec = MelSpec.preset(preset)
    config = dataclasses.replace(CONFIG, mel=spec)
    expected = log_mel(spec.mel(audio))
    excerpts = Excerpts(clips_of(corpus, config), config)
    inside = 0
    for step in range(12):
        batch = excerpts[step]
        for mel, samples in zip(batch["mel"].numpy(), batch["audio"].numpy(), strict=True):
            first = np.abs(audio[: -6 * HOP : HOP] - samples[0]).argmin()
            np.testing.assert_allclose(samples, audio[first * HOP : (first + 6) * HOP], atol=1e-7)
            if 3 <= first <= 45:
                inside += 1
                np.testing.assert_allclose(mel, expected[:, first : first + 6], atol=1e-3)
    assert inside > 10


def test_augmentation_changes_the_speed_of_mel_and_audio_together(corpus):
    time = np.arange(60 * HOP) / RATE
    soundfile.write(corpus / "a.wav", 0.3 * np.sin(2 * np.pi * 1000 * time), RATE)
    write_filelist(corpus / "list.txt", ["a"])
    config = dataclasses.replace(CONFIG, augment_rate=0.1, augment_gain_db=(-6.0, 0.0), segment_size=8400)
    found, levels = [], []
    centres = config.spec.centre_frequencies()
    for step in range(8):
        batch = Excerpts(clips_of(corpus, config), config)[step]
        for mel, audio in zip(batch["mel"].numpy(), batch["audio"].numpy(), strict=True):
            if np.abs(audio).min() == 0 and (audio[:10] == 0).all():
                continue
            pitch = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))).argmax() * RATE / len(audio)
            found.append(pitch)
            levels.append(np.abs(audio).max())
            assert abs(centres[mel.mean(1).argmax()] - pitch) < 80
    assert min(found) < 950 and max(found) > 1050 and min(found) > 895 and max(found) < 1105
    assert max(levels) <= 0.31 and min(levels) > 0.14 and max(levels) / min(levels) > 1.3


def test_smoothing_blurs_true_mels_and_leaves_the_audio_from_its_step_on(corpus):
    plain = dataclasses.replace(CONFIG, smooth_mels=0.0)
    smooth = dataclasses.replace(CONFIG, smooth_mels=1.0, smooth_start=2)
    for directories, blurred in (
        ({}, True),
        ({"mels_dir": corpus / "mels"}, False),
        ({"mels_dir": corpus / "mels", "extra_mels_dir": corpus / "true"}, True),
    ):
        clips = clips_of(corpus, **directories)
        weight = 1.0 if "extra_mels_dir" in directories else 0.0
        for step in (1, 2, 3):
            one, other = (Excerpts(clips, config, weight)[step] for config in (plain, smooth))
            assert (one["audio"] == other["audio"]).all()
            assert bool((one["mel"] != other["mel"]).any()) == (blurred and step >= 2)


@pytest.mark.parametrize("kind", ["augment_recording", "augment_scanner"])
def test_other_recordings_are_drawn_for_their_share_and_the_mel_is_theirs(corpus, kind):
    config = dataclasses.replace(CONFIG, **{kind: 0.5})
    clips, changed = clips_of(corpus), 0
    for step in range(30):
        plain, batch = Excerpts(clips, CONFIG)[step], Excerpts(clips, config)[step]
        for before, audio, mel in zip(plain["audio"], batch["audio"], batch["mel"], strict=True):
            changed += bool((before != audio).any())
            # Away from the edges, where the excerpt's surroundings are heard.
            own = log_mel(config.spec.mel(audio.numpy().astype(np.float64)))
            np.testing.assert_allclose(mel[:, 3:-3], own[:, 3 : mel.shape[1] - 3], atol=0.05)
    assert changed / 90 == pytest.approx(0.5, abs=0.17)


def test_a_clip_shorter_than_an_excerpt_is_padded_with_silence(corpus):
    write_filelist(corpus / "list.txt", ["c"])
    config = dataclasses.replace(CONFIG, segment_size=8400)
    batch = Excerpts(clips_of(corpus, config, mels_dir=corpus / "mels"), config)[0]
    assert (batch["audio"][:, 12 * HOP :] == 0).all() and (batch["audio"][:, 11 * HOP] > 0).all()
    np.testing.assert_allclose(batch["mel"][:, :, 12:], np.log(1e-5), rtol=1e-6)
    assert Excerpts(clips_of(corpus, config), config)[0]["mel"].isfinite().all()


def test_small_differences_in_length_are_trimmed_and_large_ones_refused(corpus):
    np.save(corpus / "mels" / "a.npy", np.zeros((64, 27), np.float32))
    with logged() as told:
        clips = clips_of(corpus, mels_dir=corpus / "mels")
    assert clips[0].frames == 27
    assert "27 frames" in told[0] and "30" in told[0]
    np.save(corpus / "mels" / "a.npy", np.zeros((64, 20), np.float32))
    with pytest.raises(UserError, match=r"a\.npy: has 20 frames and .*a\.wav has 30 \(12700 samples\)"):
        clips_of(corpus, mels_dir=corpus / "mels")


def test_full_scale_samples_and_float_wavs_are_read_unchanged(corpus):
    audio = np.zeros(40 * HOP, np.float32)
    audio[::2] = 1.0
    soundfile.write(corpus / "a.wav", audio, RATE, subtype="FLOAT")
    _, samples = whole_clip(clips_of(corpus)[0], CONFIG)
    np.testing.assert_array_equal(samples, audio)


@pytest.mark.parametrize(
    ("mel", "reason"),
    [
        (np.zeros((30, 64), np.float32), "axes are transposed"),
        (np.zeros((80, 30), np.float32), r"\(80, 30\).*shape \(64, frames\)"),
        (np.full((64, 30), np.nan, np.float32), "not finite"),
        (np.full((64, 30), -40, np.float32), "decibels"),
        (np.zeros((64, 0), np.float32), "0 frames"),
        (np.zeros((64, 30), np.int16), "int16"),
    ],
)
def test_an_invalid_mel_is_refused(tmp_path, mel, reason):
    np.save(tmp_path / "x.npy", mel)
    with pytest.raises(UserError, match=reason):
        read_mel(tmp_path / "x.npy", 64)


def test_a_file_that_is_not_a_mel_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        read_mel(tmp_path / "x.npy", 64)
    (tmp_path / "x.npy").write_bytes(b"mel")
    with pytest.raises(UserError, match=r"is not a complete \.npy array"):
        read_mel(tmp_path / "x.npy", 64)


def test_invalid_wavs_are_refused(corpus):
    soundfile.write(corpus / "a.wav", np.zeros(9000), 22050)
    with pytest.raises(UserError, match=r"a\.wav: is at 22050 Hz and the config at 11413 Hz"):
        clips_of(corpus)
    soundfile.write(corpus / "a.wav", np.zeros(200), RATE)
    with pytest.raises(UserError, match=r"200 samples, less than one frame of 420"):
        clips_of(corpus)
    (corpus / "list.txt").write_text("")
    with pytest.raises(UserError, match=r"list\.txt"):
        clips_of(corpus)
    assert Path(corpus / "a.wav").exists()
