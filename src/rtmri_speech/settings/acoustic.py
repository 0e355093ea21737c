"""Settings of the mel generator (rtMRI frames to mel). The defaults are those of the lab's full-size run."""

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
"""LSTM context of a frame: the whole clip (as in the lab's system), all training windows that contain the frame
(averaged), or the window that ends with it (live synthesis).
"""
Precision = Literal["float32", "bfloat16", "float16"]
Normalisation = Literal["unit", "frame"]
"""Normalisations of frames to [0, 1]."""
PRINCIPAL_COMPONENTS = "principal_components"
"""The backbone that is no CNN."""
MOST_NEIGHBOURS = 8
"""Keeps the channels of a malformed checkpoint within memory."""
MOST_VECTOR = 256
"""Most values of a speaker's vector."""
SIDE = 32
"""Height and width of the pictures whose principal components are used, pixels."""
Ramp = tuple[NotNegative, NotNegative]
"""Weight at ramp 0 and at ramp 1."""


@dataclasses.dataclass(frozen=True)
class Augmentation(Section):
    """Random changes of training pictures, the same for all frames of a segment, against overfitting to head
    position."""

    section: ClassVar[str] = "acoustic.augmentation"

    shift: ShareBelowOne = setting(0.0, "Maximum shift as a share of height and width.")
    rotation: Annotated[float, Within(ge=0, lt=180)] = setting(0.0, "Maximum rotation in degrees.")
    zoom: ShareBelowOne = setting(0.0, "Maximum change of scale; 0.1 for factors from 0.9 to 1.1.")
    gain: ShareBelowOne = setting(0.0, "Maximum change of brightness; 0.1 for factors from 0.9 to 1.1.")


@dataclasses.dataclass(frozen=True)
class Loss(Section):
    """Coefficients of the loss; pairs are the weights at ramp 0 and ramp 1."""

    section: ClassVar[str] = "acoustic.loss"

    ramp_steps: Whole = setting(120_000, "Steps over which the weights change from start to target; the lab's 120000.")
    delta: Ramp = setting((0.3, 0.45), "First difference.")
    delta2: Ramp = setting((0.1, 0.15), "Second difference.")
    latest: Ramp = setting((0.2, 0.4), "Latest frame of a window.")
    time: tuple[NotNegative, ...] = setting(
        (1.6, 1.45, 1.3, 1.2, 1.15, 1.1, 1.05, 1.02),
        "Target weight of each frame of a window; 1 for further frames.",
        flag="time_weights",
    )
    bands: dict[Name, tuple[Whole, NotNegative]] = setting(
        lambda: {"f0": (0, 2.0), "f1": (6, 3.0), "f2": (16, 2.4), "f3": (32, 1.6), "high": (48, 1.8)},
        "Bands of mel bins, each name with its first bin and target weight; f0, f1, f2 and high are logged.",
        flag="band_weights",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        firsts = [first for first, _ in self.bands.values()]
        if not firsts or firsts[0] != 0 or sorted(set(firsts)) != firsts:
            raise UserError("acoustic.loss.bands", f"begin at bins {firsts}", "begin at 0 and give rising first bins")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain numbers, for checkpoints."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class NetworkSettings(Section):
    """Settings of the network, except its mel."""

    section: ClassVar[str] = "acoustic"

    backbone: str = setting(
        "tf_efficientnetv2_b2",
        "timm model of the CNN, whose last feature stage is used; or principal_components, no CNN but the principal"
        " components of the training clips' frames at 32 x 32 pixels, for minutes of recordings.",
    )
    components: Annotated[int, Within(ge=1, le=SIDE**2)] = setting(
        60, "Number of principal components, with backbone principal_components."
    )
    output_stride: Literal[8, 16, 32, None] = setting(
        None,
        "Pixels per cell of the last feature map (at least 8 x 8 cells are recommended for Grad-CAM); empty means"
        " the backbone's default.",
    )
    neighbours: Annotated[int, Within(ge=0, le=MOST_NEIGHBOURS)] = setting(
        0,
        "Frames before and after each frame whose difference from it the CNN sees too, and thereby motion: 2 further"
        " channels for each. Live synthesis waits for as many frames more.",
    )
    speaker_embedding: Annotated[int, Within(ge=0, le=MOST_VECTOR)] = setting(
        0,
        "Values of a vector learnt for each speaker, which the LSTM sees beside each frame's features; 0 for none."
        " Needs the clips' speakers; others have the mean of the vectors.",
    )
    pitch: bool = setting(
        False,
        "Also learn F0 and voicing from the picture, as two further outputs: synthesis.vocoder world needs them.",
    )
    # The limit keeps an LSTM from a malformed checkpoint within memory.
    rnn_hidden: Annotated[int, Within(ge=1, le=4096)] = setting(640, "Width of the LSTM, per direction.")
    dropout: ShareBelowOne = setting(0.5, "Dropout probability before the last layer.", adjustable=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backbone == PRINCIPAL_COMPONENTS and self.output_stride is not None:
            raise UserError(
                "acoustic.output_stride",
                f"is {self.output_stride}, but principal components have no stages",
                "leave it out, or name a CNN as the backbone",
            )
        if self.backbone == PRINCIPAL_COMPONENTS and self.neighbours:
            raise UserError(
                "acoustic.neighbours",
                f"is {self.neighbours}, but principal components are of single frames",
                "leave it out, or name a CNN as the backbone",
            )


@dataclasses.dataclass(frozen=True)
class Training(NetworkSettings):
    """Settings of the mel generator's training, flags of ``train_mri_acoustic_model.py``."""

    cnn_pretrained: bool | Path = setting(
        True,
        "Initial weights of the CNN - true for timm's hub, a path for a local file (.pth, .safetensors), false"
        " for random weights.",
    )
    image_size: tuple[Annotated[int, Within(ge=16)], Annotated[int, Within(ge=16)]] | None = setting(
        None,
        "Height and width of the CNN's input; stored frames are downscaled by area averaging. Empty means the"
        " stored size.",
    )
    frame_normalisation: Normalisation = setting(
        "unit", "Normalisation of frames: unit (divided by 255) or frame (each frame to the range 0 to 1)."
    )
    augmentation: Augmentation = setting(Augmentation, adjustable=True)
    stretch: Count = setting(
        8, "Windows per segment, which share one pass of the CNN; 1 is the lab's sampling.", design=True
    )
    batch_size: Count = setting(8, "Segments per step.", design=True)
    val_batch_size: Count = setting(8, "Segments per validation batch.")
    micro_batch_size: Count = setting(
        2,
        "Segments in memory at a time, with gradient accumulation. Lower it if memory runs out.",
        adjustable=True,
    )
    max_train_steps: Count | None = setting(None, "Maximum steps per epoch; empty for all.", design=True)
    max_val_steps: Count | None = setting(None, "Maximum number of validation batches; empty for all.")
    epochs: Count = setting(
        4500, "Maximum number of epochs. Raising it continues from the saved state.", adjustable=True
    )
    lr: Positive = setting(1e-4, "Learning rate of AdamW.", adjustable=True)
    weight_decay: NotNegative = setting(1e-4, "Weight decay of AdamW.", adjustable=True)
    grad_clip: NotNegative = setting(1.0, "Maximum norm of the gradient; 0 for no limit.", adjustable=True)
    schedule: Literal["plateau", "cosine"] = setting(
        "plateau",
        "Learning rate schedule: plateau (lowered when validation stalls, as in the lab's system) or cosine (to 0"
        " at the last epoch).",
        adjustable=True,
    )
    warmup_steps: Whole = setting(0, "Steps of linear increase of the learning rate from 0.", adjustable=True)
    plateau_factor: Annotated[float, Within(gt=0, lt=1)] = setting(
        0.5, "Factor of the plateau schedule on the learning rate.", adjustable=True
    )
    plateau_patience: Whole = setting(
        5, "Epochs without improvement before the plateau schedule lowers the rate.", adjustable=True
    )
    min_lr: NotNegative = setting(
        1e-6, "Minimum learning rate of the plateau schedule; reaching it ends the training.", adjustable=True
    )
    early_stop: Whole = setting(
        20, "Epochs without improvement before the training stops; 0 for never.", adjustable=True
    )
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
    speaker_statistics: bool = setting(
        False,
        "Standardise the mel of each clip by the training clips of its speaker instead of all: recordings of several"
        " speakers differ in level and spectral tilt. Needs the clips' speakers.",
        design=True,
    )
    mel_floor_db: Positive | None = setting(
        None,
        "Mels are raised to this many dB below the loudest frames of their clip in training, so that it learns no noise"
        " of the pauses; empty for mels as they are.",
        design=True,
    )
    freeze_batch_norm: bool = setting(
        False, "Do not update the batch statistics of the initial weights, for tiny micro-batches.", adjustable=True
    )
    picture_epochs: Whole = setting(25, "Epochs between pictures of validation mels in TensorBoard; 0 for none.")
    amp: Literal["auto", Precision] = setting(
        "auto",
        "Precision of the CNN in training: auto is bfloat16, else float16, on CUDA and float32 on a CPU.",
        adjustable=True,
    )
    use_checkpoint: bool = setting(
        True, "Gradient checkpointing: recompute the CNN's blocks in the backward pass, to save memory."
    )
    ckpt_segments: Count = setting(2, "Number of gradient checkpointing segments.")
    num_workers: Whole = setting(4, "Number of loader processes.")
    prefetch_factor: Count = setting(4, "Batches prefetched per loader process.")
    pin_memory: bool = setting(True, "Use page-locked memory for batches, for CUDA.")
    seed: Whole = setting(42, "Seed of weights, batches and dropout.", design=True)
    resume: Literal["auto", "warm"] = setting(
        "auto", "If data, mel or network have changed: auto starts over, warm starts from the matching weights."
    )
    resume_ckpt: Path | None = setting(
        None,
        "Initial checkpoint, including optimiser and epoch, such as the lab's or one of another results"
        " directory. Empty starts from scratch, or from that of lab.train_on.",
    )
    loss: Loss = setting(Loss, adjustable=True)

    @property
    def distinguishes_speakers(self) -> bool:
        """Whether it matters who speaks in a clip."""
        return self.speaker_statistics or self.speaker_embedding > 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backbone == PRINCIPAL_COMPONENTS and isinstance(self.cnn_pretrained, Path):
            raise UserError(
                "acoustic.cnn_pretrained",
                f"is {self.cnn_pretrained}, but principal components are computed from the training clips",
                "leave it out, or name a CNN as the backbone",
            )
        if self.neighbours and self.cnn_pretrained:
            raise UserError(
                "acoustic.neighbours",
                f"is {self.neighbours}, but pretrained weights are of single pictures",
                "leave it out, or begin with random weights (cnn_pretrained: false)",
            )


@dataclasses.dataclass(frozen=True)
class Prediction(Section):
    """Settings of the prediction of mels."""

    section: ClassVar[str] = "acoustic"

    context: Context = setting(
        "sequence",
        "LSTM context of a frame, in export, inference, Grad-CAM and evaluation: sequence (the whole clip, as in"
        " the lab's system), window (all training windows with the frame, averaged), or causal (the window that"
        " ends with it, for live synthesis).",
    )
    prediction_precision: Precision = setting("float32", "Precision of the CNN in prediction.", flag="amp")


@dataclasses.dataclass(frozen=True)
class Acoustic(Prediction, Training):
    """The mel generator (rtMRI frames to mel). The defaults are those of the lab's memo."""

    memory_mb: Annotated[int, Within(ge=500)] = setting(16_000, "Memory of the training job, MB.")
    runtime_minutes: Count = setting(
        2880, "Maximum run time of the training job on a cluster; a job that is cut off resumes in its next attempt."
    )
    gpus: Whole = setting(1, "GPUs of the training, one process each; prediction uses one. 0 is the CPU.")
