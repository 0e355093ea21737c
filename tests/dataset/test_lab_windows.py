"""Windows that the old system stored in full become samples again, and ours index the same frames."""

import json

import numpy as np
import pytest

from rtmri_speech.dataset.filelists import write_filelist
from rtmri_speech.dataset.lab_format import restore_samples
from rtmri_speech.dataset.windows import WindowDataset, write_pairs
from rtmri_speech.errors import UserError


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
def test_our_windows_equal_the_labs_value_for_value(tmp_path, layout):
    windows = lab_directory(tmp_path, layout)
    assert restore_samples(tmp_path) == ["000"]
    write_pairs(tmp_path, "training")
    ours = WindowDataset(tmp_path, "training")
    assert len(ours) == len(windows["mri"])
    for index in range(len(ours)):
        np.testing.assert_array_equal(np.float32(ours[index]["mri"]) / np.float32(255), windows["mri"][index, :, 0])
        np.testing.assert_allclose(ours[index]["mel"], windows["mel"][index], atol=1e-5)
    assert restore_samples(tmp_path) == []


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
