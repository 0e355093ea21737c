"""Figure of a sample: video frames above the mel, on one time axis.

Drawn with OpenCV: importing a plotting library takes longer than processing a clip.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from rtmri_speech.atomic import replacing
from rtmri_speech.dataset.sample import Sample
from rtmri_speech.signal.mel import MelSpec

WIDTH, MEL_HEIGHT = 1200, 256
LEFT, RIGHT, TOP, BOTTOM, GAP = 70, 20, 30, 44, 8
"""Size of a figure with a time axis, and its margins, pixels."""

_PICTURES = 10
_RANGE_DB = 70.0
_TICKS_HZ = (100, 300, 600, 1000, 2000, 3000, 5000, 8000)


def draw_sample(path: str | Path, sample: Sample, spec: MelSpec, title: str | None = None) -> None:
    """Write a PNG of a sample: ten frames, each above its own moment, over the mel in dB, by seconds and Hz.

    Frames without sound (mask 0) are red.
    """
    frames = len(sample.mri)
    rate = float(spec.frame_rate)
    pictures = min(_PICTURES, frames)
    width = WIDTH - LEFT - RIGHT
    side = width // pictures
    height = round(side * sample.mri.shape[1] / sample.mri.shape[2])
    canvas = np.full((TOP + height + GAP + MEL_HEIGHT + BOTTOM, WIDTH, 3), 255, np.uint8)

    for number in range(pictures):
        # Centre each frame over its time.
        frame = int((number + 0.5) * frames / pictures)
        gray = sample.mri[frame]
        gray = gray if gray.dtype == np.uint8 else np.rint(np.clip(gray, 0, 1) * 255).astype(np.uint8)
        left = LEFT + round(number * width / pictures)
        canvas[TOP : TOP + height, left : left + side] = cv2.resize(gray, (side, height), interpolation=cv2.INTER_AREA)[
            ..., None
        ]

    top = TOP + height + GAP
    # OpenCV's letters are those of ASCII; any other title is that of the id it was made into.
    name = title if title and title.isascii() else sample.id
    draw_text(canvas, f"{name}   {frames} frames, {frames / rate:.2f} s, {rate:.3f} frames/s", (LEFT, 20))
    draw_mel(canvas, top, sample.mel_db, spec, sample.mel_db.max(), sample.sound_mask == 0)
    draw_seconds(canvas, top + MEL_HEIGHT, frames / rate)
    write_png(path, canvas)


def draw_mel(
    canvas: np.ndarray, top: int, mel_db: np.ndarray, spec: MelSpec, ceiling: float, silent: np.ndarray | None = None
) -> None:
    """Draw a mel across the width of a figure, with frequencies in Hz.

    Parameters
    ----------
    canvas : BGR uint8 ``(height, WIDTH, 3)``, drawn on.
    top : first row; the height is `MEL_HEIGHT`.
    mel_db : dB, float ``(T, n_mels)``.
    ceiling : dB of the brightest colour; the darkest is 70 dB below.
    silent : bool ``(T,)``, frames shown red.
    """
    width = WIDTH - LEFT - RIGHT
    # At most one column per pixel, for constant memory.
    shown = np.linspace(0, len(mel_db) - 1, min(len(mel_db), width)).round().astype(int)
    shade = np.clip((mel_db[shown].T[::-1] - ceiling) / _RANGE_DB + 1, 0, 1)
    picture = cv2.applyColorMap(np.rint(shade * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    if silent is not None:
        picture[:, silent[shown]] = (60, 60, 200)
    canvas[top : top + MEL_HEIGHT, LEFT : LEFT + width] = cv2.resize(
        picture, (width, MEL_HEIGHT), interpolation=cv2.INTER_NEAREST
    )
    centres = spec.centre_frequencies()
    for hertz in _TICKS_HZ:
        if centres[0] <= hertz <= centres[-1]:
            row = top + round(
                MEL_HEIGHT * (1 - (np.interp(hertz, centres, np.arange(len(centres))) + 0.5) / len(centres))
            )
            cv2.line(canvas, (LEFT - 5, row), (LEFT, row), (0, 0, 0), 1)
            draw_text(canvas, str(hertz), (LEFT - 50, row + 4))
    draw_text(canvas, "Hz", (8, top + MEL_HEIGHT // 2))


def draw_seconds(canvas: np.ndarray, row: int, seconds: float) -> None:
    """Draw the time axis of ``seconds`` below ``row``."""
    width = WIDTH - LEFT - RIGHT
    step = next((step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300) if seconds / step <= 12), 600)
    for tick in np.arange(0, seconds, step):
        column = LEFT + round(tick / seconds * width)
        cv2.line(canvas, (column, row), (column, row + 5), (0, 0, 0), 1)
        draw_text(canvas, f"{tick:g}", (column - 8, row + 20))
    draw_text(canvas, "s", (LEFT + width // 2, row + 38))


def draw_text(canvas: np.ndarray, text: str, at: tuple[int, int]) -> None:
    """Draw ``text`` in black with its lower left corner ``at`` (column, row)."""
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)


def write_png(path: str | Path, canvas: np.ndarray) -> None:
    """Write a BGR picture, atomically."""
    encoded = cv2.imencode(".png", canvas)[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
