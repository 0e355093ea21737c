"""The mel spectrogram: single definition, with a NumPy and a torch front end.

Dataset, acoustic target, vocoder condition, vocoder loss, formant bands and metrics all use a `MelSpec`. A mel is
linear (magnitude or power, by ``power``), shaped ``(..., n_mels, T)``. Two logarithms are used: decibels (predicted by
the acoustic model) and the natural logarithm (input of HiFi-GAN); conversion between them is exact.

The filterbank is Slaney's (M. Slaney, *Auditory Toolbox*, 1998), area-normalised, as in librosa's default; the
``hifigan`` preset is the mel of Kong et al., *HiFi-GAN* (2020), in `jik876/hifi-gan`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.settings.data import Mel
from rtmri_speech.settings.fields import fields_of
from rtmri_speech.untrusted import build, require_type

if TYPE_CHECKING:
    import torch

LOG_FLOOR = 1e-5
"""Smallest linear mel of the natural logarithm (the clamp of HiFi-GAN's dynamic range compression)."""

MAGNITUDE_GUARD = 1e-9
"""Added to the power before the square root, as HiFi-GAN does, so that the gradient at silence is finite."""

_BLOCK_FRAMES = 128
"""Frames transformed at a time by the NumPy front end, for constant memory."""

Alignment = Literal["centred", "start"]

LARGEST = {"sampling_rate": 1_000_000, "n_fft": 1 << 16, "n_mels": 1024}
"""Upper limits: far beyond any speech setting, small enough for the filterbank to fit in memory."""


SPEECH_HZ = 20_000
"""A sampling rate that covers speech, common for rtMRI audio."""


class Samples(Protocol):
    """Input of the NumPy front end: an array, a memory map or an open wav."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice) -> np.ndarray: ...


def fitting_mel(rate: Fraction, sampling_rate: int, tolerance: float) -> tuple[int, int]:
    """Return a sampling rate (Hz) and hop (samples) for ``rate`` frames per second that HiFi-GAN can generate.

    The hop is a product of 2, 3, 5 and 7, so that it factors into upsampling rates of at most 10, and its sampling rate
    is the nearest to ``sampling_rate``, or to `SPEECH_HZ` if that is higher. As the sampling rate is an integer, the
    mel's frame rate is not exact; it differs by at most ``tolerance`` frames per second, if possible.
    """
    wanted = max(sampling_rate, SPEECH_HZ) / float(rate)

    def badness(hop: int) -> tuple[bool, float]:
        return abs(Fraction(round(hop * rate), hop) - rate) > tolerance, abs(hop - wanted)

    hop = min(filter(_in_small_rates, range(1, math.ceil(2 * wanted) + 1)), key=badness)
    return round(hop * rate), hop


def _in_small_rates(hop: int) -> bool:
    for prime in (2, 3, 5, 7):
        while hop % prime == 0:
            hop //= prime
    return hop == 1


@dataclasses.dataclass(frozen=True)
class MelSpec:
    """All parameters of a mel spectrogram.

    Parameters
    ----------
    sampling_rate : samples per second of the audio, Hz.
    n_fft : length of the Fourier transform, samples.
    win_length : length of the Hann window, centred in the transform, samples.
    hop_length : samples per frame; one mel frame is one video frame.
    n_mels : number of mel filters.
    fmin, fmax : edges of the filterbank, Hz; ``fmax=None`` is half the sampling rate.
    power : 1 for magnitude, 2 for power.
    preemphasis : coefficient a of ``y[n] = x[n] - a x[n-1]``, ``y[0] = x[0]``; 0 for none.
    alignment : ``centred``: frame t is centred on video frame t (``(n_fft - hop) / 2`` samples of reflection padding at
        each end, so that there are ``samples // hop`` frames); ``start``: frame t covers ``[t hop, t hop + n_fft)``,
        unpadded.
    floor : lower bound of the linear mel in decibel conversion.
    top_db : range in dB below the clip's maximum; None for no limit.

    Raises
    ------
    UserError
        A value is out of range; the error names the setting, the value and the allowed range.
    """

    sampling_rate: int = 11413
    n_fft: int = 2048
    win_length: int = 2048
    hop_length: int = 420
    n_mels: int = 64
    fmin: float = 0.0
    fmax: float | None = None
    power: int = 1
    preemphasis: float = 0.0
    alignment: Alignment = "centred"
    floor: float = LOG_FLOOR
    top_db: float | None = None

    def __post_init__(self) -> None:
        nyquist = self.sampling_rate / 2
        if self.fmax is None:
            object.__setattr__(self, "fmax", nyquist)
        object.__setattr__(self, "fmin", float(self.fmin))
        object.__setattr__(self, "fmax", float(self.fmax))
        for name in ("sampling_rate", "n_fft", "win_length", "hop_length", "n_mels"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise UserError(f"mel.{name}", f"is {value!r}", "give a whole number of at least 1")
            if value > LARGEST.get(name, value):
                raise UserError(f"mel.{name}", f"is {value}", f"give at most {LARGEST[name]}")
        if self.win_length > self.n_fft:
            raise UserError("mel.win_length", f"is {self.win_length}", f"give at most n_fft = {self.n_fft}")
        if self.hop_length > self.n_fft:
            raise UserError("mel.hop_length", f"is {self.hop_length}", f"give at most n_fft = {self.n_fft}")
        if not 0 <= self.fmin < self.fmax:
            raise UserError(
                "mel.fmin", f"is {self.fmin:g} Hz", f"give a frequency from 0 to below fmax = {self.fmax:g} Hz"
            )
        if self.power not in (1, 2):
            raise UserError("mel.power", f"is {self.power!r}", "give 1 (magnitude) or 2 (power)")
        if not 0 <= self.preemphasis < 1:
            raise UserError("mel.preemphasis", f"is {self.preemphasis!r}", "give a coefficient from 0 to below 1")
        if self.alignment not in ("centred", "start"):
            raise UserError("mel.alignment", f"is {self.alignment!r}", "give 'centred' or 'start'")
        if not self.floor > 0:
            raise UserError("mel.floor", f"is {self.floor!r}", "give a positive number")

    @classmethod
    def of(cls, settings: Mel) -> MelSpec:
        """Return the specification of the ``mel`` section; new mels must stay below the Nyquist frequency."""
        given = {field.name: getattr(settings, field.name) for field, _ in fields_of(Mel)}
        given = {name: value for name, value in given.items() if name != "preset" and value is not None}
        spec = cls.preset(settings.preset or "hifigan", **{"win_length": settings.n_fft, **given})
        spec.require_below_nyquist()
        return spec

    @classmethod
    def preset(cls, name: str, **settings: Any) -> MelSpec:
        """Return the named preset, overridden by ``settings``.

        ``hifigan``: the mel of the official HiFi-GAN (magnitude, centred). ``lab``: the mel of the lab's earlier system
        (power, pre-emphasis 0.97, unpadded, 80 dB of range).
        """
        if name not in PRESETS:
            raise UserError("mel.preset", f"is {name!r}", f"give one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **settings})

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any], source: str = "mel") -> MelSpec:
        """Return the spec stored by `to_dict`; refuses unknown and missing settings, naming ``source``."""
        require_type(settings, dict, "its mel", source, "make it again")
        known = {field.name for field in dataclasses.fields(cls)}
        if wrong := set(settings) ^ known:
            raise UserError(
                source,
                f"its mel settings have missing or unknown entries: {', '.join(sorted(map(str, wrong)))}",
                "make it again",
            )
        return build(cls, settings, source, "make it again")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, for JSON and checkpoints."""
        return dataclasses.asdict(self)

    def require_same(self, other: MelSpec, mine: str, theirs: str) -> None:
        """Refuse to mix two mels; the error names each differing setting with both values.

        ``mine`` and ``theirs`` name the origins of this and the other mel.
        """
        a, b = self.to_dict(), other.to_dict()
        differing = [f"{key} {a[key]!r} against {b[key]!r}" for key in a if a[key] != b[key]]
        if differing:
            raise UserError(
                mine, f"its mel differs from that of {theirs} in {', '.join(differing)}", "use two with the same mel"
            )

    def require_below_nyquist(self) -> None:
        """Refuse a filterbank above half the sampling rate: its upper filters would be empty."""
        if self.fmax > self.sampling_rate / 2:
            raise UserError(
                "mel.fmax",
                f"is {self.fmax:g} Hz, above half the sampling rate {self.sampling_rate} Hz",
                f"give at most {self.sampling_rate / 2:g}",
            )

    @property
    def frame_rate(self) -> Fraction:
        """Mel frames, and so video frames, per second."""
        return Fraction(self.sampling_rate, self.hop_length)

    @property
    def shortest(self) -> int:
        """Minimum number of samples of a signal: one frame, or more than the reflection padding."""
        if self.alignment == "start":
            return self.n_fft
        return max(self.hop_length, (self.n_fft - self.hop_length + 1) // 2 + 1)

    def frames(self, samples: int) -> int:
        """Return the number of mel frames of a signal of ``samples`` samples."""
        if samples < self.shortest:
            return 0
        if self.alignment == "start":
            return (samples - self.n_fft) // self.hop_length + 1
        left, right = self._padding()
        return (samples + left + right - self.n_fft) // self.hop_length + 1

    def _padding(self) -> tuple[int, int]:
        if self.alignment == "start":
            return 0, 0
        total = self.n_fft - self.hop_length
        return total // 2, total - total // 2

    def filterbank(self) -> np.ndarray:
        """Return the mel filters, float64 ``(n_mels, n_fft // 2 + 1)``, read-only.

        Triangles on a uniform grid on Slaney's mel scale (linear below 1 kHz, logarithmic above), each divided by half
        its width in Hz.
        """
        return _filterbank(self.sampling_rate, self.n_fft, self.n_mels, self.fmin, self.fmax)

    def centre_frequencies(self) -> np.ndarray:
        """Return the peak frequency of each filter, Hz, float64 ``(n_mels,)``."""
        return _mel_frequencies(self.n_mels, self.fmin, self.fmax)[1:-1]

    def band(self, low: float, high: float) -> np.ndarray:
        """Return the int64 indices of the filters with centres in ``[low, high]`` Hz.

        Raises
        ------
        UserError
            The band contains no centre; the error names the nearest filter.
        """
        centres = self.centre_frequencies()
        bins = np.flatnonzero((centres >= low) & (centres <= high))
        if not len(bins):
            nearest = centres[np.abs(centres - (low + high) / 2).argmin()]
            raise UserError(
                f"band {low:g}-{high:g} Hz",
                f"holds no filter of the mel ({centres[0]:.0f} to {centres[-1]:.0f} Hz)",
                f"widen it to the nearest filter, at {nearest:.1f} Hz",
            )
        return bins

    def mel(self, audio: Samples) -> np.ndarray:
        """Return the linear mel of a signal, computed in double precision.

        Parameters
        ----------
        audio : samples in [-1, 1], ``(N,)``; anything with a length and slices, read in blocks.

        Returns
        -------
        float64 ``(n_mels, T)`` with ``T = self.frames(N)``.

        Raises
        ------
        UserError
            The signal is shorter than `shortest`.
        """
        out = np.empty((self.n_mels, self.frames(len(audio))))
        for first, block in self._blocks(audio):
            out[:, first : first + block.shape[1]] = block
        return out

    def mel_db(self, audio: Samples) -> np.ndarray:
        """Return `db` of `mel` of a signal, float32 ``(n_mels, T)``, using less memory."""
        out = np.empty((self.n_mels, self.frames(len(audio))), np.float32)
        for first, block in self._blocks(audio):
            out[:, first : first + block.shape[1]] = self._level(block)
        return self._within_range(out)

    def _blocks(self, audio: Samples) -> Iterator[tuple[int, np.ndarray]]:
        """The linear mel of a signal in blocks: first frame and float64 ``(n_mels, frames)``."""
        count = self.frames(len(audio))
        if not count:
            raise UserError("audio", f"has {len(audio)} samples", f"give at least {self.shortest}")
        for first in range(0, count, _BLOCK_FRAMES):
            last = min(first + _BLOCK_FRAMES, count)
            begin = first * self.hop_length - self._padding()[0]
            end = begin + (last - first - 1) * self.hop_length + self.n_fft
            block = self._reflected(audio, begin, end)
            frames = np.lib.stride_tricks.sliding_window_view(block, self.n_fft)[:: self.hop_length]
            power = np.abs(np.fft.rfft(frames * _window(self.n_fft, self.win_length))) ** 2
            spectrum = power if self.power == 2 else np.sqrt(power + MAGNITUDE_GUARD)
            yield first, self.filterbank() @ spectrum.T

    def _reflected(self, audio: Samples, begin: int, end: int) -> np.ndarray:
        """Samples ``[begin, end)`` after pre-emphasis, reflected about the first and the last sample."""
        low, high = max(begin, 0), min(end, len(audio))
        # Reflection needs samples inward from the ends, pre-emphasis one sample before.
        first = max(min(low, len(audio) - 1 - (end - len(audio))) - 1, 0)
        last = min(max(high, 1 - begin), len(audio))
        block = np.asarray(audio[first:last], dtype=np.float64)
        if self.preemphasis:
            emphasised = block.copy()
            emphasised[1:] -= self.preemphasis * block[:-1]
            block = emphasised
        index = np.arange(begin, end)
        index = np.abs(index)
        index = np.where(index >= len(audio), 2 * (len(audio) - 1) - index, index)
        return block[index - first]

    def mel_tensor(self, audio: torch.Tensor) -> torch.Tensor:
        """Return the linear mel of a batch on the device and in the precision of ``audio``, differentiable.

        Parameters
        ----------
        audio : samples in [-1, 1], float ``(..., N)``.

        Returns
        -------
        float ``(..., n_mels, T)``, ``T = self.frames(N)``; equal to `mel` within the precision of the type.
        """
        import torch

        if not self.frames(audio.shape[-1]):
            raise UserError("audio", f"has {audio.shape[-1]} samples", f"give at least {self.shortest}")
        basis, window = _constants(self, audio.device, audio.dtype)
        lead = audio.shape[:-1]
        signal = audio.reshape(-1, audio.shape[-1])
        if self.preemphasis:
            signal = torch.cat([signal[:, :1], signal[:, 1:] - self.preemphasis * signal[:, :-1]], 1)
        padding = self._padding()
        if any(padding):
            signal = torch.nn.functional.pad(signal[:, None], padding, mode="reflect")[:, 0]
        spectrum = torch.stft(
            signal, self.n_fft, self.hop_length, self.win_length, window, center=False, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        mel = basis @ (power if self.power == 2 else torch.sqrt(power + MAGNITUDE_GUARD))
        return mel.reshape(*lead, *mel.shape[1:])

    @property
    def _db_per_neper(self) -> float:
        return 20 / (self.power * math.log(10))

    def db(self, mel: np.ndarray) -> np.ndarray:
        """Return a linear mel in decibels, ``20 / power log10``, limited by `floor` and `top_db`."""
        return self._within_range(self._level(mel))

    def _level(self, mel: np.ndarray) -> np.ndarray:
        return 20 / self.power * np.log10(np.maximum(mel, self.floor))

    def _within_range(self, db: np.ndarray) -> np.ndarray:
        return db if self.top_db is None else np.maximum(db, db.max() - self.top_db)

    def log_from_db(self, db: np.ndarray) -> np.ndarray:
        """Return the natural logarithm of the linear mel whose decibels are ``db``, at least ``ln LOG_FLOOR``."""
        return np.maximum(np.asarray(db) / self._db_per_neper, math.log(LOG_FLOOR))

    def linear_from_db(self, db: np.ndarray) -> np.ndarray:
        """Return the linear mel whose decibels are ``db``."""
        return np.exp(np.asarray(db) / self._db_per_neper)


def log_mel(mel: np.ndarray) -> np.ndarray:
    """Return ``ln(max(mel, LOG_FLOOR))``, the vocoder's condition, of a linear mel in NumPy."""
    return np.log(np.maximum(mel, LOG_FLOOR))


def log_mel_tensor(mel: torch.Tensor) -> torch.Tensor:
    """Return ``ln(max(mel, LOG_FLOOR))``, the vocoder's condition, of a linear mel in torch."""
    return mel.clamp(min=LOG_FLOOR).log()


PRESETS: dict[str, dict[str, Any]] = {
    "hifigan": {"power": 1, "preemphasis": 0.0, "alignment": "centred", "floor": LOG_FLOOR, "top_db": None},
    "lab": {"power": 2, "preemphasis": 0.97, "alignment": "start", "floor": 1e-10, "top_db": 80.0},
}

_HZ_PER_MEL = 200 / 3
_LOG_START_HZ = 1000.0
_MELS_AT_LOG_START = _LOG_START_HZ / _HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27
"""Slaney's scale: 200/3 Hz a mel up to 1 kHz, above it 27 mels for a factor of 6.4."""


def _mel_frequencies(n_mels: int, fmin: float, fmax: float) -> np.ndarray:
    """Edges and centres of the triangles, Hz, ``(n_mels + 2,)``."""

    def to_mel(hertz: float) -> float:
        if hertz < _LOG_START_HZ:
            return hertz / _HZ_PER_MEL
        return _MELS_AT_LOG_START + math.log(hertz / _LOG_START_HZ) / _LOG_STEP

    mels = np.linspace(to_mel(fmin), to_mel(fmax), n_mels + 2)
    return np.where(
        mels < _MELS_AT_LOG_START,
        mels * _HZ_PER_MEL,
        _LOG_START_HZ * np.exp(_LOG_STEP * (mels - _MELS_AT_LOG_START)),
    )


@lru_cache(maxsize=16)
def _filterbank(sampling_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> np.ndarray:
    edges = _mel_frequencies(n_mels, fmin, fmax)[:, None]
    bins = np.arange(n_fft // 2 + 1) * sampling_rate / n_fft
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre)).clip(min=0)
    filters = triangles * 2 / (upper - lower)
    filters.setflags(write=False)
    return filters


@lru_cache(maxsize=16)
def _window(n_fft: int, win_length: int) -> np.ndarray:
    """Periodic Hann window, zero-padded on both sides to ``n_fft``."""
    window = np.zeros(n_fft)
    start = (n_fft - win_length) // 2
    window[start : start + win_length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    window.setflags(write=False)
    return window


@lru_cache(maxsize=32)
def _constants(spec: MelSpec, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Filterbank and window of ``spec`` as tensors, cached."""
    import torch

    basis = torch.tensor(spec.filterbank(), device=device, dtype=dtype)
    # HiFi-GAN builds its window in the precision of the signal; use the same rounding to match it.
    window = torch.hann_window(spec.win_length, device=device, dtype=dtype)
    return basis, window
