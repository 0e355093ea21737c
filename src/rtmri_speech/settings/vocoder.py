"""Settings of the vocoder's training; its network, losses and rate are HiFi-GAN's own config (`vocoder.config`)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar

from rtmri_speech.settings.fields import Count, Section, Share, Whole, Within, setting


@dataclasses.dataclass(frozen=True)
class Training(Section):
    """What the training of the vocoder takes, all of it flags of ``train.py``."""

    section: ClassVar[str] = "vocoder"

    extra_mels_weight: Share = setting(
        0.0, "Probability that a training excerpt has its true mel instead of the predicted one.", adjustable=True
    )
    checkpoint_interval: Count = setting(5000, "Steps between two checkpoints, and states to resume from.")
    validation_interval: Count = setting(1000, "Steps between two validations.")
    summary_interval: Count = setting(100, "Steps between two entries in TensorBoard.")
    keep_last: Count = setting(3, "Checkpoints to keep, besides the best by validation mel error.")
    keep_every: Whole = setting(50_000, "Also keep checkpoints whose steps are a multiple of it; 0 for none.")
    archive: Path | None = setting(
        None, "Directory that older checkpoints move to; empty deletes them.", flag="archive_dir"
    )
    bf16: bool = setting(False, "Train in bfloat16.", adjustable=True)


@dataclasses.dataclass(frozen=True)
class Vocoder(Training):
    """HiFi-GAN, fine-tuned on the mels the acoustic model predicts. The defaults are the memo's."""

    config: Path | None = setting(
        None,
        "HiFi-GAN's config JSON - network, mel, losses, learning rate. Relative to the repository. Its mel must be the"
        " dataset's. Empty means config/hifigan_v1_11413.json, or, where what the lab made is taken over, its vocoder's"
        " own or else config/hifigan_lab.json.",
    )
    base: Path | None = setting(
        None,
        "The g_<steps> file to begin with, its do_<steps> beside it where the config uses discriminators. Empty trains"
        " from nothing.",
    )
    steps: Count = setting(
        275_000,
        "Training steps to make; those of the base come on top in the name of the result. Raising it goes on from the"
        " state.",
    )
    threads: Count = setting(8, "CPU threads of the training; small networks are fastest with one.")
    memory_mb: Annotated[int, Within(ge=500)] = setting(16_000, "Memory of the training job, MB.")
    runtime_minutes: Count = setting(
        2880, "Longest run of the training job on a cluster; a job that is cut off goes on with its next attempt."
    )
    gpus: Whole = setting(1, "GPUs of the training, one process each. 0 is the processor.")


@dataclasses.dataclass(frozen=True)
class BaseVocoder(Section):
    """A base for vocoder.base, which the target score_base_vocoder trains from nothing; nothing else makes it."""

    section: ClassVar[str] = "base_vocoder"

    config: Path = setting(Path("config/hifigan_demo_base.json"), "HiFi-GAN's config JSON. Relative to the repository.")
    speech: tuple[Path, ...] = setting((), "Directories of sound files to train on. Empty takes synthetic speech.")
    held_out: tuple[Path, ...] = setting(
        (), "Directories of other voices, for validation and scores. Empty takes synthetic speech."
    )
    steps: Count = setting(16_200, "Training steps. Raising it goes on from the state.")
