"""HiFi-GAN's generator: log mel to waveform, with official or lab padding.

The network is that of J. Kong, J. Kim, J. Bae, *HiFi-GAN* (NeurIPS 2020): transposed convolutions up to the sampling
rate, each followed by the mean of parallel residual blocks with different receptive fields.

``padding`` must match the one used in training:

- ``official`` (`jik876/hifi-gan`): every convolution is centred on its output.
- ``lab`` (`YamaneKoyo/mri-to-speech`): the residual blocks are causal; the first and the last convolution look ahead,
  six frames and six samples; the first one is not weight-normed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, pad
from torch.nn.utils.parametrizations import weight_norm

from rtmri_speech.errors import UserError
from rtmri_speech.vocoder.config import VocoderConfig

SLOPE = 0.1
"""Negative slope of all leaky ReLUs but the last."""
LAST_SLOPE = 0.01
"""Negative slope before the last convolution (PyTorch's default in the official program)."""
EDGE_KERNEL = 7
"""Kernel of the first and the last convolution."""


Norm = Callable[[nn.Module], nn.Module]


def _plain(module: nn.Module) -> nn.Module:
    return module


class ResidualBlock(nn.Module):
    """Residual dilated convolutions of one kernel size, ``(B, C, 1, L)`` to the same shape.

    Type 1 has a dilated and a plain convolution for each dilation (``convs1``, ``convs2``); type 2 only the dilated one
    (``convs``).
    """

    def __init__(
        self, channels: int, kernel: int, dilations: tuple[int, ...], kind: str, causal: bool, norm: Norm
    ) -> None:
        super().__init__()
        self.causal = causal
        self.precision: torch.dtype | None = None
        """Type of the convolutions, if other than the input's (see `Generator.halve`)."""

        def convolutions(spans: tuple[int, ...]) -> nn.ModuleList:
            return nn.ModuleList(
                norm(
                    nn.Conv1d(
                        channels, channels, kernel, dilation=span, padding=0 if causal else (kernel - 1) * span // 2
                    )
                )
                for span in spans
            )

        self.pairs = kind == "1"
        if self.pairs:
            self.convs1 = convolutions(dilations)
            self.convs2 = convolutions((1,) * len(dilations))
        else:
            self.convs = convolutions(dilations)

    @property
    def steps(self) -> list[tuple[nn.Conv1d, ...]]:
        """Convolutions in their order: each tuple's last output is added to the first one's input."""
        return list(zip(self.convs1, self.convs2, strict=True)) if self.pairs else [(conv,) for conv in self.convs]

    def ahead_of(self, conv: nn.Conv1d) -> int:
        """Return how many future samples one of its convolutions sees."""
        return 0 if self.causal else (conv.kernel_size[0] - 1) * conv.dilation[0] // 2

    @property
    def ahead(self) -> int:
        """Number of future samples that the output depends on."""
        return sum(self.ahead_of(conv) for step in self.steps for conv in step)

    def _convolve(self, conv: nn.Conv1d, x: torch.Tensor, own: bool) -> torch.Tensor:
        if self.precision is not None and x.dtype != self.precision:
            x, own = x.to(self.precision), True
        x = _rectified(x, SLOPE, own)
        if self.causal:
            # The lab pads both sides and truncates the sum to the input's length, which makes it causal.
            x = pad(x, ((conv.kernel_size[0] - 1) * conv.dilation[0], 0))
        return _convolved(conv, x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output, ``(B, C, 1, L)``; ``x`` is not modified."""
        total = x
        for number, (first, *others) in enumerate(self.steps):
            step = self._convolve(first, total, own=False)
            for conv in others:
                step = self._convolve(conv, step, own=True)
            total = _sum(total, step, own=number > 0)
        return total


def _rectified(x: torch.Tensor, slope: float, own: bool) -> torch.Tensor:
    """Leaky ReLU, in place if ``own``: memory traffic is a third of the cost on a CPU."""
    return leaky_relu(x, slope, inplace=own and not torch.is_grad_enabled())


def _sum(total: torch.Tensor, step: torch.Tensor, own: bool) -> torch.Tensor:
    """Return the sum in the precision of ``total``, in place if ``own``."""
    return total.add_(step) if own and not torch.is_grad_enabled() else total + step


def layer_weight(conv: nn.Conv1d | nn.ConvTranspose1d, x: torch.Tensor) -> torch.Tensor:
    """Return the weight of a layer as that of a convolution of ``x (B, C, 1, L)``, on a CPU in channels-last format."""
    weight = conv.weight[:, :, None]
    return weight.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else weight


def _convolved(conv: nn.Conv1d | nn.ConvTranspose1d, x: torch.Tensor) -> torch.Tensor:
    """Apply a one-dimensional convolution to ``(B, C, 1, L)`` in the memory format of ``x``.

    PyTorch's CPU convolutions are channels-last, and convert a one-dimensional signal each time.
    """
    weight = layer_weight(conv, x)
    if isinstance(conv, nn.ConvTranspose1d):
        return conv_transpose2d(x, weight, conv.bias, (1, conv.stride[0]), (0, conv.padding[0]))
    return conv2d(x, weight, conv.bias, 1, (0, conv.padding[0]), (1, conv.dilation[0]))


class Generator(nn.Module):
    """The generator of a config.

    Parameters
    ----------
    config : of the network, with ``padding`` (`checkpoint.read_generator` infers it from a file's keys).
    folded : without weight norm, for synthesis; else weight-normed, for training.

    Attributes
    ----------
    hop_length : samples per mel frame.
    edge_ahead : future samples that the first and the last convolution see.
    """

    def __init__(self, config: VocoderConfig, folded: bool = False) -> None:
        super().__init__()
        if config.padding is None:
            raise UserError("config key padding", "is not given", "give 'official' or 'lab'")
        norm = _plain if folded else weight_norm
        self.config, self.lab = config, config.padding == "lab"
        self.n_mels, self.hop_length = config.num_mels, config.hop_size
        self.blocks_per_stage = len(config.resblock_kernel_sizes)
        channels = config.upsample_initial_channel
        edge = 0 if self.lab else EDGE_KERNEL // 2
        self.edge_ahead = EDGE_KERNEL - 1 - edge

        first = nn.Conv1d(config.num_mels, channels, EDGE_KERNEL, padding=edge)
        self.conv_pre = first if self.lab else norm(first)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            self.ups.append(
                norm(nn.ConvTranspose1d(channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2))
            )
            channels //= 2
            for size, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True):
                self.resblocks.append(ResidualBlock(channels, size, dilations, config.resblock, self.lab, norm))
        self.conv_post = norm(nn.Conv1d(channels, 1, EDGE_KERNEL, padding=edge))

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        """Return the waveform of a log mel.

        Parameters
        ----------
        log_mel : natural log of the linear mel, ``(B, n_mels, T)``.

        Returns
        -------
        samples in [-1, 1], ``(B, 1, T * hop_length)``. If a kernel minus its rate is odd, the official program outputs
        a few more samples; they are cut, and the rest is identical.
        """
        samples = log_mel.shape[-1] * self.hop_length
        x = (pad(log_mel, (0, EDGE_KERNEL - 1)) if self.lab else log_mel)[:, :, None]
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        x = _convolved(self.conv_pre, x)
        for stage, up in enumerate(self.ups):
            x = _convolved(up, _rectified(x, SLOPE, own=True))
            blocks = self.blocks_of(stage)
            total = blocks[0](x)
            for block in blocks[1:]:
                total = _sum(total, block(x), own=True)
            x = total / self.blocks_per_stage
        x = _rectified(x, LAST_SLOPE, own=True)
        if self.lab:
            x = pad(x, (0, EDGE_KERNEL - 1))
        return torch.tanh(_convolved(self.conv_post, x))[:, :, 0, :samples]

    def blocks_of(self, stage: int) -> nn.ModuleList:
        """Return the parallel residual blocks of a stage."""
        return self.resblocks[stage * self.blocks_per_stage : (stage + 1) * self.blocks_per_stage]

    def fold(self) -> Generator:
        """Return a copy for synthesis, with weight norm folded into the weights and without gradients."""
        folded = Generator(self.config, folded=True).requires_grad_(False).eval()
        weights = {name: tensor for name, tensor in self.state_dict().items() if "parametrizations" not in name}
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                weights[f"{name}.weight"] = module.weight.detach()
        folded.load_state_dict(weights)
        return folded.to(self.conv_post.bias.device)

    def halve(self) -> Generator:
        """Use bfloat16 for the residual blocks' convolutions, nearly all of the work; for a folded generator.

        Sums and upsampling stay in float32: bfloat16 there would lose 10 dB of accuracy for a fifth less time.
        """
        for block in self.resblocks:
            block.to(torch.bfloat16)
            block.precision = torch.bfloat16
        return self
