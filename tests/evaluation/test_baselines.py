from __future__ import annotations

import numpy as np
import pytest

from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.baselines import NearestFrames, mean_mel, reduced_frames, shuffled_in_time


def test_the_mean_mel_is_the_best_constant():
    rng = np.random.default_rng(0)
    training = rng.normal(-40, 8, (500, 64))
    scaler = Scaler(training.mean(0), training.std(0), 500)
    floor = mean_mel(scaler, 500)
    assert floor.shape == (500, 64)
    # Standardised, the error of the mean is the variance: 1.
    assert np.mean((scaler.standardise(training) - scaler.standardise(floor)) ** 2) == pytest.approx(1, rel=1e-4)


def test_neighbours_agree_with_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    rng = np.random.default_rng(1)
    training = rng.integers(0, 256, (300, 64, 64), dtype=np.uint8)
    mel = rng.normal(-40, 8, (300, 64)).astype(np.float32)
    frames = rng.integers(0, 256, (280, 64, 64), dtype=np.uint8)

    # 2 x 2 pixels averaged: reduction by area in the long way round.
    def small(pictures):
        return pictures.reshape(-1, 32, 2, 32, 2).mean((2, 4)).reshape(len(pictures), -1)

    expected = neighbors.NearestNeighbors(n_neighbors=4, algorithm="brute").fit(small(training))
    expected = expected.kneighbors(small(frames), return_distance=False)
    lookup = NearestFrames(training, mel)
    np.testing.assert_array_equal(lookup.neighbours(frames, 4), expected)
    np.testing.assert_allclose(lookup.predict(frames, 4), mel[expected].mean(1), rtol=1e-6)


def test_a_training_frame_is_its_own_neighbour():
    rng = np.random.default_rng(2)
    training = rng.integers(0, 256, (20, 48, 40), dtype=np.uint8)
    mel = rng.standard_normal((20, 8)).astype(np.float32)
    np.testing.assert_array_equal(NearestFrames(training, mel).predict(training, 1), mel)


def test_frames_are_reduced_by_area():
    frame = np.zeros((1, 64, 64), np.uint8)
    frame[0, :2, :4] = 100
    reduced = reduced_frames(frame, 16).reshape(16, 16)
    assert reduced[0, 0] == 50
    assert reduced.sum() == 50


@pytest.mark.parametrize("k", [0, 4])
def test_an_invalid_number_of_neighbours_is_refused(k):
    lookup = NearestFrames(np.zeros((3, 8, 8), np.uint8), np.zeros((3, 2)))
    with pytest.raises(UserError, match=f"k is {k}; give 1 to 3"):
        lookup.predict(np.zeros((1, 8, 8), np.uint8), k)


def test_frames_without_their_mel_are_refused():
    with pytest.raises(UserError, match="3 frames and 2 mels"):
        NearestFrames(np.zeros((3, 8, 8), np.uint8), np.zeros((2, 4)))


def test_shuffling_keeps_the_frames_and_loses_their_order():
    mel = np.arange(200.0).reshape(100, 2)
    shuffled = shuffled_in_time(mel, 5)
    assert not np.array_equal(shuffled, mel)
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), mel)
    np.testing.assert_array_equal(shuffled, shuffled_in_time(mel, 5))
