"""The media of a clip on a page: its video, and each sound with the picture of its mel."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.atomic import copy_file, save_text
from rtmri_speech.dataset.sample import Sample, open_sample, recording_of
from rtmri_speech.dataset.tiers import Label, textgrid_text
from rtmri_speech.report.figures import draw_mel
from rtmri_speech.report.tracks import draw_tracks
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.video import write_video

ORIGINAL = ("original", "Recording", "the sound of the video")
"""Name, title and description of the recording among the sounds."""


def write_media(
    media: Path,
    id: str,
    processed_dir: Path,
    sounds: Mapping[str, Path],
    spec: MelSpec,
    tracked: Collection[str] = (),
    f0_range: tuple[float, float] | None = None,
) -> None:
    """Write ``video.mp4``, and ``<name>.wav`` and ``<name>.png`` of the recording and of every sound, to ``media``.

    The mels of a clip have one scale, that of the recording. ``<name>.svg`` are F0 and formants (`draw_tracks`).

    Parameters
    ----------
    processed_dir : the dataset with the clip.
    sounds : name of each sound to its wav.
    tracked : sounds, or the recording, with F0 and formants; they need ``f0_range``, Hz.

    Raises
    ------
    UserError
        The sample or a wav is missing or damaged.
    """
    media.mkdir(parents=True, exist_ok=True)
    write_video(media / "video.mp4", _gray(open_sample(processed_dir, id)), spec.frame_rate)
    wavs = {ORIGINAL[0]: recording_of(processed_dir, id), **sounds}
    mels = {}
    for name, wav in wavs.items():
        audio = read_audio(wav, sampling_rate=spec.sampling_rate)
        mels[name] = spec.db(spec.mel(audio))
        if name in tracked and f0_range:
            draw_tracks(media / f"{name}.svg", audio, spec, f0_range)
        copy_file(wav, media / f"{name}.wav")
    for name, mel_db in mels.items():
        draw_mel(media / f"{name}.png", mel_db, mels[ORIGINAL[0]].max())


def write_phones(media: Path, clip: Mapping[str, Any]) -> None:
    """Write ``phones.TextGrid`` of a clip's entry in the page's data to ``media``, if its phonemes are known."""
    if "phonemes" in clip:
        labels = [Label(*phoneme) for phoneme in clip["phonemes"]]
        save_text(media / "phones.TextGrid", textgrid_text({"phones": labels}, clip["seconds"]))


def _gray(sample: Sample) -> np.ndarray:
    """Frames as uint8; the lab's are floats in [0, 1]."""
    return sample.mri if sample.mri.dtype == np.uint8 else np.rint(sample.mri * 255).astype(np.uint8)
