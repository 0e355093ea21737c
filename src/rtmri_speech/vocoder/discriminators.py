"""HiFi-GAN's multi-period and multi-scale discriminators, of any width, with official or lab padding.

Kong et al., *HiFi-GAN* (2020); the multi-scale one is MelGAN's (Kumar et al., 2019). A discriminator returns its scores
and the feature maps of all layers, the last being the scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import leaky_relu, pad
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from rtmri_speech.vocoder.config import VocoderConfig
from rtmri_speech.vocoder.generator import SLOPE

PERIODS = (2, 3, 5, 7, 11)
_PERIOD_CHANNELS = (32, 128, 512, 1024, 1024)
_SCALE_LAYERS = (  # channels, kernel, stride, groups, padding
    (128, 15, 1, 1, 7),
    (128, 41, 2, 4, 20),
    (256, 41, 2, 16, 20),
    (512, 41, 4, 16, 20),
    (1024, 41, 4, 16, 20),
    (1024, 41, 1, 16, 20),
    (1024, 5, 1, 1, 2),
)
_SCALES = 3
_LAB_PERIOD_PADDING = 4
"""The lab's padding of the period discriminators' strided convolutions (kernel 5), twice the official one."""


class Judgement(NamedTuple):
    """Output of the discriminators for a batch: scores ``(B, n)`` and feature maps from each."""

    scores: list[torch.Tensor]
    features: list[list[torch.Tensor]]

    def halves(self) -> tuple[Judgement, Judgement]:
        """Return the judgements of the two halves of the batch."""
        scores = [score.chunk(2) for score in self.scores]
        features = [[layer.chunk(2) for layer in layers] for layers in self.features]
        return tuple(  # type: ignore[return-value]
            Judgement([s[half] for s in scores], [[f[half] for f in layers] for layers in features]) for half in (0, 1)
        )


class PeriodDiscriminator(nn.Module):
    """Two-dimensional convolutions over samples reshaped to ``(L / period, period)``."""

    def __init__(self, period: int, divisor: int, lab: bool) -> None:
        super().__init__()
        self.period = period
        self.convs = nn.ModuleList()
        before = 1
        for layer, width in enumerate(_PERIOD_CHANNELS):
            strided = layer < len(_PERIOD_CHANNELS) - 1
            padding = _LAB_PERIOD_PADDING if lab and strided else 2
            channels = max(width // divisor, 1)
            conv = nn.Conv2d(before, channels, (5, 1), (3 if strided else 1, 1), padding=(padding, 0))
            self.convs.append(weight_norm(conv))
            before = channels
        self.conv_post = weight_norm(nn.Conv2d(before, 1, (3, 1), padding=(1, 0)))

    def forward(self, audio: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return scores ``(B, n)`` and feature maps of ``audio`` ``(B, 1, L)``."""
        batch, channels, samples = audio.shape
        if samples % self.period:
            audio = pad(audio, (0, self.period - samples % self.period), "reflect")
        return _judge(self, audio.view(batch, channels, -1, self.period))


class ScaleDiscriminator(nn.Module):
    """Grouped convolutions with long kernels over the waveform."""

    def __init__(self, divisor: int, spectral: bool) -> None:
        super().__init__()
        norm = spectral_norm if spectral else weight_norm
        self.convs = nn.ModuleList()
        before = 1
        for width, kernel, stride, groups, padding in _SCALE_LAYERS:
            channels = max(width // divisor, 1)
            # A narrow layer has as many groups as its channels allow.
            groups = math.gcd(groups, before, channels)
            conv = nn.Conv1d(before, channels, kernel, stride, groups=groups, padding=padding)
            self.convs.append(norm(conv))
            before = channels
        self.conv_post = norm(nn.Conv1d(before, 1, 3, padding=1))

    def forward(self, audio: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return scores ``(B, n)`` and feature maps of ``audio`` ``(B, 1, L)``."""
        return _judge(self, audio)


def _judge(
    module: PeriodDiscriminator | ScaleDiscriminator, x: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    features = []
    for conv in module.convs:
        x = leaky_relu(conv(x), SLOPE)
        features.append(x)
    x = module.conv_post(x)
    features.append(x)
    return x.flatten(1), features


class MultiPeriodDiscriminator(nn.Module):
    """One `PeriodDiscriminator` for each of `PERIODS`."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            PeriodDiscriminator(period, config.mpd_divisor, lab=config.padding == "lab") for period in PERIODS
        )

    def forward(self, audio: torch.Tensor) -> Judgement:
        """Return the judgement of ``audio`` ``(B, 1, L)``."""
        judged = [discriminator(audio) for discriminator in self.discriminators]
        return Judgement([scores for scores, _ in judged], [features for _, features in judged])


class MultiScaleDiscriminator(nn.Module):
    """Three `ScaleDiscriminator`, at the full (spectral-normed), half and quarter rate."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            ScaleDiscriminator(config.msd_divisor, spectral=scale == 0) for scale in range(_SCALES)
        )
        self.pool = nn.AvgPool1d(4, 2, padding=2)

    def forward(self, audio: torch.Tensor) -> Judgement:
        """Return the judgement of ``audio`` ``(B, 1, L)``."""
        judged = []
        for scale, discriminator in enumerate(self.discriminators):
            if scale:
                audio = self.pool(audio)
            judged.append(discriminator(audio))
        return Judgement([scores for scores, _ in judged], [features for _, features in judged])


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Disable gradients of the parameters of ``modules``, for the generator's step."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
