"""Opening and decoding media files: what is no recording, or only part of one, is refused in a sentence."""

from __future__ import annotations

import os
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


def decoded(
    path: str | Path, container: av.container.InputContainer, stream: av.stream.Stream
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decode a stream, a video from where ``container`` stands, to its end and in order of time.

    Raises
    ------
    UserError
        A part is damaged, or the stream ends before what the file declares.
    """
    coder = stream.codec_context
    if coder is None:
        raise UserError(path, f"holds {stream.type} of a kind that cannot be decoded", "convert it, or copy it again")
    if stream.type == "video":
        if coder.width * coder.height > _MOST_PIXELS:
            raise UserError(path, f"says that its pictures are {coder.width}x{coder.height}", "crop or copy it again")
        # A stream may change its size later.
        coder.options = {"max_pixels": str(_MOST_PIXELS)}
    coder.thread_count = _threads()
    packets = frames = ticks = 0
    until = Fraction(0)
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise UserError(path, f"is damaged or cut off after {float(until):.3f} s", _AGAIN)
            if packet.size:
                packets += 1
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
    if stream.type == "video" and packets < stream.frames and not _reaches_end(stream, until):
        raise UserError(path, f"is cut off: it declares {stream.frames} frames and holds {packets}", _AGAIN)
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
