import numpy as np
import pytest
import torch
from scipy import signal

from rtmri_speech.signal.mel import MelSpec, log_mel
from rtmri_speech.vocoder.config import VocoderConfig
from rtmri_speech.vocoder.discriminators import (
    Judgement,
    MultiPeriodDiscriminator,
    MultiScaleDiscriminator,
    frozen,
)
from rtmri_speech.vocoder.loss import (
    STFT_SIZES,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    mel_error,
    stft_loss,
)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def judgement(rng):
    shapes = [(2, 6), (2, 3)]
    return Judgement(
        [torch.from_numpy(rng.normal(size=shape)) for shape in shapes],
        [[torch.from_numpy(rng.normal(size=(2, 4, n))) for n in (9, 5)] for _ in shapes],
    )


def test_the_adversarial_losses_are_least_squares(rng):
    real, made = judgement(rng), judgement(rng)
    expected = sum(np.mean((1 - r.numpy()) ** 2) for r in real.scores) + sum(
        np.mean(m.numpy() ** 2) for m in made.scores
    )
    assert discriminator_loss(real, made).item() == pytest.approx(expected)
    assert adversarial_loss(made).item() == pytest.approx(sum(np.mean((1 - m.numpy()) ** 2) for m in made.scores))


def test_feature_matching_is_twice_the_sum_of_mean_differences(rng):
    real, made = judgement(rng), judgement(rng)
    expected = 2 * sum(
        np.mean(np.abs(a.numpy() - b.numpy()))
        for layers in zip(real.features, made.features, strict=True)
        for a, b in zip(*layers, strict=True)
    )
    assert feature_loss(real, made).item() == pytest.approx(expected)


def test_the_mel_loss_uses_the_mel_of_the_dataset(rng):
    """The dataset computes its mel with `MelSpec.mel`: the loss is the L1 of exactly that, in double precision."""
    for spec in (MelSpec.preset("hifigan"), MelSpec.preset("lab")):
        real, made = rng.normal(size=(2, 8400)) * 0.1
        expected = np.mean(np.abs(log_mel(spec.mel(real)) - log_mel(spec.mel(made))))
        assert mel_error(spec, torch.from_numpy(real), torch.from_numpy(made)).item() == pytest.approx(
            expected, rel=1e-9
        )


def test_the_stft_loss_equals_numpys(rng):
    real, made = rng.normal(size=(2, 2, 5000)) * 0.1

    def magnitudes(audio, size):
        padded = np.pad(audio, ((0, 0), (size // 2, size // 2)), mode="reflect")
        window = signal.get_window("hann", size)
        frames = (padded.shape[1] - size) // (size // 4) + 1
        blocks = np.stack([padded[:, n * size // 4 : n * size // 4 + size] for n in range(frames)], -2)
        return np.maximum(np.abs(np.fft.rfft(blocks * window)), 1e-5)

    expected = 0
    for size in STFT_SIZES:
        a, b = magnitudes(real, size), magnitudes(made, size)
        expected += np.linalg.norm(a - b) / np.linalg.norm(a) + np.mean(np.abs(np.log(a) - np.log(b)))
    found = stft_loss(torch.from_numpy(real), torch.from_numpy(made)).item()
    assert found == pytest.approx(expected / len(STFT_SIZES), rel=1e-6)


def test_the_stft_loss_has_a_finite_gradient_at_silence():
    made = torch.zeros(1, 4200, requires_grad=True)
    stft_loss(torch.randn(1, 4200), made).backward()
    assert made.grad.isfinite().all()


DISCRIMINATORS = [MultiPeriodDiscriminator, MultiScaleDiscriminator]


@pytest.mark.parametrize("kind", DISCRIMINATORS)
@pytest.mark.parametrize("padding", ["official", "lab"])
@pytest.mark.parametrize("divisor", [8, 16])
def test_every_discriminator_is_trainable_at_any_width(kind, padding, divisor):
    module = kind(VocoderConfig(padding=padding, mpd_divisor=divisor, msd_divisor=divisor))
    judged = module(torch.randn(2, 1, 4201))
    real, made = judged.halves()
    (discriminator_loss(real, made) + feature_loss(real, made)).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_recorded_and_generated_audio_can_share_a_batch(kind):
    module = kind(VocoderConfig(padding="official", mpd_divisor=16, msd_divisor=16)).eval()
    real, made = torch.randn(2, 2, 1, 2100)
    for together, alone in zip(module(torch.cat([real, made])).halves(), (module(real), module(made)), strict=True):
        for a, b in zip(together.scores, alone.scores, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_the_labs_period_discriminators_pad_more():
    official, lab = (
        MultiPeriodDiscriminator(VocoderConfig(padding=padding, mpd_divisor=16)) for padding in ("official", "lab")
    )
    for module, padding in ((official, [2, 2, 2, 2, 2]), (lab, [4, 4, 4, 4, 2])):
        assert [conv.padding[0] for conv in module.discriminators[0].convs] == padding


def test_the_official_width_equals_the_papers():
    config = VocoderConfig(padding="official")
    assert sum(p.numel() for p in MultiPeriodDiscriminator(config).parameters()) == 41_105_770
    # channels, kernel and inputs a filter of the eight layers; two of the three carry a weight_g a filter.
    layers = [(128, 15, 1), (128, 41, 32), (256, 41, 8), (512, 41, 16), (1024, 41, 32), (1024, 41, 64), (1024, 5, 1024)]
    layers.append((1, 3, 1024))
    expected = sum(3 * width * (kernel * inputs + 1) + 2 * width for width, kernel, inputs in layers)
    assert sum(p.numel() for p in MultiScaleDiscriminator(config).parameters()) == expected


def test_frozen_discriminators_pass_gradients_and_keep_none():
    module = MultiPeriodDiscriminator(VocoderConfig(padding="official", mpd_divisor=16))
    audio = torch.randn(1, 1, 2100, requires_grad=True)
    with frozen(module):
        adversarial_loss(module(audio)).backward()
    assert audio.grad.abs().max() > 0
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
