"""Training of HiFi-GAN, from scratch or from a base, as a task of `training.trainer`.

After Kong et al., *HiFi-GAN* (2020), with an optional first stage without discriminators and an optional
multi-resolution STFT loss. The discriminators' gradients are disabled in the generator's step, which would discard
them.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import torch

from rtmri_speech import provenance
from rtmri_speech.atomic import copy_file
from rtmri_speech.errors import UserError
from rtmri_speech.settings.fields import marked
from rtmri_speech.settings.vocoder import Training
from rtmri_speech.signal.mel import MelSpec, log_mel
from rtmri_speech.training.averaging import start_average, update_average
from rtmri_speech.training.distributed import Processes
from rtmri_speech.training.logging import TrainingLog
from rtmri_speech.training.precision import computes_bfloat16
from rtmri_speech.training.schedule import LearningRate
from rtmri_speech.training.state import (
    StopRequest,
    adamw_difference,
    load_checkpoint,
    seed_random_generators,
)
from rtmri_speech.training.trainer import Intervals, Task, TrainerSettings
from rtmri_speech.training.trainer import run as run_training
from rtmri_speech.untrusted import require_type
from rtmri_speech.vocoder import VOCODER_STAGE_VERSION
from rtmri_speech.vocoder.checkpoint import (
    generator_state,
    infer_padding,
    load_official,
    newest_pair,
    official_state,
    padding_of,
    prune_pairs,
    write_pair,
)
from rtmri_speech.vocoder.config import CONFIG_NAME, VocoderConfig, write_config
from rtmri_speech.vocoder.data import Excerpts, VocoderClip, fingerprint, whole_clip
from rtmri_speech.vocoder.discriminators import MultiPeriodDiscriminator, MultiScaleDiscriminator, frozen
from rtmri_speech.vocoder.generator import Generator
from rtmri_speech.vocoder.loss import adversarial_loss, discriminator_loss, feature_loss, mel_error, stft_loss
from rtmri_speech.vocoder.naming import (
    discriminator_file,
    discriminators_beside,
    generator_file,
    pair_files,
    pairs,
    steps_of,
)

_log = logging.getLogger(__name__)

PLATEAU_FACTOR, PLATEAU_PATIENCE = 0.1, 4
"""The lab's plateau schedule: a tenth of the rate after more than 4 validations that are not 0.01 % better."""

STALLED_RATE = 0.01
"""Final share of the initial learning rate below which a warning is reported."""

SHOWN_CLIPS = 5
"""Number of validation clips whose audio and mels are logged."""

_STATEFUL = ("generator", "averaged", "mpd", "msd", "optim_g", "optim_d")
_MEMORY_REMEDY = "lower batch_size or segment_size in the config"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run(Training):
    """Where and how long to train, with the settings.

    Attributes
    ----------
    directory : for ``g_``, ``do_``, ``config.json`` and ``logs``.
    steps : total steps, including those of a base; None uses ``epochs``.
    epochs : passes over the training clips, without those of a base.
    state_directory : of the resumable state.
    base : ``g_`` file or directory of the initial pair; None uses the newest pair in ``directory``, if any. A ``g_``
        file may stand alone where the config has no ``discriminator_start``.
    base_needed : refuse to start from scratch.
    new_rate : use the config's learning rate, as in fine-tuning, instead of the base's.
    device, wait : where to compute, whether to wait for another trainer.
    mel : of the mels to fine-tune on, if known; it must be the vocoder's.
    provenance : JSON file for the provenance of the last pair, which also contains it.
    """

    directory: Path
    steps: int | None
    epochs: int
    state_directory: Path
    base: Path | None = None
    base_needed: bool = False
    new_rate: bool = False
    device: str = "auto"
    wait: bool = True
    mel: MelSpec | None = None
    provenance: Path | None = None


class Networks:
    """Generator, discriminators, their optimisers and the moving average of the generator's weights."""

    def __init__(self, config: VocoderConfig, group: Processes, bf16: bool) -> None:
        self.config, self.device, self.bf16 = config, group.device, bf16
        self.generator = Generator(config).to(group.device)
        self.mpd = MultiPeriodDiscriminator(config).to(group.device)
        self.msd = MultiScaleDiscriminator(config).to(group.device)
        settings = {"lr": config.learning_rate, "betas": (config.adam_b1, config.adam_b2)}
        self.optim_g = torch.optim.AdamW(self.generator.parameters(), **settings)
        # The order of parameters in official optimiser states.
        self.optim_d = torch.optim.AdamW(itertools.chain(self.msd.parameters(), self.mpd.parameters()), **settings)
        self.averaged = start_average(self.generator)
        self._parallel = [self.generator, self.mpd, self.msd]
        # Spectral norm's buffers are updated identically in every process.
        self._parallel = [group.parallel(module, broadcast_buffers=False) for module in self._parallel]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def step(self, mel: torch.Tensor, audio: torch.Tensor, adversarial: bool) -> dict[str, float]:
        """Train on one batch and return its losses by name.

        Parameters
        ----------
        mel, audio : ``(B, n_mels, F)`` and ``(B, F * hop)``.
        adversarial : whether to use the discriminators.
        """
        generator, mpd, msd = self._parallel
        real = audio[:, None]
        with self._autocast():
            made = generator(mel).float()
        losses: dict[str, torch.Tensor] = {}
        if adversarial:
            with self._autocast():
                both = torch.cat([real, made.detach()])
                judged = [discriminator(both).halves() for discriminator in (mpd, msd)]
                losses["disc_loss_total"] = sum(discriminator_loss(*pair) for pair in judged)
            self._minimise(self.optim_d, losses["disc_loss_total"])
        losses["mel_spec_error"] = mel_error(self.config.loss_mel, audio, made[:, 0])
        total = self.config.mel_weight * losses["mel_spec_error"]
        if self.config.stft_weight:
            losses["stft_loss"] = stft_loss(audio, made[:, 0])
            total = total + self.config.stft_weight * losses["stft_loss"]
        if adversarial:
            with frozen(self.mpd, self.msd), self._autocast():
                for discriminator in (self.mpd, self.msd):
                    with torch.no_grad():
                        of_real = discriminator(real)
                    of_made = discriminator(made)
                    total = total + adversarial_loss(of_made) + feature_loss(of_real, of_made)
        losses["gen_loss_total"] = total
        self._minimise(self.optim_g, total)
        update_average(self.averaged, self.generator, self.config.average)
        return {name: loss.item() for name, loss in losses.items()}

    @staticmethod
    def _minimise(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def files(self, steps: int, epoch: int, record: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the contents of ``g_<steps>`` and ``do_<steps>``, with their provenance ``record``."""
        generator = {
            "generator": official_state(self.averaged),
            "padding": self.config.padding,
            "mel": self.config.spec.to_dict(),
            "provenance": record,
        }
        rest = {
            "mpd": official_state(self.mpd),
            "msd": official_state(self.msd),
            "optim_g": self.optim_g.state_dict(),
            "optim_d": self.optim_d.state_dict(),
            "steps": steps,
            "epoch": epoch,
            "provenance": record,
        }
        return generator, rest

    def state(self) -> dict[str, Any]:
        """Return the state of networks and optimisers."""
        return {name: getattr(self, name).state_dict() for name in _STATEFUL}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Restore a `state`."""
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])

    def begin_with(self, generator: Mapping[str, Any], rest: Mapping[str, Any], source: Path) -> None:
        """Load an official or a lab's pair: weights, and optimiser states if they are AdamW's.

        An empty ``rest`` leaves discriminators and optimisers as new ones.
        """
        load_official(self.generator, generator["generator"], source)
        self.averaged.load_state_dict(self.generator.state_dict())
        if not rest:
            return
        for name in ("mpd", "msd"):
            load_official(getattr(self, name), rest[name], discriminators_beside(source))
        for name in ("optim_g", "optim_d"):
            optimiser = getattr(self, name)
            if reason := "the file has none" if rest.get(name) is None else adamw_difference(rest[name], optimiser):
                _log.info(f"{source}: the state of its {name} is dropped: {reason}.")
                continue
            optimiser.load_state_dict({**rest[name], "param_groups": optimiser.state_dict()["param_groups"]})


def dated_directory(base: Path) -> Path:
    """Return the default output directory of a manual fine-tuning: the base's name, ``_ft_`` and the date."""
    directory = base if base.is_dir() else base.parent
    return directory.with_name(f"{directory.name}_ft_{date.today():%Y%m%d}")


def train(
    config: VocoderConfig,
    training: Sequence[VocoderClip],
    validation: Sequence[VocoderClip],
    run: Run,
) -> int:
    """Train until the end of ``run`` and return the exit code: 0, or that of the signal that stopped it.

    The state in ``run.state_directory`` is saved at every checkpoint and at a stop; the same call resumes it.

    Raises
    ------
    UserError
        The base does not match, the state is locked, a loss is not finite, or memory ran out; the last state is intact.
    """
    running = TrainerSettings(
        state_dir=run.state_directory,
        log_dir=run.directory / "logs",
        device=run.device,
        wait=run.wait,
        memory_remedy=_MEMORY_REMEDY,
        longer="--training_steps or --training_epochs",
        provenance=run.provenance,
        workers=config.num_workers,
    )
    return run_training(running, functools.partial(VocoderTask, config, training, validation, run))


def _base_identity(base: Path | None) -> str | None:
    """Hash of the base's generator: another base means another training."""
    if base is None:
        return None
    if base.is_dir():
        found = list(pair_files(base).values())
        if not found:
            raise UserError(base, "holds no pair of g_<steps> and do_<steps>", "give the base's directory")
        base = found[-1][0]
    return provenance.contents_hash(base)


@dataclasses.dataclass(frozen=True)
class _Beginning:
    """Start of a training without a state: from scratch, or from a pair."""

    padding: str
    steps: int = 0
    pair: tuple[dict[str, Any], dict[str, Any]] | None = None
    source: Path | None = None

    @classmethod
    def find(cls, run: Run, config: VocoderConfig) -> _Beginning:
        if run.base is not None and not run.base.is_dir():
            found = run.base, load_checkpoint(run.base), _discriminators(run.base, config)
        else:
            found = newest_pair(run.base or run.directory)
        if found is None:
            if run.base is not None:
                raise UserError(run.base, "holds no readable pair", "copy the base again")
            if run.base_needed:
                raise UserError(
                    run.directory,
                    "holds no pair of g_<steps> and do_<steps> to fine-tune",
                    "copy the base's pair there or name it by --base",
                )
            return cls(config.padding or "official")
        source, generator, rest = found
        state = generator_state(generator, source)
        missing = [key for key in ("mpd", "msd") if not isinstance(rest.get(key), dict)]
        if rest and missing:
            raise UserError(discriminators_beside(source), f"lacks {' and '.join(missing)}", "give a do_ file")
        padding = infer_padding(state, config.padding or padding_of(generator, source), source)
        if generator.get("mel") is not None:
            wanted = dataclasses.replace(config, padding=padding).spec
            MelSpec.from_dict(generator["mel"], str(source)).require_same(wanted, str(source), "the config")
        return cls(padding, steps_of(source), (generator, rest), source)


def _discriminators(base: Path, config: VocoderConfig) -> dict[str, Any]:
    """Return the content of the ``do_`` file of a base; nothing where it has none and the training uses none."""
    path = discriminators_beside(base)
    if config.discriminator_start is None and not path.exists():
        _log.info(f"{base}: has no {path.name} beside it, and needs none, since the training has no discriminators.")
        return {}
    return load_checkpoint(path)


def _rate_of(beginning: _Beginning) -> float | None:
    """Last learning rate in the base's ``do_`` file, if any."""
    source = discriminators_beside(beginning.source)
    optimiser = require_type(
        beginning.pair[1].get("optim_g"), dict[str, Any] | None, "optim_g", source, "copy the base again"
    )
    groups = (optimiser or {}).get("param_groups") or [{"lr": None}]
    groups = require_type(groups, list[dict[str, Any]], "optim_g.param_groups", source, "copy the base again")
    rate = require_type(groups[0].get("lr"), float | None, "optim_g's lr", source, "copy the base again")
    if rate is not None and rate <= 0:
        raise UserError(source, f"its learning rate is {rate:g}", "copy the base again")
    return rate


class VocoderTask(Task):
    """Networks, optimisers, data and progress of a training of the vocoder."""

    name: ClassVar[str] = "vocoder"
    module: ClassVar[str] = "vocoder.train"

    def __init__(
        self,
        config: VocoderConfig,
        training: Sequence[VocoderClip],
        validation: Sequence[VocoderClip],
        run: Run,
        group: Processes,
    ) -> None:
        self.config, self.training, self.validation = config, training, validation
        self.run, self.group, self.seed = run, group, config.seed
        self.intervals = Intervals(run.validation_interval, run.checkpoint_interval, run.summary_interval)
        self.first_step = 0
        self.error = float("inf")
        self.pair_errors: dict[int, float] = {}
        """Validation mel error of each pair written and kept by this training, by steps."""
        # Nothing draws from them, but a state holds them: two equal trainings have equal states.
        seed_random_generators(config.seed)

    def fingerprint(self) -> dict[str, Any]:
        """Return digests of data, network and base."""
        return {
            "data": fingerprint([*self.training, *self.validation]),
            "network": self.config.network(),
            "base": _base_identity(self.run.base),
        }

    def adjustable(self) -> dict[str, Any]:
        """Return the settings of config and run that may change on resume."""
        names = (
            "batch_size learning_rate lr_decay schedule adam_b1 adam_b2 seed segment_size mel_weight stft_weight"
            " discriminator_start average augment_rate augment_gain_db fmax_for_loss"
        )
        of_run = {"steps": self.run.steps, "epochs": self.run.epochs, **marked(self.run, "adjustable")}
        return {**{name: getattr(self.config, name) for name in names.split()}, **of_run, **self.config.changed_later}

    def defaults(self) -> dict[str, dict[str, Any]]:
        """Return the defaults of the run's settings; see `Task.defaults`."""
        return {"adjustable": marked(Training(), "adjustable")}

    def recorded_settings(self) -> dict[str, Any]:
        """Return network and adjustable settings, without the length."""
        config = self.config
        settings = {"stage_version": VOCODER_STAGE_VERSION, "padding": config.padding, "network": config.network()}
        settings |= self.adjustable()
        # The step is stored with the weights; a longer training is not a different one.
        del settings["steps"], settings["epochs"]
        return settings

    def sources(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the hashes of the base and of the clips' files."""
        inputs = {"base": identity} if (identity := _base_identity(self.run.base)) else {}
        files = {"wav_path": "<id>.wav", "mel_path": "predicted <id>.npy", "extra_mel_path": "true <id>.npy"}
        hashes = provenance.clip_hashes(
            (clip.id, [path for name in files if (path := getattr(clip, name)) is not None])
            for clip in (*self.training, *self.validation)
        )
        of_a_clip = [title for name, title in files.items() if getattr(self.training[0], name) is not None]
        return inputs, {"files": of_a_clip, "sha256": hashes}

    def _in_bfloat16(self) -> bool:
        """Whether to train in bfloat16: where it is wanted and the device computes in it."""
        computes = computes_bfloat16(self.group.device)
        if self.run.bf16 and not computes:
            _log.info(f"Training in float32: the {self.group.device.type.upper()} has no bfloat16 arithmetic.")
        return self.run.bf16 and computes

    def _build(self, padding: str) -> None:
        """Build the networks, with the padding of the base or state."""
        run, group = self.run, self.group
        self.config = config = dataclasses.replace(self.config, padding=padding)
        self.excerpts = Excerpts(self.training, config, run.extra_mels_weight, group.rank, group.size)
        # Isolated random numbers, so that a resumed training's restored ones are kept.
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.networks = Networks(config, group, self._in_bfloat16())
        self.learning_rate = LearningRate(
            config.schedule,
            config.learning_rate,
            decay=config.lr_decay,
            decay_steps=config.lr_decay_steps or self._steps_per_epoch,
            factor=PLATEAU_FACTOR,
            patience=PLATEAU_PATIENCE,
        )

    def begin(self, superseded: Mapping[str, Any] | None) -> None:
        """Begin from a base's pair, or from scratch."""
        run = self.run
        beginning = _Beginning.find(run, self.config)
        if run.mel is not None:
            read = dataclasses.replace(self.config, padding=beginning.padding).spec
            run.mel.require_same(read, "the mels to fine-tune on", str(beginning.source or "the config"))
        self._build(beginning.padding)
        if beginning.pair is not None:
            self.networks.begin_with(*beginning.pair, beginning.source)
            self.steps = self.first_step = beginning.steps
            if not run.new_rate:
                self.learning_rate.rate = _rate_of(beginning) or self.learning_rate.rate
            _log.info(f"{beginning.source}: training begins with it, at step {self.steps}.")
            if self.group.first and run.base is not None:
                self._copy_base(beginning)
        self._set_length()
        if self.steps >= self.total_steps:
            raise self._too_short()
        self._report_stall()
        self._write_config()

    def _report_stall(self) -> None:
        """Report a learning rate that decays too far because few clips make short epochs."""
        config, steps = self.config, self.total_steps - self.steps
        if config.schedule != "exponential" or config.lr_decay_steps is not None or config.lr_decay == 1:
            return
        left = config.lr_decay ** (steps // self._steps_per_epoch)
        if left < STALLED_RATE:
            halving = math.log(0.5) / math.log(config.lr_decay)
            _log.info(
                f"The learning rate falls to {left:.1e} of its beginning in these {steps} steps, since an epoch of"
                f" {len(self.training)} clips has {self._steps_per_epoch}: little is learned at the end. To halve it"
                f' over the training instead, give "lr_decay_steps": {max(1, round(steps / halving))} in the config.'
            )

    def _copy_base(self, beginning: _Beginning) -> None:
        for path, name in (
            (beginning.source, generator_file),
            *([(discriminators_beside(beginning.source), discriminator_file)] if beginning.pair[1] else []),
        ):
            copy_file(path, name(self.run.directory, beginning.steps))

    def load_state(self, saved: Mapping[str, Any]) -> None:
        """Resume; a changed learning rate scales the current one."""
        self._build(saved["padding"])
        self.networks.resume(saved["networks"])
        self.learning_rate.load_state(saved["learning_rate"])
        self.steps = self.logged_until = saved["step"]
        self.first_step, self.pair_errors = saved["first_step"], dict(saved["pair_errors"])
        self._set_length()
        if self.steps > self.total_steps:
            raise self._too_short()
        if self.steps == self.total_steps:
            self.ended = f"all {self.length}"
        self._write_config()
        if self.group.first:
            # Killed after the state and before this, the pairs' errors in it would be of too many pairs from now on.
            self.state_saved()

    def _set_length(self) -> None:
        run = self.run
        self.total_steps = run.steps
        if run.steps is None:
            self.total_steps = self.first_step + run.epochs * self._steps_per_epoch
        self.length = f"{self.total_steps} steps"

    def _too_short(self) -> UserError:
        fault = f"are {self.total_steps} and {self.steps} are made already"
        return UserError("steps", fault, "give more steps or epochs")

    def _write_config(self) -> None:
        if self.group.first:
            write_config(self.run.directory / CONFIG_NAME, self.config)

    @property
    def _steps_per_epoch(self) -> int:
        return self.excerpts.batches.steps_per_epoch

    @property
    def batch_of(self) -> Callable[[int], dict[str, torch.Tensor]]:
        """Return the function from a step, counted from the start of the training, to its excerpts."""
        return self.excerpts.__getitem__

    def keys(self, first: int, last: int) -> Iterable[int]:
        """Return steps counted from the start of the training."""
        return range(first - self.first_step, last - self.first_step)

    def step(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        """Step the discriminators, if used, and the generator."""
        optimisers = self.networks.optim_g, self.networks.optim_d
        self.learning_rate.begin_step(self.steps - self.first_step)
        self.learning_rate.apply(*optimisers)
        for group in itertools.chain.from_iterable(optimiser.param_groups for optimiser in optimisers):
            # The official program's schedule needs this key.
            group["initial_lr"] = self.learning_rate.base
        mel, audio = (batch[name].to(self.group.device, non_blocking=True) for name in ("mel", "audio"))
        start = self.config.discriminator_start
        losses = self.networks.step(mel, audio, adversarial=start is not None and self.steps >= start)
        self.learning_rate.end_step(self.steps + 1 - self.first_step)
        return losses

    def shown(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the generator's losses."""
        return {name: losses[name] for name in ("gen_loss_total", "mel_spec_error")}

    def scalars(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Return all losses and the learning rate."""
        values = {**losses, "learning_rate": self.learning_rate.rate}
        return {f"training/{name}": value for name, value in values.items()}

    def validate(self, log: TrainingLog | None, stop: StopRequest | None) -> None:
        """Validate on whole clips, in the first process."""
        self.error = self.group.shared(self._validation_error(log) if log else None)
        self.learning_rate.validated(self.error, self.steps - self.first_step)
        if log:
            log.scalars({"validation/mel_spec_error": self.error}, self.steps)

    @torch.no_grad()
    def _validation_error(self, log: TrainingLog) -> float:
        """Mean mel error over the validation clips, each synthesised whole."""
        generator, total, frames = self.networks.averaged, 0.0, 0
        first_time = self.learning_rate.best == float("inf")
        rate, spec = self.config.sampling_rate, self.config.loss_mel
        for number, clip in enumerate(self.validation):
            mel, audio = whole_clip(clip, self.config)
            made = generator(torch.from_numpy(mel)[None].to(self.group.device))[0, 0].float()
            total += float(mel_error(spec, torch.from_numpy(audio).to(made.device), made)) * clip.frames
            frames += clip.frames
            if number < SHOWN_CLIPS:
                samples = made.cpu().numpy()
                if first_time:
                    log.sound(f"gt/y_{number}", audio, rate, self.steps)
                log.sound(f"generated/y_hat_{number}", samples, rate, self.steps)
                mels = [log_mel(spec.mel(signal)) for signal in (audio, samples)]
                log.pictures(f"generated/y_hat_spec_{number}", mels, self.steps)
        return total / frames

    def write_checkpoint(self) -> None:
        """Write the pair ``g_`` and ``do_``."""
        self._write_pair()
        self.pair_errors[self.steps] = self.error

    def _write_pair(self) -> None:
        epoch = (self.steps - self.first_step) // self._steps_per_epoch
        write_pair(self.run.directory, self.steps, *self.networks.files(self.steps, epoch, self.record))

    def finish(self) -> Mapping[str, Any]:
        """Write the last pair again if it was deleted."""
        if self.total_steps not in pairs(self.run.directory):
            self._write_pair()
        return self.record

    def state(self) -> dict[str, Any]:
        """Return networks, optimisers, schedule and the pairs' errors."""
        return {
            "networks": self.networks.state(),
            "learning_rate": self.learning_rate.state(),
            "padding": self.config.padding,
            "first_step": self.first_step,
            "pair_errors": self.pair_errors,
            "provenance": self.record,
        }

    def state_saved(self) -> None:
        """Remove pairs that are not to be kept."""
        gone = prune_pairs(
            self.run.directory,
            self.pair_errors,
            keep_last=self.run.keep_last,
            best=min(self.pair_errors, key=self.pair_errors.__getitem__, default=None),
            keep_every=self.run.keep_every,
            archive=self.run.archive,
        )
        for steps in gone:
            del self.pair_errors[steps]
