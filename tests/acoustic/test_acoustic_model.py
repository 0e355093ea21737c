import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lab_tree import lab_weights

from rtmri_speech.acoustic.model import (
    AcousticModel,
    Network,
    PrincipalComponents,
    Recomputing,
    load_fitting_weights,
    load_pretrained_backbone,
    load_weights,
)
from rtmri_speech.errors import UserError
from rtmri_speech.settings.acoustic import SIDE

LAB = Path(__file__).parents[3] / "shared" / "fixtures" / "acoustic_lab"
SMALL = Network(backbone="test_efficientnet", rnn_hidden=8, n_mels=5, dropout=0.0)


@pytest.mark.skipif(not LAB.is_dir(), reason="the reference numbers of the lab are not here")
def test_the_labs_weights_names_and_shapes_are_reproduced():
    torch.set_num_threads(1)
    model = AcousticModel().eval()
    manifest = json.loads((LAB / "manifest.json").read_text(encoding="utf-8"))
    assert {key: [list(value.shape), str(value.dtype)] for key, value in model.state_dict().items()} == manifest
    load_weights(model, lab_weights(model.state_dict()), "lab")
    base = np.random.default_rng(0).integers(0, 256, (6, 8, 8)).astype(np.uint8)
    frames = torch.from_numpy(base.repeat(32, 1).repeat(32, 2)[:, None] / np.float32(255))
    with torch.inference_mode():
        mel = model(frames, torch.tensor([0]), 6)[0]
    assert np.abs(mel.numpy() - np.load(LAB / "expected.npy")).max() < 1e-4


def test_windows_share_the_features_of_single_frames():
    torch.manual_seed(0)
    model = AcousticModel(SMALL).eval()
    frames = torch.rand(9, 1, 32, 32)
    starts = torch.tensor([0, 1, 5])
    with torch.inference_mode():
        together = model(frames, starts, 4)
        one_by_one = torch.stack([model(frames[s : s + 4], torch.tensor([0]), 4)[0] for s in starts])
    assert together.shape == (3, 4, 5)
    torch.testing.assert_close(together, one_by_one, atol=1e-6, rtol=0)


@pytest.mark.parametrize("backbone", ["test_efficientnet", "lcnet_050"])
@pytest.mark.parametrize("recomputing", [Recomputing(2), Recomputing(3, reentrant=True), Recomputing(99)])
def test_recomputed_blocks_give_the_same_gradients_and_statistics(backbone, recomputing):
    results = []
    for how in (None, recomputing):
        torch.manual_seed(0)
        model = AcousticModel(Network(backbone=backbone, rnn_hidden=4, n_mels=3, dropout=0.0)).train()
        model(torch.rand(6, 1, 32, 32), torch.tensor([0, 2]), 4, how).square().sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        results.append((model.state_dict(), {name: p.grad for name, p in model.named_parameters()}))
    for plain, recomputed in zip(*results, strict=True):
        for name, value in plain.items():
            torch.testing.assert_close(recomputed[name], value, msg=name)


def test_recomputing_keeps_fewer_activations():
    def kept(how):
        model = AcousticModel(SMALL).train()
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (sizes.append(t.numel()), t)[1], lambda t: t):
            model(torch.rand(6, 1, 64, 64), torch.tensor([0]), 4, how)
        return sum(sizes)

    assert kept(Recomputing(4)) < 0.3 * kept(None)


def test_recomputing_refuses_a_backbone_with_unknown_blocks():
    model = AcousticModel(Network(backbone="test_resnet", rnn_hidden=4))
    with pytest.raises(UserError, match="--use_checkpoint: finds no blocks"):
        model(torch.rand(4, 1, 32, 32), torch.tensor([0]), 4, Recomputing(2))


def test_the_future_reaches_a_frame_only_through_the_lstm():
    """The CNN sees single frames: another last frame changes the first frame's mel, but not its features."""
    torch.manual_seed(0)
    model = AcousticModel(SMALL).eval()
    a = torch.rand(4, 1, 32, 32)
    b = a.clone()
    b[-1] = torch.rand(1, 32, 32)
    with torch.inference_mode():
        assert torch.equal(model.features(a)[:3], model.features(b)[:3])
        assert not torch.equal(model(a, torch.tensor([0]), 4)[0, 0], model(b, torch.tensor([0]), 4)[0, 0])


def test_a_wrong_state_dict_is_refused_by_key():
    model = AcousticModel(SMALL)
    state = model.state_dict()
    with pytest.raises(UserError, match=r"x\.pt: lacks key head\.bias; "):
        load_weights(model, {key: value for key, value in state.items() if key != "head.bias"}, "x.pt")
    with pytest.raises(UserError, match=r"has the unknown key extra"):
        load_weights(model, {**state, "extra": state["head.bias"]}, "x.pt")
    with pytest.raises(UserError, match=r"head\.bias is \(7,\), not \(5,\)"):
        load_weights(model, {**state, "head.bias": torch.zeros(7)}, "x.pt")


def test_a_warm_start_loads_matching_weights():
    torch.manual_seed(0)
    model, other = AcousticModel(SMALL), AcousticModel(Network(backbone="test_efficientnet", rnn_hidden=8, n_mels=6))
    before = model.head.bias.detach().clone()
    assert load_fitting_weights(model, other.state_dict()) == len(model.state_dict()) - 2
    assert torch.equal(model.head.bias, before)
    assert torch.equal(model.rnn.lstm.bias_hh_l0, other.rnn.lstm.bias_hh_l0)


def test_an_unknown_backbone_or_stride_is_refused():
    with pytest.raises(UserError, match="timm cannot build 'no_such_net'"):
        AcousticModel(Network(backbone="no_such_net"))
    with pytest.raises(UserError, match=r"acoustic\.output_stride: is 7"):
        AcousticModel(Network(backbone="test_efficientnet", output_stride=7))


def test_a_smaller_output_stride_gives_a_finer_map():
    model = AcousticModel(Network(backbone="test_efficientnet", output_stride=8, rnn_hidden=4))
    assert model.feature_maps(torch.rand(1, 1, 64, 64)).shape[2:] == (8, 8)


def test_pretrained_weights_come_from_a_local_file(tmp_path):
    torch.manual_seed(0)
    source, model = AcousticModel(SMALL), AcousticModel(SMALL)
    state = {key: value for key, value in source.cnn.backbone.state_dict().items() if "num_batches" not in key}
    torch.save({"state_dict": {**state, "classifier.weight": torch.zeros(3)}}, tmp_path / "weights.pth")
    load_pretrained_backbone(model, tmp_path / "weights.pth")
    torch.testing.assert_close(model.cnn.state_dict(), source.cnn.state_dict())
    torch.save({key: value for key, value in state.items() if key != "conv_stem.weight"}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"weights\.pth: lacks key conv_stem\.weight of test_efficientnet"):
        load_pretrained_backbone(model, tmp_path / "weights.pth")


def test_without_network_access_the_file_option_is_named(monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("[Errno 101] Network is unreachable")

    monkeypatch.setattr("timm.create_model", unreachable)
    model = AcousticModel.__new__(AcousticModel)
    torch.nn.Module.__init__(model)
    model.network = SMALL
    with pytest.raises(UserError, match=r"cannot be fetched \(\[Errno 101\].*--cnn_pretrained FILE"):
        load_pretrained_backbone(model, None)


def test_frozen_normalisation_keeps_its_statistics():
    model = AcousticModel(SMALL).train()
    model.freeze_batch_norm()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model(torch.rand(4, 1, 32, 32), torch.tensor([0]), 4)
    torch.testing.assert_close(model.state_dict(), before, atol=0, rtol=0)


def fitted_components(components=7, frames=40, size=(48, 40)):
    """Principal components of random pictures, and those pictures."""
    pictures = torch.rand(frames, 1, *size, generator=torch.Generator().manual_seed(3))
    encoder = PrincipalComponents(components)
    small = F.adaptive_avg_pool2d(pictures, SIDE).flatten(1).double().numpy()
    _, deviations, axes = np.linalg.svd(small - small.mean(0), full_matrices=False)
    deviations = deviations[:components] / np.sqrt(len(small))
    encoder.fit(*(np.float32(part) for part in (small.mean(0), axes[:components].T, deviations)))
    return encoder, pictures


def test_components_are_uncorrelated_and_the_first_has_a_variance_of_one():
    encoder, pictures = fitted_components()
    with torch.inference_mode():
        found = encoder.features(pictures).double()
    covariance = np.cov(found.numpy().T, bias=True)
    assert covariance[0, 0] == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-5)
    assert (np.diff(np.diag(covariance)) < 0).all()


def test_the_maps_of_components_are_what_each_pixel_adds():
    encoder, pictures = fitted_components()
    with torch.inference_mode():
        maps = encoder(pictures)
        assert maps.shape == (40, 7, SIDE, SIDE)
        torch.testing.assert_close(maps.mean((2, 3)), encoder.features(pictures), atol=1e-4, rtol=0)


def test_a_model_on_components_trains_its_recurrence_alone():
    network = Network(backbone="principal_components", components=7, rnn_hidden=4, n_mels=3, dropout=0.0)
    model = AcousticModel(network)
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"rnn", "head"}
    assert {"cnn.mean", "cnn.axes"} < model.state_dict().keys()
    # Recomputing, a default of full-size trainings, has nothing to do.
    model(torch.rand(6, 1, 32, 32), torch.tensor([0, 2]), 4, Recomputing(2)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
