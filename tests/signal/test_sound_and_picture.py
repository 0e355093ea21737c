"""A flash of one frame and a click in its middle stay in step for every file format and cut."""

from fractions import Fraction

import av
import numpy as np
import pytest

from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.video import frames_at_rate

HERTZ = 48000


def record(path, codec, pixels, *, rate=Fraction(25), frames=100, sound="aac", every=25, options=None):
    """Write a flash in frame 10, and ``every`` so many frames, with a click in each, as some other program would."""
    flash, dark = (
        av.VideoFrame.from_ndarray(np.full((32, 32), value, np.uint8), "gray").reformat(format=pixels)
        for value in (230, 30)
    )
    times = np.arange(-120, 120) / HERTZ
    click = 0.8 * np.hanning(240) * np.cos(2 * np.pi * 2000 * times)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate, options=options or {})
        video.width = video.height = 32
        video.pix_fmt = pixels
        track = container.add_stream(sound, rate=HERTZ, layout="mono")
        resampler = av.AudioResampler(track.format, "mono", HERTZ, track.codec_context.frame_size or 1024)
        written = 0
        for number in range(frames):
            frame = flash if number % every == 10 else dark
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(video.encode(frame))
            until = int((number + 1) / rate * HERTZ)
            samples = np.zeros((1, until - written), np.float32)
            if number % every == 10:
                middle = round((number + Fraction(1, 2)) / rate * HERTZ) - written
                samples[0, middle - 120 : middle + 120] = click
            block = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = HERTZ, written, Fraction(1, HERTZ)
            written = until
            for piece in resampler.resample(block):
                container.mux(track.encode(piece))
        container.mux(video.encode(None))
        for piece in resampler.resample(None):
            container.mux(track.encode(piece))
        container.mux(track.encode(None))


def apart(frames, sound, rate):
    """Frames by which each click is later than the flash nearest to it."""
    flashes = np.flatnonzero(np.array([frame.mean() > 130 for frame in frames])) + 0.5
    clicks = np.flatnonzero(np.abs(sound) > 0.4) / HERTZ * float(rate)
    # A click is a few samples above the threshold: they count as one, at their mean.
    clicks = [group.mean() for group in np.split(clicks, np.flatnonzero(np.diff(clicks) > 1) + 1) if len(group)]
    # At an edge of the cut there may be the one without the other.
    inside = [click for click in clicks if 1 < click < len(frames) - 1]
    assert inside, "no click in the cut"
    return np.array([min((click - flash for flash in flashes), key=abs) for click in inside])


def read(path, rate, method="nearest", **cut):
    return list(frames_at_rate(path, rate, method, **cut)), read_audio(path, sampling_rate=HERTZ, **cut)


RECORDINGS = {
    "h264 with b-frames.mp4": ("libx264", "yuv420p", "aac", {"bf": "3"}),
    "h264.mkv": ("libx264", "yuv420p", "flac", {"bf": "3"}),
    "h264.avi": ("libx264", "yuv420p", "pcm_s16le", {"bf": "3"}),
    "h264.ts": ("libx264", "yuv420p", "aac", {}),
    "h264.flv": ("libx264", "yuv420p", "aac", {}),
    "mpeg2.ts": ("mpeg2video", "yuv420p", "mp2", {"bf": "2"}),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", "mp2", {"bf": "2"}),
    "mpeg2.mxf": ("mpeg2video", "yuv422p", "pcm_s16le", {"bf": "2"}),
    "mpeg4.mp4": ("mpeg4", "yuv420p", "aac", {}),
    "mpeg4.avi": ("mpeg4", "yuv420p", "pcm_s16le", {}),
    "mpeg4 with b-frames.avi": ("mpeg4", "yuv420p", "pcm_s16le", {"bf": "2"}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", "pcm_s16le", {}),
    "raw gray.avi": ("rawvideo", "gray", "pcm_s16le", {}),
    "raw yuyv.avi": ("rawvideo", "yuyv422", "pcm_s16le", {}),
    "raw bgr.avi": ("rawvideo", "bgr24", "pcm_s16le", {}),
    "ffv1 gray.mkv": ("ffv1", "gray", "aac", {}),
    "ffv1 10 bits.mkv": ("ffv1", "yuv420p10le", "pcm_s16le", {}),
    "ffv1.nut": ("ffv1", "gray", "aac", {}),
    "png.mov": ("png", "rgb24", "pcm_s16le", {}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", "libopus", {"deadline": "realtime"}),
    "prores.mov": ("prores_ks", "yuv422p10le", "aac", {}),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_flash_and_click_stay_together_wherever_a_recording_is_cut(tmp_path, name):
    codec, pixels, sound, options = RECORDINGS[name]
    record(tmp_path / name, codec, pixels, sound=sound, options={"g": "12", **options})
    frames, samples = read(tmp_path / name, Fraction(25))
    lags = apart(frames, samples, 25)
    assert len(lags) == 4
    assert np.abs(lags).max() <= 0.5
    for start in np.random.default_rng(0).uniform(0, 2.6, 20):
        lags = apart(*read(tmp_path / name, Fraction(25), start=start, end=start + 1.3), 25)
        assert np.abs(lags).max() <= 0.5


def without_its_beginning(path, share, block):
    """Copy a file from somewhere on: from a block of bytes on, or from a packet where it has a header."""
    cut = path.with_name(f"cut {path.name}")
    if block:
        content = path.read_bytes()
        cut.write_bytes(content[int(share * len(content)) // block * block :])
        return cut
    with av.open(str(path)) as source, av.open(str(cut), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        packets = [packet for packet in source.demux() if packet.size]
        for packet in packets[int(share * len(packets)) :]:
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    return cut


@pytest.mark.parametrize(
    ("name", "block"), [("h264.ts", 188), ("mpeg2.ts", 188), ("h264.mkv", None), ("h264.flv", None)]
)
def test_a_recording_starting_between_key_frames_stays_in_step(tmp_path, name, block):
    codec, pixels, sound, options = RECORDINGS[name]
    record(tmp_path / name, codec, pixels, sound=sound, frames=250, options={"g": "45", **options})
    for share in (0.06, 0.22, 0.3):
        cut = without_its_beginning(tmp_path / name, share, block)
        for stretch in ({}, {"start": 1.31, "end": 4.0}):
            lags = apart(*read(cut, Fraction(25), **stretch), 25)
            assert len(lags) >= 2
            assert np.abs(lags).max() <= 0.5


@pytest.mark.parametrize(
    ("rate", "mel_rate"),
    [
        (Fraction(30000, 1001), Fraction(30)),
        (Fraction(83278, 1000), Fraction(250, 3)),
        (Fraction(2318, 100), Fraction(20000, 861)),
    ],
)
def test_flash_and_click_stay_together_over_ten_minutes(tmp_path, rate, mel_rate):
    # Uncompressed pictures are the fastest to write and read.
    every = round(15 * rate)
    record(tmp_path / "a.mkv", "rawvideo", "gray", rate=rate, frames=int(600 * rate), sound="flac", every=every)
    samples = read_audio(tmp_path / "a.mkv", sampling_rate=HERTZ)
    for wanted in (rate, mel_rate):
        lags = apart(list(frames_at_rate(tmp_path / "a.mkv", wanted, "nearest")), samples, wanted)
        assert len(lags) == 40
        assert np.abs(lags).max() <= 0.5
