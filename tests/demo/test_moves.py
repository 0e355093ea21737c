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
    """Pictures and power of a clip as it is, and with the lips opened."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moves, "MOVES", {"lips opened": moves.MOVES["lips opened"]})
        return list(moves.moved_clip(38, 503, SPEC))


def test_opened_lips_change_pixels_at_the_lips_alone(opened):
    (pictures, _), (others, _) = opened
    changed = np.abs(np.float32(others) - pictures)
    # The face looks left: the lips are within the first third of the columns, and the middle of the rows.
    assert changed[:, 60:176, 16:88].sum() > 0.9 * changed.sum() > 0
    assert not changed[:, :, 160:].any()


def test_opened_lips_change_the_sound_while_there_is_speech(opened):
    (pictures, power), (_, other) = opened
    assert power.shape == (len(pictures), 64)
    total = np.abs(other - power).sum(1)
    assert total.max() > 100 * np.median(total[:2])


def test_only_the_named_columns_move_and_within_the_limits():
    plain = corpus.synthesise(38, 503).utterance
    column = articulation.LIP_DISTANCE
    moved = corpus.synthesise(38, 503, {column: 3.5}).utterance
    np.testing.assert_array_equal(np.delete(moved.tract, column, 1), np.delete(plain.tract, column, 1))
    np.testing.assert_array_equal(moved.glottis, plain.glottis)
    highest = articulation.tract_limits()[column][1]
    assert moved.tract[:, column].max() <= highest < plain.tract[:, column].max() + 3.5
