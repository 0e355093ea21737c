"""Reads audio (wav, flac, ogg, a video's own track) as mono at a given rate, and writes wavs.

Times are relative to the file's first sample, or to the start of a video's first frame. Files are read in blocks.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import soundfile
import soxr

from rtmri_speech.atomic import replacing
from rtmri_speech.errors import UserError
from rtmri_speech.signal.frame_store import mat_sound
from rtmri_speech.signal.media import begin_of_picture, decoded, open_media, require_file
from rtmri_speech.signal.store_paths import is_frame_store

FULL_SCALE = 32767
"""16-bit value of 1.0 in a written wav."""

SILENCE = 10 ** (-90 / 20)
"""Peak below which a recording counts as silent: -90 dB of full scale, one step of 16 bits."""

_OVERSHOOT = 1.25
"""Peak above which a signal is refused instead of clipped: lossy codecs exceed full scale by up to 2 dB."""

_RATES = range(1000, 1_000_001)
"""Plausible sampling rates of a recording, Hz."""

_LONGEST_GAP = 3600.0
"""Longest plausible gap before a track or between two of its time stamps, seconds."""

_BLOCK = 1 << 16
"""Samples read at a time."""

_UNKNOWN_LENGTHS = (0x7FFFF000, 0x80000000, 0xFFFFFFFF)
"""Lengths declared for a wav of unknown length, bytes: by SoX and MPlayer, arecord, FFmpeg and others."""

_UNKNOWN_FRAMES = 2**63 - 1
"""Length reported by libsndfile for a FLAC that does not declare it, samples."""

_FIRST_MP3_FRAME = 2048
"""Bytes that contain the first frame of an mp3, which has at most 1441."""

_GAP = 0.02
"""Smallest jump of a track's time stamps treated as a gap rather than rounding, seconds."""


def read_audio(
    path: str | Path, *, sampling_rate: int, start: float | None = None, end: float | None = None
) -> np.ndarray:
    """Return a sound file, or a video's own track, as mono at ``sampling_rate``.

    Channels are averaged, then resampled by soxr at very high quality. The cut is exact to a sample of the file; a
    negative ``start`` is padded with zeros.

    Parameters
    ----------
    path : wav (any depth), flac, ogg, a ``.mat`` in mview's form, or anything FFmpeg decodes.
    sampling_rate : of the result, Hz.
    start, end : cut, seconds.

    Returns
    -------
    float32 ``(N,)``, full scale 1.

    Raises
    ------
    UserError
        The file is unreadable, cut off, has no sound (in the cut), or has NaN or infinite samples.
    """
    return np.concatenate(list(audio_blocks(path, sampling_rate=sampling_rate, start=start, end=end)))


def audio_blocks(
    path: str | Path, *, sampling_rate: int, start: float | None = None, end: float | None = None
) -> Iterator[np.ndarray]:
    """Yield the result of `read_audio` in blocks, in constant memory."""
    rate, blocks = _open(path, start, end)
    yield from _resampled(blocks, rate, sampling_rate)


def track_rate(path: str | Path) -> int | None:
    """Return the sampling rate of a video's own sound track, Hz, or None when it has none, as a store of frames."""
    if is_frame_store(path):
        return None
    with open_media(path, "audio") as container:
        stream = next(iter(container.streams.audio), None)
        # A track of an unknown codec has no codec context.
        return None if stream is None or stream.codec_context is None else stream.rate


def sound_length(path: str | Path) -> tuple[int, float | None]:
    """Return the sampling rate (Hz) and the seconds of a sound file or track, as declared; None if it declares none.

    Raises
    ------
    UserError
        The file is unreadable, or has no sound.
    """
    path = require_file(path, "audio")
    if path.suffix.lower() == ".mat":
        rate, samples = mat_sound(path)
        return rate, len(samples) / rate
    if (file := _open_soundfile(path)) is not None:
        with file:
            return file.samplerate, file.frames / file.samplerate
    with open_media(path, "audio") as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None or stream.codec_context is None:
            raise _no_track(path)
        return stream.rate, float(stream.duration * stream.time_base) if stream.duration else None


def copy_audio(
    source: str | Path,
    target: str | Path,
    *,
    sampling_rate: int,
    samples: int,
    start: float | None = None,
    end: float | None = None,
    gain: float = 1.0,
) -> int:
    """Write the sound of a file as a mono 16-bit wav of exactly ``samples`` samples; return the available number.

    Uses constant memory; samples are those of `read_audio`.

    Parameters
    ----------
    source : as in `read_audio`.
    target : the wav, written atomically.
    sampling_rate : of the wav, Hz.
    samples : length of the wav; the sound is padded with zeros or cut.
    start, end : cut of the source, seconds.
    gain : factor on every sample.

    Returns
    -------
    Samples from ``start`` to the sound's end (or ``end``) at ``sampling_rate``; more or fewer than ``samples``.

    Raises
    ------
    UserError
        As `read_audio`; the sound is silent; or the gain drives it far beyond full scale.
    """
    rate, blocks = _open(source, start, end)
    peak, available, written = 0.0, 0, 0

    def watched() -> Iterator[np.ndarray]:
        nonlocal peak
        for block in blocks:
            peak = max(peak, float(np.abs(block).max(initial=0)))
            yield block

    with replacing(target) as temporary, temporary.open("wb") as file, wave.open(file, "wb") as out:
        _set_format(out, sampling_rate)
        for block in _resampled(watched(), rate, sampling_rate):
            available += len(block)
            kept = block[: samples - written]
            out.writeframesraw(to_int16(kept * np.float32(gain)))
            written += len(kept)
        while written < samples:
            zeros = min(samples - written, _BLOCK)
            out.writeframesraw(bytes(2 * zeros))
            written += zeros
        if peak < SILENCE:
            raise UserError(
                source, f"is silent: its peak is {_decibels(peak)}", "check the recording's channel and level"
            )
        if peak * gain > _OVERSHOOT:
            raise UserError(
                source,
                f"reaches {peak * gain:.3g} times full scale with a gain of {gain:g}",
                f"give a gain of at most {1 / peak:.3g} for all clips",
            )
    return available


def write_wav(path: str | Path, audio: np.ndarray, sampling_rate: int) -> None:
    """Write a mono 16-bit wav, atomically.

    Parameters
    ----------
    path : the file to write.
    audio : samples in [-1, 1], float ``(N,)``; rounded to 1/32767, and clipped beyond the range.
    sampling_rate : Hz.

    Raises
    ------
    UserError
        A sample is NaN or infinite.
    """
    audio = np.asarray(audio)
    if not np.isfinite(audio).all():
        raise UserError(path, "would hold samples that are NaN or infinite", "correct the signal before it is written")
    with replacing(path) as temporary, temporary.open("wb") as file, wave.open(file, "wb") as out:
        _set_format(out, sampling_rate)
        out.writeframes(to_int16(audio))


class WavSamples:
    """Lazy access to the samples of a mono sound file: ``len`` and slices without a step.

    Parameters
    ----------
    path : the file; it stays open until the object is closed or collected.

    Attributes
    ----------
    sampling_rate : Hz.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = _open_soundfile(require_file(path, "audio"))
        if self._file is None or self._file.channels != 1:
            raise UserError(path, "is not a mono wav", "make it with preprocess_rtmri_data.py")
        self.sampling_rate = self._file.samplerate

    def __len__(self) -> int:
        return self._file.frames

    def __getitem__(self, index: slice) -> np.ndarray:
        """Return the samples of a slice, float32 ``(n,)``, full scale 1."""
        first, stop, step = index.indices(len(self))
        if step != 1:
            raise ValueError(f"a step of {step} is not supported")
        self._file.seek(first)
        return self._file.read(max(stop - first, 0), dtype="float32")

    def __enter__(self) -> WavSamples:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _set_format(out: wave.Wave_write, sampling_rate: int) -> None:
    out.setnchannels(1)
    out.setsampwidth(2)
    out.setframerate(sampling_rate)


def to_int16(audio: np.ndarray) -> bytes:
    """Return samples in [-1, 1] as 16-bit integers, little-endian; rounded to 1/32767, and clipped."""
    return np.clip(np.rint(audio * FULL_SCALE), -FULL_SCALE - 1, FULL_SCALE).astype("<i2").tobytes()


def _decibels(peak: float) -> str:
    return f"{20 * np.log10(peak):.0f} dB of full scale" if peak else "zero"


def _resampled(blocks: Iterator[np.ndarray], rate: int, wanted: int) -> Iterator[np.ndarray]:
    if rate == wanted:
        yield from blocks
        return
    resampler = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="VHQ")
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def _open(path: str | Path, start: float | None, end: float | None) -> tuple[int, Iterator[np.ndarray]]:
    """Return the file's sampling rate and the mono float32 blocks of a cut, at least one of them not empty."""
    path = require_file(path, "audio")
    first = Fraction(start or 0)
    file = None if path.suffix.lower() == ".mat" else _open_soundfile(path)
    if path.suffix.lower() == ".mat":
        rate, samples = mat_sound(path)
        position, blocks = 0, (samples[begin : begin + _BLOCK] for begin in range(0, len(samples), _BLOCK))
    elif file is None:
        rate, blocks = _open_track(path)
        position = 0
    else:
        rate = file.samplerate
        position = min(max(round(first * rate), 0), file.frames)
        blocks = _file_blocks(path, file, position)
    if rate not in _RATES:
        raise UserError(path, f"declares a sampling rate of {rate} Hz", "export it again with its sampling rate")
    return rate, _cut(path, blocks, position, round(first * rate), None if end is None else round(Fraction(end) * rate))


def _cut(path: Path, blocks: Iterator[np.ndarray], position: int, first: int, stop: int | None) -> Iterator[np.ndarray]:
    """Checked samples ``[first, stop)`` of blocks that start at ``position``; zeros at negative positions."""
    count = 0
    for block in blocks:
        if stop is not None and position >= stop:
            break
        block_end = position + len(block)
        kept = block[max(first - position, 0) : None if stop is None else stop - position]
        position = block_end
        if len(kept):
            if not count and first < 0:
                for begin in range(first, 0, _BLOCK):
                    yield np.zeros(min(_BLOCK, -begin), np.float32)
            if not np.isfinite(kept).all():
                raise UserError(path, "has samples that are NaN or infinite", "export it again without them")
            count += len(kept)
            yield kept
    if not count:
        where = "" if first <= 0 and stop is None else " in the requested interval"
        raise UserError(path, f"has no samples{where}", "check the recording and its cut times")


def _open_soundfile(path: Path) -> soundfile.SoundFile | None:
    """Open a file with libsndfile; None if it cannot, or if the file does not declare its length."""
    if _wav_of_unknown_length(path):
        return None
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError:
        return None
    if file.frames == _UNKNOWN_FRAMES or (file.format == "MP3" and not _mp3_has_length(path)):
        file.close()
        return None
    return file


def _wav_of_unknown_length(path: Path) -> bool:
    """Return whether a RIFF wav was written without a known length, for example to a pipe.

    Raises
    ------
    UserError
        Its data chunk is longer than the file; libsndfile would silently read the part that exists.
    """
    size = path.stat().st_size
    block = 1
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return False
        file.seek(12)
        while len(header := file.read(8)) == 8:
            length = int.from_bytes(header[4:], "little")
            if header[:4] == b"data":
                held = size - file.tell()
                if not length:
                    return held > 0 and not _only_chunks_follow(file, size)
                if length <= held:
                    return False
                # Some programs round the number down to whole samples.
                if any(unknown - block < length <= unknown for unknown in _UNKNOWN_LENGTHS):
                    return True
                raise UserError(
                    path,
                    f"is cut off: it declares {length} bytes of sound and holds {held}",
                    "copy or record it again",
                )
            content = file.read(min(length, 14)) if header[:4] == b"fmt " else b""
            if len(content) == 14:
                block = max(int.from_bytes(content[12:], "little"), 1)
            file.seek(length + length % 2 - len(content), 1)
    return False


def _only_chunks_follow(file: BinaryIO, size: int) -> bool:
    """Return whether the rest of a file consists of RIFF chunks, such as metadata after the sound."""
    while len(header := file.read(8)) == 8 and header[:4].isalnum():
        length = int.from_bytes(header[4:], "little")
        file.seek(length + length % 2, 1)
    return not header and file.tell() == size


def _mp3_has_length(path: Path) -> bool:
    """Return whether an mp3 starts with a frame with its length; otherwise libsndfile estimates it."""
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":
            file.seek(sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(head[6:]))), 1)
        first = file.read(_FIRST_MP3_FRAME)
    return any(tag in first for tag in (b"Xing", b"Info", b"VBRI"))


def _file_blocks(path: Path, file: soundfile.SoundFile, first: int) -> Iterator[np.ndarray]:
    with file:
        remaining = file.frames - first
        while remaining > 0:
            try:
                file.seek(file.frames - remaining)
                block = file.read(min(_BLOCK, remaining), dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                block = np.empty((0, 1), np.float32)
            if not len(block):
                held = (file.frames - remaining) / file.samplerate
                raise UserError(
                    path,
                    f"is damaged or cut off: it declares {file.frames / file.samplerate:.3f} s and holds {held:.3f} s",
                    "copy or record it again",
                )
            remaining -= len(block)
            yield block.mean(axis=1)


def _open_track(path: Path) -> tuple[int, Iterator[np.ndarray]]:
    """Return rate and mono blocks of the first audio track, from the start of the video's first frame."""
    rate = track_rate(path)
    if rate is None:
        raise _no_track(path)
    return rate, _track_blocks(path, rate)


def _no_track(path: Path) -> UserError:
    return UserError(path, "has no audio track", "give a wav or flac file beside it")


def _track_blocks(path: Path, rate: int) -> Iterator[np.ndarray]:
    with open_media(path, "audio") as container:
        stream = container.streams.audio[0]
        origin = begin_of_picture(path, container)
        to_float = av.AudioResampler(format="fltp", rate=rate)
        expected = None
        given = 0
        for frame in decoded(path, container, stream):
            begin = expected or 0
            if frame.pts is not None:
                stamped = round((frame.pts * frame.time_base - origin) * rate)
                if expected is None or abs(stamped - expected) > _GAP * rate:
                    if expected is not None and container.format.name == "flac":
                        raise UserError(path, f"is damaged after {expected / rate:.3f} s", "copy or record it again")
                    begin = stamped
                if begin - given > _LONGEST_GAP * rate:
                    raise UserError(
                        path,
                        f"has no sound from {given / rate:.3f} s to {begin / rate:.3f} s: its time stamps are broken",
                        "copy or export it again",
                    )
            while given < begin:
                zeros = min(begin - given, _BLOCK)
                yield np.zeros(zeros, np.float32)
                given += zeros
            for converted in to_float.resample(frame):
                block = converted.to_ndarray().mean(axis=0)
                # Skip samples before the first frame and repeated ones.
                yield block[given - begin :]
                begin += len(block)
                given = max(given, begin)
            expected = begin
