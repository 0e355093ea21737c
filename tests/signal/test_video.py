import os
import struct
import subprocess
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.video import (
    frames_at_rate,
    normalise_frames,
    probe,
    read_frames,
    resize,
    write_video,
)

SHARED = Path(__file__).parents[2].parent / "shared"
MEL_RATE = Fraction(11413, 420)
HEIGHT, WIDTH = 48, 64


def numbered(count: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Frames that encode their number as eight dark or bright vertical bars, which survive any codec."""
    frames = np.empty((count, height, width), np.uint8)
    for number in range(count):
        bits = [(number >> bit) & 1 for bit in range(8)]
        frames[number] = np.where(np.repeat(bits, -(-width // 8))[:width], 200, 50)
    return frames


def numbers(frames) -> list[int]:
    """Decode the numbers."""
    found = []
    for frame in frames:
        height, width = frame.shape
        centres = (np.arange(8) * -(-width // 8) + width // 16).clip(max=width - 1)
        found.append(int(sum(1 << bit for bit, x in enumerate(centres) if frame[height // 2, x] > 125)))
    return found


def encode(path, frames, codec, pixels, *, source="gray", rate=25, pts=None, options=None, colour_range=0, turn=0):
    """Write a file as another program would."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.color_range = colour_range
        if turn:
            stream.set_display_rotation(turn)
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), source)
            if source != pixels:
                frame = frame.reformat(format=pixels)
            frame.color_range = colour_range
            frame.time_base = 1 / Fraction(rate) if pts is None else Fraction(1, 1000)
            frame.pts = number if pts is None else pts[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


FOREIGN = {
    "h264 with b-frames.mp4": ("libx264", "yuv420p", {"bf": "3"}),
    "h264.mkv": ("libx264", "yuv420p", {"bf": "3"}),
    "h264.avi": ("libx264", "yuv420p", {"bf": "2"}),
    "h264.ts": ("libx264", "yuv420p", {}),
    "mpeg4.mp4": ("mpeg4", "yuv420p", {}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "raw gray.avi": ("rawvideo", "gray", {}),
    "raw yuyv.avi": ("rawvideo", "yuyv422", {}),
    "raw bgr.avi": ("rawvideo", "bgr24", {}),
    "ffv1 gray.mkv": ("ffv1", "gray", {}),
    "ffv1 gray16.mkv": ("ffv1", "gray16le", {}),
    "ffv1 10 bits.mkv": ("ffv1", "yuv420p10le", {}),
    "png.mov": ("png", "rgb24", {}),
    "png 16 bits.mov": ("png", "gray16be", {}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime"}),
    "prores.mov": ("prores_ks", "yuv422p10le", {}),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_every_frame_of_any_file_is_read_once_and_in_order(tmp_path, name):
    codec, pixels, options = FOREIGN[name]
    path = tmp_path / f"動画 {name}"
    encode(path, numbered(60), codec, pixels, options=options)
    frames = list(read_frames(path))
    assert numbers(frames) == list(range(60))
    assert {(frame.dtype, frame.shape) for frame in frames} == {(np.dtype(np.uint8), (HEIGHT, WIDTH))}
    # Brightness is that of the picture, whatever range and depth the file has.
    assert np.abs(frames[0][5:-5, 2:6].astype(int) - 50).max() <= 4
    assert np.abs(frames[255 % 60][5:-5, 2:6].astype(int) - 200).max() <= 4
    info = probe(path)
    assert (info.width, info.height, info.rate, info.frames) == (WIDTH, HEIGHT, 25, info.frames)
    assert info.frames in (None, 60)


@pytest.mark.parametrize("name", FOREIGN)
def test_seeking_gives_the_same_cut_as_reading_everything(tmp_path, name):
    codec, pixels, options = FOREIGN[name]
    path = tmp_path / name
    encode(path, numbered(120, 16, 64), codec, pixels, options={**options, "g": "12"})
    assert numbers(read_frames(path, start=2.0, end=3.2)) == list(range(50, 80))
    assert numbers(read_frames(path, start=4.0)) == list(range(100, 120))


def with_stamps_of_decoding(source, target):
    """Copy a video like a program without support for B-frames: timestamps are those of decoding."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for number, packet in enumerate(read.demux(video=0)):
            if packet.size:
                packet.pts = packet.dts = int(number / (25 * packet.time_base))
                packet.stream = stream
                written.mux(packet)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("h264.avi", "libx264", {"bf": "3"}),
        ("mpeg4.avi", "mpeg4", {"bf": "2"}),
        ("mpeg2.avi", "mpeg2video", {"bf": "2"}),
        ("h264.mp4", "libx264", {"bf": "3", "b-pyramid": "strict"}),
        ("mpeg4.mkv", "mpeg4", {"bf": "2"}),
    ],
)
def test_decoding_timestamps_move_no_frame(tmp_path, name, codec, options):
    path = tmp_path / name
    encode(path, numbered(120), codec, "yuv420p", options={"g": "50", **options})
    if path.suffix != ".avi":
        path = path.with_stem("wrong stamps")
        with_stamps_of_decoding(tmp_path / name, path)
    with av.open(str(path)) as container:
        stamps = [frame.pts for frame in container.decode(video=0)]
    assert path.suffix == ".avi" or stamps != sorted(stamps), "the stamps of this file are right"
    assert numbers(read_frames(path)) == list(range(120))
    assert numbers(frames_at_rate(path, Fraction(25), "refuse")) == list(range(120))
    assert numbers(frames_at_rate(path, Fraction(50), "nearest")) == [k // 2 for k in range(240)]
    for first in range(0, 100, 9):
        assert numbers(read_frames(path, start=first / 25, end=(first + 15) / 25)) == list(range(first, first + 15))


@pytest.mark.parametrize(
    ("name", "codec", "header"), [("h264.mpg", "libx264", 0), ("mpeg2.mpg", "mpeg2video", 0), ("flv1.flv", "flv", 13)]
)
@pytest.mark.parametrize("joint", [7, 60])
def test_restarting_timestamps_are_refused(tmp_path, name, codec, header, joint):
    first, second = tmp_path / f"first {name}", tmp_path / f"second {name}"
    encode(first, numbered(joint), codec, "yuv420p")
    encode(second, numbered(120), codec, "yuv420p")
    (tmp_path / name).write_bytes(first.read_bytes() + second.read_bytes()[header:])
    with pytest.raises(UserError, match=r"time stamps go back at .* s; copy or export it again"):
        list(frames_at_rate(tmp_path / name, Fraction(25), "nearest"))
    with pytest.raises(UserError, match=r"time stamps go back|has a variable frame rate"):
        list(frames_at_rate(tmp_path / name, Fraction(25), "refuse"))


def test_dropped_frames_of_an_avi_do_not_shift_the_others(tmp_path):
    with av.open(str(tmp_path / "dropped.avi"), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "gray"
        for number in (0, 1, 2, 6, 7, 8, 9):
            frame = av.VideoFrame.from_ndarray(numbered(10)[number], "gray")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert probe(tmp_path / "dropped.avi").frames == 10
    assert numbers(read_frames(tmp_path / "dropped.avi")) == [0, 1, 2, 6, 7, 8, 9]
    resampled = numbers(frames_at_rate(tmp_path / "dropped.avi", Fraction(25), "nearest"))
    assert resampled == [0, 1, 2, 2, 2, 2, 6, 7, 8, 9]


def test_frames_that_an_edit_list_leaves_out_are_left_out(tmp_path):
    with av.open(str(tmp_path / "edited.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2", "g": "12"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for number, picture in enumerate(numbered(60)):
            frame = av.VideoFrame.from_ndarray(picture, "gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = number - 30, Fraction(1, 25)  # what is shown before 0 is never shown
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert numbers(read_frames(tmp_path / "edited.mp4")) == list(range(30, 60))
    assert numbers(frames_at_rate(tmp_path / "edited.mp4", Fraction(25))) == list(range(30, 60))
    assert numbers(read_frames(tmp_path / "edited.mp4", start=1.04)) == [56, 57, 58, 59]


@pytest.mark.parametrize(("height", "width"), [(67, 91), (1, 1), (255, 256)])
def test_odd_sizes_are_read_as_they_are(tmp_path, height, width):
    picture = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    encode(tmp_path / "odd.mkv", [picture] * 3, "ffv1", "gray")
    for frame in read_frames(tmp_path / "odd.mkv"):
        assert np.array_equal(frame, picture)


def test_limited_range_is_expanded_and_full_range_is_kept(tmp_path):
    stored = np.zeros((384, 256), np.uint8)  # the planes of a yuv420p picture of 256 x 256
    stored[:256], stored[256:] = np.arange(256), 128
    encode(tmp_path / "limited.mkv", [stored], "ffv1", "yuv420p", source="yuv420p", colour_range=1)
    encode(tmp_path / "unsaid.mkv", [stored], "ffv1", "yuv420p", source="yuv420p")
    encode(tmp_path / "full.mkv", [stored], "ffv1", "yuv420p", source="yuv420p", colour_range=2)
    spread = np.clip(np.rint((np.arange(256) - 16) * 255 / 219), 0, 255)
    # 256 columns and 384 rows, of which PyAV takes two thirds for brightness.
    assert np.array_equal(next(read_frames(tmp_path / "limited.mkv"))[0], spread)
    assert np.array_equal(next(read_frames(tmp_path / "unsaid.mkv"))[0], spread)
    assert np.array_equal(next(read_frames(tmp_path / "full.mkv"))[0], np.arange(256))


def test_colour_becomes_its_luma(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    encode(tmp_path / "colour.mov", [colours], "png", "rgb24", source="rgb24")
    luma = colours @ [0.299, 0.587, 0.114]
    assert np.abs(next(read_frames(tmp_path / "colour.mov")) - luma).max() <= 0.51


def test_sixteen_bits_are_scaled_by_their_full_range(tmp_path):
    picture = np.random.default_rng(0).integers(0, 65536, (16, 16), dtype=np.uint16)
    encode(tmp_path / "deep.mkv", [picture], "ffv1", "gray16le", source="gray16le")
    assert np.abs(next(read_frames(tmp_path / "deep.mkv")) - picture / 257).max() <= 0.5
    assert np.array_equal(next(read_frames(tmp_path / "deep.mkv", depth=16)), picture)
    ten = picture >> 6
    encode(tmp_path / "ten.mkv", [ten], "ffv1", "gray10le", source="gray10le")
    assert np.abs(next(read_frames(tmp_path / "ten.mkv")) - ten * (255 / 1023)).max() <= 0.51


def test_eight_bits_are_read_as_sixteen_on_the_same_scale(tmp_path):
    encode(tmp_path / "a.mkv", numbered(2), "ffv1", "gray")
    assert np.array_equal(np.array(list(read_frames(tmp_path / "a.mkv", depth=16))), numbered(2) * np.uint16(257))


def test_deep_video_that_uses_few_of_its_bits_is_refused_unless_read_deep(tmp_path):
    twelve_bits = numbered(3).astype(np.uint16) * 16
    encode(tmp_path / "dark.mkv", twelve_bits, "ffv1", "gray16le", source="gray16le")
    with pytest.raises(UserError, match=r"brightest point is 4.9% .*normalize_videos.py"):
        list(read_frames(tmp_path / "dark.mkv"))
    assert np.array_equal(np.array(list(read_frames(tmp_path / "dark.mkv", depth=16))), twelve_bits)


@pytest.mark.parametrize("turn", [90, 180, 270, -90])
def test_quarter_turns_in_the_metadata_are_applied(tmp_path, turn):
    picture = cv2.resize(np.random.default_rng(0).integers(0, 256, (3, 4), dtype=np.uint8), (64, 48))
    encode(tmp_path / "turned.mov", [picture], "png", "gray", turn=turn)
    shown = np.rot90(picture, turn // 90 % 4)
    assert np.array_equal(next(read_frames(tmp_path / "turned.mov")), shown)
    info = probe(tmp_path / "turned.mov")
    assert (info.height, info.width) == shown.shape


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((-1, 0, 0, 1), lambda picture: np.fliplr(picture)),
        ((1, 0, 0, -1), lambda picture: np.flipud(picture)),
        ((0, 1, 1, 0), lambda picture: picture.T),
        ((0, -1, -1, 0), lambda picture: np.rot90(picture, 2).T),
    ],
)
def test_mirrors_and_transpositions_in_the_metadata_are_applied(tmp_path, matrix, shown):
    picture = cv2.resize(np.random.default_rng(0).integers(0, 256, (3, 4), dtype=np.uint8), (64, 48))
    encode(tmp_path / "a.mov", [picture], "png", "gray")
    content = bytearray((tmp_path / "a.mov").read_bytes())
    at = content.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mov").write_bytes(content)
    assert np.array_equal(next(read_frames(tmp_path / "a.mov")), shown(picture))


def test_other_turns_are_refused(tmp_path):
    encode(tmp_path / "turned.mov", numbered(1), "png", "gray", turn=30)
    with pytest.raises(UserError, match="has a rotation that is not a multiple of 90 degrees"):
        list(read_frames(tmp_path / "turned.mov"))


def test_pictures_shrink_by_area_and_grow_linearly():
    picture = np.random.default_rng(0).integers(0, 256, (60, 40), dtype=np.uint8)
    means = picture.reshape(15, 4, 20, 2).mean(axis=(1, 3))
    assert np.abs(resize(picture, (15, 20)) - means).max() <= 0.5
    tall = resize(picture, (120, 20))  # one side shrinks, the other grows
    columns = picture.reshape(60, 20, 2).mean(axis=2)
    places = np.clip((np.arange(120) + 0.5) / 2 - 0.5, 0, 59)
    wanted = np.array([np.interp(places, np.arange(60), column) for column in columns.T]).T
    assert np.abs(tall - wanted).max() <= 1.5
    deep = resize(picture.astype(np.uint16) * 257, (15, 20))
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - means).max() <= 0.5


def test_size_is_reached_from_any_size(tmp_path):
    encode(tmp_path / "a.mkv", numbered(3, 30, 91), "ffv1", "gray")
    assert [frame.shape for frame in read_frames(tmp_path / "a.mkv", size=(64, 32))] == [(64, 32)] * 3


def test_a_cut_contains_the_frames_with_centres_in_it(tmp_path):
    encode(tmp_path / "a.mkv", numbered(50), "ffv1", "gray")
    for start, end in ((0.0, 2.0), (0.5, 1.0), (0.519, 1.021), (0.521, 1.019), (0.4, None), (None, 0.4), (1.99, None)):
        middles = (np.arange(50) + 0.5) / 25
        wanted = [k for k in range(50) if (start or 0) <= middles[k] < (end or 9)]
        if wanted:
            assert numbers(read_frames(tmp_path / "a.mkv", start=start, end=end)) == wanted
        else:
            with pytest.raises(UserError, match=r"holds no frame from 1\.99 s to the end"):
                list(read_frames(tmp_path / "a.mkv", start=start, end=end))


def test_cut_that_ends_after_the_video_is_refused(tmp_path):
    encode(tmp_path / "a.mp4", numbered(50), "mpeg4", "yuv420p")
    assert len(list(read_frames(tmp_path / "a.mp4", end=2.01))) == 50
    with pytest.raises(UserError, match=r"ends at 2.000 s, before the cut's end 2.5 s"):
        list(read_frames(tmp_path / "a.mp4", start=1, end=2.5))
    with pytest.raises(UserError, match="cut times"):
        list(read_frames(tmp_path / "a.mp4", start=3, end=4))
    with pytest.raises(UserError, match="starts at -1 s; start at 0 s or later"):
        list(frames_at_rate(tmp_path / "a.mp4", MEL_RATE, "mean", start=-1))


def test_a_cut_is_refused_only_if_it_reaches_the_damage(tmp_path):
    write_video(tmp_path / "a.mp4", numbered(200), Fraction(25))
    content = (tmp_path / "a.mp4").read_bytes()
    with av.open(str(tmp_path / "a.mp4")) as container:
        places = [packet.pos for packet in container.demux() if packet.size]
    (tmp_path / "cut.mp4").write_bytes(content[: places[150]])  # exactly between two frames
    assert numbers(read_frames(tmp_path / "cut.mp4", start=4, end=5)) == list(range(100, 125))
    for stretch in ({}, {"start": 4}, {"start": 4, "end": 7}):
        with pytest.raises(UserError, match=r"cut off|before the cut's end"):
            list(read_frames(tmp_path / "cut.mp4", **stretch))


def test_rate_from_a_floating_point_number_is_written(tmp_path):
    write_video(tmp_path / "a.mp4", numbered(20), 29.97)
    assert probe(tmp_path / "a.mp4").rate == Fraction(2997, 100)


@pytest.mark.parametrize("rate", [MEL_RATE, Fraction(25), Fraction(30000, 1001), Fraction(65040, 781)])
def test_written_video_has_its_rate_exactly_and_every_frame_once(tmp_path, rate):
    write_video(tmp_path / "a.mp4", numbered(100), rate)
    info = probe(tmp_path / "a.mp4")
    assert (info.width, info.height, info.rate, info.frames) == (WIDTH, HEIGHT, rate, 100)
    assert numbers(read_frames(tmp_path / "a.mp4")) == list(range(100))
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        shown = [(p.pts * p.time_base, p.duration * p.time_base) for p in container.demux(stream) if p.size]
        assert (stream.codec_context.name, stream.codec_context.format.name) == ("h264", "yuvj420p")
    assert shown == [(k / rate, 1 / rate) for k in range(100)]


def test_written_gray_is_read_back_over_its_full_range(tmp_path):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    write_video(tmp_path / "a.mp4", [ramp] * 5, MEL_RATE)
    for frame in read_frames(tmp_path / "a.mp4"):
        assert np.abs(frame.astype(int) - ramp).max() <= 2
    # OpenCV knows nothing of ours, and sees the same.
    seen = cv2.cvtColor(cv2.VideoCapture(str(tmp_path / "a.mp4")).read()[1], cv2.COLOR_BGR2GRAY)
    assert np.abs(seen.astype(int) - ramp).max() <= 3


def test_written_colour_is_shown_by_other_programs(tmp_path):
    colours = np.zeros((64, 64, 3), np.uint8)
    colours[:, :32], colours[:, 32:] = (200, 60, 30), (20, 90, 220)
    write_video(tmp_path / "a.mp4", [colours] * 3, Fraction(25))
    with av.open(str(tmp_path / "a.mp4")) as container:
        seen = next(container.decode(video=0)).to_ndarray(format="rgb24")
    for x in (10, 50):
        assert np.abs(seen[30, x].astype(int) - colours[30, x]).max() <= 6


def test_odd_sizes_are_padded_by_a_row_and_a_column(tmp_path):
    frames = [cv2.GaussianBlur(frame, (0, 0), 5) for frame in numbered(2, 67, 91)]
    write_video(tmp_path / "odd.mp4", frames, Fraction(25))
    read = list(read_frames(tmp_path / "odd.mp4"))
    assert read[1].shape == (68, 92)
    assert np.abs(read[1].astype(int) - np.pad(frames[1], ((0, 1), (0, 1)), mode="edge")).max() <= 6


def test_same_input_gives_the_same_bytes(tmp_path):
    rng = np.random.default_rng(0)
    frames, audio = rng.integers(0, 256, (20, 64, 64), dtype=np.uint8), rng.uniform(-0.3, 0.3, 8400)
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, frames, MEL_RATE, audio, 11413)
    written = (tmp_path / "a.mp4").read_bytes()
    assert written == (tmp_path / "b.mp4").read_bytes()
    assert b" mbtree=0 " in written, "x264's macroblock tree is not reproducible, though seldom seen to differ"


@pytest.mark.parametrize("sampling_rate", [11413, 16000, 44100, 96000])
def test_sound_and_picture_stay_in_step(tmp_path, sampling_rate):
    count, flash = 80, 50
    frames = np.zeros((count, 64, 64), np.uint8)
    frames[flash] = 255
    middle = (flash + 0.5) / MEL_RATE
    audio = np.zeros(round(count / MEL_RATE * sampling_rate))
    audio[round(middle * sampling_rate)] = 0.9
    write_video(tmp_path / "a.mp4", frames, MEL_RATE, audio, sampling_rate)
    with av.open(str(tmp_path / "a.mp4")) as container:
        bright = {f.time: f.to_ndarray(format="gray").mean() for f in container.decode(video=0)}
    with av.open(str(tmp_path / "a.mp4")) as container:
        blocks = list(container.decode(audio=0))
    samples = np.concatenate([block.to_ndarray()[0] for block in blocks])
    click = blocks[0].time + np.abs(samples).argmax() / blocks[0].sample_rate
    assert abs(click - (max(bright, key=bright.get) + 0.5 / float(MEL_RATE))) <= 0.5 / float(MEL_RATE)
    own = read_audio(tmp_path / "a.mp4", sampling_rate=sampling_rate)
    assert abs(np.abs(own).argmax() - round(middle * sampling_rate)) <= 0.001 * sampling_rate
    assert abs(len(own) - len(audio)) <= 1.5 * 1024 * sampling_rate / 22050


def test_sound_and_pictures_are_interleaved(tmp_path):
    rng = np.random.default_rng(0)
    write_video(tmp_path / "a.mp4", numbered(200), Fraction(25), rng.uniform(-0.3, 0.3, 8 * 16000), 16000)
    with av.open(str(tmp_path / "a.mp4")) as container:
        places = {"video": [], "audio": []}
        for packet in container.demux():
            if packet.size:
                places[packet.stream.type].append((packet.pos, float(packet.pts * packet.time_base)))
    half = sorted(places["video"])[100]
    nearest = min(places["audio"], key=lambda place: abs(place[0] - half[0]))
    assert abs(nearest[1] - half[1]) < 1.5
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "a browser starts before it has the whole file"


def test_video_without_frames_is_not_written(tmp_path):
    with pytest.raises(UserError, match="would hold no frames"):
        write_video(tmp_path / "a.mp4", [], Fraction(25))
    assert not list(tmp_path.iterdir())


def test_failure_while_writing_leaves_the_old_file(tmp_path):
    write_video(tmp_path / "a.mp4", numbered(3), Fraction(25))
    before = (tmp_path / "a.mp4").read_bytes()

    def failing():
        yield from numbered(30)
        raise RuntimeError("the source fails")

    with pytest.raises(RuntimeError, match="the source fails"):
        write_video(tmp_path / "a.mp4", failing(), Fraction(25))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="a small disk needs root to be mounted")
def test_full_disk_leaves_no_partial_video(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    frames = np.random.default_rng(0).integers(0, 256, (30, 64, 64), dtype=np.uint8)
    write_video(tmp_path / "a.mp4", frames, Fraction(25))
    pages = (tmp_path / "a.mp4").stat().st_size // 4096
    for size in (pages // 4, pages - 1, pages):
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size * 4}k", "none", disk], capture_output=True)
        if mount.returncode:
            pytest.skip("a small disk cannot be mounted here")
        try:
            with pytest.raises(OSError, match="No space left") as caught:
                write_video(disk / "a.mp4", frames, Fraction(25))
            assert caught.value.filename == str(disk / "a.mp4")
            assert not list(disk.iterdir())
        finally:
            subprocess.run(["umount", disk], check=True)


def shown_at(times: np.ndarray, last: float, moment: float) -> int:
    """Number of the frame shown at a moment, by its definition."""
    assert moment < last
    return max(int(np.searchsorted(times, moment, side="right")) - 1, 0)


TIMES = {
    "slow": np.arange(40) / 10,
    "fast": np.arange(250) / 83,
    "variable": np.array([0, 0.04, 0.08, 0.5, 0.54, 0.58, 0.62, 0.98, 1.02, 1.4]),
}


def at_times(path, times):
    encode(path, numbered(len(times)), "ffv1", "gray", pts=[round(t * 1000) for t in times])
    rounded = np.array([round(t * 1000) / 1000 for t in times])
    return rounded, rounded[-1] + 1 / float(probe(path).rate)


@pytest.mark.parametrize("kind", TIMES)
def test_nearest_is_the_frame_shown_at_the_middle_of_each_interval(tmp_path, kind):
    times, last = at_times(tmp_path / "a.mkv", TIMES[kind])
    middles = [m for m in (np.arange(1000) + 0.5) / float(MEL_RATE) if m < last]
    wanted = [shown_at(times, last, middle) for middle in middles]
    assert numbers(frames_at_rate(tmp_path / "a.mkv", MEL_RATE, "nearest")) == wanted
    cut = [shown_at(times, last, 0.3 + middle) for middle in middles if 0.3 + middle < 1.1]
    assert numbers(frames_at_rate(tmp_path / "a.mkv", MEL_RATE, "nearest", start=0.3, end=1.1)) == cut


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize(("start", "end"), [(None, None), (0.3, 1.1)])
def test_mean_weights_each_frame_by_its_duration(tmp_path, kind, start, end):
    times, last = at_times(tmp_path / "a.mkv", TIMES[kind])
    pictures = numbered(len(times)).astype(float)
    ours = np.array(list(frames_at_rate(tmp_path / "a.mkv", MEL_RATE, "mean", start=start, end=end)))
    fine = (np.arange(2_000_000) + 0.5) * 1e-5  # sampled so densely that the mean is the integral
    fine = fine[(fine >= (start or 0)) & (fine < min(end or np.inf, last))]
    intervals = np.floor((fine - (start or 0)) * float(MEL_RATE)).astype(int)
    frame = np.searchsorted(times, fine, side="right") - 1
    wanted = []
    for number in range(intervals.max() + 1):
        weights = np.bincount(frame[intervals == number], minlength=len(times))
        if weights.sum() > 0.5 / float(MEL_RATE) * 1e5:
            wanted.append(np.tensordot(weights / weights.sum(), pictures, 1))
    assert len(ours) == len(wanted)
    assert np.abs(ours - np.array(wanted)).max() <= 0.6


@pytest.mark.parametrize("method", ["refuse", "nearest", "mean"])
@pytest.mark.parametrize("rate", [MEL_RATE, MEL_RATE * Fraction(10005, 10000)])
def test_a_rate_within_a_thousandth_is_not_resampled(tmp_path, method, rate):
    write_video(tmp_path / "a.mp4", numbered(150), rate)
    assert numbers(frames_at_rate(tmp_path / "a.mp4", MEL_RATE, method)) == list(range(150))


@pytest.mark.parametrize(
    ("name", "rate", "wanted"),
    [
        ("a.mp4", Fraction(30000, 1001), Fraction(30)),
        ("a.mov", Fraction(83278, 1000), Fraction(250, 3)),
        ("a.avi", Fraction(2318, 100), Fraction(232, 10)),
    ],
)
def test_resampling_is_skipped_up_to_half_a_frame_of_drift(tmp_path, name, rate, wanted):
    count = int(Fraction(1, 2) / abs(wanted / rate - 1))  # half a frame apart
    short, long = tmp_path / f"short {name}", tmp_path / f"long {name}"
    encode(short, np.tile(numbered(256, 16, 64), (4, 1, 1))[: count - 10], "mpeg4", "yuv420p", rate=rate)
    encode(long, np.tile(numbered(256, 16, 64), (4, 1, 1))[: count + 10], "mpeg4", "yuv420p", rate=rate)
    for method in ("refuse", "nearest"):
        assert numbers(frames_at_rate(short, wanted, method)) == [k % 256 for k in range(count - 10)]
    # What counts is the length of the cut and not that of the file.
    assert numbers(frames_at_rate(long, wanted, start=20 / rate)) == [k % 256 for k in range(20, count + 10)]
    parted = r"has .* frames/s where the mel has .*: .* would drift apart by 0\.5 frames; .*'nearest' or 'mean'"
    with pytest.raises(UserError, match=parted):
        list(frames_at_rate(long, wanted))
    resampled = numbers(frames_at_rate(long, wanted, "nearest"))
    assert abs(len(resampled) - (count + 10) * wanted / rate) <= 1
    assert resampled == [int((k + Fraction(1, 2)) / wanted * rate) % 256 for k in range(len(resampled))]


def test_another_rate_is_refused_with_the_hop_and_sampling_rate_that_fit(tmp_path):
    write_video(tmp_path / "a.mp4", numbered(20), Fraction(25))
    with pytest.raises(UserError) as refusal:
        next(frames_at_rate(tmp_path / "a.mp4", MEL_RATE, sampling_rate=11413))
    sentence = str(refusal.value)
    assert "has 25.000 frames/s where the mel has 27.174" in sentence
    assert (
        "; make a mel of sampling_rate 20000 and hop_length 800, or set resampling to 'nearest' or 'mean'" in sentence
    )
    assert len(list(frames_at_rate(tmp_path / "a.mp4", Fraction(20000, 800)))) == 20
    with pytest.raises(UserError) as refusal:
        next(frames_at_rate(tmp_path / "a.mp4", MEL_RATE))
    assert "hop_length" not in str(refusal.value) and "; set resampling to 'nearest' or 'mean'" in str(refusal.value)


def test_another_rate_is_refused_even_for_an_empty_cut(tmp_path):
    write_video(tmp_path / "a.mp4", numbered(20), Fraction(25))
    with pytest.raises(UserError, match=r"a\.mp4: has 25\.000 frames/s"):
        list(frames_at_rate(tmp_path / "a.mp4", MEL_RATE, start=3, sampling_rate=11413))


def test_variable_rate_is_refused_even_when_its_mean_fits(tmp_path):
    pts = np.cumsum([0, *[40] * 20, *[80] * 10, *[20] * 20])[:50].tolist()
    encode(tmp_path / "a.mkv", numbered(50), "ffv1", "gray", pts=pts)
    with pytest.raises(UserError, match=r"variable frame rate .*'nearest' or 'mean'"):
        list(frames_at_rate(tmp_path / "a.mkv", probe(tmp_path / "a.mkv").rate))
    with pytest.raises(UserError, match="'fastest'; give one of refuse, nearest, mean"):
        list(frames_at_rate(tmp_path / "a.mkv", Fraction(25), "fastest"))


def test_frames_normalised_one_by_one_equal_the_two_steps_of_the_memo():
    rng = np.random.default_rng(0)
    frames = rng.integers(20, 180, (2, 5, 24, 32), dtype=np.uint8)
    scores = (frames - frames.mean(axis=(-2, -1), keepdims=True)) / frames.std(axis=(-2, -1), keepdims=True)
    low, high = scores.min(axis=(-2, -1), keepdims=True), scores.max(axis=(-2, -1), keepdims=True)
    normalised = normalise_frames(frames, "frame")
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised, (scores - low) / (high - low), atol=1e-6)
    for lead in ((), (5,), (2, 5)):
        part = frames[(0,) * (2 - len(lead))]
        assert np.array_equal(normalise_frames(part, "frame"), normalised[(0,) * (2 - len(lead))])


def test_frames_normalised_as_a_whole_are_divided_by_full_scale():
    frames = np.array([[[0, 51], [102, 255]]], np.uint8)
    np.testing.assert_allclose(normalise_frames(frames, "unit"), [[[0, 0.2], [0.4, 1]]], rtol=1e-6)
    np.testing.assert_allclose(normalise_frames(frames.astype(np.uint16) * 257, "unit"), [[[0, 0.2], [0.4, 1]]])
    assert not normalise_frames(np.full((3, 4, 4), 7, np.uint8), "frame").any()
    with pytest.raises(UserError, match="'other'; give one of unit, frame"):
        normalise_frames(frames, "other")


def bad_files(folder: Path) -> dict[str, str]:
    """Unusable video files by name, each with words of the expected error message."""
    frames = np.random.default_rng(0).integers(0, 256, (60, 32, 32), dtype=np.uint8)

    def cut(name: str, share: float) -> None:
        content = (folder / f"whole {name}").read_bytes()
        (folder / f"cut {name}").write_bytes(content[: int(share * len(content))])

    write_video(folder / "whole ours.mp4", frames, Fraction(25))
    cut("ours.mp4", 0.5)
    encode(folder / "whole index last.mp4", frames, "libx264", "yuv420p")
    cut("index last.mp4", 0.5)
    encode(folder / "whole.avi", frames, "rawvideo", "gray")
    (folder / "cut.avi").write_bytes((folder / "whole.avi").read_bytes()[:30000])
    encode(folder / "whole.mkv", frames, "ffv1", "gray")
    (folder / "cut.mkv").write_bytes((folder / "whole.mkv").read_bytes()[:40000])
    content = bytearray((folder / "whole ours.mp4").read_bytes())
    content[-30000:-3000] = bytes(27000)
    (folder / "damaged.mp4").write_bytes(content)
    (folder / "text.mp4").write_text("words\n" * 1000)
    (folder / "playlist.mp4").write_text(f"#EXTM3U\n#EXTINF:9,\n{folder / 'whole.mkv'}\n#EXT-X-ENDLIST\n")
    (folder / "empty.mp4").touch()
    (folder / "directory.mp4").mkdir()
    with av.open(str(folder / "sound.mp4"), "w") as container:
        track = container.add_stream("aac", rate=22050, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        block.sample_rate, block.pts = 22050, 0
        container.mux(track.encode(block))
        container.mux(track.encode(None))
    with av.open(str(folder / "none.avi"), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "gray"
        container.start_encoding()
    return {
        "cut ours.mp4": "is damaged or cut off",
        "cut index last.mp4": "is an mp4 without its index: it was cut off",
        "cut.avi": "cut off",
        "cut.mkv": r"is cut off: it declares 2.400 s",
        "damaged.mp4": "cannot be decoded",
        "text.mp4": "holds no video that can be read",
        "playlist.mp4": "holds no video that can be read",
        "empty.mp4": r"is empty \(0 bytes\)",
        "missing.mp4": "there is no such file",
        "directory.mp4": "holds no picture",
        "sound.mp4": "has no video stream",
        "none.avi": "holds no frames|has no video stream|holds no video",
    }


def test_a_wrong_number_of_decoder_threads_is_refused(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", numbered(30), Fraction(25))
    monkeypatch.setenv("RTMRI_DECODER_THREADS", "2")
    assert numbers(read_frames(tmp_path / "a.mp4")) == list(range(30))
    for value in ("0", "many"):
        monkeypatch.setenv("RTMRI_DECODER_THREADS", value)
        with pytest.raises(UserError, match=f"RTMRI_DECODER_THREADS: is '{value}'"):
            list(read_frames(tmp_path / "a.mp4"))


def test_invalid_videos_are_refused_in_one_sentence(tmp_path):
    for name, words in bad_files(tmp_path).items():
        with pytest.raises(UserError, match=words) as refusal:
            list(read_frames(tmp_path / name))
        sentence = str(refusal.value)
        assert sentence.startswith(str(tmp_path / name))
        assert sentence.endswith(".")
        assert "\n" not in sentence
        for method in ("refuse", "nearest"):
            with pytest.raises(UserError, match=words):
                list(frames_at_rate(tmp_path / name, Fraction(25), method))


def test_memory_does_not_grow_with_the_length(tmp_path):
    def peak(frames: int, method: str) -> int:
        def pictures():
            for number in range(frames):
                yield np.full((64, 64), number % 256, np.uint8)

        tracemalloc.start()
        write_video(tmp_path / "a.mp4", pictures(), Fraction(50))
        for _ in frames_at_rate(tmp_path / "a.mp4", MEL_RATE, method, size=(32, 32)):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(20, "mean")
    for method in ("nearest", "mean"):
        assert peak(1500, method) < peak(100, method) + 200_000


@pytest.mark.skipif(not (SHARED / "real_clips").exists(), reason="real recordings are not here")
@pytest.mark.parametrize(
    ("name", "rate", "frames", "size"),
    [("rainbow.mp4", 83.278, 2645, 84), ("lac12112011_13_30_52.avi", 23.18, 562, 68)],
)
def test_real_recordings_are_read_whole(name, rate, frames, size):
    path = SHARED / "real_clips/videos" / name
    info = probe(path)
    assert (info.width, info.height, info.frames) == (size, size, frames)
    assert float(info.rate) == pytest.approx(rate, abs=5e-4)
    seen = cv2.VideoCapture(str(path))
    count = 0
    for count, frame in enumerate(read_frames(path), 1):
        if count % 100 == 1:
            other = cv2.cvtColor(seen.read()[1], cv2.COLOR_BGR2GRAY)
            assert np.abs(frame.astype(int) - other).mean() < 2.5
        else:
            seen.grab()
    assert count == frames
    resampled = sum(1 for _ in frames_at_rate(path, MEL_RATE, "mean", size=(16, 16)))
    assert resampled == round(frames / float(info.rate) * float(MEL_RATE))
