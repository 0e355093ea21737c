"""Opening and decoding media files: what is no recording, or only part of one, is refused in a sentence."""

from __future__ import annotations

import heapq
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av

from rtmri_speech.errors import UserError

THREADS_VARIABLE = "RTMRI_DECODER_THREADS"
"""Environment variable: threads of a decoder. 1 when unset, since a workflow decodes many clips at a time."""

_ROUNDING = Fraction(1, 50)
"""Difference of two durations, in seconds, that rounded clocks and the padding of coders explain."""

_REORDERED = 16
"""Most pictures that coders (H.264, HEVC) keep back to show them later."""

_AGAIN = "copy or record it again"

_MOST_PIXELS = 1 << 26
"""Pixels of a picture: beyond any camera's, and so few that one fits into memory whatever a file says of its size."""


def require_file(path: str | Path, kind: str) -> Path:
    """Return ``path`` as a `Path` when a file with content is there; ``kind`` says in the refusal what was wanted."""
    path = Path(path)
    if not path.exists():
        raise UserError(path, "there is no such file", "check the path")
    if path.is_dir():
        raise UserError(path, f"is a directory where a file of {kind} is wanted", "give the file itself")
    if not path.stat().st_size:
        raise UserError(path, "is empty (0 bytes)", _AGAIN)
    return path


@contextmanager
def open_media(path: str | Path, kind: str) -> Iterator[av.container.InputContainer]:
    """Open a file with FFmpeg's demuxers; what they do not know is refused as no ``kind`` (video, audio).

    Raises
    ------
    UserError
        The file is missing, a directory, empty, cut off before its index, or of another kind.
    """
    path = require_file(path, kind)
    try:
        # An absolute path cannot be taken for a protocol, and a playlist in disguise cannot reach into the network.
        container = av.open(str(path.absolute()), options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except av.FFmpegError as error:
        with path.open("rb") as file:
            is_mp4 = file.read(8)[4:] == b"ftyp"
        if is_mp4:
            raise UserError(path, "is an mp4 without its index: it was cut off", _AGAIN) from error
        raise UserError(path, f"holds no {kind} that can be read", f"give a file of {kind}, or convert it") from error
    with container:
        yield container


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """Return the first moving picture of a file; the cover of a piece of music is none."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    return None


def packets(container: av.container.InputContainer, stream: av.stream.Stream) -> Iterator[av.Packet]:
    """Demux a stream; packets of an avi's picture, which keeps times of decoding only, carry those and no guesses."""
    is_avi_picture = stream.type == "video" and container.format.name == "avi"
    for packet in container.demux(stream):
        if is_avi_picture:
            packet.pts = packet.dts
        yield packet


def decoded(
    path: str | Path, container: av.container.InputContainer, stream: av.stream.Stream
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decode a stream, a video from where ``container`` stands, to its end and in order of time.

    Pictures come as they are shown. Where their stamps go back, as in a file that keeps the times of decoding only,
    the first picture has the first stamp, the second the second, and so on.

    Raises
    ------
    UserError
        A part is damaged, the stream ends before what the file declares, or a video's stamps go back further than its
        coder puts pictures in another order.
    """
    frames = _decoded(path, container, stream)
    if stream.type != "video":
        return frames
    coder = stream.codec_context
    return _in_order(path, frames, _REORDERED if coder is not None and coder.codec.reorder else 0)


def begin_of_picture(path: str | Path, container: av.container.InputContainer) -> Fraction:
    """Return when a file shows its first picture, or where its sound begins if it has none, in seconds of its clock.

    Picture and sound count from here. Where a file was cut between key frames, the start that it declares is that of a
    packet which cannot be decoded.

    Parameters
    ----------
    path : the file, which is opened once more.
    container : the same, opened.

    Raises
    ------
    UserError
        As `decoded`.
    """
    picture = video_stream(container)
    if picture is None:
        sound = container.streams.audio[0]
        return (sound.start_time or 0) * sound.time_base
    with open_media(path, "video") as other:
        stream = other.streams[picture.index]
        for number, frame in enumerate(decoded(path, other, stream)):
            if frame.pts is not None:
                rate = stream.average_rate or stream.guessed_rate
                return frame.pts * frame.time_base - (number / rate if rate else 0)
    return Fraction(0)


def stamps_go_back(path: str | Path, seconds: Fraction) -> UserError:
    """Return the refusal of a video whose time stamps begin anew or jump back at ``seconds``."""
    return UserError(path, f"its time stamps go back at {float(seconds):.3f} s", "copy or export it again")


def _in_order(path: str | Path, frames: Iterator[av.VideoFrame], kept_back: int) -> Iterator[av.VideoFrame]:
    """Give pictures, which come in the order of showing, their stamps in order: the smallest to the first."""
    waiting: deque[av.VideoFrame] = deque()
    stamps: list[tuple[int, int]] = []
    before = None

    def first(given: int) -> av.VideoFrame:
        nonlocal before
        frame = waiting.popleft()
        if frame.pts is not None:
            stamp, _ = heapq.heappop(stamps)
            left_over = min((number for _, number in stamps), default=given)
            twice = stamp == before and stamp != frame.pts
            if twice or (before is not None and stamp < before) or left_over < given - kept_back:
                raise stamps_go_back(path, frame.pts * frame.time_base)
            frame.pts = before = stamp
        return frame

    number = -1
    for number, frame in enumerate(frames):
        waiting.append(frame)
        if frame.pts is not None:
            heapq.heappush(stamps, (frame.pts, number))
        if len(waiting) > kept_back:
            yield first(number - kept_back)
    while waiting:
        yield first(number + 1 - len(waiting))


def _decoded(
    path: str | Path, container: av.container.InputContainer, stream: av.stream.Stream
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    coder = stream.codec_context
    if coder is None:
        raise UserError(path, f"holds {stream.type} of a kind that cannot be decoded", "convert it, or copy it again")
    if stream.type == "video":
        if coder.width * coder.height > _MOST_PIXELS:
            raise UserError(path, f"says that its pictures are {coder.width}x{coder.height}", "crop or copy it again")
        # A stream may change its size later.
        coder.options = {"max_pixels": str(_MOST_PIXELS)}
    if coder.name == "flac":
        coder.options = {"err_detect": "crccheck"}
    coder.thread_count = _threads()
    count = frames = ticks = 0
    until = Fraction(0)
    try:
        for packet in packets(container, stream):
            # A wav that does not say its length ends with what FFmpeg takes for a part of a packet.
            if packet.is_corrupt and container.format.name != "wav":
                raise UserError(path, f"is damaged or cut off after {float(until):.3f} s", _AGAIN)
            if packet.size:
                count += 1
                ticks += packet.duration or 0
                if packet.pts is not None:
                    until = max(until, (packet.pts + (packet.duration or 0)) * packet.time_base)
            for frame in packet.decode():
                frames += 1
                yield frame
    except av.FFmpegError as error:
        fault = f"cannot be decoded after {float(until):.3f} s ({error.strerror})"
        raise UserError(path, fault, _AGAIN) from error
    # An avi counts the frames that its camera dropped, an mp4 those outside its edit list: only when the end is missing
    # too is it cut off.
    if stream.type == "video" and count < stream.frames and not _reaches_end(stream, until):
        raise UserError(path, f"is cut off: it declares {stream.frames} frames and holds {count}", _AGAIN)
    if frames and "DURATION" in stream.metadata:
        _require_length(path, _seconds(stream.metadata["DURATION"]), until)
    elif stream.type == "audio" and "mov" in container.format.name and stream.duration is not None:
        # The numbers of packets tell nothing here: an mp4 counts samples of uncompressed sound.
        _require_length(path, stream.duration * stream.time_base, ticks * stream.time_base)


def _reaches_end(stream: av.VideoStream, until: Fraction) -> bool:
    if stream.duration is None:
        return False
    end = (stream.duration + (stream.start_time or 0)) * stream.time_base
    return until + Fraction(1, 2) / (stream.average_rate or stream.guessed_rate) >= end


def _threads() -> int:
    value = os.environ.get(THREADS_VARIABLE, "1")
    if not value.isdecimal() or value == "0":
        raise UserError(THREADS_VARIABLE, f"is {value!r} in the environment", "give a whole number of at least 1")
    return int(value)


def _require_length(path: str | Path, declared: Fraction, held: Fraction) -> None:
    if held + _ROUNDING < declared:
        raise UserError(path, f"is cut off: it declares {float(declared):.3f} s and holds {float(held):.3f} s", _AGAIN)


def _seconds(duration: str) -> Fraction:
    """Seconds of the duration a Matroska file carries for a stream, such as ``00:00:01.500000000``."""
    try:
        hours, minutes, seconds = (Fraction(part) for part in duration.split(":"))
    except ValueError:
        return Fraction(0)
    return hours * 3600 + minutes * 60 + seconds
