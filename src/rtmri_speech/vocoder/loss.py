"""The losses of HiFi-GAN's training, and a multi-resolution STFT loss for small budgets.

Adversarial: least squares (Mao et al., 2017). Feature matching and the L1 mel: Kong et al., *HiFi-GAN* (2020). The STFT
loss is that of Yamamoto et al., *Parallel WaveGAN* (2020): spectral convergence and the L1 of log magnitudes.
"""

from __future__ import annotations

import torch

from rtmri_speech.signal.mel import MelSpec, log_mel_tensor
from rtmri_speech.vocoder.discriminators import Judgement

FEATURE_WEIGHT = 2.0
"""Weight of feature matching in the generator's loss, as in the official program."""
STFT_SIZES = (64, 128, 256, 512, 1024, 2048)
"""Transform lengths of the STFT loss, from windows of 6 ms to a resolution of 6 Hz at 11413 Hz; the hop is a
quarter."""
_MAGNITUDE_FLOOR = 1e-5
"""Lower bound of magnitudes: the gradient of the logarithm of smaller ones would dominate."""


def _mean(values: torch.Tensor) -> torch.Tensor:
    """Return the mean, at least in float32: bfloat16 would round a loss to two digits."""
    return values.mean(dtype=torch.promote_types(values.dtype, torch.float32))


def discriminator_loss(real: Judgement, made: Judgement) -> torch.Tensor:
    """Return the discriminators' loss: scores of recordings towards 1, of generated audio towards 0; summed."""
    return sum(
        _mean((1 - of_real).square()) + _mean(of_made.square())
        for of_real, of_made in zip(real.scores, made.scores, strict=True)
    )


def adversarial_loss(made: Judgement) -> torch.Tensor:
    """Return the generator's adversarial loss: scores of generated audio towards 1, summed over the discriminators."""
    return sum(_mean((1 - scores).square()) for scores in made.scores)


def feature_loss(real: Judgement, made: Judgement) -> torch.Tensor:
    """Return `FEATURE_WEIGHT` times the mean absolute difference of the feature maps, summed over all layers."""
    return FEATURE_WEIGHT * sum(
        _mean((of_real - of_made).abs())
        for layers_real, layers_made in zip(real.features, made.features, strict=True)
        for of_real, of_made in zip(layers_real, layers_made, strict=True)
    )


def mel_error(spec: MelSpec, real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute difference of the natural-log mels of two waveforms, float ``(..., L)``.

    The mel is `MelSpec.mel_tensor`, as for the dataset and the vocoder's input.
    """
    return (log_mel_tensor(spec.mel_tensor(real)) - log_mel_tensor(spec.mel_tensor(made))).abs().mean()


def stft_loss(real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """Return the multi-resolution STFT loss of two waveforms, float ``(B, L)``: the mean over `STFT_SIZES`.

    At each size: ``||S - S'|| / ||S||`` (Frobenius norms over the batch) plus the mean of ``|ln S - ln S'|``.
    """
    losses = []
    for size in STFT_SIZES:
        a, b = _magnitude(real, size), _magnitude(made, size)
        convergence = (a - b).square().sum().sqrt() / a.square().sum().sqrt()
        losses.append(convergence + (a.log() - b.log()).abs().mean())
    return sum(losses) / len(losses)


def _magnitude(audio: torch.Tensor, size: int) -> torch.Tensor:
    window = torch.hann_window(size, device=audio.device, dtype=audio.dtype)
    spectrum = torch.stft(audio, size, size // 4, size, window, center=True, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square()).clamp(min=_MAGNITUDE_FLOOR**2).sqrt()
