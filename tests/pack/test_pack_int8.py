"""A pack with its CNN in 8-bit integers: near the one in float32, smaller, and refused where it is not near."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models

from rtmri_speech.errors import UserError
from rtmri_speech.pack import int8
from rtmri_speech.pack.export import make_pack
from rtmri_speech.pack.format import GRAPHS, read_about, read_graph
from rtmri_speech.pack.speak import load_pack
from rtmri_speech.settings.use import Pack

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "pack_model.py"
TERMS = Pack("MIT", "nobody", "none is needed", cnn="int8")


@pytest.fixture(scope="session")
def dataset(make_tiny_processed, tmp_path_factory):
    return make_tiny_processed(tmp_path_factory.mktemp("int8") / "processed", spec=tiny_models.SPEC)


@pytest.fixture(scope="session")
def int8_pack(tiny_checkpoints, dataset, tmp_path_factory):
    """The pack of `tiny_checkpoints` in int8."""
    path = tmp_path_factory.mktemp("pack8") / "tiny.pack"
    make_pack(path, *tiny_checkpoints, TERMS, context="window", calibration=dataset)
    return path


def test_mels_are_near_those_in_float32_and_the_cnn_is_a_third(int8_pack, tiny_pack, dataset):
    frames = np.load(dataset / "samples" / "a5" / "mri.npy")
    exact, found = (load_pack(pack).speech(frames).mel_db for pack in (tiny_pack, int8_pack))
    difference = np.abs(exact - found).max()
    assert 0 < difference < 0.1 * np.ptp(exact)
    sizes = [len(read_graph(pack, read_about(pack), GRAPHS[0])) for pack in (int8_pack, tiny_pack)]
    assert sizes[0] < sizes[1] / 2
    assert (read_about(int8_pack).cnn, read_about(tiny_pack).cnn) == ("int8", "float32")


def test_the_same_models_and_dataset_give_the_same_bytes(int8_pack, tiny_checkpoints, dataset, tmp_path):
    terms = ["--licence", TERMS.licence, "--speaker", TERMS.speaker, "--consent", TERMS.consent, "--context", "window"]
    models = ["--mri-checkpoint", tiny_checkpoints[0], "--hifigan-checkpoint", tiny_checkpoints[1]]
    words = [*models, *terms, "--cnn", "int8", "--calibration", dataset, "--output", tmp_path / "again.pack"]
    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "int8 changes the mels of 2 validation clips by" in done.stdout + done.stderr
    assert (tmp_path / "again.pack").read_bytes() == int8_pack.read_bytes()


def test_a_cnn_that_sees_neighbours_is_calibrated_on_them(dataset, tmp_path):
    checkpoint = tiny_models.write_acoustic(tmp_path / "mri.pt", neighbours=1)
    vocoder = tiny_models.write_vocoder(tmp_path / "g_00000001")
    for cnn in ("float32", "int8"):
        make_pack(tmp_path / cnn, checkpoint, vocoder, dataclasses.replace(TERMS, cnn=cnn), calibration=dataset)
    frames = np.load(dataset / "samples" / "a5" / "mri.npy")
    exact, found = (load_pack(tmp_path / cnn).speech(frames).mel_db for cnn in ("float32", "int8"))
    assert 0 < np.abs(exact - found).max() < 0.1 * np.ptp(exact)


def test_a_mel_that_changes_too_much_is_refused(tiny_checkpoints, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "LARGEST_CHANGE_DB", 1e-6)
    with pytest.raises(UserError, match="int8 changes its mels by"):
        make_pack(tmp_path / "a.pack", *tiny_checkpoints, TERMS, calibration=dataset)
    assert not (tmp_path / "a.pack").exists()


def test_what_int8_lacks_is_said(tiny_checkpoints, dataset, make_tiny_processed, tmp_path):
    with pytest.raises(UserError, match="is int8 without a dataset"):
        make_pack(tmp_path / "a.pack", *tiny_checkpoints, TERMS)
    other = make_tiny_processed(tmp_path / "other", spec=tiny_models.SPEC, size=(40, 32))
    with pytest.raises(UserError, match="frames of 40×32, and the mel generator was trained on 32×32"):
        make_pack(tmp_path / "a.pack", *tiny_checkpoints, TERMS, calibration=other)
    linear = tiny_models.write_acoustic(tmp_path / "linear.pt", backbone="principal_components")
    with pytest.raises(UserError, match="principal components are not a CNN"):
        make_pack(tmp_path / "a.pack", linear, tiny_checkpoints[1], TERMS, calibration=dataset)


class Counted:
    """A graph that counts its calls and returns the mean of its input, twice."""

    def __init__(self):
        self.calls = 0

    def __call__(self, frame, shape):
        self.calls += 1
        return np.full(shape, frame.mean(), np.float32)


def test_repeated_frames_are_computed_once(tiny_pack):
    cnn = Counted()
    generator = int8.PackMelGenerator(tiny_pack, read_about(tiny_pack), cnn, None)
    frames = np.repeat(tiny_models.moving_bar(5), [1, 3, 2, 1, 1], axis=0)
    np.testing.assert_allclose(generator.features(frames)[:, 0], frames.mean((1, 2)), rtol=1e-6)
    assert cnn.calls == 5
    # A camera may reuse the memory of its frame.
    frame = frames[:1].copy()
    before = generator.features(frame)[0, 0]
    frame[:] = 7
    assert generator.features(frame)[0, 0] == 7 != before


def test_a_frame_that_is_repeated_between_other_neighbours_is_computed_again(tiny_pack):
    cnn = Counted()
    about = dataclasses.replace(read_about(tiny_pack), neighbours=1)
    frames = np.repeat(tiny_models.moving_bar(3), [4, 1, 3], axis=0)
    means = frames.mean((1, 2))
    expected = [(means[max(t - 1, 0)] + means[t] + means[min(t + 1, 7)]) / 3 for t in range(8)]
    found = int8.PackMelGenerator(tiny_pack, about, cnn, None).features(frames)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)
    # Runs of equal stacks: aaa three times, aab, abc, bcc, ccc twice.
    assert cnn.calls == 5
