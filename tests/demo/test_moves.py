"""Moving one articulator of the demo's synthesiser."""

import numpy as np
import pytest

from rtmri_speech.demo import articulation, corpus, moves
from rtmri_speech.signal.mel import MelSpec

pytest.importorskip("vocaltractlab_cython")

SPEC = MelSpec.preset(
    "hifigan", sampling_rate=11413, n_fft=2048, win_length=2048, hop_length=420, n_mels=64, fmax=5706.5
)


@pytest.fixture(scope="module")
def opened():
    """What opening the lips changes in a clip."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moves, "MOVES", {"lips opened": moves.MOVES["lips opened"]})
        return next(iter(moves.changes(38, 503, SPEC, (64, 64))))


def test_opened_lips_change_pixels_at_the_lips_alone(opened):
    # The face looks left: the lips are within the first third of the columns, and the middle of the rows.
    mean = opened.pixels.mean(0)
    lips = mean[15:44, 4:22].sum()
    assert lips > 0.9 * mean.sum() > 0
    assert not opened.pixels[:, :, 40:].any()


def test_opened_lips_change_the_sound_while_there_is_speech(opened):
    assert opened.power.shape == (len(opened.pixels), 64)
    total = np.abs(opened.power).sum(1)
    assert total.max() > 100 * np.median(total[:2])


def test_only_the_named_columns_move_and_within_the_limits():
    plain = corpus.synthesise(38, 503).utterance
    column = articulation.LIP_DISTANCE
    moved = corpus.synthesise(38, 503, {column: 3.5}).utterance
    np.testing.assert_array_equal(np.delete(moved.tract, column, 1), np.delete(plain.tract, column, 1))
    np.testing.assert_array_equal(moved.glottis, plain.glottis)
    highest = articulation.tract_limits()[column][1]
    assert moved.tract[:, column].max() <= highest < plain.tract[:, column].max() + 3.5
