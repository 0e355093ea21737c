"""F0 and voicing as outputs of the mel generator: targets, loss, training and prediction."""

import dataclasses
import math

import numpy as np
import pytest
import tiny_models
import torch
from same_state import assert_same

from rtmri_speech.acoustic.context import predict
from rtmri_speech.acoustic.data import Segments
from rtmri_speech.acoustic.loss import PITCH_WEIGHT, pitch_loss, pitch_sums, pitch_totals
from rtmri_speech.acoustic.model import AcousticModel, Network
from rtmri_speech.acoustic.pitch import pitch_targets, split_outputs
from rtmri_speech.acoustic.predict import load_acoustic_model
from rtmri_speech.acoustic.train import train
from rtmri_speech.dataset.f0 import read_f0
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.windows import WindowDataset
from rtmri_speech.errors import UserError
from rtmri_speech.explain.maps import band_powers
from rtmri_speech.training.state import load_checkpoint

TRACK = np.array([np.nan, 0, 100, 150, 200, 0, np.nan], np.float32)


@pytest.fixture
def f0_dir(tiny_processed, tmp_path):
    """Tracks that the bar's height sets: voiced where it is in the upper half; the first frame is no speech."""
    directory = tmp_path / "f0"
    directory.mkdir()
    for path in sorted((tiny_processed / "samples").iterdir()):
        frames = open_sample(tiny_processed, path.name).mri
        height = frames.astype(float).mean(2).argmax(1) / frames.shape[1]
        track = np.where(height > 0.5, 100 * 2**height, 0).astype(np.float32)
        track[0] = np.nan
        np.save(directory / f"{path.name}.npy", track)
    return directory


def test_targets_and_outputs_are_each_others_inverse():
    targets = pitch_targets(TRACK)
    assert np.isnan(targets[[0, 6]]).all() and np.isnan(targets[[1, 5], 0]).all()
    np.testing.assert_array_equal(targets[1:6, 1], [0, 1, 1, 1, 0])
    mel = np.ones((7, 5), np.float32)
    outputs = np.concatenate([mel, np.nan_to_num(targets[:, :1]), np.nan_to_num(targets[:, 1:]) - 0.5], 1)
    found, f0 = split_outputs(outputs, 5)
    np.testing.assert_array_equal(found, mel)
    np.testing.assert_allclose(f0, np.nan_to_num(TRACK), rtol=1e-6)
    assert split_outputs(mel, 5)[1] is None


def test_the_loss_is_the_mean_over_frames_with_a_target():
    prediction = torch.randn(2, 7, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = torch.from_numpy(np.stack([pitch_targets(TRACK), pitch_targets(TRACK[::-1].copy())])).double()
    absolute, entropy, wrong = [], [], []
    for guess, goal in zip(prediction.reshape(-1, 2).tolist(), target.reshape(-1, 2).tolist(), strict=True):
        if not math.isnan(goal[0]):
            absolute.append(abs(guess[0] - goal[0]))
        if not math.isnan(goal[1]):
            share = 1 / (1 + math.exp(-guess[1]))
            entropy.append(-math.log(share if goal[1] else 1 - share))
            wrong.append((share > 0.5) != bool(goal[1]))
    sums, totals = pitch_sums(prediction, target), pitch_totals(target)
    assert sums.tolist() == pytest.approx([sum(absolute), sum(entropy), sum(wrong)])
    assert totals.tolist() == [len(absolute), len(entropy), len(entropy)] == [6, 10, 10]
    whole = PITCH_WEIGHT * (np.mean(absolute) + np.mean(entropy))
    assert pitch_loss(sums, totals).item() == pytest.approx(whole)
    # Of parts over the whole's totals, the same.
    parts = [pitch_loss(pitch_sums(prediction[n : n + 1], target[n : n + 1]), totals).item() for n in (0, 1)]
    assert sum(parts) == pytest.approx(whole)
    nothing = torch.full_like(target, math.nan)
    assert pitch_loss(pitch_sums(prediction, nothing), pitch_totals(nothing)) == 0


def test_the_mel_of_a_wider_head_is_that_of_its_first_rows():
    network = Network("test_efficientnet", rnn_hidden=6, n_mels=5, pitch=True)
    model, plain = AcousticModel(network).eval(), AcousticModel(dataclasses.replace(network, pitch=False)).eval()
    state = model.state_dict()
    assert state["head.weight"].shape == (7, 6)
    plain.load_state_dict({name: value[:5] if name.startswith("head.") else value for name, value in state.items()})
    features = torch.randn(1, 9, model.cnn.channels)
    assert model.outputs(features).shape == (1, 9, 7) and model.decode(features).shape == (1, 9, 5)
    torch.testing.assert_close(model.decode(features), plain.decode(features))


def test_windows_carry_the_targets_of_their_frames(tiny_processed, f0_dir):
    segments = Segments(WindowDataset(tiny_processed, "training"), 4, 2, "unit", 3, f0_dir=f0_dir)
    (part,) = segments.micro_batches([(1, 0)])
    clip, firsts = segments.segment((1, 0))
    expected = pitch_targets(read_f0(f0_dir, segments.windows.sample(clip)))
    for place, first in enumerate(firsts.tolist()):
        np.testing.assert_array_equal(part.pitch[place].numpy(), expected[first : first + 4])


def test_it_learns_f0_that_the_picture_shows_and_resumes_bit_for_bit(tiny_training, f0_dir, said):
    changed = {
        "backbone": "principal_components",
        "components": 6,
        "dropout": 0.0,
        "lr": 0.03,
        "pitch": True,
        "f0_dir": f0_dir,
    }
    whole, stopped = tiny_training("whole", **changed, epochs=60), tiny_training("stopped", **changed, epochs=31)
    for settings in (whole, stopped, dataclasses.replace(stopped, epochs=60)):
        train(settings)
    assert_same(*(load_checkpoint(run.out_ckpt)["model_state_dict"] for run in (whole, stopped)))
    bundle = load_acoustic_model(whole.out_ckpt, "cpu")
    errors, voicing = [], []
    for id in ("a0", "a1", "a2"):
        clip = open_sample(whole.processed_dir, id)
        truth, found = read_f0(f0_dir, clip)[1:], predict(bundle, clip.mri).f0[1:]
        voicing.append((found > 0) == (truth > 0))
        both = (found > 0) & (truth > 0)
        errors.append(np.abs(found[both] / truth[both] - 1))
    assert np.concatenate(voicing).mean() > 0.9 and np.concatenate(errors).mean() < 0.05


def test_faults_of_tracks_are_named(tiny_training, tiny_processed, f0_dir, said):
    with pytest.raises(UserError, match=r"--pitch: needs the F0 of the clips; make it with track_f0\.py"):
        train(tiny_training(pitch=True))
    clip = open_sample(tiny_processed, "a0")
    for content, told in (
        (np.zeros(3, np.float32), "has 3 frames where the clip has"),
        (np.full(len(clip.mri), -5, np.float32), "holds values that are not F0"),
        (np.zeros(len(clip.mri), np.int32), "holds values that are not F0"),
    ):
        np.save(f0_dir / "a0.npy", content)
        with pytest.raises(UserError, match=rf"a0\.npy: {told}.*track_f0\.py"):
            train(tiny_training(pitch=True, f0_dir=f0_dir))
    for path in f0_dir.iterdir():
        np.save(path, np.zeros(len(open_sample(tiny_processed, path.stem).mri), np.float32))
    with pytest.raises(UserError, match="has no voiced frame of a training clip"):
        train(tiny_training(pitch=True, f0_dir=f0_dir))
    # Another network's checkpoint is not begun from.
    train(tiny_training("plain"))
    (f0_dir / "a0.npy").unlink()
    with pytest.raises(UserError, match=r"a0\.npy: there is no such file"):
        train(tiny_training(pitch=True, f0_dir=f0_dir))


def test_other_f0_starts_the_training_over(tiny_training, f0_dir, said):
    settings = tiny_training(pitch=True, f0_dir=f0_dir, backbone="principal_components", components=3)
    train(settings)
    before = load_checkpoint(settings.out_ckpt)["model_state_dict"]["head.bias"]
    track = np.load(f0_dir / "a0.npy")
    np.save(f0_dir / "a0.npy", np.full_like(track, 300))
    train(settings)
    assert not torch.equal(before, load_checkpoint(settings.out_ckpt)["model_state_dict"]["head.bias"])


def test_maps_and_powers_of_bands_are_those_of_the_mel(tmp_path):
    """Of a model with F0, as of one whose last layer lacks its rows."""
    bundles = []
    for pitch in (True, False):
        bundles.append(load_acoustic_model(tiny_models.write_acoustic(tmp_path / f"{pitch}.pt", pitch=pitch), "cpu"))
    state = bundles[0].model.state_dict()
    rows = tiny_models.SPEC.n_mels
    bundles[1].model.load_state_dict({k: v[:rows] if k.startswith("head.") else v for k, v in state.items()})
    pictures = torch.from_numpy(tiny_models.moving_bar(9))[:, None].float() / 255
    bins = {"low": np.arange(4), "high": np.arange(4, rows)}
    with_f0, plain = (band_powers(bundle, pictures, bins, "window") for bundle in bundles)
    for name in bins:
        np.testing.assert_allclose(with_f0[name], plain[name], rtol=1e-5)
