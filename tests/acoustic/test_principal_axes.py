"""Principal axes against a singular value decomposition of all pictures at once."""

import numpy as np
import pytest

from rtmri_speech.acoustic import principal_axes as module
from rtmri_speech.acoustic.principal_axes import principal_axes
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.errors import UserError

IDS = ["a0", "a1", "a2"]


def coarse(frames):
    """An average over 4 x 4 pixels, flat."""
    cells = frames.reshape(len(frames), 8, 4, 8, 4).astype(np.float32)
    return cells.mean((2, 4)).reshape(len(frames), -1)


def decomposed(pictures, components):
    mean = pictures.mean(0)
    _, deviations, axes = np.linalg.svd(pictures - mean, full_matrices=False)
    return mean, axes[:components].T, deviations[:components] / np.sqrt(len(pictures))


def assert_equal(found, expected):
    for ours, theirs, tolerance in zip(found, expected, (1e-3, None, 1e-2), strict=True):
        assert ours.dtype == np.float32 and ours.shape == theirs.shape
        if tolerance is None:
            # An axis has no sign of its own.
            np.testing.assert_allclose(np.abs((ours * theirs).sum(0)), 1, atol=1e-3)
        else:
            np.testing.assert_allclose(ours, theirs, atol=tolerance)


@pytest.mark.parametrize("block", [512, 5])
def test_axes_are_those_of_all_pictures_at_once(tiny_processed, monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    pictures = np.concatenate([coarse(open_sample(tiny_processed, id).mri) for id in IDS]).astype(float)
    found = principal_axes(tiny_processed, IDS, coarse, 4)
    assert_equal(found, decomposed(pictures, 4))
    assert (np.take_along_axis(found[1], np.abs(found[1]).argmax(0)[None], axis=0) > 0).all()


def test_of_many_frames_every_nth_of_all_clips_is_used(tiny_processed, monkeypatch):
    monkeypatch.setattr(module, "MOST_FRAMES", 14)
    pictures = np.concatenate([coarse(open_sample(tiny_processed, id).mri) for id in IDS]).astype(float)
    assert len(pictures) == 39
    assert_equal(principal_axes(tiny_processed, IDS, coarse, 4), decomposed(pictures[::3], 4))


def test_the_same_frames_give_the_same_axes_to_the_bit(tiny_processed):
    for one, other in zip(*(principal_axes(tiny_processed, IDS, coarse, 4) for _ in range(2)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_clips_there_are_no_axes(tiny_processed):
    with pytest.raises(UserError, match="has no training frame; check the file list"):
        principal_axes(tiny_processed, [], coarse, 4)
