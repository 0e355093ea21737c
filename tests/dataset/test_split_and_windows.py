"""Split, scaler, windows and file lists against closed forms and brute force."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmri_speech.dataset.filelists import moved_clips, read_filelist, write_filelist
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import Sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.dataset.split import SMALL, SPLITS, split_clips
from rtmri_speech.dataset.windows import WindowDataset, window_starts, write_window_starts
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec

IDS = [f"{number:03d}" for number in range(503)]


def test_adding_clips_moves_no_other_clip():
    few, many = split_clips(IDS[:300]), split_clips(IDS)
    for part in SPLITS:
        assert set(few[part]) == set(many[part]) & set(IDS[:300])


def test_shares_are_as_requested():
    sizes = {part: len(ids) for part, ids in split_clips(IDS, seed=7, validation=0.1, test=0.2).items()}
    assert sum(sizes.values()) == 503
    # Three standard deviations of a binomial.
    assert abs(sizes["validation"] - 50.3) < 3 * (503 * 0.1 * 0.9) ** 0.5
    assert abs(sizes["test"] - 100.6) < 3 * (503 * 0.2 * 0.8) ** 0.5


def test_the_split_is_the_same_on_every_machine():
    assert split_clips(["000", "001", "002"], seed=28) == {"training": ["001"], "validation": ["002"], "test": ["000"]}


@pytest.mark.parametrize("clips", range(3, SMALL))
def test_a_small_corpus_fills_every_set_with_about_its_share(clips):
    for seed in range(25):
        parts = split_clips(IDS[:clips], seed)
        assert sorted(id for part in parts.values() for id in part) == IDS[:clips]
        sizes = {part: len(members) for part, members in parts.items()}
        assert sizes["validation"] == sizes["test"] == max(1, round(clips / 10))
        assert sizes["training"] >= 1


def test_clips_moved_when_the_hash_takes_over_are_reported(tmp_path):
    small, grown = split_clips(IDS[: SMALL - 1], seed=0), split_clips(IDS[: SMALL + 5], seed=0)
    for part, ids in small.items():
        write_filelist(tmp_path / f"{part}.txt", ids)
    moved = {id for part in SPLITS for id in small[part] if id not in grown[part]}
    assert moved and moved_clips(tmp_path, grown) == sorted(moved)
    assert moved_clips(tmp_path, small) == []


def test_with_too_few_clips_the_last_set_is_empty():
    assert [len(ids) for ids in split_clips(["a"]).values()] == [1, 0, 0]
    assert [len(ids) for ids in split_clips(["a", "b"]).values()] == [1, 1, 0]


@pytest.mark.parametrize("clips", [5, 503])
def test_the_training_set_can_have_all_clips(clips):
    parts = split_clips(IDS[:clips], test=0)
    assert parts["test"] == [] and parts["validation"] and len(parts["training"]) > len(parts["validation"])


def test_named_clips_of_a_small_corpus_count_towards_their_set():
    parts = split_clips(IDS[:6], named={"test": ["003", "004"]})
    assert parts["test"] == ["003", "004"] and len(parts["validation"]) == 1 and len(parts["training"]) == 3


def test_named_clips_are_in_the_named_set():
    parts = split_clips(IDS, named={"test": ["000", "001"], "validation": ["002"]})
    assert {"000", "001"} <= set(parts["test"])
    assert "002" in parts["validation"]
    assert sum(map(len, parts.values())) == 503


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"named": {"test": ["zzz"]}}, "'zzz'"),
        ({"named": {"test": ["000"], "validation": ["000"]}}, "too"),
        ({"validation": 0.6, "test": 0.5}, "leave no clips for training"),
        ({"validation": 0.0, "test": 0.5}, "split.validation: no clip"),
        ({"validation": 0.1, "test": -0.1}, "leave no clips for training"),
    ],
)
def test_an_invalid_split_is_refused(settings, told):
    with pytest.raises(UserError, match=told):
        split_clips(IDS, **settings)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(1, 5))
def test_windows_start_at_every_possible_frame(lengths, ref_frames):
    expected = [(c, f) for c, n in enumerate(lengths) for f in range(n) if f + ref_frames <= n]
    starts = window_starts(lengths, ref_frames)
    assert starts.dtype == np.int32
    assert starts.shape == (len(expected), 2)
    assert [tuple(row) for row in starts.tolist()] == expected


def test_the_scaler_has_the_statistics_of_unmasked_frames():
    rng = np.random.default_rng(0)
    mels = [rng.normal(-40, 12, (frames, 5)).astype(np.float32) for frames in (30, 1, 77)]
    masks = [np.ones(30), np.zeros(1), (np.arange(77) < 60).astype(float)]
    samples = [Sample(str(i), np.zeros((len(m), 2, 2)), m, k) for i, (m, k) in enumerate(zip(mels, masks, strict=True))]
    scaler = Scaler.of(samples)
    frames = np.concatenate([mels[0], mels[2][:60]]).astype(np.float64)
    assert scaler.count_frames == 90
    np.testing.assert_allclose(scaler.mean, frames.mean(0), rtol=1e-12)
    np.testing.assert_allclose(scaler.std, frames.std(0), rtol=1e-12)
    np.testing.assert_allclose(scaler.restore(scaler.standardise(mels[0])), mels[0], atol=1e-4)


def test_a_constant_bin_causes_no_division_by_zero():
    scaler = Scaler(np.array([-100.0]), np.array([0.0]), 3)
    assert np.isfinite(scaler.standardise(np.array([[-100.0]]))).all()


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"mean": [0]}', '{"mean": [0], "std": [1, 2]}', '{"mean": [0], "std": [-1]}']
)
def test_a_broken_scaler_is_refused_by_name(tmp_path, text):
    (tmp_path / "scaler.json").write_text(text)
    with pytest.raises(UserError, match=r"scaler\.json"):
        Scaler.load(tmp_path / "scaler.json")


def test_file_lists_are_read_as_the_official_program_reads_them(tmp_path):
    write_filelist(tmp_path / "training.txt", ["000", "a-b"])
    lines = (tmp_path / "training.txt").read_text(encoding="utf-8").split("\n")
    assert [line.split("|")[0] for line in lines if len(line) > 0] == ["000", "a-b"]
    assert read_filelist(tmp_path / "training.txt") == ["000", "a-b"]


def test_file_lists_with_crlf_and_bare_ids_are_read(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf000|dummy|dummy\r\n001\r\n\r\n")
    assert read_filelist(tmp_path / "list.txt") == ["000", "001"]


@pytest.mark.parametrize(
    ("content", "told"), [(b"", "names no clip"), (b"../x|a\n", "is not a valid clip id"), (b"\xff\xff", "UTF-8")]
)
def test_a_broken_file_list_is_refused(tmp_path, content, told):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UserError, match=told):
        read_filelist(tmp_path / "list.txt")


def test_a_window_is_a_view_and_its_mel_is_standardised(tiny_processed):
    windows = WindowDataset(tiny_processed, "training")
    clip, first = windows.starts[9].tolist()
    sample = windows.sample(clip)
    item = windows[9]
    assert item["mri"].base is not None and item["mri"].dtype == np.uint8
    np.testing.assert_array_equal(item["mri"], sample.mri[first : first + 4])
    scaler = json.loads((tiny_processed / "scaler.json").read_text())
    expected = (sample.mel_db[first : first + 4] - np.array(scaler["mean"])) / np.array(scaler["std"])
    np.testing.assert_allclose(item["mel"], expected, atol=1e-5)


def test_windows_are_pickled_without_memory_maps(tiny_processed):
    windows = WindowDataset(tiny_processed, "training")
    before = windows[0]["mri"].copy()
    packed = pickle.dumps(windows)
    assert len(packed) < 20_000
    np.testing.assert_array_equal(pickle.loads(packed)[0]["mri"], before)


def test_pairs_are_written_for_the_clips_of_the_set(tiny_processed):
    (tiny_processed / "pairs_ref4_npy" / "training.npy").unlink()
    count = write_window_starts(tiny_processed, "training")
    assert count == len(WindowDataset(tiny_processed, "training"))


def test_clips_shorter_than_a_window_are_refused_when_none_is_left(tiny_processed):
    with pytest.raises(UserError, match="100 frames"):
        write_window_starts(tiny_processed, "training", ref_frames=100)


def test_meta_without_a_mel_means_the_labs(tmp_path):
    meta = {"sr": 11413, "n_mels": 64, "n_fft": 2048, "win_length": None, "hop_length": 420, "preemph": 0.97}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    assert load_mel_spec(tmp_path) == MelSpec.preset("lab")


def test_meta_keeps_the_mel_exactly(tiny_processed):
    stored = json.loads((tiny_processed / "meta.json").read_text())
    assert load_mel_spec(tiny_processed) == MelSpec(**stored["mel"])
    assert stored["hop_length"] == 420 and stored["resize_h"] == 32
