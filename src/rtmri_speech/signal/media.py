"""Opening and decoding media files: what is no recording, or only part of one, is refused in a sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from rtmri_speech.errors import UserError

THREADS_VARIABLE = "RTMRI_DECODER_THREADS"
"""Environment variable: threads of a decoder. 1 when unset, since a workflow decodes many clips at a time."""

_AGAIN = "copy or record it again"


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
        container = av.open(str(path.absolute()), options={"protocol_whitelist": "file"})
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
    """Decode a stream from its beginning to its end, in order of time.

    Raises
    ------
    UserError
        A part is damaged, or the stream ends before what the file declares.
    """
    stream.codec_context.thread_count = int(os.environ.get(THREADS_VARIABLE, "1"))
    packets = frames = 0
    shown_until = Fraction(0)
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise UserError(path, f"is damaged or cut off after {_moment(shown_until)}", _AGAIN)
            if packet.size:
                packets += 1
                if packet.pts is not None:
                    shown_until = max(shown_until, (packet.pts + (packet.duration or 0)) * packet.time_base)
            for frame in packet.decode():
                frames += 1
                yield frame
    except av.FFmpegError as error:
        raise UserError(path, f"cannot be decoded after {_moment(shown_until)} ({error.strerror})", _AGAIN) from error
    if packets < stream.frames:
        raise UserError(path, f"is cut off: it declares {stream.frames} frames and holds {packets}", _AGAIN)
    declared = _declared_end(stream.metadata)
    if frames and declared is not None and shown_until + _END_TOLERANCE < declared:
        raise UserError(path, f"is cut off: it declares {_moment(declared)} and holds {_moment(shown_until)}", _AGAIN)


_END_TOLERANCE = Fraction(1, 50)
"""By how many seconds the last packet may end before a declared duration: Matroska rounds its times to milliseconds."""


def _declared_end(metadata: dict[str, Any]) -> Fraction | None:
    """End of a Matroska stream by its DURATION tag (``00:00:01.500000000``), seconds."""
    parts = metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = (Fraction(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds


def _moment(seconds: Fraction) -> str:
    return f"{float(seconds):.3f} s"
