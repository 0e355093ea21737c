import numpy as np
import pytest
import torch

from rtmri_speech.acoustic.data import (
    Segments,
    TrainingSteps,
    mel_floor,
    moved,
    prepared_frames,
    validation_keys,
)
from rtmri_speech.dataset.windows import WindowDataset
from rtmri_speech.errors import UserError
from rtmri_speech.settings.acoustic import Augmentation
from rtmri_speech.training.loading import batches, load


@pytest.fixture
def segments(tiny_processed):
    def made(stretch=4, micro=2, seed=3, part="training"):
        return Segments(WindowDataset(tiny_processed, part), stretch, micro, "unit", seed)

    return made


@pytest.mark.parametrize("stretch", [1, 4, 5, 100])
@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_an_epoch_contains_each_window_once(segments, stretch, epoch):
    dataset = segments(stretch)
    found = []
    for number in range(len(dataset)):
        clip, firsts = dataset.segment((epoch, number))
        assert 1 <= len(firsts) <= stretch
        assert (np.diff(firsts) == 1).all()
        found += [(clip, first) for first in firsts.tolist()]
    assert sorted(found) == sorted(map(tuple, dataset.windows.starts.tolist()))
    assert len(found) == len(set(found))


def test_stretch_boundaries_vary_between_epochs_but_not_in_validation(segments):
    def cuts(dataset, epoch):
        return [dataset.segment((epoch, number))[1][0] for number in range(len(dataset))]

    moving, fixed = segments(4), segments(4, seed=None)
    assert len({tuple(cuts(moving, epoch)) for epoch in range(8)}) > 1
    assert len({tuple(cuts(fixed, epoch)) for epoch in range(8)}) == 1


def test_batch_windows_equal_the_dataset(segments):
    dataset = segments(4)
    order = {tuple(start): index for index, start in enumerate(dataset.windows.starts.tolist())}
    keys = [(1, 0), (1, 3), (1, 2)]
    batch = dataset.micro_batches(keys)
    assert [len(part.starts) for part in batch] == [
        sum(len(dataset.segment(key)[1]) for key in keys[:2]),
        len(dataset.segment(keys[2])[1]),
    ]
    wanted = [(dataset.segment(key)[0], first) for key in keys for first in dataset.segment(key)[1].tolist()]
    parts = [(part, place) for part in batch for place in range(len(part.starts))]
    for (part, place), window in zip(parts, wanted, strict=True):
        expected = dataset.windows[order[window]]
        first = int(part.starts[place])
        np.testing.assert_array_equal(part.frames[first : first + 4, 0].numpy(), expected["mri"] / np.float32(255))
        np.testing.assert_array_equal(part.mel[place].numpy(), expected["mel"])
        np.testing.assert_array_equal(part.sound_mask[place].numpy(), expected["mask"])


def test_frames_are_read_once_for_all_their_windows(segments):
    (part,) = segments(4, micro=1).micro_batches([(0, 0)])
    assert len(part.frames) == len(part.starts) + 3


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_give_the_same_batches_with_and_without_workers(segments, workers):
    dataset, steps = segments(), TrainingSteps(len(segments()), 2, seed=5)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    loaded = list(batches(load(dataset.micro_batches, steps.between(3, 7), workers=workers)))
    assert torch.equal(torch.get_rng_state(), before), "the loader draws from the generator of dropout"
    for step, batch in zip(range(3, 7), loaded, strict=True):
        for part, expected in zip(batch, dataset.micro_batches(steps.keys(step)), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(part, expected, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_deleted_during_training_is_named(segments, tiny_processed, workers):
    dataset = segments()
    (tiny_processed / "samples" / "a1" / "mel_db.npy").unlink()
    loader = load(dataset.micro_batches, [[(0, n)] for n in range(len(dataset))], workers=workers)
    with pytest.raises(UserError, match=r"samples/a1/mel_db\.npy: there is no such file"):
        list(batches(loader))


def test_clips_of_another_size_are_refused(segments, tiny_processed):
    path = tiny_processed / "samples" / "a1" / "mri.npy"
    np.save(path, np.load(path)[:, :16])
    dataset = segments()
    with pytest.raises(UserError, match=r"samples/a1: has frames \(9, 16, 32\).*\(32, 32\)"):
        for number in range(len(dataset)):
            dataset.micro_batches([(0, number)])


def test_steps_are_limited_and_divided_among_processes():
    steps = TrainingSteps(10, 4, seed=1, limit=2)
    assert steps.per_epoch == 2
    whole = [steps.keys(step) for step in range(6)]
    assert [epoch for batch in whole for epoch, _ in batch] == [0] * 8 + [1] * 8 + [2] * 8
    assert TrainingSteps(10, 4, seed=1).keys(3) == whole[2], "an epoch's order does not depend on the limit"
    shares = [TrainingSteps(10, 4, 1, 2, rank, 2).keys(4) for rank in (0, 1)]
    assert sorted(shares[0] + shares[1]) == sorted(whole[4])


def test_validation_covers_every_stretch_in_order():
    batches = validation_keys(7, 3, None, 0, 1)
    assert [number for batch in batches for _, number in batch] == list(range(7))
    assert validation_keys(7, 3, None, 1, 2) == batches[1::2]
    assert validation_keys(7, 3, 1, 0, 1) == batches[:1]


def test_frames_of_the_lab_are_read_like_ours():
    gray = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for normalisation in ("unit", "frame"):
        ours = prepared_frames(gray, gray.shape[1:], normalisation)
        assert ours.shape == (1, 1, 16, 16)
        assert torch.equal(prepared_frames(np.float32(gray / 255), gray.shape[1:], normalisation), ours)


def test_clips_without_a_window_are_refused(make_tiny_processed, tmp_path):
    lengths = (("training", (9,)), ("validation", (3, 2)))
    processed = make_tiny_processed(tmp_path / "short", lengths)
    with pytest.raises(UserError, match="has no window in its validation part"):
        Segments(WindowDataset(processed, "validation"), 4, 2, "unit", None)


def test_augmentation_is_the_same_for_all_frames_of_a_stretch():
    frames = np.zeros((3, 32, 32), np.uint8)
    frames[:, 12:20, 14:18] = 100
    made = moved(frames, Augmentation(shift=0.2, gain=0.5), np.random.default_rng(2))
    rng = np.random.default_rng(2).uniform(-1, 1, 5)
    assert (made == made[0]).all()
    rows, columns = np.nonzero(made[0] > 10)
    assert rows.mean() - 15.5 == pytest.approx(rng[1] * 0.2 * 32, abs=0.6)
    assert columns.mean() - 15.5 == pytest.approx(rng[0] * 0.2 * 32, abs=0.6)
    assert made.max() == pytest.approx(100 * (1 + 0.5 * rng[4]), abs=1)
    assert moved(frames, Augmentation(), np.random.default_rng(2)) is frames


def test_augmentation_depends_only_on_seed_and_step_and_not_in_validation(tiny_processed):
    windows = WindowDataset(tiny_processed, "training")
    plain, moving, still = (
        Segments(windows, 4, 1, "unit", seed, strength)
        for seed, strength in ((3, Augmentation()), (3, Augmentation(0.1, 9)), (None, Augmentation(0.1, 9)))
    )

    def pictures(dataset, key):
        return dataset.micro_batches([key])[0].frames

    assert torch.equal(pictures(moving, (1, 0)), pictures(moving, (1, 0)))
    assert not torch.equal(pictures(moving, (1, 0)), pictures(plain, (1, 0)))
    assert torch.equal(pictures(still, (0, 1)), pictures(still, (1, 1)))


def test_a_smaller_image_is_the_mean_over_its_pixels(tiny_processed):
    frames = WindowDataset(tiny_processed, "training").sample(0).mri[:5]
    small = prepared_frames(frames, (8, 8), "unit")
    means = frames.reshape(5, 8, 4, 8, 4).mean((2, 4)) / 255
    np.testing.assert_allclose(small[:, 0].numpy(), means, atol=0.5 / 255 + 1e-6)


def test_segments_have_the_requested_image_size(tiny_processed):
    windows = WindowDataset(tiny_processed, "training")
    segments = Segments(windows, 4, 2, "unit", seed=1, image_size=(16, 16))
    assert segments.frame_size == (32, 32)
    assert segments.micro_batches([(0, 0), (0, 1)])[0].frames.shape[1:] == (1, 16, 16)


def test_a_corpus_of_any_size_keeps_few_files_open(tiny_processed, monkeypatch):
    monkeypatch.setattr("rtmri_speech.dataset.windows.MOST_OPEN", 2)
    dataset = Segments(WindowDataset(tiny_processed, "training"), 4, 1, "unit", None)
    for epoch in range(2):
        for number in range(len(dataset)):
            dataset.micro_batches([(epoch, number)])
            assert len(dataset.windows._open) <= 2


def test_a_mel_is_raised_to_a_floor_below_the_loud_frames():
    """One click of 90 dB among 100 frames is no reference, the five of -10 dB are."""
    mel = np.full((100, 3), -95.0, np.float32)
    mel[10:16, 1], mel[40, 2], mel[50, 0] = -10.0, 90.0, -69.0
    raised = np.maximum(mel, mel_floor(mel, 60.0))
    assert raised.dtype == np.float32
    assert set(np.unique(raised)) == {-70.0, -69.0, -10.0, 90.0}
    assert (raised[mel > -70] == mel[mel > -70]).all()


def test_segments_have_the_raised_mel(tiny_processed):
    windows = WindowDataset(tiny_processed, "training")
    plain, floored = (Segments(windows, 4, 2, "unit", None, mel_floor_db=floor) for floor in (None, 20.0))
    (before,), (after,) = (segments.micro_batches([(0, 0)]) for segments in (plain, floored))
    mel_db = windows.sample(0).mel_db
    expected = windows.scaler.standardise(np.maximum(mel_db, mel_floor(mel_db, 20.0)))[:4]
    np.testing.assert_array_equal(after.mel[0].numpy(), expected)
    assert (after.mel >= before.mel).all() and (after.mel > before.mel).any()
