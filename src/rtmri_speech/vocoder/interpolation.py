"""A vocoder for mels of another frame rate than its own, by interpolation in time: one base serves every rate."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.vocoder.blocks import BlockVocoder, MelVocoder

LARGEST_SHIFT = 0.01
"""Maximum relative difference of sampling rate and filters: with a hop of at least 50 samples, a whole number of hertz
and of samples per frame can be found for any frame rate. Speech is then 17 cents off at most."""

_FREQUENCIES = ("sampling_rate", "fmin", "fmax")


def fitted(vocoder: MelVocoder, spec: MelSpec, mine: str, theirs: str) -> MelVocoder:
    """Return a vocoder for log mels of ``spec``: the given one, or, if only the frame rate differs, `AtFrameRate`.

    ``mine`` and ``theirs`` name the vocoder and the origin of ``spec`` in the error, which is that of `require_fit`.
    """
    if vocoder.spec == spec:
        return vocoder
    if not isinstance(vocoder, BlockVocoder):
        vocoder.spec.require_same(spec, mine, theirs)
    require_fit(vocoder.spec, spec, mine, theirs)
    return AtFrameRate(vocoder, spec)


def require_fit(own: MelSpec, spec: MelSpec, mine: str, theirs: str) -> None:
    """Refuse a mel with another window or other filters than a vocoder's; its hop may differ.

    Parameters
    ----------
    own, spec : mel of the vocoder, and the one to synthesise.
    mine, theirs : their origins.

    Raises
    ------
    UserError
        It names each differing setting with both values, and the mel to use instead at the frame rate of ``spec``.
    """
    alike = [name for name in _FREQUENCIES if _near(getattr(own, name), getattr(spec, name))]
    same = {name: getattr(own, name) for name in ("hop_length", *alike)}
    try:
        own.require_same(dataclasses.replace(spec, **same), mine, theirs)
    except UserError as error:
        hop = max(round(own.sampling_rate / spec.frame_rate), 1)
        mel = {"sampling_rate": round(hop * spec.frame_rate), "hop_length": hop, "n_fft": own.n_fft}
        written = ", ".join(f"{name}: {value}" for name, value in (mel | {"n_mels": own.n_mels}).items())
        remedy = f"make the dataset with the vocoder's window and filters (mel: {{{written}}}), or use another vocoder"
        raise UserError(error.subject, error.fault, remedy) from None


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= LARGEST_SHIFT * max(one, other)


class AtFrameRate(MelVocoder):
    """A vocoder of a fixed frame rate, for mels of another one.

    Parameters
    ----------
    vocoder : it has the window and the filters of ``spec`` (`require_fit`).
    spec : of the input; output has its sampling rate.
    """

    def __init__(self, vocoder: MelVocoder, spec: MelSpec) -> None:
        super().__init__(spec)
        self.vocoder = vocoder

    def _samples(self, log_mel: np.ndarray, f0: np.ndarray | None) -> np.ndarray:
        own = at_hop(log_mel, self.spec, self.vocoder.hop_length)
        return self.vocoder.synthesise(own)[: log_mel.shape[1] * self.hop_length]


def at_hop(log_mel: np.ndarray, spec: MelSpec, hop_length: int) -> np.ndarray:
    """Return a log mel at another hop, interpolated linearly between the centres of its frames.

    Parameters
    ----------
    log_mel : natural log of the linear mel, ``(n_mels, T)``, T at least 1.
    spec : of it.
    hop_length : samples per frame of the result.

    Returns
    -------
    float32 ``(n_mels, ceil(T * spec.hop_length / hop_length))``; the first and last frames are repeated at the ends.
    """
    count = log_mel.shape[1]
    frames = np.arange(math.ceil(count * spec.hop_length / hop_length))
    # The middle of a frame's window, from that of the first frame.
    offset = (hop_length - spec.hop_length) / 2 if spec.alignment == "centred" else 0.0
    places = (frames * hop_length + offset) / spec.hop_length
    return np.stack([np.interp(places, np.arange(count), row) for row in log_mel]).astype(np.float32)
