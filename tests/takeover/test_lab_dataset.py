"""Windows stored by the old system are converted to samples, and our windows index the same frames."""

import json
import tracemalloc

import numpy as np
import pytest

from rtmri_speech.dataset.filelists import write_filelist
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.windows import WindowDataset, write_window_starts
from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.takeover.lab_dataset import (
    LabClip,
    StoredClip,
    import_clip,
    lab_scaler,
    restore_samples,
    stored_clips,
    take_frames,
)


def lab_directory(tmp_path, layout, frames=9):
    """The lab's arrays for one clip, cut here frame by frame."""
    rng = np.random.default_rng(3)
    mri = rng.integers(0, 256, (frames, 6, 6)).astype(np.float32) / 255
    mel_db = rng.normal(-30, 10, (frames, 5)).astype(np.float32)
    mean, std = mel_db.mean(0), mel_db.std(0)
    (tmp_path / "scaler.json").write_text(
        json.dumps({"mean": mean.tolist(), "std": std.tolist(), "count_frames": frames})
    )
    windows = {
        "mri": np.stack([mri[t : t + 4, None] for t in range(frames - 3)]),
        "mel": np.stack([((mel_db - mean) / std)[t : t + 4] for t in range(frames - 3)]).astype(np.float32),
        "mask": np.ones((frames - 3, 4), np.float32),
    }
    if layout == "npz":
        (tmp_path / "pairs_ref4").mkdir()
        np.savez(tmp_path / "pairs_ref4" / "000.npz", **windows)
    else:
        (tmp_path / "pairs_ref4_npy" / "000").mkdir(parents=True)
        for name, array in windows.items():
            np.save(tmp_path / "pairs_ref4_npy" / "000" / f"{name}.npy", array)
    write_filelist(tmp_path / "hifigan_filelists" / "training.txt", ["000"])
    return windows


@pytest.mark.parametrize("layout", ["npz", "npy"])
def test_our_windows_equal_the_labs(tmp_path, layout):
    windows = lab_directory(tmp_path, layout)
    assert restore_samples(tmp_path) == ["000"]
    write_window_starts(tmp_path, "training")
    ours = WindowDataset(tmp_path, "training")
    assert len(ours) == len(windows["mri"])
    for index in range(len(ours)):
        np.testing.assert_array_equal(np.float32(ours[index]["mri"]) / np.float32(255), windows["mri"][index, :, 0])
        np.testing.assert_allclose(ours[index]["mel"], windows["mel"][index], atol=1e-5)
    assert restore_samples(tmp_path) == []


@pytest.mark.parametrize("layout", ["npz", "npy"])
def test_windows_beside_a_stored_mel_need_no_scaler(tmp_path, layout):
    lab_directory(tmp_path, layout)
    (tmp_path / "scaler.json").unlink()
    with pytest.raises(UserError, match=r"holds a standardised mel, and .* has neither scaler\.json nor meta\.json"):
        restore_samples(tmp_path)
    assert not (tmp_path / "samples").exists()
    mel_db = np.float32(np.random.default_rng(0).normal(-30, 10, (9, 5)))
    (tmp_path / "samples" / "000").mkdir(parents=True)
    np.save(tmp_path / "samples" / "000" / "mel_db.npy", mel_db)
    assert restore_samples(tmp_path) == ["000"]
    assert write_window_starts(tmp_path, "training") == 6
    np.testing.assert_array_equal(open_sample(tmp_path, "000").mel_db, mel_db)


def test_windows_of_another_stride_are_refused(tmp_path):
    windows = lab_directory(tmp_path, "npy")
    np.save(tmp_path / "pairs_ref4_npy" / "000" / "mri.npy", windows["mri"][::2])
    with pytest.raises(UserError, match="do not follow"):
        restore_samples(tmp_path)


def test_a_broken_npz_is_refused_by_name(tmp_path):
    lab_directory(tmp_path, "npz")
    path = tmp_path / "pairs_ref4" / "000.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"000\.npz"):
        restore_samples(tmp_path)


def test_a_scaler_of_another_mel_is_refused(tmp_path):
    lab_directory(tmp_path, "npz")
    (tmp_path / "scaler.json").write_text(json.dumps({"mean": [0.0] * 3, "std": [1.0] * 3, "count_frames": 9}))
    with pytest.raises(UserError, match=r"000\.npz: has 5 mel bins, and the scaler of .* 3; give the scaler\.json"):
        restore_samples(tmp_path)


def stored_sample(tmp_path, mri, mel_db=None, mask=None):
    """A clip stored whole, as samples/000."""
    folder = tmp_path / "samples" / "000"
    folder.mkdir(parents=True)
    np.save(folder / "mri.npy", mri)
    np.save(folder / "mel_db.npy", np.zeros((len(mri), 5), np.float32) if mel_db is None else mel_db)
    np.save(folder / "mask.npy", np.ones(len(mri), np.float32) if mask is None else mask)
    return StoredClip(folder)


@pytest.mark.parametrize("layout", ["npz", "npy", "compressed"])
def test_a_stored_clip_is_read_in_place_and_never_written_to(tmp_path, layout):
    windows = lab_directory(tmp_path, "npy" if layout == "npy" else "npz")
    if layout == "compressed":
        np.savez_compressed(tmp_path / "pairs_ref4" / "000.npz", **windows)
    before = sorted(tmp_path.rglob("*"))
    clip = stored_clips(tmp_path)["000"]
    assert (clip.id, clip.whole, clip.processed_dir) == ("000", False, tmp_path)
    frames = np.stack(list(clip.frames()))
    assert frames.dtype == np.uint8 and clip.shape("mri") == frames.shape
    for first in range(len(windows["mri"])):
        there = windows["mri"][first, :, 0]
        np.testing.assert_array_equal(np.float32(frames[first : first + 4]) / np.float32(255), there)
    mel_db, scaler = clip.mel_db(), lab_scaler(tmp_path)
    assert clip.shape("mel") == mel_db.shape
    np.testing.assert_allclose((mel_db[:4] - scaler.mean) / scaler.std, windows["mel"][0], atol=1e-5)
    np.testing.assert_array_equal(clip.sound_mask(), np.ones(len(frames)))
    assert sorted(tmp_path.rglob("*")) == before


def test_complete_samples_take_precedence_over_windows(tmp_path):
    lab_directory(tmp_path, "npy")
    clip = stored_sample(tmp_path, np.zeros((9, 6, 6), np.float32))
    assert stored_clips(tmp_path)["000"] == clip
    (clip.source / "mask.npy").unlink()
    assert stored_clips(tmp_path)["000"].source == tmp_path / "pairs_ref4_npy" / "000"


@pytest.mark.parametrize("pixel", [100.5 / 255, 1.2, -1 / 255, np.nan])
def test_pixels_not_representable_in_8_bits_are_refused_with_the_frame(tmp_path, pixel):
    mri = np.zeros((6, 4, 4), np.float32)
    mri[3, 1, 1] = pixel
    with pytest.raises(UserError, match=r"frame 3: holds pixels that are not multiples of 1/255"):
        take_frames(tmp_path / "mri.npy", stored_sample(tmp_path, mri), (4, 4))
    assert not (tmp_path / "mri.npy").exists()


def test_every_byte_is_recovered_after_division_by_255(tmp_path):
    bytes_ = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for divided in (bytes_.astype(np.float32) / np.float32(255), (bytes_ / 255).astype(np.float32)):
        np.testing.assert_array_equal(np.stack(list(stored_sample(tmp_path, divided).frames())), bytes_)
        for path in (tmp_path / "samples" / "000").iterdir():
            path.unlink()
        (tmp_path / "samples" / "000").rmdir()


def test_frames_of_another_size_are_refused_with_the_setting(tmp_path):
    clip = stored_sample(tmp_path, np.zeros((6, 4, 8), np.float32))
    with pytest.raises(UserError, match=r"frames of 4 x 8, and video\.size is 4 x 4; set video\.size to \[4, 8\]"):
        take_frames(tmp_path / "mri.npy", clip, (4, 4))


def test_a_missing_scaler_is_read_from_meta_json(tmp_path):
    (tmp_path / "meta.json").write_text(json.dumps({"mean": [1.0, 2.0], "std": [3.0, 4.0]}))
    assert lab_scaler(tmp_path).mean.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("layout", ["npz", "npy"])
def test_memory_does_not_grow_with_the_length_of_a_clip(tmp_path, layout):
    peaks = []
    for frames in (30, 240):
        folder = tmp_path / str(frames)
        mri = np.random.default_rng(0).integers(0, 256, (frames, 64, 64)).astype(np.float32) / 255
        windows = np.stack([mri[t : t + 4, None] for t in range(frames - 3)])
        target = folder / ("pairs_ref4" if layout == "npz" else "pairs_ref4_npy/000")
        target.mkdir(parents=True)
        np.savez(target / "000.npz", mri=windows) if layout == "npz" else np.save(target / "mri.npy", windows)
        clip = StoredClip(target / "000.npz" if layout == "npz" else target)
        del windows
        tracemalloc.start()
        take_frames(folder / "mri.npy", clip, (64, 64))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_a_stored_mel_of_another_length_is_refused(tmp_path):
    clip = stored_sample(tmp_path / "old", np.zeros((12, 4, 4), np.float32), np.zeros((9, 64), np.float32))
    meta = {"sr": 11413, "n_mels": 64, "n_fft": 2048, "win_length": 2048, "hop_length": 420, "preemph": 0.97}
    (tmp_path / "old" / "meta.json").write_text(json.dumps(meta))
    sound = tmp_path / "000.wav"
    write_wav(sound, np.random.default_rng(0).uniform(-0.3, 0.3, 12 * 420), 11413)
    spec = MelSpec.preset("lab", sampling_rate=11413, n_mels=64)
    taken = LabClip("000", tmp_path / "000.mp4", sound, stored=clip)
    with pytest.raises(UserError, match="has 12 frames, a mel of 9 x 64 and a mask of 12"):
        import_clip(tmp_path / "new", taken, spec, (4, 4), 1.0)
    with pytest.raises(UserError, match="preemphasis"):
        import_clip(tmp_path / "new", taken, MelSpec.preset("lab", preemphasis=0.9), (4, 4), 1.0)
