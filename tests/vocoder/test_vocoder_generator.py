from pathlib import Path

import numpy as np
import pytest
import torch
from logged import logged

from rtmri_speech.errors import UserError
from rtmri_speech.vocoder.checkpoint import read_generator
from rtmri_speech.vocoder.config import VocoderConfig, read_config
from rtmri_speech.vocoder.generator import Generator

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[3] / "shared" / "fixtures"

SMALL = {"upsample_initial_channel": 32, "resblock_kernel_sizes": (3, 5), "segment_size": 8400}
VARIANTS = {
    "official 1": {**SMALL, "padding": "official", "resblock": "1", "resblock_dilation_sizes": ((1, 3), (1, 2))},
    "official 2": {
        **SMALL,
        "padding": "official",
        "resblock": "2",
        "upsample_rates": (15, 7, 4),
        "upsample_kernel_sizes": (45, 21, 8),
        "resblock_dilation_sizes": ((1, 2), (2, 6)),
    },
    "lab 1": {**SMALL, "padding": "lab", "resblock": "1", "resblock_dilation_sizes": ((1, 3), (1, 2))},
    "lab 2": {**SMALL, "padding": "lab", "resblock": "2", "resblock_dilation_sizes": ((1, 3), (1, 2))},
    "odd kernel": {
        **SMALL,
        "padding": "official",
        "upsample_kernel_sizes": (21, 16, 8, 5),
        "resblock_dilation_sizes": ((1, 3), (1, 2)),
    },
}


@pytest.fixture(params=VARIANTS)
def config(request):
    return VocoderConfig(**VARIANTS[request.param])


def random_mel(frames, batch=1):
    return torch.randn(batch, 64, frames, generator=torch.Generator().manual_seed(1)) - 4


@pytest.mark.parametrize(
    ("folder", "outputs"),
    [
        (DATA / "hifigan_official_tiny", ["output_wav_weightnorm.npy", "output_wav_folded.npy"]),
        (DATA / "hifigan_lab_tiny", ["output_wav.npy"]),
        (SHARED / "hifigan_official_tiny_rb1", ["output_wav_weightnorm.npy", "output_wav_folded.npy"]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_reference_outputs_are_reproduced(folder, outputs):
    if not folder.exists():
        pytest.skip(f"{folder} is not here")
    generator, _ = read_generator(folder / "g_00000000", read_config(folder))
    mel = torch.from_numpy(np.load(folder / "input_mel.npy"))
    expected = [np.load(folder / name) for name in outputs]
    with torch.no_grad():
        for made in (generator(mel), generator.fold()(mel)):
            for reference in expected:
                np.testing.assert_allclose(made.numpy(), reference, rtol=0, atol=1e-5)


def test_every_variant_gives_hop_samples_per_frame(config):
    generator = Generator(config)
    for frames in (1, 2, 7):
        assert generator(random_mel(frames, 2)).shape == (2, 1, frames * 420)


def test_every_variant_is_trainable(config):
    generator = Generator(config)
    generator(random_mel(12)).square().mean().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_folding_and_inference_mode_change_nothing(config):
    generator, mel = Generator(config), random_mel(9)
    with_gradients = generator(mel).detach()
    with torch.no_grad():
        torch.testing.assert_close(generator(mel), with_gradients, rtol=0, atol=1e-6)
        torch.testing.assert_close(generator.fold()(mel), with_gradients, rtol=0, atol=1e-6)


def test_the_lab_residual_blocks_are_causal():
    config = VocoderConfig(**VARIANTS["lab 1"])
    block = Generator(config).resblocks[0]
    x = torch.randn(1, 16, 1, 50)
    changed = x.clone()
    changed[..., 30:] += 1
    assert torch.equal(block(x)[..., :30], block(changed)[..., :30])


def test_an_odd_kernel_equals_the_official_output_after_trimming():
    config = VocoderConfig(**VARIANTS["odd kernel"])
    generator = Generator(config).fold()
    mel = random_mel(8)
    with torch.no_grad():
        x = generator.conv_pre(mel)
        for stage, up in enumerate(generator.ups):
            x = up(torch.nn.functional.leaky_relu(x, 0.1))
            blocks = generator.resblocks[stage * 2 : stage * 2 + 2]
            x = sum(block(x[:, :, None])[:, :, 0] for block in blocks) / 2
        x = torch.tanh(generator.conv_post(torch.nn.functional.leaky_relu(x, 0.01)))
        assert x.shape[-1] > 8 * 420
        torch.testing.assert_close(generator(mel), x[..., : 8 * 420], rtol=0, atol=1e-6)


def test_bfloat16_blocks_are_close_to_float32(config):
    torch.manual_seed(0)
    generator = Generator(config).fold()
    mel = random_mel(20)
    with torch.no_grad():
        exact = generator(mel)
        error = generator.halve()(mel) - exact
    assert error.abs().max() > 0
    assert error.square().sum() < exact.square().sum() * 1e-3


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"upsample_rates": (10, 7, 3, 3)}, "hop_size = 420"),
        ({"upsample_kernel_sizes": (20, 15, 7, 1)}, "upsample_kernel_sizes"),
        ({"upsample_kernel_sizes": (20, 15, 7)}, "upsample_kernel_sizes"),
        ({"resblock_kernel_sizes": (3, 4, 5)}, "odd"),
        ({"resblock_dilation_sizes": ((1,), (1,))}, "resblock_dilation_sizes"),
        ({"segment_size": 8000}, "multiple of hop_size = 420"),
        ({"segment_size": 420}, "segment_size"),
        ({"upsample_initial_channel": 20}, "multiple of 16"),
        ({"padding": "same"}, "'official' or 'lab'"),
        ({"schedule": "cosine"}, "exponential, plateau"),
        ({"resblock": "3"}, "resblock"),
    ],
)
def test_an_invalid_config_is_refused_with_the_key(settings, named):
    with pytest.raises(UserError, match=named):
        VocoderConfig(**settings)


def test_an_official_config_survives_the_round_trip(tmp_path):
    from rtmri_speech.vocoder.config import write_config

    with logged() as told:
        config = read_config(DATA / "hifigan_lab_tiny")
    assert "8000" in told[0] and "5706.5" in told[0]
    write_config(tmp_path / "config.json", config)
    again = read_config(tmp_path)
    import json

    old, new = (json.loads((d / "config.json").read_text()) for d in (DATA / "hifigan_lab_tiny", tmp_path))
    assert {key: new[key] for key in old} == old
    assert again.spec == config.spec
    assert again.other == {"input_mels_dir": "dataset/rtmri_processed/pairs_ref4_npy"}
