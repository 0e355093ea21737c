"""Pictures and films of Grad-CAM: colour maps over gray frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from rtmri_speech.dataset.figure import write_png
from rtmri_speech.dataset.sample import load_array
from rtmri_speech.errors import UserError
from rtmri_speech.explain.sequences import Scaling, enlarged, open_maps
from rtmri_speech.settings.use import Look
from rtmri_speech.signal.audio import audio_blocks
from rtmri_speech.signal.video import RATE_TOLERANCE, frames_at_rate, probe, resize, write_video

COLORMAPS = {
    "inferno": cv2.COLORMAP_INFERNO,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "cividis": cv2.COLORMAP_CIVIDIS,
    "jet": cv2.COLORMAP_JET,
}
"""The first is the default; all but ``jet``, the lab's, are perceptually uniform."""

TWO_COLOURS = ((230, 159, 0), (86, 180, 233))
"""Orange and sky blue of M. Okabe and K. Ito, *Color Universal Design* (2008), distinguishable with colour
blindness."""

Combination = Literal["max", "mean", "colours"]
"""Combination of two maps: maximum, mean, or two colours."""

FILM_SAMPLING_RATE = 48_000
"""Sampling rate of films, Hz: supported by every browser, sufficient for any speech recording."""


@dataclass(frozen=True)
class Style(Look):
    """How maps are drawn."""

    def colours(self, heat: np.ndarray) -> np.ndarray:
        """Return the colours, RGB uint8 ``(H, W, 3)``, of a map ``(H, W)`` in [0, 1]."""
        levels = np.rint(np.clip(heat, 0, 1) * 255).astype(np.uint8)
        return cv2.applyColorMap(levels, COLORMAPS[self.colormap])[..., ::-1]


def overlay(frame: np.ndarray, heats: tuple[np.ndarray, ...], style: Style) -> np.ndarray:
    """Overlay a frame with one map in the style's colours, or two maps in two colours.

    Parameters
    ----------
    frame : gray uint8 ``(H, W)``.
    heats : one or two maps in [0, 1], float, resized to the frame if necessary.

    Returns
    -------
    RGB uint8 ``(H, W, 3)``.
    """
    heats = tuple(np.clip(_at_size(heat, frame.shape), 0, 1) for heat in heats)
    if len(heats) == 1:
        colour = style.colours(heats[0]).astype(np.float32)
    else:
        # Colours are mixed in proportion to the maps; where both are 0, so is the opacity.
        total = np.maximum(heats[0] + heats[1], np.finfo(np.float32).tiny)
        colour = sum((heat / total)[..., None] * np.float32(rgb) for heat, rgb in zip(heats, TWO_COLOURS, strict=True))
    opacity = style.alpha * (np.max(heats, axis=0) if style.blend == "heat" else np.ones(frame.shape, np.float32))
    mixed = frame[..., None] * (1 - opacity[..., None]) + colour * opacity[..., None]
    return np.rint(mixed).astype(np.uint8)


def stretched(heat: np.ndarray) -> np.ndarray:
    """Return a map divided by its maximum; an all-zero map is unchanged."""
    highest = heat.max()
    return heat / highest if highest > 0 else heat


def combined(heats: tuple[np.ndarray, ...], combination: Combination) -> tuple[np.ndarray, ...]:
    """Return the maps to draw: one for the maximum or mean of two, both for two colours."""
    if len(heats) == 1 or combination == "colours":
        return heats
    return (np.max(heats, axis=0) if combination == "max" else np.mean(heats, axis=0),)


def _at_size(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return heat if heat.shape == tuple(size) else enlarged(np.ascontiguousarray(heat, np.float32), size)


def legend(picture: np.ndarray, names: tuple[str, ...], style: Style, seconds: float | None = None) -> np.ndarray:
    """Return the picture with the maps' names, a scale from 0 to 1 and the time drawn on it.

    Parameters
    ----------
    picture : RGB uint8 ``(H, W, 3)``.
    names : of the maps: one beside a colour bar, or two in their colours.
    seconds : time of the frame; None omits it.
    """
    picture = picture.copy()
    height, width = picture.shape[:2]
    unit = max(height / 256, 0.5)
    if seconds is not None:
        _text(picture, f"{seconds:.3f} s", (4 * unit, 14 * unit), unit)
    base = height - 8 * unit
    if len(names) == 2:
        for line, (name, colour) in enumerate(zip(names, TWO_COLOURS, strict=True)):
            _text(picture, name, (4 * unit, base - (1 - line) * 14 * unit), unit, colour)
        return picture
    bar_width, bar_height = round(0.3 * width), max(round(7 * unit), 3)
    left, top = round(width - bar_width - 16 * unit), round(base - bar_height)
    ramp = np.broadcast_to(np.linspace(0, 1, bar_width, dtype=np.float32), (bar_height, bar_width))
    picture[top : top + bar_height, left : left + bar_width] = style.colours(ramp)
    _text(picture, "0", (left - 11 * unit, base), unit)
    _text(picture, "1", (left + bar_width + 3 * unit, base), unit)
    for name in names:
        _text(picture, name, (4 * unit, base), unit)
    return picture


def _text(
    picture: np.ndarray, text: str, at: tuple[float, float], unit: float, colour: tuple[int, int, int] = (255, 255, 255)
) -> None:
    """Draw text with a dark outline, readable on any background."""
    place = round(at[0]), round(at[1])
    for ink, width in (((0, 0, 0), 3), (colour, 1)):
        cv2.putText(
            picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42 * unit, ink, max(round(width * unit), 1), cv2.LINE_AA
        )


def save_picture(path: str | Path, picture: np.ndarray) -> None:
    """Write RGB uint8 ``(H, W, 3)`` as a PNG."""
    write_png(path, picture[..., ::-1])


def write_slow_film(
    target: str | Path,
    video: str | Path,
    sequence: str | Path,
    *,
    start_frame: int = 0,
    fps: float = 5.0,
    repeat: int = 1,
    size: tuple[int, int] | None = None,
    scaling: Scaling = "clip",
    style: Style = Style(),
    name: str | None = None,
) -> int:
    """Write a slow-motion film of a sequence over its video; return the number of frames.

    Parameters
    ----------
    target : the mp4 to write.
    video : the recording.
    sequence : ``.npy`` of maps ``(T, H, W)`` in [0, 1], a whole sequence or an excerpt.
    start_frame : frame of the video for the first map.
    fps : frames per second of the film.
    repeat : number of times each frame is shown.
    size : height and width of the film, pixels; None is the video's.
    scaling : ``clip``: maps as stored; ``frame``: each scaled by its maximum, so that soft frames are visible.
    name : drawn with scale and time in the recording; None draws nothing.

    Raises
    ------
    UserError
        The maps extend beyond the video, or a setting is out of range.
    """
    if repeat < 1:
        raise UserError("--repeat", f"is {repeat}", "give at least 1")
    names = (name,) if name else ()
    frames, own = _frames(video, size, None)
    pictures = _pictures(frames, own, (open_maps(sequence),), (sequence,), start_frame, scaling, style, "max", names)
    film = itertools.chain.from_iterable(itertools.repeat(picture, repeat) for picture in pictures)
    return _write(target, film, _rate(fps))


def write_overlay_film(
    target: str | Path,
    video: str | Path,
    heatmap: str | Path,
    heatmap2: str | Path | None = None,
    *,
    combination: Combination = "max",
    audio: str | Path | None = None,
    start_frame: int = 0,
    fps: float | None = None,
    frame_rate: Fraction | None = None,
    size: tuple[int, int] | None = None,
    scaling: Scaling = "clip",
    style: Style = Style(),
    names: tuple[str, ...] = (),
) -> int:
    """Write a film of one or two sequences over their video with synchronous sound; return the number of frames.

    Parameters
    ----------
    target, size, scaling : as in `write_slow_film`.
    video : the recording, or a dataset's ``mri.npy``, which requires ``frame_rate``.
    frame_rate : of an ``mri.npy``, frames per second.
    heatmap, heatmap2 : ``.npy`` of maps ``(T, H, W)`` in [0, 1], of the same length.
    combination : of two maps.
    audio : a wav, or a video with an audio track, starting at the video's first frame; None for a silent film.
    start_frame : frame of the video for the first map; the sound is cut accordingly.
    fps : frames per second; None is the video's rate, which is required with sound, within 0.1 %.
    names : of the maps, drawn with scale and time; empty draws nothing.

    Raises
    ------
    UserError
        The maps extend beyond the video or differ in length, or the sound would be out of sync.
    """
    if combination not in get_args(Combination):
        raise UserError("--combine-mode", f"is {combination!r}", f"give one of {', '.join(get_args(Combination))}")
    frames, own = _frames(video, size, frame_rate)
    rate = own if fps is None or abs(_rate(fps) / own - 1) <= RATE_TOLERANCE else _rate(fps)
    if audio is not None and rate != own:
        fault = f"is {fps:g}, but the video has {float(own):.3f} frames/s"
        raise UserError("--fps", fault, "leave it out with --audio")
    paths = (heatmap,) if heatmap2 is None else (heatmap, heatmap2)
    maps = tuple(open_maps(path) for path in paths)
    if len(maps[0]) != len(maps[-1]):
        raise UserError(heatmap2, f"has {len(maps[-1])} maps, {heatmap} {len(maps[0])}", "give two of the same length")
    pictures = _pictures(frames, own, maps, paths, start_frame, scaling, style, combination, names)
    sound = None
    if audio is not None:
        start, end = start_frame / own, (start_frame + len(maps[0])) / own
        sound = audio_blocks(audio, sampling_rate=FILM_SAMPLING_RATE, start=float(start), end=float(end))
    return _write(target, pictures, rate, sound)


def _rate(fps: float) -> Fraction:
    if not fps > 0:
        raise UserError("--fps", f"is {fps:g}", "give a positive number of frames per second")
    return Fraction(fps).limit_denominator(1000)


def _frames(
    video: str | Path, size: tuple[int, int] | None, rate: Fraction | None
) -> tuple[Iterator[np.ndarray], Fraction]:
    """Gray frames of a video or an ``mri.npy``, and the frame rate."""
    if Path(video).suffix != ".npy":
        own = probe(video).rate
        return frames_at_rate(video, own, "nearest", size=size), own
    if rate is None:
        raise UserError(video, "has no frame rate", "give it (--rate), such as 11413/420")
    stored = load_array(Path(video), dimensions=3, memory_map=True)
    gray = (frame if frame.dtype == np.uint8 else np.rint(frame * 255).astype(np.uint8) for frame in stored)
    return (frame if size is None else resize(frame, size) for frame in gray), rate


def _pictures(
    frames: Iterator[np.ndarray],
    rate: Fraction,
    maps: tuple[np.ndarray, ...],
    paths: tuple[str | Path, ...],
    start_frame: int,
    scaling: Scaling,
    style: Style,
    combination: Combination,
    labels: tuple[str, ...],
) -> Iterator[np.ndarray]:
    """Overlay each map on its frame; the video is read only as far as the maps."""
    if start_frame < 0:
        raise UserError("--start-frame", f"is {start_frame}", "give 0 or more")
    if labels and len(labels) != len(maps):
        raise UserError("--labels", f"gives {len(labels)} names to {len(maps)} maps", "give one per map")
    if labels and combination != "colours" and len(maps) == 2:
        labels = (f"{combination} of {' and '.join(labels)}",)
    frames = itertools.islice(frames, start_frame, None)
    for number in range(len(maps[0])):
        frame = next(frames, None)
        if frame is None:
            raise UserError(
                paths[0],
                f"has {len(maps[0])} maps from frame {start_frame} on, the video ends with frame "
                f"{start_frame + number - 1}",
                "give the video it was made of, or another --start-frame",
            )
        heats = tuple(stretched(part[number]) if scaling == "frame" else part[number] for part in maps)
        picture = overlay(frame, combined(heats, combination), style)
        yield legend(picture, labels, style, (start_frame + number) / float(rate)) if labels else picture


def _write(
    target: str | Path, pictures: Iterable[np.ndarray], rate: Fraction, sound: Iterator[np.ndarray] | None = None
) -> int:
    count = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal count
        for picture in pictures:
            count += 1
            yield picture

    write_video(target, counted(), rate, sound, None if sound is None else FILM_SAMPLING_RATE)
    return count
