"""Video files in and out: frame-exact gray frames of any recording, and H.264 with sound that browsers play.

Times count from the start of the first frame. A gray value is a brightness on the full scale 0 to 255 (or 65535), whatever
range, depth and colour the file stores.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np

from rtmri_speech.atomic import replacing
from rtmri_speech.errors import UserError

AAC_RATES = (22050, 24000, 32000, 44100, 48000)
"""Sampling rates at which every browser plays AAC, Hz; below them some take the sound for a half-rate (SBR) stream."""

THREADS_VARIABLE = "RTMRI_DECODER_THREADS"
"""Environment variable that holds the number of threads of a decoder; 1 when unset: a workflow decodes many clips at a time."""

_DARKEST_DEEP_VIDEO = 1 / 16
"""A deep video whose brightest point is below this part of its range (12 bits in 16) would keep fewer than 4 bits of 8."""

_SHORTEST_TIMESCALE = 10_000
"""Ticks a second of a written file, at least: players round the times of coarser clocks."""


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself: size in pixels as shown, frames per second, number of frames if the file declares it."""

    width: int
    height: int
    rate: Fraction
    frames: int | None


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    rate: Fraction,
    audio: np.ndarray | None = None,
    sampling_rate: int | None = None,
    crf: int = 18,
) -> None:
    """Write frames, with sound if given, as an mp4 that browsers play; the same input gives the same bytes.

    H.264 (yuv420p, full range, no B-frames) on a clock in which every frame lasts the same number of ticks, so that a rate
    such as 11413/420 is exact. The picture of an odd height or width is continued by one row or column, because H.264 stores
    colour for pairs of pixels. Sound becomes AAC, at the next higher rate that AAC knows.

    Parameters
    ----------
    path : the file to write, whole or not at all.
    frames : uint8 ``(H, W)`` gray or ``(H, W, 3)`` RGB, all of one shape.
    rate : frames per second.
    audio : samples in [-1, 1], float ``(N,)``.
    sampling_rate : of ``audio``, Hz.
    crf : H.264 constant rate factor, 0 (lossless) to 51.

    Raises
    ------
    UserError
        There are no frames.
    """
    rate = Fraction(rate)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise UserError(path, "would hold no frames", "give at least one frame")
    timescale = rate.numerator
    while timescale < _SHORTEST_TIMESCALE:
        timescale *= 2
    options = {"movflags": "+faststart", "video_track_timescale": str(timescale), "fflags": "+bitexact"}
    height, width = first.shape[:2]
    with replacing(path) as temporary, av.open(str(temporary), "w", format="mp4", options=options) as container:
        video = container.add_stream("libx264", rate=rate)
        video.width, video.height = width + width % 2, height + height % 2
        video.pix_fmt = "yuv420p"
        coder = video.codec_context
        coder.time_base = 1 / rate
        coder.color_range, coder.colorspace, coder.color_primaries, coder.color_trc = 2, 1, 1, 1
        coder.thread_count = 1
        coder.flags |= av.codec.context.Flags.bitexact
        coder.options = {"crf": str(crf), "preset": "veryfast", "bf": "0", "x264-params": "threads=1"}
        sound = None if audio is None else _SoundTrack(container, audio, sampling_rate)
        for number, picture in enumerate(itertools.chain([first], frames)):
            if picture.shape != first.shape:
                raise ValueError(f"frame {number} is {picture.shape}, the first one {first.shape}")
            frame = _yuv420p(picture)
            frame.pts, frame.duration, frame.time_base = number, 1, 1 / rate
            container.mux(video.encode(frame))
            # Sound follows picture by picture, so that a player need not seek between distant parts of the file.
            if sound is not None:
                sound.write_until((number + 1) / rate)
        container.mux(video.encode(None))
        if sound is not None:
            sound.finish()


def _yuv420p(picture: np.ndarray) -> av.VideoFrame:
    """Full-range yuv420p with even sides, the last row and column repeated where one is missing."""
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

    def __init__(self, container: av.container.OutputContainer, audio: np.ndarray, sampling_rate: int) -> None:
        import soxr

        self._rate = next((known for known in AAC_RATES if known >= sampling_rate), AAC_RATES[-1])
        samples = soxr.resample(np.asarray(audio, np.float32), sampling_rate, self._rate, quality="VHQ")
        self._samples = np.clip(samples, -1, 1)
        self._container = container
        self._stream = container.add_stream("aac", rate=self._rate, layout="mono")
        self._stream.codec_context.flags |= av.codec.context.Flags.bitexact
        self._stream.bit_rate = 128_000
        self._position = 0

    def write_until(self, seconds: Fraction) -> None:
        """Encode the sound up to ``seconds``, in whole blocks of the coder."""
        block = self._stream.codec_context.frame_size or 1024
        while self._position + block <= min(len(self._samples), int(seconds * self._rate)):
            self._encode(block)

    def finish(self) -> None:
        """Encode what is left."""
        block = self._stream.codec_context.frame_size or 1024
        while self._position < len(self._samples):
            self._encode(block)
        self._container.mux(self._stream.encode(None))

    def _encode(self, count: int) -> None:
        piece = np.ascontiguousarray(self._samples[None, self._position : self._position + count])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._position, Fraction(1, self._rate)
        self._position += piece.shape[1]
        self._container.mux(self._stream.encode(frame))


def probe(path: str | Path) -> VideoInfo:
    """Return what the video declares of itself, after decoding its first frame.

    Raises
    ------
    UserError
        The file cannot be read as a video or holds no frame.
    """
    with _opened(path) as (container, stream):
        declared = stream.frames or None
        rate = _frame_rate(path, stream)
        for frame in _frames_of(path, container, stream):
            height, width = _gray(path, frame).shape
            return VideoInfo(width, height, rate, declared)
    raise UserError(path, "holds no frames", "record or export it again")


def read_frames(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    start: float | None = None,
    end: float | None = None,
    depth: Literal[8, 16] = 8,
) -> Iterator[np.ndarray]:
    """Yield every frame of a video, or of a cut of it, in gray; memory does not grow with the length.

    Colour becomes its luma. Limited-range video (16 to 235) is spread over the full range; more than 8 bits are scaled by
    their full range. A rotation by quarter turns that the file asks for is done; pixels are taken as square.

    Parameters
    ----------
    path : any container and codec that FFmpeg decodes.
    size : (height, width) in pixels to scale to, by area where it shrinks, else linearly; None keeps the video's.
    start, end : cut in seconds from the first frame; it begins and ends at the frame starts nearest to them.
    depth : bits of the result: 8 or 16.

    Yields
    ------
    uint8 (or uint16) ``(H, W)``.

    Raises
    ------
    UserError
        The file cannot be read, holds no frame in the cut, ends before what it declares or before ``end``, or is a video of more
        than 8 bits that uses so few of them that 8 would hold next to nothing.
    """
    brightest = 0
    deep = False
    for _, _, picture in _timed_frames(path, start, end):
        if size is not None and picture.shape != size:
            picture = resize(picture, size)
        if depth == 8 and picture.dtype == np.uint16:
            deep = True
            brightest = max(brightest, int(picture.max()))
            picture = ((picture.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
        elif depth == 16 and picture.dtype == np.uint8:
            picture = picture * np.uint16(257)
        yield picture
    if deep and brightest < _DARKEST_DEEP_VIDEO * 65535:
        raise UserError(
            path,
            f"stores more than 8 bits but its brightest point is {brightest / 65535:.1%} of their range",
            "spread its brightness first, with normalize_videos.py",
        )


def resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return ``(H, W)`` scaled to ``size`` (height, width): by area along a side that shrinks, linearly along one that grows."""
    height, width = picture.shape
    smaller = min(height, size[0]), min(width, size[1])
    if smaller != (height, width):
        picture = cv2.resize(picture, smaller[::-1], interpolation=cv2.INTER_AREA)
    if smaller != tuple(size):
        picture = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR)
    return picture


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    with open_media(path, "video") as container:
        stream = next((stream for stream in container.streams.video if not _is_cover(stream)), None)
        if stream is None:
            raise UserError(path, "has no video stream", "give a video file")
        stream.codec_context.thread_count = int(os.environ.get(THREADS_VARIABLE, "1"))
        yield container, stream


@contextmanager
def open_media(path: str | Path, kind: str) -> Iterator[av.container.InputContainer]:
    """Open a media file for reading, refusing what is none in a sentence that calls it ``kind``."""
    path = Path(path)
    if not path.exists():
        raise UserError(path, "there is no such file", "check the path")
    if path.is_dir():
        raise UserError(path, f"is a directory where a {kind} file is wanted", f"give the {kind} file itself")
    if not path.stat().st_size:
        raise UserError(path, "is empty (0 bytes)", "copy or record it again")
    try:
        # An absolute path cannot be taken for a protocol, and a playlist in disguise cannot reach into the network.
        container = av.open(str(path.absolute()), options={"protocol_whitelist": "file"})
    except av.FFmpegError as error:
        with path.open("rb") as file:
            is_mp4 = file.read(8)[4:] == b"ftyp"
        if is_mp4:
            raise UserError(path, "is an mp4 without its index: it was cut off", "copy or record it again") from error
        raise UserError(path, f"is no {kind} that can be read", f"give a {kind} file, or convert it first") from error
    with container:
        yield container


def _is_cover(stream: av.VideoStream) -> bool:
    """Whether the stream is a still picture attached to a piece of music."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _frame_rate(path: str | Path, stream: av.VideoStream) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise UserError(path, "does not say its frame rate", "export it with a constant frame rate")
    return Fraction(rate)


def _timed_frames(
    path: str | Path, start: float | None, end: float | None
) -> Iterator[tuple[Fraction, Fraction, np.ndarray]]:
    """Yield (start time, nominal duration, gray uint8 or uint16 picture) of the frames of a cut, in order of time.

    Times are exact seconds from the first frame of the file.
    """
    with _opened(path) as (container, stream):
        rate = _frame_rate(path, stream)
        half = 1 / rate / 2
        low = None if start is None else Fraction(start) - half
        high = None if end is None else Fraction(end) - half
        origin = stream.start_time
        time = shown_until = None
        count = 0
        for frame in _frames_of(path, container, stream):
            if frame.pts is None:
                time = Fraction(0) if time is None else time + 1 / rate
            else:
                origin = frame.pts if origin is None else origin
                time = (frame.pts - origin) * stream.time_base
            if high is not None and time >= high:
                break
            if low is None or time >= low:
                count += 1
                yield time, 1 / rate, _gray(path, frame)
            shown_until = time + 1 / rate
        else:
            if high is not None and shown_until is not None and shown_until < high:
                raise UserError(
                    path, f"ends at {float(shown_until):.3f} s, before the cut's end {end:g} s", "correct the cut times"
                )
        if not count:
            fault = "holds no frames" if shown_until is None else f"has no frame between {start:g} s and its end"
            raise UserError(
                path, fault, "record or export it again" if shown_until is None else "correct the cut times"
            )


def _frames_of(
    path: str | Path, container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.VideoFrame]:
    """Decode the stream from its beginning, refusing one that ends before what it declares."""
    packets = decoded = 0
    declared = stream.frames
    cut_off = UserError  # built below, when the counts are known
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise cut_off(path, f"is damaged or cut off at frame {packets}", "copy or record it again")
            packets += packet.size > 0
            for frame in packet.decode():
                decoded += 1
                yield frame
    except av.FFmpegError as error:
        raise UserError(
            path, f"frame {decoded} cannot be decoded ({error.strerror})", "copy or record it again"
        ) from error
    if packets < declared:
        raise UserError(
            path, f"is cut off: it declares {declared} frames and holds {packets}", "copy or record it again"
        )


def _gray(path: str | Path, frame: av.VideoFrame) -> np.ndarray:
    """Brightness of a frame over the full range, uint8 ``(H, W)``, or uint16 where the file stores more than 8 bits."""
    name, bits = frame.format.name, max(component.bits for component in frame.format.components)
    planar_luma = name.startswith(("gray", "yuv", "nv")) and frame.format.is_planar or name.startswith("gray")
    if planar_luma and "f" not in name:
        picture = _full_range(frame, bits)
    else:
        rgb = frame.to_ndarray(format="rgb24" if bits <= 8 else "rgb48le")
        picture = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    rotation = frame.rotation
    if rotation % 90:
        raise UserError(path, f"asks to be shown turned by {rotation} degrees", "export it upright")
    return np.rot90(picture, rotation // 90 % 4)


def _full_range(frame: av.VideoFrame, bits: int) -> np.ndarray:
    """The luma plane, spread to the full range of 8 or 16 bits."""
    plane = frame.planes[0]
    kind = np.dtype(np.uint8) if bits == 8 else np.dtype(">u2" if frame.format.is_big_endian else "<u2")
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height]
    luma = rows.view(kind)[:, : frame.width]
    return _spread(bits, _is_limited(frame))[luma]


def _is_limited(frame: av.VideoFrame) -> bool:
    if frame.format.name.startswith("yuvj") or frame.color_range == 2:
        return False
    # Gray formats hold plain brightness unless the file says otherwise; the standard for colour is the limited range.
    return frame.color_range == 1 or not frame.format.name.startswith("gray")


@lru_cache(maxsize=8)
def _spread(bits: int, limited: bool) -> np.ndarray:
    """Table from the stored luma to the full range of 8 or 16 bits (ITU-R BT.709: black 16, white 235, times 2 a bit)."""
    stored = np.arange(2**bits, dtype=np.float64)
    black, white = (16 * 2 ** (bits - 8), 235 * 2 ** (bits - 8)) if limited else (0, 2**bits - 1)
    top = 255 if bits == 8 else 65535
    table = np.clip(np.rint((stored - black) / (white - black) * top), 0, top)
    return table.astype(np.uint8 if bits == 8 else np.uint16)
