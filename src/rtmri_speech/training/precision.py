"""Whether a device computes in bfloat16, or PyTorch would emulate it."""

from __future__ import annotations

import torch

_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")
"""Features of x86 and ARM processors with bfloat16 arithmetic, as `torch.cpu.get_capabilities` names them."""


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether the device has bfloat16 arithmetic.

    Without it, a training step in bfloat16 is several times slower than in float32 (4.7 times for the demo's vocoder on
    an AVX2 processor). A PyTorch that does not report its processor's features counts as one without.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    features = getattr(torch.cpu, "get_capabilities", dict)()
    return any(features.get(name) for name in _INSTRUCTIONS)
