"""A picture of a sample to look at: frames of the video over its mel, on one time axis.

Drawn with OpenCV, because a plotting library would take longer to import than a clip takes to process.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from rtmri_speech.atomic import replacing
from rtmri_speech.dataset.clip import Sample
from rtmri_speech.signal.mel import MelSpec

_WIDTH, _MEL_HEIGHT = 1200, 256
_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 70, 20, 30, 44, 8
_PICTURES = 10
_RANGE_DB = 70.0
_TICKS_HZ = (100, 300, 600, 1000, 2000, 3000, 5000, 8000)


def draw_sample(path: str | Path, sample: Sample, spec: MelSpec) -> None:
    """Write a PNG of a sample: ten frames, each above its own moment, over the mel in dB, by seconds and Hz.

    Stretches without sound (mask 0) are red.
    """
    frames = len(sample.mri)
    rate = float(spec.frame_rate)
    pictures = min(_PICTURES, frames)
    width = _WIDTH - _LEFT - _RIGHT
    side = width // pictures
    height = round(side * sample.mri.shape[1] / sample.mri.shape[2])
    canvas = np.full((_TOP + height + _GAP + _MEL_HEIGHT + _BOTTOM, _WIDTH, 3), 255, np.uint8)

    for number in range(pictures):
        # The picture's middle stands over the moment of its frame.
        frame = int((number + 0.5) * frames / pictures)
        gray = sample.mri[frame]
        gray = gray if gray.dtype == np.uint8 else np.rint(np.clip(gray, 0, 1) * 255).astype(np.uint8)
        left = _LEFT + round(number * width / pictures)
        canvas[_TOP : _TOP + height, left : left + side] = cv2.resize(
            gray, (side, height), interpolation=cv2.INTER_AREA
        )[..., None]

    top = _TOP + height + _GAP
    mel = sample.mel_db.T[::-1]
    shade = np.clip((mel - mel.max()) / _RANGE_DB + 1, 0, 1)
    picture = cv2.applyColorMap(np.rint(shade * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    picture[:, sample.mask == 0] = (60, 60, 200)
    canvas[top : top + _MEL_HEIGHT, _LEFT : _LEFT + width] = cv2.resize(
        picture, (width, _MEL_HEIGHT), interpolation=cv2.INTER_NEAREST
    )

    _text(canvas, f"{sample.id}   {frames} frames, {frames / rate:.2f} s, {rate:.3f} frames/s", (_LEFT, 20))
    centres = spec.centre_frequencies()
    for hertz in _TICKS_HZ:
        if centres[0] <= hertz <= centres[-1]:
            row = top + round(
                _MEL_HEIGHT * (1 - (np.interp(hertz, centres, np.arange(len(centres))) + 0.5) / len(centres))
            )
            cv2.line(canvas, (_LEFT - 5, row), (_LEFT, row), (0, 0, 0), 1)
            _text(canvas, str(hertz), (_LEFT - 50, row + 4))
    _text(canvas, "Hz", (8, top + _MEL_HEIGHT // 2))
    seconds = frames / rate
    step = next((step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300) if seconds / step <= 12), 600)
    for tick in np.arange(0, seconds, step):
        column = _LEFT + round(tick / seconds * width)
        cv2.line(canvas, (column, top + _MEL_HEIGHT), (column, top + _MEL_HEIGHT + 5), (0, 0, 0), 1)
        _text(canvas, f"{tick:g}", (column - 8, top + _MEL_HEIGHT + 20))
    _text(canvas, "s", (_LEFT + width // 2, top + _MEL_HEIGHT + 38))

    encoded = cv2.imencode(".png", canvas)[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _text(canvas: np.ndarray, text: str, at: tuple[int, int]) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
