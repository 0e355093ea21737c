"""Videos in and out: frame-exact gray frames of any recording, and H.264 with sound that browsers play.

Frames that are stored without a clock (`frame_store`) are read as a video of the rate that is given for them.

Times are relative to the start of the first frame. Gray values use the full scale 0 to 255 (or 65535), whatever range,
depth and colour format the file stores.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import re
from array import array
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import av
import cv2
import numpy as np
import soxr

from rtmri_speech.atomic import replacing
from rtmri_speech.errors import UserError
from rtmri_speech.settings.acoustic import Normalisation
from rtmri_speech.settings.data import Resampling
from rtmri_speech.signal.frame_store import FrameStore, open_frames
from rtmri_speech.signal.media import begin_of_picture, decoded, open_media, packets, stamps_go_back, video_stream
from rtmri_speech.signal.mel import fitting_mel
from rtmri_speech.signal.store_paths import is_frame_store

AAC_RATES = (22050, 24000, 32000, 44100, 48000)
"""AAC sampling rates that every browser plays, Hz; some misread lower ones as half-rate (SBR) streams."""

RATE_TOLERANCE = 0.001
"""Relative difference up to which two frame rates may be the same nominal rate."""

MOST_DRIFT = 0.5
"""Maximum drift of picture against sound, frames, for treating one frame rate as another."""

_SEEKABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""FFmpeg's names of containers with presentation times, in which seeking is possible."""

_SEEK_MARGIN = 1
"""Seconds to seek before a cut: indexes are in decoding order, not presentation order."""

_DARKEST_DEEP_VIDEO = 1 / 16
"""Lower limit on the peak of a deep video, as a share of its range (12 bits stored in 16): below, fewer than 4 of 8
bits are used."""

_PLANAR_LUMA = re.compile(r"gray(\d+[bl]e)?|yuvj?a?4\d\dp(\d+[bl]e)?|nv1[26]|nv2[14]")
"""FFmpeg's pixel formats whose first plane is luma as integers in the low bits."""

_SLOWEST, _FASTEST = Fraction(1, 10), 100_000
"""Plausible range of frames per second."""

_FINEST_RATE = 1_000_000
"""Largest denominator of a written rate: a rate converted from a float may exceed mp4's 32 bits."""

_LONGEST_SHOWN = 60.0
"""Longest plausible duration of one frame, seconds."""

_SHORTEST_TIMESCALE = 10_000
"""Minimum timescale of a written file, ticks per second: players round coarser clocks."""

_Shown = Iterator[tuple[Fraction, Fraction, np.ndarray]]
"""Start and end in seconds, and the picture."""


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """Declared properties of a video: displayed size in pixels, frames per second, number of frames if declared."""

    width: int
    height: int
    rate: Fraction
    frames: int | None


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    rate: Fraction,
    audio: np.ndarray | Iterable[np.ndarray] | None = None,
    sampling_rate: int | None = None,
    crf: int = 18,
) -> None:
    """Write frames, with sound if given, as an mp4 for browsers; the same input gives the same bytes.

    H.264 (yuv420p, full range, no B-frames) with a timescale in which every frame lasts the same number of ticks, so
    that a rate such as 11413/420 is exact. Odd heights and widths are padded by one row or column, because chroma is
    subsampled. Sound is AAC at the next higher rate of `AAC_RATES`.

    Parameters
    ----------
    path : the file, written atomically.
    frames : uint8 ``(H, W)`` gray or ``(H, W, 3)`` RGB, all of one shape.
    rate : frames per second.
    audio : samples in [-1, 1], float ``(N,)``, or an iterable of such blocks.
    sampling_rate : of ``audio``, Hz.
    crf : H.264 constant rate factor, 0 (lossless) to 51.

    Raises
    ------
    UserError
        There are no frames.
    """
    rate = Fraction(rate).limit_denominator(_FINEST_RATE)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise UserError(path, "would hold no frames", "give at least one frame")
    timescale = rate.numerator
    while timescale < _SHORTEST_TIMESCALE:
        timescale *= 2
    options = {"movflags": "+faststart", "video_track_timescale": str(timescale), "fflags": "+bitexact"}
    height, width = first.shape[:2]
    with replacing(path) as temporary, _writing(temporary, options) as container:
        video = container.add_stream("libx264", rate=rate)
        video.width, video.height = width + width % 2, height + height % 2
        video.pix_fmt = "yuv420p"
        coder = video.codec_context
        coder.time_base = 1 / rate
        coder.color_range, coder.colorspace, coder.color_primaries, coder.color_trc = 2, 1, 1, 1
        coder.thread_count = 1
        coder.flags |= av.codec.context.Flags.bitexact
        # x264's macroblock tree reads uninitialised memory: 46 of 1,440 encodings of small pictures differed.
        coder.options = {"crf": str(crf), "preset": "veryfast", "bf": "0", "x264-params": "threads=1:no-mbtree=1"}
        sound = None if audio is None else _SoundTrack(container, audio, sampling_rate)
        for number, picture in enumerate(itertools.chain([first], frames)):
            if picture.shape != first.shape:
                raise ValueError(f"frame {number} is {picture.shape}, the first one {first.shape}")
            frame = _yuv420p(picture)
            frame.pts, frame.duration, frame.time_base = number, 1, 1 / rate
            container.mux(video.encode(frame))
            # Interleave sound and frames, so that players need not seek.
            if sound is not None:
                sound.write_until((number + 1) / rate)
        container.mux(video.encode(None))
        if sound is not None:
            sound.finish()


@contextlib.contextmanager
def _writing(path: Path, options: dict[str, str]) -> Iterator[av.container.OutputContainer]:
    """Open an mp4 for writing; FFmpeg's OS errors become `OSError`."""
    try:
        with av.open(str(path.absolute()), "w", format="mp4", options=options) as container:
            yield container
    except av.error.OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _yuv420p(picture: np.ndarray) -> av.VideoFrame:
    """Full-range yuv420p, padded to even sides by repeating the last row and column."""
    height, width = picture.shape[:2]
    padding = ((0, height % 2), (0, width % 2), (0, 0))[: picture.ndim]
    picture = np.ascontiguousarray(np.pad(picture, padding, mode="edge"))
    height, width = picture.shape[:2]
    if picture.ndim == 2:
        planes = np.full((height * 3 // 2, width), 128, np.uint8)
        planes[:height] = picture
        frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
    else:
        frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="JPEG"
        )
    frame.color_range, frame.colorspace = 2, 1
    return frame


class _SoundTrack:
    """The AAC track of a file being written."""

    def __init__(
        self, container: av.container.OutputContainer, audio: np.ndarray | Iterable[np.ndarray], sampling_rate: int
    ) -> None:
        self._rate = next((known for known in AAC_RATES if known >= sampling_rate), AAC_RATES[-1])
        self._blocks = iter([audio] if isinstance(audio, np.ndarray) else audio)
        self._resampler = soxr.ResampleStream(sampling_rate, self._rate, 1, dtype="float32", quality="VHQ")
        self._waiting = np.empty(0, np.float32)
        self._ended = False
        self._container = container
        self._stream = container.add_stream("aac", rate=self._rate, layout="mono")
        self._stream.codec_context.flags |= av.codec.context.Flags.bitexact
        self._stream.bit_rate = 128_000
        self._position = 0

    def write_until(self, seconds: Fraction) -> None:
        """Encode the sound up to ``seconds``, in whole codec frames."""
        block = self._stream.codec_context.frame_size or 1024
        while self._position + block <= seconds * self._rate and self._fill(block):
            self._encode(block)

    def finish(self) -> None:
        """Encode the remaining sound."""
        block = self._stream.codec_context.frame_size or 1024
        while self._fill(block) or len(self._waiting):
            self._encode(block)
        self._container.mux(self._stream.encode(None))

    def _fill(self, count: int) -> bool:
        """Buffer ``count`` samples; return False if the sound ends before."""
        while len(self._waiting) < count and not self._ended:
            piece = next(self._blocks, None)
            self._ended = piece is None
            piece = np.empty(0, np.float32) if piece is None else np.asarray(piece, np.float32)
            resampled = self._resampler.resample_chunk(piece, last=self._ended)
            self._waiting = np.concatenate([self._waiting, np.clip(resampled, -1, 1)])
        return len(self._waiting) >= count

    def _encode(self, count: int) -> None:
        piece, self._waiting = self._waiting[None, :count], self._waiting[count:]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._position, Fraction(1, self._rate)
        self._position += piece.shape[1]
        self._container.mux(self._stream.encode(frame))


def probe(path: str | Path, own_rate: float | Fraction | None = None) -> VideoInfo:
    """Return what the video declares of itself, after decoding its first frame.

    Parameters
    ----------
    path, own_rate : as in `read_frames`.

    Raises
    ------
    UserError
        The file is not a readable video or has no frame.
    """
    if is_frame_store(path):
        with open_frames(path) as store:
            height, width = next(store.pictures()).shape
            return VideoInfo(width, height, _store_rate(store, own_rate), store.length)
    with _opened(path) as (container, stream):
        declared = stream.frames or None
        rate = _frame_rate(path, stream)
        for frame in decoded(path, container, stream):
            height, width = _gray(path, frame).shape
            return VideoInfo(width, height, rate, declared)
    raise _nothing_shown(path, None, None)


def read_frames(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    start: float | None = None,
    end: float | None = None,
    depth: Literal[8, 16] = 8,
    own_rate: float | Fraction | None = None,
) -> Iterator[np.ndarray]:
    """Yield every frame of a video, or of a cut of it, in gray; uses constant memory.

    Colour is converted to luma. Limited-range video (16 to 235) is expanded to the full range; more than 8 bits are
    scaled by their full range. Rotations by 90 degrees and mirroring in the metadata are applied; pixels are assumed
    square.

    Parameters
    ----------
    path : any container and codec that FFmpeg decodes, or a store of frames (`frame_store`).
    size : (height, width) in pixels to scale to, by area where it shrinks, else linearly; None keeps the video's.
    start, end : cut in seconds from the first frame: the frames whose middle lies in it.
    depth : bits of the result: 8 or 16.
    own_rate : frames per second of a store that does not say it; a video's own counts.

    Yields
    ------
    uint8 (or uint16) ``(H, W)``.

    Raises
    ------
    UserError
        The file is unreadable, has no frame in the cut, ends before its declared length or ``end``, or stores more than
        8 bits with a range too small to convert to 8.
    """
    count = 0
    for begin, until, picture in _shown(path, start, end, size, depth, own_rate):
        middle = (begin + until) / 2
        if (start is None or middle >= start) and (end is None or middle < end):
            count += 1
            yield picture
    if not count:
        raise _nothing_shown(path, start, end)


def frames_at_rate(
    path: str | Path,
    rate: Fraction,
    method: Resampling = "refuse",
    *,
    size: tuple[int, int] | None = None,
    start: float | None = None,
    end: float | None = None,
    depth: Literal[8, 16] = 8,
    sampling_rate: int | None = None,
    own_rate: float | Fraction | None = None,
) -> Iterator[np.ndarray]:
    """Yield the gray frames of a video at ``rate``; frame k covers k / rate to (k + 1) / rate.

    A video of that rate, within 0.1 %, is passed through if no frame of the cut is more than half a frame off its time.
    Others, and those of variable rate, are resampled by time stamps.

    Parameters
    ----------
    path, size, start, end, depth, own_rate : as in `read_frames`.
    rate : frames per second of the result.
    method : ``refuse``; ``nearest``: the frame shown at the middle of the interval; ``mean``: the mean over the
        interval, weighted by display time.
    sampling_rate : of the mel, Hz, if it can still be changed: the error then suggests a suitable mel. None for trained
        models.

    Yields
    ------
    uint8 (or uint16) ``(H, W)``.

    Raises
    ------
    UserError
        As `read_frames`; or the rate differs or is variable and ``method`` is ``refuse``.
    """
    if method not in get_args(Resampling):
        raise UserError("resampling of frames", f"is {method!r}", f"give one of {', '.join(get_args(Resampling))}")
    rate = Fraction(rate)
    own, times = _times(path, start, end, own_rate)
    apart = _drift(times, rate)
    if abs(own / rate - 1) <= RATE_TOLERANCE and apart <= MOST_DRIFT:
        yield from read_frames(path, size=size, start=start, end=end, depth=depth, own_rate=own_rate)
        return
    choice = "set resampling to 'nearest' or 'mean' (video.resampling, --resampling)"
    if method == "refuse" and _drift(times, own) > MOST_DRIFT:
        raise UserError(path, f"has a variable frame rate (declared: {float(own):.3f} frames/s)", choice)
    if method == "refuse":
        fault = f"has {float(own):.3f} frames/s where the mel has {float(rate):.3f}"
        if abs(own / rate - 1) <= RATE_TOLERANCE:
            fault = f"{fault}: picture and sound would drift apart by {apart:.1f} frames"
        if sampling_rate is not None:
            fitting, hop = fitting_mel(own, sampling_rate, MOST_DRIFT / max(np.ptp(times) if len(times) else 0.0, 1.0))
            choice = f"make a mel of sampling_rate {fitting} and hop_length {hop}, or {choice}"
        raise UserError(path, fault, choice)
    shown = _shown(path, start, end, size, depth, own_rate)
    resampled = (_nearest if method == "nearest" else _mean)(shown, rate, start, end)
    first = next(resampled, None)
    if first is None:
        raise _nothing_shown(path, start, end)
    yield first
    yield from resampled


def normalise_frames(frames: np.ndarray, method: Normalisation) -> np.ndarray:
    """Return frames in [0, 1], the acoustic model's input.

    Parameters
    ----------
    frames : uint8 or uint16 ``(..., H, W)``.
    method : ``unit``: divided by full scale; ``frame``: each frame to zero mean and unit variance, then its minimum to
        0 and its maximum to 1. The second step makes the first redundant, so only it is computed; a constant frame
        becomes 0.

    Returns
    -------
    float32, the shape of ``frames``.
    """
    if method not in (known := get_args(Normalisation)):
        raise UserError("normalisation of frames", f"is {method!r}", f"give one of {', '.join(known)}")
    if method == "unit":
        return frames.astype(np.float32) / np.float32(np.iinfo(frames.dtype).max)
    low = frames.min(axis=(-2, -1), keepdims=True)
    spread = frames.max(axis=(-2, -1), keepdims=True) - low
    return (frames - low).astype(np.float32) / np.maximum(spread, 1).astype(np.float32)


def resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return ``(H, W)`` scaled to ``size`` (height, width): area averaging to shrink, else linear, per side."""
    height, width = picture.shape
    smaller = min(height, size[0]), min(width, size[1])
    if smaller != (height, width):
        picture = cv2.resize(picture, smaller[::-1], interpolation=cv2.INTER_AREA)
    if smaller != tuple(size):
        picture = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR)
    return picture


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    with open_media(path, "video") as container:
        stream = video_stream(container)
        if stream is None:
            raise UserError(path, "has no video stream", "give a video file, or copy it again if it was one")
        yield container, stream


def _frame_rate(path: str | Path, stream: av.VideoStream) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate
    if not rate or not _SLOWEST <= rate <= _FASTEST:
        said = f"declares {float(rate):g} frames/s" if rate else "does not declare its frame rate"
        raise UserError(path, said, "export it with its constant frame rate")
    return Fraction(rate)


def _shown(
    path: str | Path,
    start: float | None,
    end: float | None,
    size: tuple[int, int] | None,
    depth: int,
    own_rate: float | Fraction | None,
) -> _Shown:
    """Yield (start, end, gray picture) of every frame displayed between ``start`` and ``end``.

    Times are exact seconds from the first frame; a frame lasts until the next one, the last for 1 / rate.
    """
    if start is not None and start < 0:
        raise UserError(path, f"has a cut that starts at {start:g} s", "start at 0 s or later")
    low = 0 if start is None else start
    high = math.inf if end is None else end
    if is_frame_store(path):
        yield from _shown_of_store(path, low, high, size, depth, own_rate)
        return
    brightest, deep = 0, False
    with _opened(path) as (container, stream):
        duration = 1 / _frame_rate(path, stream)
        until = Fraction(0)
        for begin, until, frame in _intervals(path, container, stream, duration, low):
            if begin >= high:
                break
            if until > low:
                picture = _gray(path, frame)
                if size is not None:
                    picture = resize(picture, size)
                deep = deep or picture.dtype == np.uint16
                if deep:
                    brightest = max(brightest, int(picture.max()))
                yield begin, until, _to_depth(picture, depth)
        else:
            _require_reached(path, until, high, duration)
    if deep and depth == 8 and brightest < _DARKEST_DEEP_VIDEO * 65535:
        raise UserError(
            path,
            f"stores more than 8 bits but its brightest point is {brightest / 65535:.1%} of their range",
            "spread its brightness first, with normalize_videos.py",
        )


def _shown_of_store(
    path: str | Path,
    low: float,
    high: float,
    size: tuple[int, int] | None,
    depth: int,
    own_rate: float | Fraction | None,
) -> _Shown:
    """What `_shown` yields, of frames that follow each other at one rate."""
    with open_frames(path) as store:
        duration = 1 / _store_rate(store, own_rate)
        first = min(int(Fraction(low) / duration), store.length)
        until = first * duration
        for number, picture in enumerate(store.pictures(first), first):
            begin, until = number * duration, (number + 1) * duration
            if begin >= high:
                return
            yield begin, until, _to_depth(picture if size is None else resize(picture, size), depth)
        _require_reached(path, until, high, duration)


def _require_reached(path: str | Path, until: Fraction, end: float, duration: Fraction) -> None:
    if end < math.inf and until < end - duration / 2:
        raise UserError(path, f"ends at {float(until):.3f} s, before the cut's end {end:g} s", "correct the cut times")


def _store_rate(store: FrameStore, own_rate: float | Fraction | None) -> Fraction:
    rate = own_rate or store.rate
    if not rate or not _SLOWEST <= rate <= _FASTEST:
        raise UserError(
            store.path,
            f"says that it has {float(rate):g} frames/s" if rate else "holds frames without their rate",
            "give frames per second: corpus.frame_rate, the column frame_rate of a table, or --frame_rate",
        )
    return Fraction(rate).limit_denominator(_FINEST_RATE)


def _intervals(
    path: str | Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    duration: Fraction,
    since: float,
) -> Iterator[tuple[Fraction, Fraction, av.VideoFrame]]:
    """Yield (start, end, frame) from the one at ``since`` seconds, or an earlier one, to the last.

    A frame without a time stamp follows the one before by ``duration``.
    """
    origin = begin_of_picture(path, container)
    frames = decoded(path, container, stream)
    if since > _SEEK_MARGIN and container.format.name in _SEEKABLE:
        container.seek(int((origin + since - _SEEK_MARGIN) / stream.time_base), stream=stream)
        first = next(frames, None)
        if first is not None and first.pts is not None and first.pts * stream.time_base - origin <= since:
            frames = itertools.chain([first], frames)
        else:
            # The index is missing or wrong: decode from the start.
            with _opened(path) as (container, stream):
                yield from _intervals(path, container, stream, duration, 0)
            return
    before = None
    begin = -duration
    for frame in frames:
        if frame.pts is None:
            begin += duration
        else:
            begin = frame.pts * stream.time_base - origin
        if before is not None:
            if begin < before[0]:
                raise stamps_go_back(path, begin + origin)
            if begin - before[0] > _LONGEST_SHOWN:
                raise UserError(
                    path,
                    f"shows one frame from {float(before[0]):.3f} to {float(begin):.3f} s: its time stamps are broken",
                    "copy or export it again",
                )
            yield before[0], begin, before[1]
        before = begin, frame
    if before is not None:
        yield before[0], before[0] + duration, before[1]


def _nothing_shown(path: str | Path, start: float | None, end: float | None) -> UserError:
    if start is None and end is None:
        return UserError(path, "holds no frames", "record or export it again")
    stretch = f"{0 if start is None else start:g} s to {'the end' if end is None else f'{end:g} s'}"
    return UserError(path, f"holds no frame from {stretch}", "correct the cut times")


def _times(
    path: str | Path, start: float | None, end: float | None, own_rate: float | Fraction | None
) -> tuple[Fraction, np.ndarray]:
    """Return the declared rate and when each frame of a cut is shown, seconds; reads time stamps only."""
    if is_frame_store(path):
        with open_frames(path) as store:
            rate = _store_rate(store, own_rate)
            return rate, _in_cut(np.arange(store.length) / float(rate), rate, start, end)
    with _opened(path) as (container, stream):
        rate = _frame_rate(path, stream)
        origin = begin_of_picture(path, container)
        stamps, count = array("q"), 0
        with contextlib.suppress(av.FFmpegError):  # decoding reports the error
            for packet in packets(container, stream):
                if packet.size and not packet.is_discard:
                    count += 1
                    if packet.pts is not None:
                        stamps.append(packet.pts)
        tick = stream.time_base
    if len(stamps) < count:
        times = np.arange(count) / float(rate)
    else:
        times = np.sort(np.array(stamps, dtype=np.float64)) * float(tick) - float(origin)
    return rate, _in_cut(times, rate, start, end)


def _in_cut(times: np.ndarray, rate: Fraction, start: float | None, end: float | None) -> np.ndarray:
    middles = times + 0.5 / float(rate)
    return times[(middles >= (start or 0)) & (middles < (math.inf if end is None else end))]


def _drift(times: np.ndarray, rate: Fraction) -> float:
    """Maximum deviation of a frame from its time at a constant ``rate``, in frames, relative to the first."""
    if not len(times):
        return 0.0
    return float(np.abs((times - times[0]) * float(rate) - np.arange(len(times))).max())


def _nearest(shown: _Shown, rate: Fraction, start: float | None, end: float | None) -> Iterator[np.ndarray]:
    centre = Fraction(start or 0) + 1 / rate / 2
    for _, until, picture in shown:
        while centre < until and (end is None or centre < end):
            yield picture
            centre += 1 / rate


def _mean(shown: _Shown, rate: Fraction, start: float | None, end: float | None) -> Iterator[np.ndarray]:
    low = Fraction(start or 0)
    high = low + 1 / rate
    total, seconds = 0.0, 0.0
    for begin, until, picture in shown:
        until = until if end is None else min(until, Fraction(end))
        while until > low:
            overlap = float(min(until, high) - max(begin, low))
            if overlap > 0:
                total, seconds = total + overlap * picture, seconds + overlap
            if until < high:
                break
            yield np.rint(total / seconds).astype(picture.dtype)
            total, seconds = 0.0, 0.0
            low, high = high, high + 1 / rate
    # The last interval counts if its midpoint is covered, as for nearest.
    if seconds > 1 / rate / 2:
        yield np.rint(total / seconds).astype(picture.dtype)


def _to_depth(picture: np.ndarray, depth: int) -> np.ndarray:
    if depth == 8 and picture.dtype == np.uint16:
        return ((picture.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if depth == 16 and picture.dtype == np.uint8:
        return picture * np.uint16(257)
    return picture


def _gray(path: str | Path, frame: av.VideoFrame) -> np.ndarray:
    """Full-range luma of a frame, uint8 ``(H, W)``, or uint16 if the file stores more than 8 bits."""
    bits = max(component.bits for component in frame.format.components)
    if _PLANAR_LUMA.fullmatch(frame.format.name):
        picture = _full_range(frame, bits)
    elif frame.format.components[0].is_luma and not frame.format.has_palette:
        picture = _full_range(frame.reformat(format="yuv444p" if bits == 8 else "yuv444p16le"), 8 if bits == 8 else 16)
    else:
        rgb = frame.to_ndarray(format="rgb24" if bits <= 8 else "rgb48le")
        picture = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return _upright(path, frame, picture)


def _upright(path: str | Path, frame: av.VideoFrame, picture: np.ndarray) -> np.ndarray:
    """Apply the frame's display matrix (column x' = a x + c y, row y' = b x + d y): 90-degree rotation and
    mirroring."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return picture
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, np.int32)[:5])
    if a and d and not b and not c:
        columns, rows = a, d
    elif b and c and not a and not d:
        picture, columns, rows = picture.T, c, b
    else:
        raise UserError(path, "has a rotation that is not a multiple of 90 degrees", "export it upright")
    return picture[:: -1 if rows < 0 else 1, :: -1 if columns < 0 else 1]


def _full_range(frame: av.VideoFrame, bits: int) -> np.ndarray:
    """The luma plane, expanded to the full range of 8 or 16 bits."""
    plane = frame.planes[0]
    kind = np.dtype(np.uint8) if bits == 8 else np.dtype(">u2" if frame.format.is_big_endian else "<u2")
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height]
    luma = rows.view(kind)[:, : frame.width]
    return _spread(bits, _is_limited(frame))[luma]


def _is_limited(frame: av.VideoFrame) -> bool:
    if frame.format.name.startswith("yuvj") or frame.color_range == 2:
        return False
    # Gray formats are full range unless declared otherwise; colour is limited range by default.
    return frame.color_range == 1 or not frame.format.name.startswith("gray")


@lru_cache(maxsize=8)
def _spread(bits: int, limited: bool) -> np.ndarray:
    """Table from stored luma to the full range of 8 or 16 bits (limited, ITU-R BT.709: black 16, white 235 of 255)."""
    stored = np.arange(2**bits, dtype=np.float64)
    black, white = (16 * 2 ** (bits - 8), 235 * 2 ** (bits - 8)) if limited else (0, 2**bits - 1)
    top = 255 if bits == 8 else 65535
    table = np.clip(np.rint((stored - black) / (white - black) * top), 0, top)
    return table.astype(np.uint8 if bits == 8 else np.uint16)
