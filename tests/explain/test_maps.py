"""Maps by other methods than Grad-CAM: closed forms, brute force, and Captum if it is installed."""

import numpy as np
import pytest
import torch
from test_gradcam import F1, F2, bundle_of, one_place_bundle, random_frames, small_bundle

from rtmri_speech.acoustic.context import decode_in_context
from rtmri_speech.acoustic.model import AcousticModel, Network
from rtmri_speech.errors import UserError
from rtmri_speech.explain import maps
from rtmri_speech.explain.maps import integrated_gradients, model_maps, motion, occlusion


def power_of(bundle, pictures, band, context="sequence"):
    """The band's power in each frame of pictures (T, 1, H, W), as a plain differentiable function."""
    db = decode_in_context(bundle.model.decode, bundle.model.features(pictures), context, bundle.ref_frames)
    db = db * torch.tensor(bundle.scaler.std) + torch.tensor(bundle.scaler.mean)
    return (10 ** (db[:, bundle.mel.band(band.low, band.high)] / 10)).sum(1)


def test_integrated_gradients_of_an_exponential_have_their_closed_form(monkeypatch):
    """The power is an exponential of a mean over one quarter: each pixel has its share of the difference in power."""
    monkeypatch.setattr(maps, "STEPS", 64)
    bundle = one_place_bundle()
    frames = random_frames(5)
    found = integrated_gradients(bundle, frames, [F1, F2])
    pictures = torch.from_numpy(frames / np.float32(255))[:, None]
    mean = pictures.mean(0, keepdim=True).expand_as(pictures)
    for band, quarter in ((F1, np.s_[:, :32, :32]), (F2, np.s_[:, 32:, 32:])):
        with torch.no_grad():
            gained = (power_of(bundle, pictures, band) - power_of(bundle, mean, band)).numpy() / len(frames)
        difference = (pictures - mean)[:, 0].numpy()
        expected = np.zeros_like(difference)
        inside = difference[quarter]
        expected[quarter] = inside / inside.sum((1, 2), keepdims=True) * gained[:, None, None]
        np.testing.assert_allclose(found[band.name], expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max())


def test_integrated_gradients_add_up_to_the_difference_in_power():
    bundle, frames = small_bundle(), random_frames(7)
    for context in ("sequence", "window"):
        found = integrated_gradients(bundle, frames, [F1], context=context)["F1"]
        pictures = torch.from_numpy(frames / np.float32(255))[:, None]
        still = pictures.mean(0, keepdim=True).expand_as(pictures)
        with torch.no_grad():
            ends = [float(power_of(bundle, end, F1, context).mean()) for end in (still, pictures)]
        assert found.sum() == pytest.approx(ends[1] - ends[0], rel=0.02)


def test_maps_between_neighbours_are_of_all_channels_one_a_frame():
    """Their sum is the difference in power; what is still adds nothing, since it has no differences either."""
    bundle, frames = small_bundle(neighbours=1), random_frames(7)
    frames[:, 32:] = frames[0, 32:]
    found = integrated_gradients(bundle, frames, [F1])["F1"]
    assert found.shape == frames.shape
    pictures = torch.from_numpy(frames / np.float32(255))[:, None]
    still = pictures.mean(0, keepdim=True).expand_as(pictures)
    with torch.no_grad():
        ends = [float(power_of(bundle, stacked(end), F1).mean()) for end in (still, pictures)]
    assert found.sum() == pytest.approx(ends[1] - ends[0], rel=0.02)
    assert np.abs(found[:, 32:]).max() < 1e-6 * np.abs(found).max()
    assert model_maps(bundle, frames, [F1], "gradcam", stride=8)["F1"].shape == (7, 8, 8)


def stacked(pictures):
    """Each frame of a clip (T, 1, H, W) between its two neighbours."""
    return torch.cat([torch.cat([pictures[:1], pictures[:-1]]), pictures, torch.cat([pictures[1:], pictures[-1:]])], 1)


def test_grad_cam_between_neighbours_is_that_of_each_frames_own_input():
    """Against the feature maps, and the whole network's gradient by them."""
    bundle, frames = small_bundle(neighbours=1), random_frames(19)
    pictures = stacked(torch.from_numpy(frames / np.float32(255))[:, None])
    activation = bundle.model.feature_maps(pictures).detach().requires_grad_()
    features = activation.mean((2, 3))
    db = decode_in_context(bundle.model.decode, features, "window", bundle.ref_frames)
    db = db * torch.tensor(bundle.scaler.std) + torch.tensor(bundle.scaler.mean)
    (10 ** (db[:, bundle.mel.band(F1.low, F1.high)] / 10)).sum(1).mean().backward()
    expected = (activation.grad.mean((2, 3), keepdim=True) * activation).sum(1).relu().detach().numpy()
    found = model_maps(bundle, frames, [F1], "gradcam", context="window")["F1"]
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())


def test_a_place_that_is_covered_is_covered_before_differences_are_formed():
    bundle, frames = small_bundle(neighbours=1), random_frames(5)
    found = occlusion(bundle, frames, [F1])["F1"]
    pictures = torch.from_numpy(frames / np.float32(255))[:, None]
    covered = pictures.clone()
    covered[:, :, 20:36, 36:52] = pictures.mean(0)[:, 20:36, 36:52]
    with torch.no_grad():
        powers = [power_of(bundle, stacked(clip), F1).numpy() for clip in (pictures, covered)]
    np.testing.assert_allclose(found[:, 3, 5], (powers[0] - powers[1]) / 5, rtol=1e-3, atol=1e-5 * powers[0].max())


class PowerOfClips(torch.nn.Module):
    """F1's mean power, with all frames of a clip as one input, since the LSTM connects them."""

    def __init__(self, bundle):
        super().__init__()
        self.bundle = bundle

    def forward(self, clips):
        return torch.stack([power_of(self.bundle, clip, F1).mean() for clip in clips])


def test_integrated_gradients_are_those_of_captum():
    attribution = pytest.importorskip("captum.attr")
    bundle, frames = small_bundle(), random_frames(4)
    pictures = torch.from_numpy(frames / np.float32(255))[:, None]
    mean = pictures.mean(0, keepdim=True).expand_as(pictures)
    # Captum's `riemann_middle` has our midpoints.
    expected = attribution.IntegratedGradients(PowerOfClips(bundle)).attribute(
        pictures[None], mean[None], n_steps=maps.STEPS, method="riemann_middle", internal_batch_size=1
    )
    found = integrated_gradients(bundle, frames, [F1])["F1"]
    np.testing.assert_allclose(found, expected[0, :, 0].numpy(), rtol=1e-3, atol=1e-4 * np.abs(found).max())


def test_grad_cam_is_that_of_captum():
    attribution = pytest.importorskip("captum.attr")
    bundle, frames = small_bundle(), random_frames(4)
    stage = bundle.model.cnn.backbone.get_submodule("blocks.2")
    expected = attribution.LayerGradCam(PowerOfClips(bundle), stage).attribute(
        torch.from_numpy(frames / np.float32(255))[None, :, None], relu_attributions=True
    )
    found = model_maps(bundle, frames, [F1], "gradcam", stride=8)["F1"]
    np.testing.assert_allclose(found, expected[:, 0].detach().numpy(), rtol=1e-3, atol=1e-4 * found.max())


def test_occlusion_is_the_power_lost_by_covering_each_place():
    bundle, frames = small_bundle(), random_frames(5)
    found = occlusion(bundle, frames, [F1])["F1"]
    assert found.shape == (5, maps.PLACES, maps.PLACES)
    pictures = torch.from_numpy(frames / np.float32(255))[:, None]
    for row, column, rows, columns in (
        (0, 0, (0, 12), (0, 12)),
        (3, 5, (20, 36), (36, 52)),
        (7, 7, (52, 64), (52, 64)),
    ):
        covered = pictures.clone()
        place = np.s_[:, :, rows[0] : rows[1], columns[0] : columns[1]]
        covered[place] = pictures[place].mean(0, keepdim=True)
        with torch.no_grad():
            lost = (power_of(bundle, pictures, F1) - power_of(bundle, covered, F1)).numpy() / len(frames)
        np.testing.assert_allclose(found[:, row, column], lost, rtol=1e-3, atol=1e-3 * np.abs(found).max())


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_a_band_that_depends_on_one_place_is_highlighted_only_there(method):
    found = model_maps(one_place_bundle(), random_frames(5), [F1, F2], method)
    for name, corner in (("F1", np.s_[:, :3, :3]), ("F2", np.s_[:, 5:, 5:])):
        heat = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(found[name]), 8).numpy()
        assert heat.min() == 0 < heat[corner].max()
        if method == "integrated_gradients":
            elsewhere = heat.copy()
            elsewhere[np.s_[:, :4, :4] if name == "F1" else np.s_[:, 4:, 4:]] = 0
            assert not elsewhere.any()


def test_a_still_picture_has_no_map():
    frames = np.repeat(random_frames(1), 4, axis=0)
    assert not motion(small_bundle(), frames).any()
    for method in ("integrated_gradients", "occlusion"):
        heat = model_maps(small_bundle(), frames, [F1], method)["F1"]
        moving = model_maps(small_bundle(), random_frames(4), [F1], method)["F1"]
        assert heat.max() < 1e-4 * moving.max()


def test_principal_components_are_explained_too():
    torch.manual_seed(0)
    model = AcousticModel(Network("principal_components", components=9, rnn_hidden=16))
    rng = np.random.default_rng(2)
    model.cnn.fit(*(np.float32(rng.uniform(0, 1, shape)) for shape in (1024, (1024, 9), 9)))
    found = model_maps(bundle_of(model, (32, 32)), random_frames(6, (32, 32)), [F1], "integrated_gradients")["F1"]
    assert found.shape == (6, 32, 32) and found.max() > 0


def test_the_sum_is_t_times_the_mean_and_a_wrong_method_is_refused():
    bundle, frames = small_bundle(), random_frames(3)
    mean, total = (model_maps(bundle, frames, [F1], "occlusion", reduction=how)["F1"] for how in ("mean", "sum"))
    np.testing.assert_allclose(total, 3 * mean, rtol=1e-6)
    with pytest.raises(UserError, match="--method: is 'lime'; give one of gradcam, integrated_gradients, occlusion"):
        model_maps(bundle, frames, [F1], "lime")
    with pytest.raises(UserError, match="was trained on frames of 64×64, these have 32×32"):
        model_maps(bundle, random_frames(3, (32, 32)), [F1], "occlusion")
