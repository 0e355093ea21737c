"""Opens and decodes media files; refuses files that are not recordings, or are incomplete."""

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
"""Environment variable: threads per decoder. Default 1, because a workflow decodes many clips in parallel."""

_ROUNDING = Fraction(1, 50)
"""Tolerance for durations, seconds: rounded clocks and codec padding."""

_REORDERED = 16
"""Largest reordering delay of codecs (H.264, HEVC), frames."""

_AGAIN = "copy or record it again"

_MOST_PIXELS = 1 << 26
"""Maximum pixels per frame: more than any camera's, and small enough for memory whatever a file declares."""


def require_file(path: str | Path, kind: str) -> Path:
    """Return ``path`` as a `Path` if it is a non-empty file; ``kind`` names the expected content in errors."""
    path = Path(path)
    if not path.exists():
        raise UserError(path, "there is no such file", "check the path")
    if path.is_dir():
        raise UserError(path, f"is a directory, not a file of {kind}", "give the file itself")
    if not path.stat().st_size:
        raise UserError(path, "is empty (0 bytes)", _AGAIN)
    return path


@contextmanager
def open_media(path: str | Path, kind: str) -> Iterator[av.container.InputContainer]:
    """Open a file with FFmpeg; ``kind`` (video, audio) names the expected content in errors.

    Raises
    ------
    UserError
        The file is missing, a directory, empty, cut off before its index, or not media.
    """
    path = require_file(path, kind)
    try:
        # An absolute path is not parsed as a protocol; the whitelist keeps playlists from accessing the network.
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
    """Return the first video stream of a file, ignoring cover art."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    return None


def packets(container: av.container.InputContainer, stream: av.stream.Stream) -> Iterator[av.Packet]:
    """Demux a stream; video packets of an avi get its decoding times instead of FFmpeg's guessed ones."""
    is_avi_picture = stream.type == "video" and container.format.name == "avi"
    for packet in container.demux(stream):
        if is_avi_picture:
            packet.pts = packet.dts
        yield packet


def decoded(
    path: str | Path, container: av.container.InputContainer, stream: av.stream.Stream
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decode a stream from the current position to its end, in presentation order.

    If time stamps go back, as in a file with decoding times only, the sorted stamps are assigned to the frames in
    order.

    Raises
    ------
    UserError
        The stream is damaged or shorter than declared, or a video's stamps go back further than its codec reorders
        frames.
    """
    frames = _decoded(path, container, stream)
    if stream.type != "video":
        return frames
    coder = stream.codec_context
    return _in_order(path, frames, _REORDERED if coder is not None and coder.codec.reorder else 0)


def begin_of_picture(path: str | Path, container: av.container.InputContainer) -> Fraction:
    """Return the time of a file's first video frame, or of its first sample without video, in seconds of its clock.

    Times are relative to it. The declared start is not usable: in a file cut between key frames it belongs to a packet
    that cannot be decoded.

    Parameters
    ----------
    path : the file, which is opened a second time.
    container : the same file, open.

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
    """Return the error for a video whose time stamps restart or jump back at ``seconds``."""
    return UserError(path, f"its time stamps go back at {float(seconds):.3f} s", "copy or export it again")


def _in_order(path: str | Path, frames: Iterator[av.VideoFrame], kept_back: int) -> Iterator[av.VideoFrame]:
    """Assign sorted time stamps to frames in presentation order."""
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
        raise UserError(path, f"holds {stream.type} with an unknown codec", "convert it, or copy it again")
    if stream.type == "video":
        if coder.width * coder.height > _MOST_PIXELS:
            raise UserError(path, f"declares pictures of {coder.width}x{coder.height}", "crop or copy it again")
        # A stream can change its size later.
        coder.options = {"max_pixels": str(_MOST_PIXELS)}
    if coder.name == "flac":
        coder.options = {"err_detect": "crccheck"}
    coder.thread_count = _threads()
    count = frames = ticks = 0
    until = Fraction(0)
    try:
        for packet in packets(container, stream):
            # FFmpeg reports a corrupt last packet for a wav without a declared length.
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
    # An avi counts dropped frames, an mp4 those outside its edit list: the file is cut off only if the end is missing
    # too.
    if stream.type == "video" and count < stream.frames and not _reaches_end(stream, until):
        raise UserError(path, f"is cut off: it declares {stream.frames} frames and holds {count}", _AGAIN)
    if frames and "DURATION" in stream.metadata:
        _require_length(path, _seconds(stream.metadata["DURATION"]), until)
    elif stream.type == "audio" and "mov" in container.format.name and stream.duration is not None:
        # Packet counts are no help: for uncompressed sound an mp4 counts samples.
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
    """Seconds of a Matroska stream's duration tag, such as ``00:00:01.500000000``."""
    try:
        hours, minutes, seconds = (Fraction(part) for part in duration.split(":"))
    except ValueError:
        return Fraction(0)
    return hours * 3600 + minutes * 60 + seconds
