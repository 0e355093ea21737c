"""The HiFi-GAN config JSON: the official keys, and our additional ones.

The official program (`jik876/hifi-gan`) keeps one ``config.json`` beside its checkpoints. It is read and written with
the official names; our keys default to the official behaviour.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from pathlib import Path
from typing import Any, Literal

from rtmri_speech import atomic
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.untrusted import build, read_json

_log = logging.getLogger(__name__)

PADDINGS = ("official", "lab")
SCHEDULES = ("exponential", "plateau")
CONFIG_NAME = "config.json"

LATER_SETTINGS = (
    "lr_decay_steps",
    "augment_recording",
    "augment_scanner",
    "smooth_mels",
    "smooth_start",
    "smooth_bins",
    "smooth_frames",
    "mel_noise",
)
"""Settings that earlier configs and states lack; written only where they are not at their defaults."""

_LONGEST_REACH = 10_000
"""Maximum span of a convolution, samples: longer padding would exhaust memory."""

_MOST_WORKERS = 256

_MEL_KEYS = {
    "sampling_rate": "sampling_rate",
    "n_fft": "n_fft",
    "win_size": "win_length",
    "hop_size": "hop_length",
    "num_mels": "n_mels",
    "fmin": "fmin",
}


@dataclasses.dataclass(frozen=True)
class VocoderConfig:
    """Settings of network, mel and training, with the official names.

    Parameters
    ----------
    resblock : ``"1"`` (pairs of convolutions) or ``"2"`` (single ones).
    upsample_rates, upsample_kernel_sizes : of each transposed convolution; the product of the rates is ``hop_size``.
    upsample_initial_channel : channels before the first one, halved by each.
    resblock_kernel_sizes, resblock_dilation_sizes : of the parallel residual blocks after each.
    segment_size : samples of a training excerpt, a multiple of ``hop_size``.
    padding : ``official`` or ``lab`` (see `generator`); None leaves it to the checkpoint's keys.
    mpd_divisor, msd_divisor : divisors of the discriminators' channels, for training on a CPU.
    mel_weight, stft_weight : weights of the L1 mel and of the multi-resolution STFT loss (0 for none).
    discriminator_start : training step from which the discriminators are used; None for never.
    lr_decay_steps : steps between applications of ``lr_decay``; None for each epoch, as in the official program.
    schedule : ``exponential`` (``lr_decay`` every ``lr_decay_steps``) or ``plateau`` (the lab's: a tenth when the
        validation mel error stalls).
    average : decay of the moving average of the generator's weights, which is saved and validated; 0 for none.
    augment_rate, augment_gain_db : ranges of random resampling (0.1: by 0.9 to 1.1) and random gain, if the mel is
        computed from the audio; 0 and ``[0, 0]`` for none.
    augment_recording : share of these excerpts that are changed as by another recording (`augmentation.recorded`).
    augment_scanner : share that are changed as by a scanner instead (`scanner.in_scanner`).
    smooth_mels : share of the excerpts whose true mel is blurred as a predictor's; from step ``smooth_start`` on.
    smooth_bins, smooth_frames, mel_noise : how far at most, see `augmentation.Smoothing`.
    mel : of the input, if in the JSON; see `spec`.
    other : unknown keys, preserved on writing.

    Raises
    ------
    UserError
        A value is out of range or inconsistent; the error names the key, the value and the allowed range.
    """

    resblock: str = "1"
    num_gpus: int = 0
    batch_size: int = 16
    learning_rate: float = 2e-4
    adam_b1: float = 0.8
    adam_b2: float = 0.99
    lr_decay: float = 0.999
    seed: int = 1234
    upsample_rates: tuple[int, ...] = (10, 7, 3, 2)
    upsample_kernel_sizes: tuple[int, ...] = (20, 15, 7, 4)
    upsample_initial_channel: int = 512
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    segment_size: int = 8400
    num_mels: int = 64
    num_freq: int = 1025
    n_fft: int = 2048
    hop_size: int = 420
    win_size: int = 2048
    sampling_rate: int = 11413
    fmin: float = 0
    fmax: float | None = None
    fmax_for_loss: float | None = None
    num_workers: int = 0
    dist_config: dict[str, Any] = dataclasses.field(default_factory=dict)
    padding: str | None = None
    mpd_divisor: int = 1
    msd_divisor: int = 1
    mel_weight: float = 45.0
    stft_weight: float = 0.0
    discriminator_start: int | None = 0
    schedule: Literal["exponential", "plateau"] = "exponential"
    lr_decay_steps: int | None = None
    average: float = 0.0
    augment_rate: float = 0.0
    augment_gain_db: tuple[float, float] = (0.0, 0.0)
    augment_recording: float = 0.0
    augment_scanner: float = 0.0
    smooth_mels: float = 0.0
    smooth_start: int = 0
    smooth_bins: float = 3.5
    smooth_frames: float = 1.2
    mel_noise: float = 0.15
    mel: MelSpec | None = None
    other: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("upsample_rates", "upsample_kernel_sizes", "resblock_kernel_sizes", "augment_gain_db"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "resblock_dilation_sizes", tuple(tuple(d) for d in self.resblock_dilation_sizes))
        object.__setattr__(self, "resblock", str(self.resblock))
        for official, mine in _MEL_KEYS.items():
            if getattr(self.spec, mine) != getattr(self, official):
                raise UserError(
                    f"config key {official}",
                    f"is {getattr(self, official)} but its mel.{mine} is {getattr(self.spec, mine)}",
                    "give one number to both",
                )
        self._check_network()
        self._check_training()

    def _check_network(self) -> None:
        _require(self.resblock in ("1", "2"), "resblock", self.resblock, "give '1' or '2'")
        _require(self.padding in (None, *PADDINGS), "padding", self.padding, "give 'official' or 'lab'")
        rates, kernels = self.upsample_rates, self.upsample_kernel_sizes
        _require(
            bool(rates) and all(isinstance(r, int) and r >= 1 for r in rates),
            "upsample_rates",
            list(rates),
            "give whole numbers of at least 1",
        )
        _require(
            math.prod(rates) == self.hop_size,
            "upsample_rates",
            f"{list(rates)} with the product {math.prod(rates)}",
            f"give rates whose product is hop_size = {self.hop_size}",
        )
        _require(
            len(kernels) == len(rates) and all(k >= r for k, r in zip(kernels, rates, strict=False)),
            "upsample_kernel_sizes",
            list(kernels),
            f"give one for each of upsample_rates = {list(rates)}, at least as large as the rate",
        )
        _require(
            self.upsample_initial_channel % 2 ** len(rates) == 0 and self.upsample_initial_channel > 0,
            "upsample_initial_channel",
            self.upsample_initial_channel,
            f"give a multiple of {2 ** len(rates)}, as each of the {len(rates)} stages halves it",
        )
        _require(
            bool(self.resblock_kernel_sizes) and all(k % 2 == 1 and k > 0 for k in self.resblock_kernel_sizes),
            "resblock_kernel_sizes",
            list(self.resblock_kernel_sizes),
            "give odd numbers",
        )
        _require(
            len(self.resblock_dilation_sizes) == len(self.resblock_kernel_sizes),
            "resblock_dilation_sizes",
            f"a list of {len(self.resblock_dilation_sizes)}",
            f"give one list for each of resblock_kernel_sizes = {list(self.resblock_kernel_sizes)}",
        )
        for kernel, dilations in zip(self.resblock_kernel_sizes, self.resblock_dilation_sizes, strict=True):
            _require(
                bool(dilations) and min(dilations) >= 1 and (kernel - 1) * max(dilations) <= _LONGEST_REACH,
                "resblock_dilation_sizes",
                f"{list(dilations)} with a kernel of {kernel}",
                f"give numbers of at least 1 whose convolutions reach over {_LONGEST_REACH} samples at most",
            )
        for name in ("mpd_divisor", "msd_divisor"):
            value = getattr(self, name)
            _require(value in (1, 2, 4, 8, 16, 32), name, value, "give a power of 2 from 1 to 32")

    def _check_training(self) -> None:
        _require(
            self.segment_size > 0 and self.segment_size % self.hop_size == 0,
            "segment_size",
            self.segment_size,
            f"give a multiple of hop_size = {self.hop_size}",
        )
        _require(
            self.segment_size >= self.loss_mel.shortest,
            "segment_size",
            self.segment_size,
            f"give at least the {self.loss_mel.shortest} samples the mel loss needs",
        )
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "give at least 1")
        for name in ("adam_b1", "adam_b2"):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "give a number from 0 to below 1")
        _require(0 <= self.seed < 2**63, "seed", self.seed, "give a whole number from 0 to below 2^63")
        _require(0 <= self.num_workers <= _MOST_WORKERS, "num_workers", self.num_workers, f"give 0 to {_MOST_WORKERS}")
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "give a positive number")
        _require(0 < self.lr_decay <= 1, "lr_decay", self.lr_decay, "give a number above 0 and up to 1")
        if self.lr_decay_steps is not None:
            _require(self.lr_decay_steps >= 1, "lr_decay_steps", self.lr_decay_steps, "give at least 1")
        _require(self.schedule in SCHEDULES, "schedule", self.schedule, f"give one of {', '.join(SCHEDULES)}")
        _require(0 <= self.average < 1, "average", self.average, "give a decay from 0 to below 1")
        _require(0 <= self.augment_rate < 0.5, "augment_rate", self.augment_rate, "give a number from 0 to below 0.5")
        _require(
            len(self.augment_gain_db) == 2 and self.augment_gain_db[0] <= self.augment_gain_db[1],
            "augment_gain_db",
            list(self.augment_gain_db),
            "give the lowest and the highest gain",
        )
        for name in ("augment_recording", "augment_scanner", "smooth_mels"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "give a share from 0 to 1")
        for name in (
            *("mel_weight", "stft_weight", "discriminator_start"),
            *("smooth_start", "smooth_bins", "smooth_frames", "mel_noise"),
        ):
            _require((getattr(self, name) or 0) >= 0, name, getattr(self, name), "give a number of at least 0")

    @property
    def spec(self) -> MelSpec:
        """The mel of the input: the given one, else that of the program whose padding it has.

        For `jik876/hifi-gan` it is the ``hifigan`` preset with the values of the official keys; for the lab's, the
        ``lab`` preset, whose ``fmax`` overrides the config's.
        """
        if self.mel is not None:
            return self.mel
        numbers = {mine: getattr(self, official) for official, mine in _MEL_KEYS.items()}
        if self.padding == "lab":
            return MelSpec.preset("lab", **numbers)
        return MelSpec.preset("hifigan", fmax=self.fmax, **numbers)

    @property
    def loss_mel(self) -> MelSpec:
        """The mel of the L1 loss: `spec` with ``fmax_for_loss``, by default half the sampling rate."""
        nyquist = self.sampling_rate / 2
        return dataclasses.replace(self.spec, fmax=min(self.fmax_for_loss or nyquist, nyquist))

    @property
    def segment_frames(self) -> int:
        """Mel frames of a training excerpt."""
        return self.segment_size // self.hop_size

    @property
    def changed_later(self) -> dict[str, Any]:
        """The settings in `LATER_SETTINGS` that are not at their defaults, by name."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name in LATER_SETTINGS and getattr(self, field.name) != field.default
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON's content: official keys, then ours, then unknown ones."""
        out = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        other = out.pop("other")
        for name in LATER_SETTINGS:
            del out[name]
        out |= self.changed_later
        if out["padding"] is None:
            del out["padding"]
        return {**out, "mel": self.spec.to_dict(), **other}

    def network(self) -> dict[str, Any]:
        """Return the settings that determine the weights' shapes and meaning; changing them requires a new training."""
        names = (
            "resblock",
            "upsample_rates",
            "upsample_kernel_sizes",
            "upsample_initial_channel",
            "resblock_kernel_sizes",
            "resblock_dilation_sizes",
            "padding",
            "mpd_divisor",
            "msd_divisor",
        )
        return json.loads(json.dumps({**{name: getattr(self, name) for name in names}, "mel": self.spec.to_dict()}))


def read_config(path: str | Path) -> VocoderConfig:
    """Read a HiFi-GAN ``config.json``: official, the lab's or ours.

    Parameters
    ----------
    path : the JSON file, or a checkpoint's directory.

    Raises
    ------
    UserError
        The file is missing, not JSON, or a key is invalid; the error names the file and the key.
    """
    path = Path(path)
    if path.is_dir():
        path = path / CONFIG_NAME
    content = read_json(
        path, missing="put the HiFi-GAN config.json there or name it by --config", remedy="mend or replace it"
    )
    if not isinstance(content, dict):
        raise UserError(path, "holds no JSON object", "give a HiFi-GAN config.json")
    missing = [key for key in ("upsample_rates", "upsample_kernel_sizes", "num_mels") if key not in content]
    if missing:
        raise UserError(path, f"lacks {', '.join(missing)}", "give a HiFi-GAN config.json")
    known = {field.name for field in dataclasses.fields(VocoderConfig)} - {"other"}
    settings = {key: value for key, value in content.items() if key in known}
    settings["other"] = {key: value for key, value in content.items() if key not in known}
    if settings.get("mel") is not None:
        settings["mel"] = MelSpec.from_dict(settings["mel"], str(path))
    if isinstance(settings.get("resblock"), int):
        settings["resblock"] = str(settings["resblock"])
    config = build(VocoderConfig, settings, path, "compare it with config/hifigan_demo.json")
    nyquist = config.sampling_rate / 2
    if (config.fmax or 0) > nyquist:
        fault = f"fmax {config.fmax:g} Hz is above half the sampling rate, {nyquist:g} Hz"
        _log.info(f"{path}: {fault}; the upper filters of a mel made with it are empty.")
    return config


def write_config(path: str | Path, config: VocoderConfig) -> None:
    """Write ``config`` as JSON for the official program and `read_config`."""
    atomic.save_json(path, config.to_dict())


def _require(holds: bool, key: str, value: object, remedy: str) -> None:
    if not holds:
        raise UserError(f"config key {key}", f"is {value!r}" if not isinstance(value, str) else f"is {value}", remedy)
