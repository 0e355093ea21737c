"""HiFi-GAN's generator over a stream: a block of frames in, as many frames' samples out, and nothing computed twice.

Each layer keeps the last samples of its input, as many as its kernel spans. What a layer sees of the future delays its
output instead, and where branches meet, the earlier one waits. Beyond both ends of a clip, layers see zeros: a mask of
the frames that exist runs beside the signal with the same delays.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from rtmri_speech.vocoder.generator import LAST_SLOPE, SLOPE, Generator, ResidualBlock, layer_weight


class StreamedGenerator(nn.Module):
    """A folded generator over a stream.

    Parameters
    ----------
    generator : folded.

    Attributes
    ----------
    delay : samples by which the output is later than the generator's.
    state_size : length of the state.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        frame = generator.conv_post.weight.new_zeros(1, generator.n_mels, 1)
        memory = _Memory(None)
        with torch.no_grad():
            _, self.delay = self._through(frame, frame[:, :1], memory)
        self.state_size = len(memory.state())

    def forward(
        self, log_mel: torch.Tensor, exists: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the samples of a block, `delay` late, and the state for the next block.

        Parameters
        ----------
        log_mel : natural log of the linear mel, ``(1, n_mels, T)``.
        exists : 1 for the clip's frames, 0 after its end, ``(1, 1, T)``.
        state : of the block before, float32 ``(state_size,)``; zeros at the start.

        Returns
        -------
        ``(1, 1, T * hop_length)`` and ``(state_size,)``, float32. After `delay` samples, they equal those of the
        generator for the whole clip, but for rounding.
        """
        memory = _Memory(state)
        samples, _ = self._through(log_mel, exists, memory)
        return samples, memory.state()

    def _through(self, log_mel: torch.Tensor, exists: torch.Tensor, memory: _Memory) -> tuple[torch.Tensor, int]:
        """Samples of a block, and by how many they are late."""
        net = self.generator
        mask, x = exists[:, :, None], log_mel[:, :, None]
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        x = _convolved(net.conv_pre, x * mask, memory)
        mask, delay = memory.delayed(mask, net.edge_ahead), net.edge_ahead
        x = x * mask
        for stage, up in enumerate(net.ups):
            rate, kernel, cut = up.stride[0], up.kernel_size[0], up.padding[0]
            x = _upsampled(up, leaky_relu(x, SLOPE), memory)
            mask = mask.repeat_interleave(rate, dim=3)
            # If kernel minus rate is odd, the signal becomes one sample longer.
            mask = torch.maximum(memory.delayed(mask, cut), memory.delayed(mask, kernel - rate - cut))
            x, delay = x * mask, delay * rate + cut
            blocks = net.blocks_of(stage)
            reach = max(block.ahead for block in blocks)
            masks = memory.extended(mask, reach)
            branches = [memory.delayed(_branch(block, x, masks, memory), reach - block.ahead) for block in blocks]
            x = sum(branches[1:], branches[0]) / len(branches)
            mask, delay = _late(masks, mask.shape[3], reach), delay + reach
        x = _convolved(net.conv_post, leaky_relu(x, LAST_SLOPE), memory)
        return torch.tanh(x)[:, :, 0], delay + net.edge_ahead


class _Memory:
    """What layers keep of their inputs from block to block, in the order of their use.

    Parameters
    ----------
    before : state after the block before; None for zeros.
    """

    def __init__(self, before: torch.Tensor | None) -> None:
        self._before, self._used = before, 0
        self._kept: list[torch.Tensor] = []

    def state(self) -> torch.Tensor:
        """Return the state after this block; what is kept in bfloat16 becomes float32 without loss."""
        return torch.cat(self._kept)

    def extended(self, x: torch.Tensor, length: int) -> torch.Tensor:
        """Return ``x (1, C, 1, L)`` preceded by the ``length`` samples before it."""
        if not length:
            return x
        shape, end = (1, x.shape[1], 1, length), self._used + x.shape[1] * length
        past = x.new_zeros(shape)
        if self._before is not None:
            past = self._before[self._used : end].reshape(shape).to(x.dtype)
        if x.device.type == "cpu":
            past = past.contiguous(memory_format=torch.channels_last)
        self._used = end
        x = torch.cat([past, x], 3)
        self._kept.append(x[..., -length:].reshape(-1))
        return x

    def delayed(self, x: torch.Tensor, by: int) -> torch.Tensor:
        """Return ``x`` delayed."""
        return _late(self.extended(x, by), x.shape[3], by)


def _late(extended: torch.Tensor, length: int, by: int) -> torch.Tensor:
    """The last ``length`` samples of a signal, delayed; it has ``by`` or more samples before them."""
    begin = extended.shape[3] - length - by
    return extended[..., begin : begin + length]


def _convolved(conv: nn.Conv1d, x: torch.Tensor, memory: _Memory) -> torch.Tensor:
    span = (conv.kernel_size[0] - 1) * conv.dilation[0]
    return conv2d(memory.extended(x, span), layer_weight(conv, x), conv.bias, 1, 0, (1, conv.dilation[0]))


def _upsampled(up: nn.ConvTranspose1d, x: torch.Tensor, memory: _Memory) -> torch.Tensor:
    rate = up.stride[0]
    # Inputs before the block that reach into it.
    before = -(-up.kernel_size[0] // rate) - 1
    made = conv_transpose2d(memory.extended(x, before), layer_weight(up, x), up.bias, (1, rate))
    return made[..., before * rate : before * rate + x.shape[3] * rate]


def _branch(block: ResidualBlock, x: torch.Tensor, masks: torch.Tensor, memory: _Memory) -> torch.Tensor:
    """Output of a residual block, ``block.ahead`` late; ``masks`` is the mask of ``x`` and what preceded it."""
    total, late = x, 0
    for convolutions in block.steps:
        step, ahead = total, 0
        for conv in convolutions:
            if block.precision is not None:
                step = step.to(block.precision)
            step = _convolved(conv, leaky_relu(step, SLOPE), memory)
            ahead += block.ahead_of(conv)
            step = step * _late(masks, x.shape[3], late + ahead)
        total, late = memory.delayed(total, ahead) + step, late + ahead
    return total
