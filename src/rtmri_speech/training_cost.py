"""How long a training takes on this machine's processor, from a few steps that are timed."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.errors import UserError
from rtmri_speech.settings.all import Settings

_WORTH_REPORTING_S = 3600.0

_LITTLE_WORK = 1e11
"""Pixels in all frames of all epochs below which a mel generator takes minutes, and nothing is timed."""

_FEW_STEPS = 5000
"""Steps of a vocoder that are not timed either."""

_PROBED = 8
"""Whole recordings whose length is asked for; the others are taken to be as long."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """Seconds of both trainings on the processor; 0 for what is not trained."""

    acoustic: float
    vocoder: float

    @property
    def worth_reporting(self) -> bool:
        """Whether it is an hour or more."""
        return self.acoustic + self.vocoder >= _WORTH_REPORTING_S

    def __str__(self) -> str:
        named = {"mel generator": self.acoustic, "vocoder": self.vocoder}
        return " and ".join(f"{_duration(seconds)} for the {name}" for name, seconds in named.items() if seconds)


def training_frames(clips: Sequence[Clip], rate: Fraction) -> int:
    """Return the number of frames of clips at ``rate``; recordings that are not there yet count as empty."""
    from rtmri_speech.signal.video import probe

    whole = [clip for clip in clips if clip.end is None]
    seconds = sum(clip.end - (clip.start or 0.0) for clip in clips if clip.end is not None)
    probed = []
    for number in dict.fromkeys(len(whole) * part // _PROBED for part in range(_PROBED) if whole):
        try:
            info = probe(whole[number].video, whole[number].frame_rate)
        except UserError:
            # Its own job refuses it, or it is made by the workflow.
            continue
        probed.append(float((info.frames or 0) / info.rate) - (whole[number].start or 0.0))
    if probed:
        seconds += len(whole) * sum(probed) / len(probed)
    return round(seconds * float(rate))


def is_small(settings: Settings, frames: int) -> bool:
    """Return whether trainings take minutes, judged without torch.

    Parameters
    ----------
    frames : of the training clips.
    """
    height, width = settings.acoustic.image_size or settings.video.size
    work = height * width * frames * settings.acoustic.epochs
    return work < _LITTLE_WORK and (not _trains_vocoder(settings) or settings.vocoder.steps < _FEW_STEPS)


def cost_on_processor(settings: Settings, frames: int, vocoder_config: Path) -> Cost:
    """Return how long both trainings take at most, from one timed step of each.

    Parameters
    ----------
    settings : of the project.
    frames : of the training clips.
    vocoder_config : HiFi-GAN's config, where it lies.
    """
    acoustic = 0.0 if settings.synthesis.mri_checkpoint else _acoustic_seconds(settings, frames)
    return Cost(acoustic, _vocoder_seconds(settings, vocoder_config) if _trains_vocoder(settings) else 0.0)


def _trains_vocoder(settings: Settings) -> bool:
    return settings.synthesis.vocoder == "hifigan" and not settings.synthesis.hifigan_checkpoint


def _acoustic_seconds(settings: Settings, frames: int) -> float:
    import torch

    from rtmri_speech.acoustic.model import AcousticModel, Network

    acoustic, length = settings.acoustic, settings.windows.ref_frames
    model = AcousticModel(Network.of(acoustic, settings.mel.n_mels)).train()
    height, width = acoustic.image_size or settings.video.size
    together, each = acoustic.micro_batch_size, acoustic.stretch + length - 1
    pictures = torch.rand(together * each, 2 * acoustic.neighbours + 1, height, width)
    starts = (torch.arange(together)[:, None] * each + torch.arange(acoustic.stretch)).flatten()

    def micro_batch() -> None:
        model.zero_grad(set_to_none=True)
        model(pictures, starts, length).square().mean().backward()

    segments = math.ceil(frames / acoustic.stretch)
    if acoustic.max_train_steps:
        segments = min(segments, acoustic.max_train_steps * acoustic.batch_size)
    # Validation of a tenth of the clips, without a backward pass.
    return 1.05 * segments / together * acoustic.epochs * _timed(micro_batch)


def _vocoder_seconds(settings: Settings, vocoder_config: Path) -> float:
    import torch

    from rtmri_speech.training.distributed import Processes
    from rtmri_speech.training.precision import computes_bfloat16
    from rtmri_speech.vocoder.config import read_config
    from rtmri_speech.vocoder.train import Networks

    config = dataclasses.replace(read_config(vocoder_config), padding="official")
    processor = torch.device("cpu")
    bf16 = settings.vocoder.bf16 and computes_bfloat16(processor)
    networks = Networks(config, Processes(0, 1, processor), bf16)
    mel = torch.randn(1, config.num_mels, config.segment_frames)
    audio = 0.1 * torch.randn(1, config.segment_size)
    adversarial = config.discriminator_start is not None and config.discriminator_start < settings.vocoder.steps
    return settings.vocoder.steps * config.batch_size * _timed(lambda: networks.step(mel, audio, adversarial))


def _timed(step: Callable[[], object]) -> float:
    """Seconds of the faster of two calls: the first one allocates."""
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def _duration(seconds: float) -> str:
    for name, unit in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = round(seconds / unit)
        if seconds >= 1.5 * unit:
            return f"{count} {name}s"
    return "a minute" if seconds >= 30 else "less than a minute"
