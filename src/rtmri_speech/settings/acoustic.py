"""Settings of the mel generator, from rtMRI frames to mel. The defaults are the memo's, for its full-size run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from rtmri_speech.errors import UserError
from rtmri_speech.settings.fields import (
    Count,
    Name,
    NotNegative,
    Positive,
    Section,
    ShareBelowOne,
    Whole,
    Within,
    setting,
)

Context = Literal["sequence", "window", "causal"]
Precision = Literal["float32", "bfloat16", "float16"]
Ramp = tuple[NotNegative, NotNegative]
"""Weight at ramp 0 and at ramp 1."""


@dataclasses.dataclass(frozen=True)
class Augmentation(Section):
    """Random changes of training pictures, one for all frames of a stretch, so that a head's place is not learnt."""

    section: ClassVar[str] = "acoustic.augmentation"

    shift: ShareBelowOne = setting(0.0, "Largest shift as a part of height and width.")
    rotation: Annotated[float, Within(ge=0, lt=180)] = setting(0.0, "Largest rotation in degrees.")
    zoom: ShareBelowOne = setting(0.0, "Largest change of scale, 0.1 for factors from 0.9 to 1.1.")
    gain: ShareBelowOne = setting(0.0, "Largest change of brightness, 0.1 for factors from 0.9 to 1.1.")


@dataclasses.dataclass(frozen=True)
class Loss(Section):
    """Coefficients of the loss; pairs are the weight at ramp 0 and at ramp 1."""

    section: ClassVar[str] = "acoustic.loss"

    ramp_steps: Whole = setting(
        120_000, "Steps over which the weights go from their start to their target; the lab's 120000."
    )
    delta: Ramp = setting((0.3, 0.45), "First difference.")
    delta2: Ramp = setting((0.1, 0.15), "Second difference.")
    latest: Ramp = setting((0.2, 0.4), "Latest frame of a window.")
    time: tuple[NotNegative, ...] = setting(
        (1.6, 1.45, 1.3, 1.2, 1.15, 1.1, 1.05, 1.02),
        "Target weight of each frame of a window; those beyond weigh 1.",
        flag="time_weights",
    )
    bands: dict[Name, tuple[Whole, NotNegative]] = setting(
        lambda: {"f0": (0, 2.0), "f1": (6, 3.0), "f2": (16, 2.4), "f3": (32, 1.6), "high": (48, 1.8)},
        "Bands of mel bins, each name with its first bin and target weight; the names f0, f1, f2 and high are logged.",
        flag="band_weights",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        firsts = [first for first, _ in self.bands.values()]
        if not firsts or firsts[0] != 0 or sorted(set(firsts)) != firsts:
            raise UserError("acoustic.loss.bands", f"begin at bins {firsts}", "begin at 0 and give rising first bins")

    def ramp(self, step: int) -> float:
        """Return the ramp of a step: from 0 at step 0 to 1 at ``ramp_steps``."""
        return min(1.0, step / self.ramp_steps) if self.ramp_steps else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain numbers, for checkpoints."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class NetworkSettings(Section):
    """What the network is made of, but for its mel."""

    section: ClassVar[str] = "acoustic"

    backbone: str = setting("tf_efficientnetv2_b2", "timm model of the CNN, its last feature stage.")
    output_stride: Literal[8, 16, 32, None] = setting(
        None,
        "Pixels a cell of the last feature map stands for (Grad-CAM wants 8 x 8 cells at least); empty means the"
        " backbone's own.",
    )
    # The limit is beyond any use, and so small that the LSTM fits into memory whatever a checkpoint says.
    rnn_hidden: Annotated[int, Within(ge=1, le=4096)] = setting(640, "Width of the LSTM, per direction.")
    dropout: ShareBelowOne = setting(0.5, "Before the last layer.", adjustable=True)


@dataclasses.dataclass(frozen=True)
class Training(NetworkSettings):
    """What the training of the mel generator takes, all of it flags of ``train_mri_acoustic_model.py``."""

    cnn_pretrained: bool | Path = setting(
        True,
        "Weights the CNN begins with - true for timm's hub, or a local file (.pth, .safetensors); false for random"
        " ones.",
    )
    image_size: tuple[Annotated[int, Within(ge=16)], Annotated[int, Within(ge=16)]] | None = setting(
        None, "Height and width that the CNN sees; stored frames are shrunk to it by area. Empty means as stored."
    )
    frame_normalisation: Literal["unit", "frame"] = setting(
        "unit", "Of each picture: unit (divided by 255) or frame (each to the range 0 to 1)."
    )
    augmentation: Augmentation = setting(Augmentation, Augmentation.__doc__, adjustable=True)
    stretch: Count = setting(
        8, "Neighbouring windows that share one pass of the CNN; 1 gives each window its own, as the lab.", design=True
    )
    batch_size: Count = setting(8, "Stretches a step.", design=True)
    val_batch_size: Count = setting(8, "Stretches a batch of validation.")
    micro_batch_size: Count = setting(
        2,
        "Stretches in memory at a time; gradients are accumulated. Lower it when memory runs out.",
        adjustable=True,
    )
    max_train_steps: Count | None = setting(None, "Steps an epoch at most; empty for all.", design=True)
    max_val_steps: Count | None = setting(None, "Batches of validation at most; empty for all.")
    epochs: Count = setting(4500, "Epochs at most. Raising it goes on from the state.", adjustable=True)
    lr: Positive = setting(1e-4, "Learning rate of AdamW.", adjustable=True)
    weight_decay: NotNegative = setting(1e-4, "Of AdamW.", adjustable=True)
    grad_clip: NotNegative = setting(1.0, "Largest norm of the gradient; 0 for any.", adjustable=True)
    schedule: Literal["plateau", "cosine"] = setting(
        "plateau",
        "Of the learning rate: plateau (lowered when validation stalls, as the lab) or cosine (falls to 0 at the last"
        " epoch).",
        adjustable=True,
    )
    warmup_steps: Whole = setting(0, "Steps in which the learning rate rises from 0.", adjustable=True)
    plateau_factor: Annotated[float, Within(gt=0, lt=1)] = setting(
        0.5, "What the plateau schedule multiplies the learning rate by.", adjustable=True
    )
    plateau_patience: Whole = setting(5, "Epochs without improvement before it does.", adjustable=True)
    min_lr: NotNegative = setting(
        1e-6, "Floor of the plateau schedule; reaching it ends the training.", adjustable=True
    )
    early_stop: Whole = setting(20, "Epochs without improvement that end the training; 0 for never.", adjustable=True)
    average: ShareBelowOne = setting(
        0.0,
        "Share of the moving average of the weights that a step keeps, such as 0.99; validation and the checkpoints"
        " then have the averaged weights. 0 for the weights themselves.",
        design=True,
    )
    choose: Literal["best", "last"] = setting(
        "best",
        "Epoch whose weights are used: that of the least validation loss, or the last, which is safer where validation"
        " has only seconds of speech.",
        design=True,
    )
    mel_floor_db: Positive | None = setting(
        None,
        "Mels are raised to this many dB below the loudest frames of their clip in training, so that it learns no noise"
        " of the pauses; empty for mels as they are.",
        design=True,
    )
    freeze_batch_norm: bool = setting(
        False, "Use the batch statistics that the weights came with, for tiny micro-batches.", adjustable=True
    )
    picture_epochs: Whole = setting(25, "Epochs between two drawings of validation mels in TensorBoard; 0 for none.")
    amp: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "auto",
        "Precision of the CNN in training: auto is bfloat16, else float16, on CUDA and float32 on a CPU.",
        adjustable=True,
    )
    use_checkpoint: bool = setting(True, "Compute the CNN's blocks again for the gradient, to need less memory.")
    ckpt_segments: Count = setting(2, "Runs of blocks for use_checkpoint.")
    num_workers: Whole = setting(4, "Loader processes.")
    prefetch_factor: Count = setting(4, "Batches each loader process keeps ready.")
    pin_memory: bool = setting(True, "Page-locked batches, for CUDA.")
    seed: Whole = setting(42, "Of the weights, the batches and dropout.", design=True)
    resume: Literal["auto", "warm"] = setting(
        "auto", "When data, mel or network changed: auto starts anew, warm takes the weights that fit along."
    )
    resume_ckpt: Path | None = setting(
        None,
        "A checkpoint to begin the training with, its optimiser and epoch too, such as the lab's or one of another"
        " results directory. Empty begins anew, or with that of lab.train_on.",
    )
    loss: Loss = setting(Loss, Loss.__doc__, adjustable=True)


@dataclasses.dataclass(frozen=True)
class Prediction(Section):
    """How mels are predicted for the vocoder's training."""

    section: ClassVar[str] = "acoustic"

    context: Context = setting(
        "sequence",
        "What the LSTM sees for a frame, in export, inference, Grad-CAM and evaluation: the whole sequence (as the"
        " lab), the windows of training (averaged), or causal (the window that ends with it, for live use).",
    )
    prediction_precision: Precision = setting("float32", "Precision of the CNN in prediction.", flag="amp")


@dataclasses.dataclass(frozen=True)
class Acoustic(Prediction, Training):
    """The mel generator, from rtMRI frames to mel. The defaults are the memo's."""

    memory_mb: Annotated[int, Within(ge=500)] = setting(16_000, "Memory of the training job, MB.")
    runtime_minutes: Count = setting(
        2880, "Longest run of the training job on a cluster; a job that is cut off goes on with its next attempt."
    )
    gpus: Whole = setting(1, "GPUs of the training, one process each; prediction takes one. 0 is the processor.")
