"""Training of the mel generator, as a task of `training.trainer`.

The batch of step k and its dropout are functions of the seed and k.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn

from rtmri_speech import provenance
from rtmri_speech.acoustic import ACOUSTIC_STAGE_VERSION
from rtmri_speech.acoustic.context import decode_in_context
from rtmri_speech.acoustic.data import (
    Key,
    MicroBatch,
    Segments,
    TrainingSteps,
    encoder_inputs,
    prepared_frames,
    validation_keys,
)
from rtmri_speech.acoustic.loss import LOGGED_BANDS, TERMS, MaskedMSEMAE, pitch_loss, pitch_sums, pitch_totals
from rtmri_speech.acoustic.model import (
    AcousticModel,
    Network,
    PrincipalComponents,
    Recomputing,
    load_fitting_weights,
    load_pretrained_backbone,
    load_weights,
)
from rtmri_speech.acoustic.predict import (
    Precision,
    neighbours_of,
    read_acoustic_checkpoint,
    reduced_precision,
    require_neighbours,
    seen_by,
)
from rtmri_speech.acoustic.principal_axes import principal_axes
from rtmri_speech.dataset.filelists import clips_of, filelist_of
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import SAMPLE_FILES
from rtmri_speech.dataset.speakers import known_speakers, scalers_of, speakers_of
from rtmri_speech.dataset.windows import WindowDataset, window_starts_path
from rtmri_speech.errors import UserError
from rtmri_speech.settings.acoustic import Training
from rtmri_speech.settings.data import Windows
from rtmri_speech.settings.fields import marked
from rtmri_speech.training.averaging import start_average, update_average
from rtmri_speech.training.distributed import Processes
from rtmri_speech.training.faults import require_finite
from rtmri_speech.training.loading import batches, load
from rtmri_speech.training.logging import TrainingLog
from rtmri_speech.training.schedule import LearningRate
from rtmri_speech.training.state import (
    StopRequest,
    adamw_difference,
    is_plain,
    save_checkpoint,
    seed_for_step,
    seed_random_generators,
)
from rtmri_speech.training.trainer import Intervals, Task, TrainerSettings
from rtmri_speech.training.trainer import run as run_training
from rtmri_speech.untrusted import require_type

_log = logging.getLogger(__name__)

PICTURED_CLIPS = 3
"""Number of validation clips whose mels are logged as pictures."""

_LEAST_CHANGE = 1e-8
"""Minimum change of the rate by the plateau schedule, as in torch."""

_NAMES_IN_STATES = {"amp": "precision"}
"""States and records keep the names that settings had in them before."""

_VECTORS = "speakers.weight"

_LOSSES = "val_loss", "val_mse", "train_loss"

MEMORY_REMEDY = "lower --micro_batch_size or --stretch, or add --use_checkpoint"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings(Training):
    """All that a training depends on: the settings, and what belongs to one run.

    Attributes
    ----------
    f0_dir : F0 of the clips, from `dataset.f0.write_f0`, with ``pitch``.
    processed_dir, out_ckpt, log_dir, state_dir : the dataset, the best checkpoint, TensorBoard, the state.
    ref_frames : frames per window.
    provenance : JSON file for the provenance of the best checkpoint, which also contains it.
    channels_last : memory layout of the CNN, faster on most devices.
    use_reentrant : torch's older kind of gradient checkpointing.
    save_minutes : minimum time between states.
    device, wait : where to compute, whether to wait for another trainer.
    """

    processed_dir: Path
    out_ckpt: Path
    log_dir: Path
    state_dir: Path
    ref_frames: int = Windows.ref_frames
    f0_dir: Path | None = None
    provenance: Path | None = None
    channels_last: bool = True
    use_reentrant: bool = False
    save_minutes: float = 10.0
    device: str = "auto"
    wait: bool = True

    @property
    def recomputing(self) -> Recomputing | None:
        """Gradient checkpointing, or None."""
        return Recomputing(self.ckpt_segments, self.use_reentrant) if self.use_checkpoint else None

    def loading(self) -> dict[str, Any]:
        """Return the settings of the loader."""
        return {"workers": self.num_workers, "prefetch": self.prefetch_factor, "pin_memory": self.pin_memory}


def train(settings: TrainingSettings) -> int:
    """Train until the last epoch, an early stop, or a signal; return the exit code.

    Raises
    ------
    UserError
        The data are unusable, memory ran out, or the loss is not finite; the last state is intact.
    """
    running = TrainerSettings(
        state_dir=settings.state_dir,
        log_dir=settings.log_dir,
        device=settings.device,
        wait=settings.wait,
        memory_remedy=MEMORY_REMEDY,
        longer="--epochs",
        warm=settings.resume == "warm",
        provenance=settings.provenance,
        **settings.loading(),
    )
    return run_training(running, functools.partial(AcousticTask, settings))


@dataclasses.dataclass
class _Sums:
    """Sums over batches for their metrics; those of the epoch are part of the state."""

    squares: torch.Tensor
    totals: torch.Tensor
    absolute: torch.Tensor
    bands: torch.Tensor
    pitch: torch.Tensor
    pitch_totals: torch.Tensor
    loss: float = 0.0
    steps: int = 0

    @classmethod
    def zero(cls, device: torch.device) -> _Sums:
        shapes = (len(TERMS),), (len(TERMS),), (), (len(LOGGED_BANDS), 2), (3,), (3,)
        return cls(*(torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes))

    @classmethod
    def restored(cls, saved: Mapping[str, Any], device: torch.device) -> _Sums:
        kept = {name: value.to(device) if torch.is_tensor(value) else value for name, value in saved.items()}
        # A state of before F0 was learnt has no sums of it.
        return dataclasses.replace(cls.zero(device), **kept)

    def tensors(self) -> list[torch.Tensor]:
        return [self.squares, self.totals, self.absolute, self.bands, self.pitch, self.pitch_totals]

    def add(self, other: _Sums) -> None:
        for own, part in zip(self.tensors(), other.tensors(), strict=True):
            own += part.detach()

    def total_over(self, group: Processes) -> None:
        """Sum over all processes."""
        for part in self.tensors():
            part.copy_(group.total(part))

    def metrics(self, part: str) -> dict[str, float]:
        """Return ``metrics/<part>_{mse,mae}`` (weighted by band and time) and ``band/<part>_*`` (plain)."""
        total = max(self.totals[0].item(), 1e-12)
        found = {
            f"metrics/{part}_mse": self.squares[0].item() / total,
            f"metrics/{part}_mae": self.absolute.item() / total,
        }
        for name, (squares, count) in zip(LOGGED_BANDS, self.bands.tolist(), strict=True):
            found[f"band/{part}_{name}"] = squares / max(count, 1.0)
        if self.pitch_totals[1]:
            f0, voicing, wrong = (self.pitch / self.pitch_totals.clamp(min=1)).tolist()
            found |= {f"pitch/{part}_f0": f0, f"pitch/{part}_voicing": voicing, f"pitch/{part}_voicing_error": wrong}
        return found


class AcousticTask(Task):
    """Model, optimiser, data and progress of a training of the mel generator."""

    name: ClassVar[str] = "acoustic"
    module: ClassVar[str] = "acoustic.train"

    def __init__(self, settings: TrainingSettings, group: Processes) -> None:
        if settings.batch_size % group.size:
            raise UserError("--batch_size", f"is {settings.batch_size}", f"give a multiple of {group.size} processes")
        self.settings, self.group, self.seed = settings, group, settings.seed
        self.mel = load_mel_spec(settings.processed_dir)
        self.speakers, heard = _speakers(settings) if settings.distinguishes_speakers else ({}, {})
        self.known = sorted(set(heard.values()))
        """The speakers of the training clips."""
        self.speaker_scalers = scalers_of(settings.processed_dir, heard) if settings.speaker_statistics else {}
        own = {id: speaker for id, speaker in known_speakers(self.speakers, self.known).items() if speaker}
        scalers = {id: self.speaker_scalers[speaker] for id, speaker in own.items()} if self.speaker_scalers else {}
        self.windows = {
            split: WindowDataset(settings.processed_dir, split, settings.ref_frames, scalers)
            for split in ("training", "validation")
        }
        if settings.pitch and settings.f0_dir is None:
            raise UserError("--pitch", "needs the F0 of the clips", "make it with track_f0.py and give --f0_dir")
        cut = settings.stretch, settings.micro_batch_size, settings.frame_normalisation
        common: dict[str, Any] = {"image_size": settings.image_size, "mel_floor_db": settings.mel_floor_db}
        common["f0_dir"] = settings.f0_dir if settings.pitch else None
        common["neighbours"] = settings.neighbours
        common["speakers"] = {id: self.known.index(own[id]) if id in own else len(self.known) for id in self.speakers}
        self.segments = Segments(self.windows["training"], *cut, settings.seed, settings.augmentation, **common)
        self.validation = Segments(self.windows["validation"], *cut, None, **common)
        height, width = self.segments.image_size
        self.image_size = (height, width)
        if self.segments.frame_size != self.validation.frame_size:
            raise UserError(
                settings.processed_dir, "has training and validation frames of two sizes", "make the dataset again"
            )
        self.plan = TrainingSteps(
            len(self.segments), settings.batch_size, settings.seed, settings.max_train_steps, group.rank, group.size
        )
        self.total_steps, self.length = settings.epochs * self.plan.per_epoch, f"{settings.epochs} epochs"
        epoch = self.plan.per_epoch
        self.intervals = Intervals(validation=epoch, checkpoint=epoch, state_minutes=settings.save_minutes)

        seed_random_generators(settings.seed)
        self.model = AcousticModel(Network.of(settings, self.mel.n_mels, len(self.known)))
        if settings.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.model.to(group.device)
        self.averaged = start_average(self.model) if settings.average else None
        """The moving average of the weights, if there is one."""
        self.criterion = MaskedMSEMAE(settings.loss, self.mel.n_mels).to(group.device)
        self.precision = _precision(settings.amp, group.device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), settings.lr, weight_decay=settings.weight_decay)
        self.learning_rate = LearningRate(
            settings.schedule,
            settings.lr,
            warmup_steps=settings.warmup_steps,
            total_steps=self.total_steps,
            factor=settings.plateau_factor,
            patience=settings.plateau_patience,
            floor=settings.min_lr,
            least_change=_LEAST_CHANGE,
        )
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=self.precision == "float16")

        self.best_loss, self.since_best = math.inf, 0
        self.best: dict[str, Any] | None = None
        self.last_losses: dict[str, float] = {}
        self.sums = _Sums.zero(group.device)
        self.seen_before: tuple[str, ...] | None = ()
        """Clips seen by the initial weights; None if unknown."""

    @functools.cached_property
    def parallel(self) -> nn.Module:
        """The model, parallelised over all processes."""
        return self.group.parallel(self.model)

    @property
    def batch_of(self) -> Callable[[list[Key]], list[MicroBatch]]:
        """Return the function from the segments of a step to its micro-batches."""
        return self.segments.micro_batches

    def keys(self, first: int, last: int) -> Iterable[list[Key]]:
        """Return this process's segments of each step."""
        return self.plan.between(first, last)

    def fingerprint(self) -> dict[str, Any]:
        """Return digests of data and design; see `Task.fingerprint`."""
        data = {segments.windows.split: _digest(segments) for segments in (self.segments, self.validation)}
        if self.speakers:
            data["speakers"] = self._speakers_digest()
        return {"data": data, **self._design()}

    def _speakers_digest(self) -> str:
        """Hash of who speaks in each clip, and of each speaker's scaler."""
        scalers = {name: scaler.to_dict() for name, scaler in self.speaker_scalers.items()}
        return hashlib.sha256(json.dumps([self.speakers, scalers], sort_keys=True).encode()).hexdigest()[:16]

    def _design(self) -> dict[str, Any]:
        """The fingerprint without the data."""
        settings = self.settings
        network = _design_of(self.model.network)
        foreign = settings.resume_ckpt is not None and settings.resume_ckpt != settings.out_ckpt
        return {
            "mel": self.mel.to_dict(),
            "network": {
                **network,
                "image_size": list(self.image_size),
                "normalisation": settings.frame_normalisation,
                "pretrained": _file_digest(settings.cnn_pretrained) if settings.cnn_pretrained else None,
            },
            "batches": {"ref_frames": settings.ref_frames, **marked(settings, "design")},
            "begun_from": _file_digest(settings.resume_ckpt) if foreign else None,
            "stage_version": ACOUSTIC_STAGE_VERSION,
        }

    def adjustable(self) -> dict[str, Any]:
        """Return the settings marked so; see `Task.adjustable`."""
        return _adjustable(self.settings)

    def defaults(self) -> dict[str, dict[str, Any]]:
        """Return the defaults of the settings; see `Task.defaults`."""
        default = Training()
        return {
            "fingerprint": {"network": _design_of(Network()), "batches": marked(default, "design")},
            "adjustable": _adjustable(default),
        }

    def recorded_settings(self) -> dict[str, Any]:
        """Return design and adjustable settings."""
        settings = {**self._design(), **self.adjustable()}
        if settings["schedule"] != "cosine":
            # The epoch is stored with the weights; a longer training is not a different one.
            del settings["epochs"]
        return settings

    def sources(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the hashes of the inputs and of the clips."""
        settings, base = self.settings, self.settings.processed_dir
        parts = self.windows.values()
        files = [base / "scaler.json"]
        for windows in parts:
            files += [
                filelist_of(base, windows.split),
                window_starts_path(base, windows.split, windows.ref_frames),
            ]
        inputs = {file.relative_to(base).as_posix(): provenance.contents_hash(file) for file in files}
        for name, file in (("pretrained", settings.cnn_pretrained), ("resume_ckpt", settings.resume_ckpt)):
            if isinstance(file, Path) and file.is_file():
                inputs[name] = provenance.contents_hash(file)
        if settings.pitch:
            for windows in parts:
                tracks = [settings.f0_dir / f"{id}.npy" for id in windows.ids]
                inputs[f"f0/{windows.split}"] = provenance.contents_hash(*tracks)
        if self.speakers:
            inputs["speakers"] = self._speakers_digest()
        hashes = provenance.clip_hashes(
            (id, [base / "samples" / id / name for name in SAMPLE_FILES]) for windows in parts for id in windows.ids
        )
        return inputs, {"files": [f"samples/<id>/{name}" for name in SAMPLE_FILES], "sha256": hashes}

    def begin(self, superseded: Mapping[str, Any] | None) -> None:
        """Start without a state: from a checkpoint, from the weights of a state that does not match, or from
        scratch."""
        file = self.settings.resume_ckpt
        if superseded is not None:
            if isinstance(self.model.cnn, PrincipalComponents):
                self._initialise_encoder()
            weights = superseded.get("model")
            weights = dict(weights) if isinstance(weights, Mapping) else {}
            if neighbours_of(superseded["best"] or {}) != self.settings.neighbours:
                # Those of the first convolution are of other channels, even if they have the same shape.
                weights.pop(next(name for name, _ in self.model.named_parameters()), None)
            if (superseded["best"] or {}).get("speakers") != self.known:
                weights.pop(_VECTORS, None)
            taken = load_fitting_weights(self.model, weights)
            self.seen_before = seen_by(superseded["best"]) if superseded["best"] else None
            _log.info(f"{self.settings.state_dir}: warm start with {taken} of {len(self.model.state_dict())} tensors.")
        elif file is not None and file.is_file():
            self._begin_from(file)
        else:
            if file is not None:
                _log.info(f"{file}: there is no such checkpoint yet; the training starts anew.")
            self._initialise_encoder()
            self._initialise_pitch()
        if self.averaged is not None:
            self.averaged.load_state_dict(self.model.state_dict())

    def _initialise_pitch(self) -> None:
        """Begin with the training clips' mean F0, which a bias would take hundreds of steps to reach."""
        if not self.settings.pitch:
            return
        f0 = np.concatenate([self.segments.pitch(clip)[:, 0] for clip in range(len(self.windows["training"].ids))])
        if np.isnan(f0).all():
            raise UserError(
                self.settings.f0_dir,
                "has no voiced frame of a training clip",
                "check evaluation.f0_range",
            )
        with torch.no_grad():
            self.model.head.bias[self.mel.n_mels] = float(np.nanmean(f0))

    def _initialise_encoder(self) -> None:
        """Compute principal components from the training clips, or load a CNN's pretrained weights, if any."""
        settings, cnn = self.settings, self.model.cnn
        if isinstance(cnn, PrincipalComponents):

            def pictures(frames: np.ndarray) -> np.ndarray:
                return cnn.pictures(prepared_frames(frames, self.image_size, settings.frame_normalisation)).numpy()

            cnn.fit(*principal_axes(settings.processed_dir, self.windows["training"].ids, pictures, cnn.channels))
        elif settings.cnn_pretrained:
            named = None if settings.cnn_pretrained is True else Path(settings.cnn_pretrained)
            load_pretrained_backbone(self.model, named)

    def _begin_from(self, file: Path) -> None:
        content = read_acoustic_checkpoint(file)
        require_neighbours(content, self.settings.neighbours, file)
        load_weights(self.model, self._with_own_vectors(content), file)
        self.seen_before = seen_by(content)
        optimiser = content.get("optimizer_state_dict")
        if fault := "it has none" if optimiser is None else adamw_difference(optimiser, self.optimizer):
            _log.info(f"{file}: its optimiser is left out ({fault}).")
        else:
            self.optimizer.load_state_dict({**optimiser, "param_groups": self.optimizer.state_dict()["param_groups"]})
        if missing := [name for name in ("epoch", *_LOSSES) if name not in content]:
            _log.info(f"{file}: lacks {missing[0]}; its weights are trained from the first epoch on.")
            return
        epoch = require_type(content["epoch"], int, "epoch", file, "use another checkpoint")
        if epoch < 0:
            raise UserError(file, f"its epoch is {epoch}", "use another checkpoint")
        losses = {name: content[name] for name in _LOSSES}
        losses = {name: loss.item() if _is_number(loss) else loss for name, loss in losses.items()}
        require_type(losses, dict[str, float], "its losses", file, "use another checkpoint")
        self.steps = min(epoch * self.plan.per_epoch, self.total_steps)
        self.logged_until = self._epoch
        self.last_losses = {name: float(loss) for name, loss in losses.items()}
        own = self._standardisation()
        alike = all(content.get(name) == own.get(name) for name in ("scaler", "speaker_scalers", "speakers"))
        ours = alike and content.get("loss") == self.settings.loss.to_dict()
        if ours and content.get("validation_ids") == self.windows["validation"].ids:
            self.best, self.best_loss = content, losses["val_loss"]
            _log.info(f"{file}: goes on from its epoch {epoch}.")
        else:
            _log.info(f"{file}: goes on from its epoch {epoch}; its loss does not compare, the best is judged anew.")

    def _with_own_vectors(self, content: Mapping[str, Any]) -> Mapping[str, torch.Tensor]:
        """The weights of a checkpoint with the vectors of this training's speakers; new ones begin with the mean."""
        weights, names = content["model_state_dict"], content.get("speakers", [])
        vectors = weights.get(_VECTORS) if isinstance(weights, Mapping) and self.settings.speaker_embedding else None
        if not is_plain(vectors) or not vectors.is_floating_point() or vectors.shape[:1] != (len(names),):
            # `load_weights` refuses what does not fit.
            return weights
        given, mean = dict(zip(names, vectors, strict=True)), vectors.mean(0)
        return {**weights, _VECTORS: torch.stack([given.get(name, mean) for name in self.known])}

    def load_state(self, saved: Mapping[str, Any]) -> None:
        """Resume; with another loss, the best model and the plateau are reset."""
        settings = self.settings
        self.steps = saved["step"]
        self.logged_until = self._epoch
        load_weights(self.model, saved["model"], settings.state_dir)
        if self.averaged is not None:
            load_weights(self.averaged, saved["averaged"], settings.state_dir)
        self.optimizer.load_state_dict(saved["optimizer"])
        rate = self.optimizer.param_groups[0]["lr"]
        self.learning_rate.load_torch_state(saved["scheduler"], rate)
        if saved["scaler"]:
            self.scaler.load_state_dict(saved["scaler"])
        self.best, self.best_loss, self.since_best = saved["best"], saved["best_loss"], saved["since_best"]
        self.sums = _Sums.restored(saved["sums"], self.group.device)
        self.last_losses = saved["last_losses"]
        self.seen_before = saved.get("seen_before", ())
        self.ended = saved["ended"]
        before, now = saved["adjustable"], self.adjustable()
        if before == now:
            return
        self.ended = None
        for group in self.optimizer.param_groups:
            group["weight_decay"] = settings.weight_decay
        if before["lr"] != now["lr"]:
            self.learning_rate.rate = settings.lr
        if before["loss"] != now["loss"]:
            # Losses with other coefficients are not comparable.
            self.best_loss, self.since_best = math.inf, 0
            self.learning_rate.forget()
            if self.learning_rate.rate <= settings.min_lr:
                self.learning_rate.rate = settings.lr
            _log.info("The loss has other coefficients: the best model and the plateau are judged anew.")
        self.learning_rate.apply(self.optimizer)

    def step(self, batch: list[MicroBatch]) -> dict[str, float]:
        """Step on the batch's gradient, accumulated over micro-batches, and return the ``loss``."""
        settings, group, model = self.settings, self.group, self.parallel
        # Dropout, too, is a function of the step, in every process.
        torch.manual_seed(seed_for_step(settings.seed, self.steps, group.rank))
        self.learning_rate.begin_step(self.steps)
        self.learning_rate.apply(self.optimizer)
        ramp = self.criterion.ramp(self.steps)
        model.train()
        if settings.freeze_batch_norm:
            self.model.freeze_batch_norm()
        batch = [self.on_device(part) for part in batch]
        totals = group.total(torch.stack([self.criterion.totals(part.sound_mask, ramp) for part in batch]).sum(0))
        pitch = self._pitch_totals(batch)
        self.optimizer.zero_grad(set_to_none=True)
        value, step_sums = torch.zeros((), device=group.device), _Sums.zero(group.device)
        for number, part in enumerate(batch):
            last = number == len(batch) - 1
            # Gradients are exchanged once, with the last micro-batch.
            alone = contextlib.nullcontext() if last or group.size == 1 else model.no_sync()
            with alone:
                with reduced_precision(group.device, self.precision):
                    outputs = model(part.frames, part.starts, settings.ref_frames, settings.recomputing, part.speakers)
                found = self._sums_of(outputs, part, ramp)
                loss = self._loss(found, totals, pitch, ramp)
                # Gradients are averaged over processes; scale so that the average is that of the batch's loss.
                self.scaler.scale(loss * group.size).backward()
            value += loss.detach()
            step_sums.add(found)
        # In each step, so that the state, which is the first process's, holds the sums of all of them.
        step_sums.total_over(group)
        self.sums.add(step_sums)
        whole = group.total(value).item()
        require_finite(whole, "loss", self.steps)
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), settings.grad_clip or math.inf)
        if self.precision != "float16":
            # In float16 infinite gradients are expected: the gradient scaler skips the step and lowers its scale.
            require_finite(norm.item(), "gradient", self.steps)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.averaged is not None:
            # Early steps count for more, or the average would hold on to the initial weights.
            kept = min(settings.average, (1 + self.steps) / (10 + self.steps))
            update_average(self.averaged, self.model, kept)
        self.sums.loss += whole
        self.sums.steps += 1
        return {"loss": whole}

    def _sums_of(self, outputs: torch.Tensor, part: MicroBatch, ramp: float) -> _Sums:
        """Sums of the errors of the outputs ``(P, R, outputs)`` of a micro-batch."""
        mel, pitch = outputs.split([self.mel.n_mels, outputs.shape[-1] - self.mel.n_mels], dim=-1)
        squares, absolute = self.criterion.sums(mel, part.mel, part.sound_mask, ramp)
        return _Sums(
            squares,
            self.criterion.totals(part.sound_mask, ramp),
            absolute,
            self.criterion.band_sums(mel, part.mel, part.sound_mask),
            pitch_sums(pitch, part.pitch),
            pitch_totals(part.pitch),
        )

    def _pitch_totals(self, batch: list[MicroBatch]) -> torch.Tensor:
        """Frames with F0 and voicing in the batch over all processes; nothing is exchanged if they are not learnt."""
        own = torch.stack([pitch_totals(part.pitch) for part in batch]).sum(0)
        return self.group.total(own) if self.settings.pitch else own

    def _loss(self, sums: _Sums, totals: torch.Tensor, pitch: torch.Tensor, ramp: float) -> torch.Tensor:
        """The loss of sums over the totals of the mel and of F0 and voicing."""
        loss = self.criterion.loss(sums.squares, totals, ramp)
        return loss + pitch_loss(sums.pitch, pitch) if self.settings.pitch else loss

    @property
    def _in_use(self) -> AcousticModel:
        """The model that is validated and written: the averaged one, if there is one."""
        return self.model if self.averaged is None else self.averaged

    def shown(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the loss and the best validation loss."""
        return {**losses, "best": self.best_loss}

    @property
    def _epoch(self) -> int:
        return self.steps // self.plan.per_epoch

    def on_device(self, part: MicroBatch) -> MicroBatch:
        """Move ``part`` to the training's device."""
        return MicroBatch(*(tensor.to(self.group.device, non_blocking=True) for tensor in part))

    @functools.cached_property
    def _validation_loader(self) -> torch.utils.data.DataLoader:
        settings, group = self.settings, self.group
        limits = settings.val_batch_size, settings.max_val_steps
        keys = validation_keys(len(self.validation), *limits, group.rank, group.size)
        return load(self.validation.micro_batches, keys, **settings.loading())

    def validate(self, log: TrainingLog | None, stop: StopRequest | None) -> None:
        """Validate at the end of an epoch; the log is by epoch."""
        settings = self.settings
        scalars = {"loss/train": self.sums.loss / max(self.sums.steps, 1), **self.sums.metrics("train")}
        sums = self._validation_sums(stop)
        val_loss = self._loss(sums, sums.totals, sums.pitch_totals, 1.0).item()
        scalars |= {"loss/val": val_loss, **sums.metrics("val"), "lr": self.learning_rate.rate}
        scalars |= {"ramp": self.criterion.ramp(self.steps)}
        self.sums = _Sums.zero(self.group.device)
        require_finite(val_loss, "validation loss", self.steps)
        self.learning_rate.validated(val_loss, self.steps)
        self.learning_rate.apply(self.optimizer)
        self.last_losses = {
            "val_loss": val_loss,
            "val_mse": scalars["metrics/val_mse"],
            "train_loss": scalars["loss/train"],
        }
        if val_loss < self.best_loss:
            self.best_loss, self.since_best = val_loss, 0
        else:
            self.since_best += 1
        if self._chosen:
            self.best = _copied(self._checkpoint())
        at_end = self.steps >= self.total_steps
        if not at_end:
            if settings.early_stop and self.since_best >= settings.early_stop:
                self.ended = f"no better for {self.since_best} epochs"
            elif self.learning_rate.at_floor(self.steps):
                self.ended = "the learning rate has reached its floor"
        if log is not None:
            log.scalars(scalars, self._epoch)
            if settings.picture_epochs and (self._epoch % settings.picture_epochs == 0 or at_end or self.ended):
                for id, mels in self._drawn():
                    log.pictures(f"mel_true_above_predicted/{id}", mels, self._epoch)

    @property
    def _chosen(self) -> bool:
        """Whether the epoch that was validated last is the one to use, so far."""
        return self.since_best == 0 or self.settings.choose == "last"

    @torch.no_grad()
    def _validation_sums(self, stop: StopRequest | None) -> _Sums:
        """Sum the errors over the validation windows with full loss weights, independent of the ramp."""
        model = self._in_use.eval()
        sums = _Sums.zero(self.group.device)
        for batch in batches(self._validation_loader, stop):
            for part in map(self.on_device, batch):
                with reduced_precision(self.group.device, self.precision):
                    outputs = model(part.frames, part.starts, self.settings.ref_frames, speakers=part.speakers)
                sums.add(self._sums_of(outputs, part, 1.0))
        sums.total_over(self.group)
        return sums

    @torch.no_grad()
    def _drawn(self) -> Iterator[tuple[str, list[np.ndarray]]]:
        """True and predicted standardised mel, ``(n_mels, T)`` each, of the first validation clips."""
        model = self._in_use.eval()
        windows = self.windows["validation"]
        for clip, id in enumerate(windows.ids[:PICTURED_CLIPS]):
            sample = windows.sample(clip)
            blocks = (sample.mri[first : first + 32] for first in range(0, len(sample.mri), 32))
            inputs = encoder_inputs(
                blocks, self.image_size, self.settings.frame_normalisation, self.settings.neighbours
            )
            features = [model.features(frames.to(self.group.device)) for frames in inputs]
            row = self.validation.row_of(clip)

            def decode(features: torch.Tensor, row: int = row) -> torch.Tensor:
                return model.decode(features, torch.full((len(features),), row, device=features.device))

            mel = decode_in_context(decode, torch.cat(features), "window", self.settings.ref_frames)
            yield id, [windows.scaler_of(clip).standardise(sample.mel_db).T, mel.cpu().numpy().T]

    def write_checkpoint(self) -> None:
        """Write the model to use where the last validation found it."""
        if self._chosen:
            save_checkpoint(self.settings.out_ckpt, self.best)

    def finish(self) -> Mapping[str, Any]:
        """Write the model to use and the last one."""
        out = self.settings.out_ckpt
        if self.best is None:
            raise UserError(out, "no epoch has been validated", "raise --epochs above the checkpoint's epoch")
        save_checkpoint(out, self.best)
        save_checkpoint(out.with_stem(out.stem + "_last"), self._checkpoint())
        _log.info(
            f"{out}: the {self.settings.choose} model, of epoch {self.best['epoch']}, validation loss "
            f"{self.best['val_loss']:.4f} ({self.ended})."
        )
        return self.best.get("provenance", self.record)

    def state(self) -> dict[str, Any]:
        """Return model, optimiser, schedule, best model and the sums of the current epoch."""
        return {
            "model": self.model.state_dict(),
            **({} if self.averaged is None else {"averaged": self.averaged.state_dict()}),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.learning_rate.torch_state(),
            "scaler": self.scaler.state_dict(),
            "best": self.best,
            "best_loss": self.best_loss,
            "since_best": self.since_best,
            "last_losses": self.last_losses,
            "seen_before": self.seen_before,
            "sums": dataclasses.asdict(self.sums),
            "ended": self.ended,
            "provenance": self.record,
            "adjustable": self.adjustable(),
        }

    def _standardisation(self) -> dict[str, Any]:
        """The scalers as in checkpoints: of all training clips and, if speakers are distinguished, of each."""
        by_speaker = {name: scaler.to_dict() for name, scaler in self.speaker_scalers.items()}
        return {
            "scaler": self.windows["training"].scaler.to_dict(),
            **({"speaker_scalers": by_speaker} if by_speaker else {}),
            **({"speakers": self.known} if self.known else {}),
        }

    def _checkpoint(self) -> dict[str, Any]:
        """The model in use, in the lab's keys, with what is needed to use it."""
        return {
            "epoch": self._epoch,
            "model_state_dict": self._in_use.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.learning_rate.torch_state(),
            "scaler_state_dict": self.scaler.state_dict(),
            **self.last_losses,
            "network": dataclasses.asdict(self.model.network),
            "image_size": list(self.image_size),
            "frame_size": list(self.segments.frame_size),
            "ref_frames": self.settings.ref_frames,
            "frame_normalisation": self.settings.frame_normalisation,
            "mel": self.mel.to_dict(),
            **self._standardisation(),
            "loss": self.settings.loss.to_dict(),
            "training_ids": self.windows["training"].ids,
            "validation_ids": self.windows["validation"].ids,
            "seen_before": self.seen_before,
            "stage_version": ACOUSTIC_STAGE_VERSION,
            "provenance": self.record,
        }


def _speakers(settings: TrainingSettings) -> tuple[dict[str, str], dict[str, str]]:
    """Who speaks in each clip, and in each training clip."""
    training, validation = (clips_of(settings.processed_dir, split) for split in ("training", "validation"))
    speakers = speakers_of(settings.processed_dir, [*training, *validation])
    return speakers, {id: speakers[id] for id in training}


def _is_number(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1


def _precision(name: Literal["auto", Precision], device: torch.device) -> Precision:
    if name != "auto":
        return name
    if device.type != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def _adjustable(settings: Training) -> dict[str, Any]:
    """What may change from run to run of one training, by its names in states and records."""
    return {_NAMES_IN_STATES.get(name, name): value for name, value in marked(settings, "adjustable").items()}


def _design_of(network: Network) -> dict[str, Any]:
    """What of the network no state goes on without."""
    design = dataclasses.asdict(network)
    del design["dropout"]
    return design


def _copied(value: Any) -> Any:
    """``value`` with tensors copied to the CPU, unaffected by later steps."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _copied(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(part) for part in value]
    return value


def _digest(segments: Segments) -> str:
    """Hash of a split's ids, windows, scaler, mels, F0 and, for speed, each clip's first and last frame only."""
    windows = segments.windows
    digest = hashlib.sha256(windows.starts.tobytes())
    for array in (windows.scaler.mean, windows.scaler.std):
        digest.update(array.tobytes())
    for clip, id in enumerate(windows.ids):
        sample = windows.sample(clip)
        digest.update(f"{id} {sample.mri.shape} {sample.mri.dtype}".encode())
        for array in (sample.mel_db, sample.sound_mask, sample.mri[:1], sample.mri[-1:]):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(segments.pitch(clip).tobytes())
    return digest.hexdigest()[:16]


def _file_digest(file: bool | Path) -> str:
    if isinstance(file, bool):
        return "hub" if file else "missing"
    if not Path(file).is_file():
        return "missing"
    with Path(file).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
