"""F0 and voicing as two further outputs of the mel generator.

The first is ln F0 in `UNIT` from `REFERENCE_HZ`, which the network predicts in unvoiced frames too; the second is the
logit of voicing. Both may be averaged over windows, as the mel is.
"""

from __future__ import annotations

import numpy as np

REFERENCE_HZ, UNIT = 150.0, 0.3
"""Of the F0 output: a voice is within a few units of 0. The speaker's own mean is the bias of the last layer."""


def outputs_of(n_mels: int, pitch: bool) -> int:
    """Return the values per frame of a network with ``n_mels`` mel bins that predicts F0 and voicing or not."""
    return n_mels + 2 * pitch


def relative_f0(f0: np.ndarray) -> np.ndarray:
    """Return ln F0 in units from the reference, for F0 in Hz above 0."""
    return np.log(f0 / REFERENCE_HZ) / UNIT


def pitch_targets(f0: np.ndarray) -> np.ndarray:
    """Return what the outputs learn of a track of `dataset.f0`, float32 ``(T, 2)``: F0 as `relative_f0`, and voicing.

    NaN where there is nothing to learn: F0 in unvoiced frames, both outside of speech.
    """
    targets = np.stack([np.full(len(f0), np.nan), np.where(np.isnan(f0), np.nan, f0 > 0)], 1)
    targets[f0 > 0, 0] = relative_f0(f0[f0 > 0])
    return targets.astype(np.float32)


def split_outputs(outputs: np.ndarray, n_mels: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return standardised mel ``(..., n_mels)`` and F0 in Hz ``(...)``, 0 where unvoiced, of a network's outputs.

    F0 is None if the network has no outputs beyond the mel.
    """
    mel = outputs[..., :n_mels]
    if outputs.shape[-1] == n_mels:
        return mel, None
    f0 = REFERENCE_HZ * np.exp(UNIT * np.float64(outputs[..., n_mels]))
    return mel, np.where(outputs[..., n_mels + 1] > 0, f0, 0.0).astype(np.float32)
