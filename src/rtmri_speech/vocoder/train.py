"""HiFi-GAN's training: from nothing or from a base, resumable bit for bit, as one step-indexed loop.

After Kong et al., *HiFi-GAN* (2020), with a first stage without discriminators and a multi-resolution STFT loss as
settings. The discriminators' parameters need no gradient in the generator's step, which computes none to throw away.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.parallel import DistributedDataParallel

from rtmri_speech import atomic, provenance
from rtmri_speech.errors import UserError
from rtmri_speech.foreign import require_type
from rtmri_speech.signal.mel import MelSpec, log_mel
from rtmri_speech.training.distributed import Processes, processes
from rtmri_speech.training.faults import require_finite, telling_out_of_memory
from rtmri_speech.training.loading import LOST_LOADER, batches, load
from rtmri_speech.training.logging import Progress, TrainingLog
from rtmri_speech.training.state import (
    ANEW,
    Stopped,
    StopRequest,
    TrainingState,
    adamw_difference,
    load_checkpoint,
    require_alike,
)
from rtmri_speech.vocoder import VOCODER_STAGE_VERSION
from rtmri_speech.vocoder.checkpoint import (
    load_official,
    newest_pair,
    official_state,
    padding_of,
    prune_pairs,
    tell_padding,
    write_pair,
)
from rtmri_speech.vocoder.config import CONFIG_NAME, PADDINGS, VocoderConfig, write_config
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
from rtmri_speech.workers import telling_lost_workers

PLATEAU_FACTOR, PLATEAU_PATIENCE, PLATEAU_THRESHOLD = 0.1, 4, 1e-4
"""The lab's plateau schedule: a tenth of the rate after more than 4 validations that are not 0.01 % better."""

SHOWN_CLIPS = 5
"""Validation clips whose audio and mel pictures go to TensorBoard."""

_STATEFUL = ("generator", "averaged", "mpd", "msd", "optim_g", "optim_d")
_MEMORY_REMEDY = "lower batch_size or segment_size in the config"


@dataclasses.dataclass(frozen=True)
class Run:
    """Where and how long to train.

    Parameters
    ----------
    directory : receives ``g_``, ``do_``, ``config.json`` and ``logs``.
    steps : the training ends after so many (those of a base count); None: after ``epochs``.
    epochs : passes over the training clips, counted from where this training began.
    base : a ``g_`` file or directory of the pair to begin with; None: the newest pair in ``directory``, or nothing.
    base_needed : refuse to begin with nothing.
    new_rate : take the learning rate from the config, as fine-tuning does, and not from the base.
    state_directory : where the resumable state is kept.
    checkpoint_interval, validation_interval, summary_interval : steps.
    keep_last, keep_every, archive : see `checkpoint.prune_pairs`.
    extra_mels_weight : probability of a true mel, see `data.Excerpts`.
    bf16 : compute the networks in bfloat16 where that is safe.
    mel : what the mels to fine-tune on are, where their dataset says it; the vocoder must read the same.
    provenance : also write where the last pair comes from, which it carries itself, to this JSON.
    """

    directory: Path
    steps: int | None
    epochs: int
    state_directory: Path
    base: Path | None = None
    base_needed: bool = False
    new_rate: bool = False
    checkpoint_interval: int = 5000
    validation_interval: int = 1000
    summary_interval: int = 100
    keep_last: int = 3
    keep_every: int = 0
    archive: Path | None = None
    extra_mels_weight: float = 0.0
    bf16: bool = False
    device: str = "auto"
    wait: bool = True
    mel: MelSpec | None = None
    provenance: Path | None = None


class LearningRate:
    """The learning rate of both optimisers: ``exponential`` an epoch, or ``plateau`` by the validation error."""

    def __init__(self, config: VocoderConfig) -> None:
        self.schedule, self.decay = config.schedule, config.lr_decay
        self.rate, self.base = config.learning_rate, config.learning_rate
        self.best, self.stalled = float("inf"), 0

    def state(self) -> dict[str, float]:
        """Return what a resumed training needs."""
        return {"rate": self.rate, "base": self.base, "best": self.best, "stalled": self.stalled}

    def resume(self, state: Mapping[str, float]) -> None:
        """Go on from ``state``; a learning rate that the config changed since scales the one reached."""
        self.best, self.stalled = state["best"], int(state["stalled"])
        self.rate = state["rate"] * self.base / state["base"] if state["base"] != self.base else state["rate"]

    def epoch_ended(self) -> None:
        """Decay an exponential rate."""
        if self.schedule == "exponential":
            self.rate *= self.decay

    def validated(self, error: float) -> None:
        """Lower a plateau rate when ``error`` has stalled too often (as torch's ReduceLROnPlateau)."""
        if error < self.best * (1 - PLATEAU_THRESHOLD):
            self.best, self.stalled = error, 0
        else:
            self.stalled += 1
        if self.schedule == "plateau" and self.stalled > PLATEAU_PATIENCE:
            self.rate, self.stalled = self.rate * PLATEAU_FACTOR, 0

    def apply(self, *optimisers: torch.optim.Optimizer) -> None:
        """Set the rate of every parameter group."""
        for group in itertools.chain.from_iterable(optimiser.param_groups for optimiser in optimisers):
            group["lr"] = self.rate
            # The official program builds its schedule from this key.
            group["initial_lr"] = self.base


class Networks:
    """Generator, discriminators, their optimisers and the moving average of the generator's weights."""

    def __init__(self, config: VocoderConfig, group: Processes, bf16: bool) -> None:
        self.config, self.device, self.bf16 = config, group.device, bf16
        self.generator = Generator(config).to(group.device)
        self.mpd = MultiPeriodDiscriminator(config).to(group.device)
        self.msd = MultiScaleDiscriminator(config).to(group.device)
        settings = {"lr": config.learning_rate, "betas": (config.adam_b1, config.adam_b2)}
        self.optim_g = torch.optim.AdamW(self.generator.parameters(), **settings)
        # The order by which official optimiser states number the parameters.
        self.optim_d = torch.optim.AdamW(itertools.chain(self.msd.parameters(), self.mpd.parameters()), **settings)
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False)
        self._parallel = [self.generator, self.mpd, self.msd]
        if group.size > 1:
            # Spectral norm's vectors are buffers that change alike in every process.
            self._parallel = [DistributedDataParallel(m, broadcast_buffers=False) for m in self._parallel]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def step(self, mel: torch.Tensor, audio: torch.Tensor, adversarial: bool) -> dict[str, float]:
        """Train on one batch and return its losses by name.

        Parameters
        ----------
        mel, audio : ``(B, n_mels, F)`` and ``(B, F * hop)``.
        adversarial : whether the discriminators take part.
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
        self._update_average()
        return {name: loss.item() for name, loss in losses.items()}

    @staticmethod
    def _minimise(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    @torch.no_grad()
    def _update_average(self) -> None:
        for mean, tensor in zip(self.averaged.parameters(), self.generator.parameters(), strict=True):
            mean.lerp_(tensor, 1 - self.config.average)

    def files(self, steps: int, epoch: int, record: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the contents of ``g_<steps>`` and ``do_<steps>``, with the ``record`` of where they come from."""
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
        """Return everything a resumed training needs of the networks."""
        return {name: getattr(self, name).state_dict() for name in _STATEFUL}

    def resume(self, state: Mapping[str, Any], source: Path) -> None:
        """Take over what `state` returned.

        Raises
        ------
        UserError
            ``state``, of the file ``source``, is of another make.
        """
        optimisers = dict.fromkeys(("optim_g", "optim_d"))
        require_alike(state, self.state() | optimisers, source, "networks")
        for name in optimisers:
            if fault := adamw_difference(state[name], getattr(self, name)):
                raise UserError(source, f"{name}: {fault}", ANEW)
            groups = getattr(self, name).state_dict()["param_groups"]
            # The official key that a learning rate of `LearningRate` adds comes with the first step.
            found = [{key: group.get(key) for key in groups[0]} for group in state[name]["param_groups"]]
            require_alike(found, groups, source, f"{name}.param_groups")
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])

    def begin_with(
        self, generator: Mapping[str, Any], rest: Mapping[str, Any], source: Path, say: Callable[[str], None]
    ) -> None:
        """Take over an official or a lab pair: weights, and the optimisers' states where they are AdamW's."""
        load_official(self.generator, generator["generator"], source)
        self.averaged.load_state_dict(self.generator.state_dict())
        for name in ("mpd", "msd"):
            load_official(getattr(self, name), rest[name], discriminators_beside(source))
        for name in ("optim_g", "optim_d"):
            optimiser = getattr(self, name)
            if reason := "the file has none" if rest.get(name) is None else adamw_difference(rest[name], optimiser):
                say(f"{source}: the state of its {name} is dropped: {reason}.")
                continue
            optimiser.load_state_dict({**rest[name], "param_groups": optimiser.state_dict()["param_groups"]})


def dated_directory(base: Path) -> Path:
    """Return the directory that a fine-tuning by hand goes to: the base's name, ``_ft_`` and the day."""
    directory = base if base.is_dir() else base.parent
    return directory.with_name(f"{directory.name}_ft_{date.today():%Y%m%d}")


def train(
    config: VocoderConfig,
    training: Sequence[VocoderClip],
    validation: Sequence[VocoderClip],
    run: Run,
    say: Callable[[str], None],
) -> int:
    """Train until ``run`` ends and return the exit code: 0, or that of the signal that stopped it.

    The state in ``run.state_directory`` is saved at every checkpoint and at a stop; the same call goes on from it.

    Raises
    ------
    UserError
        The base does not fit, the state is in use, a loss is not finite, or memory ran out; the last state is intact.
    """
    with ExitStack() as stack:
        group = stack.enter_context(processes(run.device))
        stop = stack.enter_context(StopRequest())
        stack.enter_context(telling_out_of_memory(_MEMORY_REMEDY))
        stack.enter_context(telling_lost_workers(LOST_LOADER))
        tell = say if group.first else _silent
        keeper, state = None, None
        if group.first:
            identity = {
                "data": fingerprint([*training, *validation]),
                "network": config.network(),
                "base": _base_identity(run.base),
            }
            keeper = stack.enter_context(
                TrainingState(run.state_directory, identity, _adjustable(config, run), wait=run.wait, say=say)
            )
            state = keeper.load()
        state = group.shared(state)
        if state is None:
            beginning = _Beginning.find(run, config, tell)
            if run.mel is not None:
                read = dataclasses.replace(config, padding=beginning.padding).spec
                run.mel.require_same(read, "the mels to fine-tune on", str(beginning.source or "the config"))
            loop = _Loop(dataclasses.replace(config, padding=beginning.padding), training, validation, run, group, tell)
            loop.begin(beginning)
        else:
            padding = require_type(state.get("padding"), Literal[PADDINGS], "padding", run.state_directory, ANEW)
            loop = _Loop(dataclasses.replace(config, padding=padding), training, validation, run, group, tell)
            loop.resume(state)
        if group.first:
            loop.record = _recorded(loop, state)
        return loop.run_to_end(stop, keeper)


def _recorded(loop: _Loop, state: Mapping[str, Any] | None) -> dict[str, Any]:
    """Where the vocoder comes from: the record that the state holds, or one that begins here."""
    run, config, group = loop.run, loop.config, loop.group
    settings = {"stage_version": VOCODER_STAGE_VERSION, "padding": config.padding, "network": config.network()}
    settings |= _adjustable(config, run) | {"device": group.device.type, "processes": group.size}
    # How far the training went stands beside the weights; more steps alone do not make it another.
    del settings["steps"], settings["epochs"]
    maker = {**provenance.maker("vocoder.train"), "settings": settings}
    if state is not None and state.get("provenance"):
        provenance.require_record(state["provenance"], run.state_directory)
        return provenance.continued(state["provenance"], maker, loop.step)
    inputs = {"base": identity} if (identity := _base_identity(run.base)) else {}
    files = {"wav_path": "<id>.wav", "mel_path": "predicted <id>.npy", "extra_mel_path": "true <id>.npy"}
    hashes = provenance.clip_hashes(
        (clip.id, [path for name in files if (path := getattr(clip, name)) is not None])
        for clip in (*loop.training, *loop.validation)
    )
    of_a_clip = [title for name, title in files.items() if getattr(loop.training[0], name) is not None]
    clips = {"files": of_a_clip, "sha256": hashes}
    return provenance.record("vocoder", {"from_step": loop.step, **maker}, config.seed, inputs, clips)


def _base_identity(base: Path | None) -> str | None:
    """Hash of the generator that the training begins with, so that another base is another training."""
    if base is None:
        return None
    if base.is_dir():
        found = list(pair_files(base).values())
        if not found:
            raise UserError(base, "holds no pair of g_<steps> and do_<steps>", "give the base's directory")
        base = found[-1][0]
    return provenance.contents_hash(base)


def _silent(sentence: str) -> None:
    """Say nothing: only the first process speaks."""


def _adjustable(config: VocoderConfig, run: Run) -> dict[str, Any]:
    names = (
        "batch_size learning_rate lr_decay schedule adam_b1 adam_b2 seed segment_size mel_weight stft_weight"
        " discriminator_start average augment_rate augment_gain_db fmax_for_loss"
    )
    of_run = {"extra_mels_weight": run.extra_mels_weight, "steps": run.steps, "epochs": run.epochs, "bf16": run.bf16}
    return {**{name: getattr(config, name) for name in names.split()}, **of_run}


@dataclasses.dataclass(frozen=True)
class _Beginning:
    """What a training without a state begins with: nothing, or a pair."""

    padding: str
    steps: int = 0
    pair: tuple[dict[str, Any], dict[str, Any]] | None = None
    source: Path | None = None

    @classmethod
    def find(cls, run: Run, config: VocoderConfig, say: Callable[[str], None]) -> _Beginning:
        if run.base is not None and not run.base.is_dir():
            found = run.base, load_checkpoint(run.base), load_checkpoint(discriminators_beside(run.base))
        else:
            found = newest_pair(run.base or run.directory, say)
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
        if not isinstance(generator.get("generator"), dict):
            raise UserError(source, "holds no 'generator'", "give a g_<steps> file")
        missing = [key for key in ("mpd", "msd") if not isinstance(rest.get(key), dict)]
        if missing:
            raise UserError(discriminators_beside(source), f"lacks {' and '.join(missing)}", "give a do_ file")
        padding = tell_padding(generator["generator"], config.padding or padding_of(generator, source), source)
        if generator.get("mel") is not None:
            wanted = dataclasses.replace(config, padding=padding).spec
            MelSpec.from_dict(generator["mel"], str(source)).require_same(wanted, str(source), "the config")
        return cls(padding, steps_of(source), (generator, rest), source)


def _rate_of(beginning: _Beginning) -> float | None:
    """The learning rate that the base's ``do_`` file ended with, if it has one."""
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


class _Loop:
    """The state of a running training and its loop."""

    def __init__(
        self,
        config: VocoderConfig,
        training: Sequence[VocoderClip],
        validation: Sequence[VocoderClip],
        run: Run,
        group: Processes,
        say: Callable[[str], None],
    ) -> None:
        self.config, self.run, self.group, self.say = config, run, group, say
        self.excerpts = Excerpts(training, config, run.extra_mels_weight, group.rank, group.size)
        self.training, self.validation = training, validation
        self.record: dict[str, Any] = {}
        """Where the pair comes from; the first process's."""
        # Its own random numbers: those of a resumed training stay as they were restored.
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.networks = Networks(config, group, run.bf16)
        self.learning_rate = LearningRate(config)
        self.step = self.first_step = 0
        self.resumed = False
        self.error = float("inf")
        self.pair_errors: dict[int, float] = {}
        """Validation mel error of each pair this training wrote and keeps, by its steps."""

    def begin(self, beginning: _Beginning) -> None:
        if beginning.pair is None:
            return
        self.networks.begin_with(*beginning.pair, beginning.source, self.say)
        self.step = self.first_step = beginning.steps
        if not self.run.new_rate:
            self.learning_rate.rate = _rate_of(beginning) or self.learning_rate.rate
        self.say(f"{beginning.source}: training begins with it, at step {self.step}.")
        if self.group.first and self.run.base is not None:
            self._copy_base(beginning)

    def _copy_base(self, beginning: _Beginning) -> None:
        for path, name in (
            (beginning.source, generator_file),
            (discriminators_beside(beginning.source), discriminator_file),
        ):
            with atomic.replacing(name(self.run.directory, beginning.steps)) as temporary:
                shutil.copyfile(path, temporary)

    def resume(self, state: Mapping[str, Any]) -> None:
        source = self.run.state_directory
        kinds = {"first_step": 0, "learning_rate": self.learning_rate.state(), "pair_errors": None, "provenance": None}
        kinds |= {"networks": None, "padding": "", "step": 0}
        require_alike({"provenance": None, **state}, kinds, source, "state")
        require_type(state["pair_errors"], dict[int, float], "pair_errors", source, ANEW)
        for name in ("rate", "base"):
            if not 0 < state["learning_rate"][name] < math.inf:
                raise UserError(source, f"its learning rate's {name} is {state['learning_rate'][name]}", ANEW)
        self.networks.resume(state["networks"], source)
        self.learning_rate.resume(state["learning_rate"])
        self.step, self.first_step = state["step"], state["first_step"]
        self.pair_errors = dict(state["pair_errors"])
        self.resumed = True

    @property
    def _steps_per_epoch(self) -> int:
        return self.excerpts.batches.steps_per_epoch

    @property
    def _epoch(self) -> int:
        return (self.step - self.first_step) // self._steps_per_epoch

    @property
    def last_step(self) -> int:
        if self.run.steps is not None:
            return self.run.steps
        return self.first_step + self.run.epochs * self._steps_per_epoch

    def run_to_end(self, stop: StopRequest, keeper: TrainingState | None) -> int:
        if self.last_step < self.step or (self.last_step == self.step and not self.resumed):
            raise UserError(
                "steps", f"are {self.last_step} and {self.step} are made already", "give more steps or epochs"
            )
        with ExitStack() as stack:
            log = None
            if self.group.first:
                write_config(self.run.directory / CONFIG_NAME, self.config)
                log = stack.enter_context(TrainingLog(self.run.directory / "logs", self.step if self.resumed else None))
            progress = stack.enter_context(Progress(self.last_step, self.step, "vocoder", self.say))
            try:
                for batch in batches(self._loader(), stop if self.group.size == 1 else None):
                    losses = self.train_on(batch)
                    progress.advance({name: losses[name] for name in ("gen_loss_total", "mel_spec_error")})
                    if log and self.step % self.run.summary_interval == 0:
                        log.scalars({f"training/{name}": loss for name, loss in losses.items()}, self.step)
                        log.scalars({"training/learning_rate": self.learning_rate.rate}, self.step)
                    at_end = self.step == self.last_step
                    saving = at_end or self.step % self.run.checkpoint_interval == 0
                    if saving or self.step % self.run.validation_interval == 0:
                        self._validate(log)
                    if saving and self.group.first:
                        write_pair(
                            self.run.directory, self.step, *self.networks.files(self.step, self._epoch, self.record)
                        )
                        self.pair_errors[self.step] = self.error
                    stopping = self.group.any(stop.requested)
                    if keeper and (saving or stopping):
                        self._save(keeper, log)
                    if stopping and not at_end:
                        return self._stopped(stop)
            except Stopped:
                self._save(keeper, log)
                return self._stopped(stop)
        if self.group.first and self.last_step not in pairs(self.run.directory):
            write_pair(self.run.directory, self.step, *self.networks.files(self.step, self._epoch, self.record))
        if self.group.first and self.run.provenance is not None:
            atomic.save_json(self.run.provenance, self.record)
        return 0

    def _save(self, keeper: TrainingState, log: TrainingLog) -> None:
        log.flush()
        keeper.save(self.step, self._state())
        self._prune()

    def _stopped(self, stop: StopRequest) -> int:
        self.say(f"{self.run.state_directory}: stopped at step {self.step}; the same command resumes it.")
        return stop.exit_code

    def _loader(self) -> torch.utils.data.DataLoader:
        # A step is an item: workers fetch whole batches ahead.
        steps = range(self.step - self.first_step, self.last_step - self.first_step)
        return load(self.excerpts.__getitem__, steps, workers=self.config.num_workers)

    def train_on(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        """Train on a batch, count it and move the schedule."""
        self.learning_rate.apply(self.networks.optim_g, self.networks.optim_d)
        mel, audio = (batch[name].to(self.group.device, non_blocking=True) for name in ("mel", "audio"))
        start = self.config.discriminator_start
        losses = self.networks.step(mel, audio, adversarial=start is not None and self.step >= start)
        self.step += 1
        for name, loss in losses.items():
            require_finite(loss, name, self.step)
        if (self.step - self.first_step) % self._steps_per_epoch == 0:
            self.learning_rate.epoch_ended()
        return losses

    def _validate(self, log: TrainingLog | None) -> None:
        self.error = self.group.shared(self._validation_error(log) if log else None)
        self.learning_rate.validated(self.error)
        if log:
            log.scalars({"validation/mel_spec_error": self.error}, self.step)

    @torch.no_grad()
    def _validation_error(self, log: TrainingLog) -> float:
        """Mean mel error over the validation clips, each made whole from its predicted mel."""
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
                    log.writer.add_audio(f"gt/y_{number}", audio[None], self.step, rate)
                log.writer.add_audio(f"generated/y_hat_{number}", samples[None], self.step, rate)
                mels = [log_mel(spec.mel(signal)) for signal in (audio, samples)]
                log.pictures(f"generated/y_hat_spec_{number}", mels, self.step)
        return total / frames

    def _state(self) -> dict[str, Any]:
        return {
            "networks": self.networks.state(),
            "learning_rate": self.learning_rate.state(),
            "padding": self.config.padding,
            "first_step": self.first_step,
            "pair_errors": self.pair_errors,
            "provenance": self.record,
        }

    def _prune(self) -> None:
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
