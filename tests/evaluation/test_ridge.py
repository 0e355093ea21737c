"""The ridge baseline against its normal equations written out in full, and its penalty against every candidate."""

import numpy as np
import pytest

from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation import ridge
from rtmri_speech.evaluation.baselines import reduced_frames

IDS = ["a0", "a1"]


@pytest.fixture(scope="module")
def fitted(make_tiny_processed, tmp_path_factory):
    lengths = (("training", (150, 130)), ("validation", (11,)), ("test", (9,)))
    directory = make_tiny_processed(tmp_path_factory.mktemp("ridge") / "processed", lengths)
    rng = np.random.default_rng(0)
    for id in IDS:
        mel = directory / "samples" / id / "mel_db.npy"
        np.save(mel, (np.load(mel) + rng.normal(0, 10, (len(np.load(mel)), 12))).astype(np.float32))
    return directory, ridge.RidgeMel(directory, IDS)


def design(directory):
    """Pictures, their components by a singular value decomposition, and what each frame is predicted from."""
    clips = [open_sample(directory, id) for id in IDS]
    pictures = [reduced_frames(clip.mri, ridge.LOOKUP_SIZE).astype(float) for clip in clips]
    mean = np.concatenate(pictures).mean(0)
    axes = np.linalg.svd(np.concatenate(pictures) - mean, full_matrices=False)[2][: ridge.COMPONENTS].T
    rows = []
    for picture in pictures:
        components = (picture - mean) @ axes
        for t in range(len(components)):
            around = np.clip(np.arange(t - ridge.REACH, t + ridge.REACH + 1), 0, len(components) - 1)
            rows.append(components[around].ravel())
    heard = np.concatenate([clip.sound_mask for clip in clips]) > 0
    return np.array(rows)[heard], np.concatenate([clip.mel_db for clip in clips]).astype(float)[heard], heard


def test_the_prediction_equals_the_closed_form(fitted):
    directory, model = fitted
    x, y, heard = design(directory)
    centred = x - x.mean(0)
    weights = np.linalg.solve(centred.T @ centred + model.penalty * np.eye(x.shape[1]), centred.T @ (y - y.mean(0)))
    expected = centred @ weights + y.mean(0)
    found = np.concatenate([model.predict(open_sample(directory, id).mri) for id in IDS])[heard]
    np.testing.assert_allclose(found, expected, atol=2e-2)


def test_the_penalty_has_the_least_generalised_cross_validation_error(fitted):
    directory, model = fitted
    x, y, _ = design(directory)
    centred, target = x - x.mean(0), y - y.mean(0)
    gram = centred.T @ centred
    unit = np.trace(gram) / len(gram)

    def error(penalty):
        hat = centred @ np.linalg.solve(gram + penalty * np.eye(len(gram)), centred.T)
        return ((target - hat @ target) ** 2).sum() / (len(x) - 1 - np.trace(hat)) ** 2

    best = min(unit * ridge.PENALTIES, key=error)
    assert best not in (unit * ridge.PENALTIES)[[0, -1]]
    assert model.penalty == pytest.approx(best, rel=1e-3)


def test_a_mel_that_is_linear_in_the_picture_is_found(make_tiny_processed, tmp_path):
    directory = make_tiny_processed(tmp_path / "linear", (("training", (150, 130)), ("test", (40,))))
    slopes = np.random.default_rng(0).uniform(-1, 1, 12)
    for id in (*IDS, "a2"):
        folder = directory / "samples" / id
        brightness = np.load(folder / "mri.npy").astype(float).mean((1, 2))
        np.save(folder / "mel_db.npy", np.float32(brightness[:, None] * slopes - 60))
    held_out = open_sample(directory, "a2")
    error = ridge.RidgeMel(directory, IDS).predict(held_out.mri) - held_out.mel_db
    assert error.std() < 0.05 * held_out.mel_db.std(0).mean()


def test_without_sound_there_is_nothing_to_fit(make_tiny_processed, tmp_path):
    directory = tmp_path / "silent"
    make_tiny_processed(directory)
    for id in IDS:
        mask = directory / "samples" / id / "mask.npy"
        np.save(mask, np.zeros_like(np.load(mask)))
    with pytest.raises(UserError, match="0 training frames with sound"):
        ridge.RidgeMel(directory, IDS)


def test_f0_is_regressed_on_voiced_frames_and_voicing_on_speech(fitted):
    """A voice that follows the bar: its height gives F0, and it is voiced in the lower half of the picture."""
    directory, mel = fitted
    tracks, expected = {}, {}
    for id in IDS:
        frames = open_sample(directory, id).mri
        height = frames.astype(float).mean(2).argmax(1) / frames.shape[1]
        expected[id] = np.where(height > 0.5, 100 * 2**height, 0)
        # What is no speech is not learnt from.
        speech = np.arange(len(frames)) % 7 > 0
        tracks[id] = np.where(speech, expected[id], np.nan)
    model = ridge.RidgeF0(directory, tracks, mel.pictures)
    found, truth = (
        np.concatenate([get(id) for id in IDS])
        for get in (lambda id: model.predict(open_sample(directory, id).mri), expected.__getitem__)
    )
    assert np.mean((found > 0) == (truth > 0)) > 0.9
    both = (found > 0) & (truth > 0)
    assert np.corrcoef(found[both], truth[both])[0, 1] > 0.8
    assert np.abs(found[both] / truth[both] - 1).max() < 0.2


def test_a_voice_of_one_frame_is_refused(fitted):
    directory, mel = fitted
    frames = len(open_sample(directory, "a0").sound_mask)
    f0 = np.zeros(frames)
    f0[3] = 120
    with pytest.raises(UserError, match="1 voiced training frames"):
        ridge.RidgeF0(directory, {"a0": f0}, mel.pictures)
