"""Settings of the vocoder's training; network, losses and learning rate are in HiFi-GAN's config (`vocoder.config`)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar

from rtmri_speech.settings.fields import Count, Section, Share, Whole, Within, setting


@dataclasses.dataclass(frozen=True)
class Training(Section):
    """Settings of the vocoder's training, flags of ``train.py``."""

    section: ClassVar[str] = "vocoder"

    extra_mels_weight: Share = setting(
        0.0, "Probability that a training excerpt uses the true mel instead of the predicted one.", adjustable=True
    )
    checkpoint_interval: Count = setting(5000, "Steps between checkpoints and resumable states.")
    validation_interval: Count = setting(1000, "Steps between validations.")
    summary_interval: Count = setting(100, "Steps between entries in TensorBoard.")
    keep_last: Count = setting(3, "Number of newest checkpoints to keep, besides the best by validation mel error.")
    keep_every: Whole = setting(50_000, "Also keep checkpoints whose steps are a multiple of this; 0 for none.")
    archive: Path | None = setting(None, "Directory for older checkpoints; empty deletes them.", flag="archive_dir")
    bf16: bool = setting(
        False,
        "Train in bfloat16, where the CPU or GPU computes in it; elsewhere float32 is faster and is used.",
        adjustable=True,
    )


@dataclasses.dataclass(frozen=True)
class Vocoder(Training):
    """HiFi-GAN, fine-tuned on mels predicted by the mel generator. The defaults are those of the lab's memo."""

    config: Path | None = setting(
        None,
        "HiFi-GAN's config JSON - network, mel, losses, learning rate. Relative to the repository. Its mel must be the"
        " dataset's. Empty means config/hifigan_v1_11413.json, or, where what the lab made is taken over, its vocoder's"
        " own or else config/hifigan_lab.json.",
    )
    base: Path | None = setting(
        None,
        "Initial checkpoint, a g_<steps> file with its do_<steps> beside it if the config uses discriminators."
        " Empty trains from scratch.",
    )
    steps: Count = setting(
        275_000,
        "Training steps; those of the base are added in the name of the result. Raising it continues from the"
        " saved state.",
    )
    threads: Count = setting(8, "CPU threads of the training; small networks are fastest with one.")
    memory_mb: Annotated[int, Within(ge=500)] = setting(16_000, "Memory of the training job, MB.")
    runtime_minutes: Count = setting(
        2880, "Maximum run time of the training job on a cluster; a job that is cut off resumes in its next attempt."
    )
    gpus: Whole = setting(1, "GPUs of the training, one process each. 0 is the CPU.")


@dataclasses.dataclass(frozen=True)
class BaseVocoder(Section):
    """A base for vocoder.base, which the target score_base_vocoder trains; nothing else makes it."""

    section: ClassVar[str] = "base_vocoder"

    config: Path = setting(Path("config/hifigan_demo_base.json"), "HiFi-GAN's config JSON. Relative to the repository.")
    speech: tuple[Path, ...] = setting((), "Directories of sound files to train on. Empty uses synthetic speech.")
    held_out: tuple[Path, ...] = setting(
        (), "Directories of other voices, for validation and scores. Empty uses synthetic speech."
    )
    base: Path | None = setting(
        None,
        "Checkpoint to start from, as for vocoder.base, of a network that the config describes. Empty trains from"
        " scratch.",
    )
    steps: Count = setting(
        16_200,
        "Training steps; those of the base are added in the name of the result. Raising it continues from the"
        " saved state.",
    )
