"""Grad-CAM against a full backward pass, a model that depends on one place only, and the bands of the filterbank."""

import librosa
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rtmri_speech.acoustic.fold import fold_batch_norm
from rtmri_speech.acoustic.model import AcousticModel, Network
from rtmri_speech.acoustic.predict import AcousticBundle, predict_db
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.explain.bands import Band
from rtmri_speech.explain.gradcam import grad_cam
from rtmri_speech.explain.sequences import enlarged
from rtmri_speech.signal.mel import MelSpec

F1, F2 = Band("F1", 300, 900), Band("F2", 900, 2500)


def bundle_of(model, size=(64, 64), mel=None):
    mel = mel or MelSpec.preset("hifigan")
    rng = np.random.default_rng(0)
    scaler = Scaler(rng.uniform(-50, -30, mel.n_mels), rng.uniform(5, 12, mel.n_mels), 100)
    return AcousticBundle(model.eval(), "model.pt", size, size, "unit", 4, mel, scaler, None)


def small_bundle(**network):
    torch.manual_seed(0)
    return bundle_of(AcousticModel(Network("test_efficientnet", rnn_hidden=16, **network)))


def random_frames(count, size=(64, 64)):
    return np.random.default_rng(1).integers(0, 256, (count, *size), dtype=np.uint8)


def by_full_backward(bundle, frames, band, target=None, stage=None):
    """Grad-CAM as in the paper: the whole network in one graph, the gradient at a stage, its spatial mean, ReLU."""
    model = bundle.model
    held = []
    stage = stage or model.cnn.backbone
    handle = stage.register_forward_hook(lambda module, inputs, output: held.append(output))
    with torch.enable_grad():
        pictures = torch.from_numpy(frames / np.float32(255))[:, None].requires_grad_()
        features = model.features(pictures)
        handle.remove()
        activation = held[0][-1] if isinstance(held[0], list) else held[0]
        activation.retain_grad()
        standardised = model.head(model.rnn(features[None]))[0]
        db = standardised * torch.tensor(bundle.scaler.std) + torch.tensor(bundle.scaler.mean)
        centres = librosa.mel_frequencies(bundle.mel.n_mels + 2, fmin=0, fmax=bundle.mel.fmax)[1:-1]
        inside = torch.tensor((centres >= band.low) & (centres <= band.high))
        power = (10 ** (db[:, inside] / 10)).sum(1)
        (power.mean() if target is None else power[target]).backward()
    weights = activation.grad.mean((2, 3), keepdim=True)
    return F.relu((weights * activation).sum(1)).detach()


def assert_same_maps(ours, theirs):
    assert theirs.max() > 0
    np.testing.assert_allclose(ours / theirs.max().item(), (theirs / theirs.max()).numpy(), atol=1e-5)


def test_the_memos_network_gives_the_maps_of_a_full_backward_pass():
    torch.manual_seed(0)
    bundle = bundle_of(AcousticModel(), (256, 256))
    frames = random_frames(5, (256, 256))
    result = grad_cam(bundle, frames, [F1, F2], [3])
    for band in (F1, F2):
        whole = by_full_backward(bundle, frames, band)
        assert_same_maps(result.sequences[band.name], whole)
        assert_same_maps(result.details[band.name][3], by_full_backward(bundle, frames, band, target=3)[3])
        large = F.interpolate(whole[:, None], (256, 256), mode="bilinear", align_corners=False)[:, 0].numpy()
        ours = np.stack([enlarged(heat, (256, 256)) for heat in result.sequences[band.name]])
        np.testing.assert_allclose(ours / large.max(), large / large.max(), atol=1e-5)


@pytest.mark.parametrize("stride, stage", [(16, "blocks.3"), (8, "blocks.2")])
def test_an_earlier_stage_gives_the_maps_of_a_full_backward_pass(stride, stage):
    bundle = small_bundle()
    frames = random_frames(11)
    result = grad_cam(bundle, frames, [F1], [4], stride=stride)
    module = bundle.model.cnn.backbone.get_submodule(stage)
    assert result.sequences["F1"].shape == (11, 64 // stride, 64 // stride)
    assert_same_maps(result.sequences["F1"], by_full_backward(bundle, frames, F1, stage=module))
    assert_same_maps(result.details["F1"][4], by_full_backward(bundle, frames, F1, target=4, stage=module)[4])


def test_the_last_stage_by_its_stride_is_the_last_stage():
    bundle, frames = small_bundle(), random_frames(5)
    np.testing.assert_array_equal(
        grad_cam(bundle, frames, [F1], stride=32).sequences["F1"], grad_cam(bundle, frames, [F1]).sequences["F1"]
    )
    with pytest.raises(UserError, match="--stride: is 7; this backbone has stages of 2, 4, 8, 16, 32"):
        grad_cam(bundle, frames, [F1], stride=7)


@pytest.mark.parametrize("stride", [None, 8])
def test_a_model_with_folded_normalisation_gives_the_same_maps(stride):
    bundle, frames = small_bundle(), random_frames(5)
    expected = grad_cam(bundle, frames, [F1], stride=stride).sequences["F1"]
    fold_batch_norm(bundle.model)
    found = grad_cam(bundle, frames, [F1], stride=stride).sequences["F1"]
    np.testing.assert_allclose(found / expected.max(), expected / expected.max(), atol=1e-5)


def test_sum_over_time_is_t_times_the_mean():
    bundle, frames = small_bundle(), random_frames(6)
    mean, total = (grad_cam(bundle, frames, [F1], reduction=name).sequences["F1"] for name in ("mean", "sum"))
    np.testing.assert_allclose(total, 6 * mean, rtol=1e-4)


def test_principal_components_are_explained_by_gradient_times_difference_from_the_mean():
    """Against a backward pass to the picture itself."""
    torch.manual_seed(0)
    model = AcousticModel(Network("principal_components", components=9, rnn_hidden=16))
    rng = np.random.default_rng(2)
    model.cnn.fit(*(np.float32(rng.uniform(0, 1, shape)) for shape in (1024, (1024, 9), 9)))
    bundle, frames = bundle_of(model, (32, 32)), random_frames(6, (32, 32))
    result = grad_cam(bundle, frames, [F1], [4])
    pictures = torch.from_numpy(frames / np.float32(255))[:, None].requires_grad_()
    with torch.enable_grad():
        db = model.decode(model.features(pictures)[None])[0] * torch.tensor(bundle.scaler.std)
        power = (10 ** ((db + torch.tensor(bundle.scaler.mean)) / 10))[:, bundle.mel.band(300, 900)].sum(1)
    difference = pictures.detach() - model.cnn.mean.reshape(32, 32)
    for target, found in ((power.mean(), result.sequences["F1"]), (power[4], result.details["F1"][4][None])):
        (slope,) = torch.autograd.grad(target, pictures, retain_graph=True)
        expected = F.relu(slope * difference)[:, 0]
        assert_same_maps(found, expected if len(found) > 1 else expected[4:5])
    with pytest.raises(UserError, match="--stride: is 8; leave it out: principal components have no stages"):
        grad_cam(bundle, frames, [F1], stride=8)


class OnePlace(torch.nn.Module):
    """A stand-in backbone: features are the upper left and lower right quarters of the picture, 8 pixels per cell."""

    channels, stride = 2, 8

    def features(self, frames, recomputing=None):
        return self(frames).mean((2, 3))

    def forward(self, frames, recomputing=None):
        cells = F.avg_pool2d(frames, 8)
        rows, columns = cells.shape[2] // 2, cells.shape[3] // 2
        upper, lower = torch.zeros_like(cells), torch.zeros_like(cells)
        upper[:, :, :rows, :columns] = cells[:, :, :rows, :columns]
        lower[:, :, rows:, columns:] = cells[:, :, rows:, columns:]
        return torch.cat([upper, lower], 1)


def one_place_bundle():
    """A model in which F1's power rises with the upper left quarter alone, F2's with the lower right one alone."""
    mel = MelSpec.preset("hifigan")
    model = AcousticModel(Network("test_efficientnet", rnn_hidden=2))
    model.cnn = OnePlace()

    class Through(torch.nn.Module):
        def forward(self, features):
            return features

    model.rnn = Through()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.weight[mel.band(300, 900), 0] = 1
        model.head.weight[mel.band(900, 2500), 1] = 1
    return bundle_of(model, (64, 64), mel)


def test_a_band_that_depends_on_one_place_is_highlighted_only_there():
    frames = np.full((4, 64, 64), 128, np.uint8)
    sequences = grad_cam(one_place_bundle(), frames, [F1, F2]).sequences
    for name, hot in (("F1", (slice(0, 4), slice(0, 4))), ("F2", (slice(4, 8), slice(4, 8)))):
        inside = np.zeros((8, 8), bool)
        inside[hot] = True
        assert (sequences[name][:, inside] > 0).all()
        assert (sequences[name][:, ~inside] == 0).all()


def test_the_model_is_evaluated_in_eval_mode_and_left_unchanged():
    bundle, frames = small_bundle(), random_frames(5)
    expected = grad_cam(bundle, frames, [F1]).sequences["F1"]
    np.testing.assert_allclose(grad_cam(bundle, frames, [F1]).mel_db, predict_db(bundle, frames), atol=1e-4)
    before = {name: tensor.clone() for name, tensor in bundle.model.state_dict().items()}
    bundle.model.train()
    for stride in (None, 8):
        grad_cam(bundle, frames, [F1], stride=stride)
    np.testing.assert_array_equal(grad_cam(bundle, frames, [F1]).sequences["F1"], expected)
    assert all(module.training for module in bundle.model.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in bundle.model.parameters())
    for name, tensor in bundle.model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_a_causal_context_explains_a_frame_by_itself_and_its_past():
    bundle, frames = small_bundle(), random_frames(9)
    changed = frames.copy()
    changed[6:] = 255 - changed[6:]

    def details(context):
        return [
            grad_cam(bundle, part, [F1], [5], stride=8, context=context).details["F1"][5] for part in (frames, changed)
        ]

    before, after = details("causal")
    assert before.max() > 0
    np.testing.assert_allclose(after, before, atol=1e-5 * before.max())
    before, after = details("sequence")
    assert np.abs(after - before).max() > 1e-4 * before.max()


def test_filter_centres_equal_librosas():
    for spec in (MelSpec.preset("hifigan"), MelSpec.preset("lab"), MelSpec.preset("hifigan", n_mels=40, fmax=4000.0)):
        edges = librosa.mel_frequencies(spec.n_mels + 2, fmin=spec.fmin, fmax=spec.fmax)
        np.testing.assert_allclose(spec.centre_frequencies(), edges[1:-1], rtol=1e-9)


def test_f1_covers_just_the_filters_whose_centres_lie_in_it():
    bundle, frames = small_bundle(), random_frames(4)
    centres = librosa.mel_frequencies(66, fmin=0, fmax=11413 / 2)[1:-1]
    result = grad_cam(bundle, frames, [F1, F2])
    np.testing.assert_array_equal(result.bins["F1"], [m for m in range(64) if 300 <= centres[m] <= 900])
    np.testing.assert_array_equal(result.bins["F2"], [m for m in range(64) if 900 <= centres[m] <= 2500])


def test_invalid_requests_are_refused():
    bundle, frames = small_bundle(), random_frames(4)
    with pytest.raises(UserError, match=r"band 301-302 Hz: holds no filter.*nearest filter, at \d+\.\d Hz"):
        grad_cam(bundle, frames, [Band("narrow", 301, 302)])
    with pytest.raises(UserError, match="--target-frames: names frame 4; the clip has frames 0 to 3"):
        grad_cam(bundle, frames, [F1], [4])
    with pytest.raises(UserError, match=r"model\.pt: was trained on frames of 64×64, these have 32×32"):
        grad_cam(bundle, random_frames(4, (32, 32)), [F1])
    with pytest.raises(UserError, match="two bands the same name"):
        grad_cam(bundle, frames, [F1, Band("F1", 900, 2500)])
    with pytest.raises(UserError, match="NAME:LOW-HIGH"):
        Band.parse("F1=300")
    assert Band.parse("F1:300-900") == F1
