"""Folding batch normalisation into the backbone keeps its features."""

import copy

import pytest
import torch

from rtmri_speech.acoustic.fold import fold_batch_norm
from rtmri_speech.acoustic.model import AcousticModel, Network


@pytest.mark.parametrize(
    ("backbone", "left"),
    [("test_efficientnet", 0), ("tf_efficientnetv2_b0", 0), ("mobilenetv2_035", 0), ("test_resnet", None)],
)
def test_folding_keeps_the_features(backbone, left):
    torch.manual_seed(0)
    model = AcousticModel(Network(backbone, rnn_hidden=4, n_mels=4)).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    folded = copy.deepcopy(model)
    fold_batch_norm(folded)
    frames = torch.rand(3, 1, 64, 64)
    with torch.inference_mode():
        expected, found = model.features(frames), folded.features(frames)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    norms = [module for module in folded.cnn.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert left is None or len(norms) == left
