"""Folders of small recordings, as people have them."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.video import write_video


def record(
    video: Path,
    audio: Path | None,
    seconds: float,
    rate: Fraction = Fraction(25),
    *,
    seed: int = 0,
    delay_s: float = 0.0,
    size: int = 32,
    sound_rate: int = 16000,
) -> None:
    """A bar that moves at random, and a tone whose pitch and level follow it ``delay_s`` later, with pauses.

    Without ``audio``, the sound is in the video.
    """
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / float(rate)
    knots = np.arange(-1, seconds + 2, 0.15)
    heights = rng.uniform(0, 1, len(knots))
    rows = np.arange(size)[None, :, None] / size
    place = np.interp(times, knots, heights)[:, None, None]
    pictures = np.uint8(20 + 200 * np.exp(-(((rows - place) / 0.15) ** 2)) * np.ones((1, 1, size)))
    moments = np.arange(round(seconds * sound_rate)) / sound_rate
    heard = np.interp(moments - delay_s, knots, heights)
    spoken = (moments % 2.0) > 0.5
    sound = 0.3 * heard * spoken * np.sin(2 * np.pi * np.cumsum(150 + 2000 * heard) / sound_rate)
    sound += 0.001 * rng.normal(size=len(sound))
    video.parent.mkdir(parents=True, exist_ok=True)
    write_video(video, pictures, rate)
    if audio is not None:
        audio.parent.mkdir(parents=True, exist_ok=True)
        write_wav(audio, sound, sound_rate)
