import subprocess
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from rtmri_speech.dataset.normalize import normalise_video
from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.video import probe, read_frames, write_video

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/normalize_videos.py"


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture without fine detail, which a codec keeps, from dark to bright."""
    noise = np.random.default_rng(seed).uniform(size=(height, width))
    picture = cv2.GaussianBlur(noise, (0, 0), min(height, width) / 8)
    return (picture - picture.min()) / (picture.max() - picture.min())


def write_raw(path: Path, frames: list[np.ndarray], pixels: str = "gray", rate: Fraction = Fraction(25)) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), pixels)))
        container.mux(stream.encode(None))


def min_max(picture: np.ndarray) -> np.ndarray:
    return 255 * (picture - picture.min()) / (picture.max() - picture.min())


def assert_looks_like(made: np.ndarray, wanted: np.ndarray) -> None:
    """Equal but for what the codec loses."""
    difference = np.abs(made - wanted)
    assert difference.mean() < 2
    assert difference.max() < 10


def normalised(tmp_path: Path, **settings) -> np.ndarray:
    normalise_video(tmp_path / "raw.mkv", tmp_path / "out.mp4", **settings)
    return np.array(list(read_frames(tmp_path / "out.mp4"))).astype(float)


def test_frames_are_scaled_by_area_and_normalised_one_by_one(tmp_path):
    pictures = [(40 + 20 * k + 90 * smooth(512, 1024, k)).astype(np.uint8) for k in range(4)]
    write_raw(tmp_path / "raw.mkv", pictures)
    made = normalised(tmp_path)
    assert made.shape == (4, 256, 256)
    for frame, picture in zip(made, pictures, strict=True):
        assert_looks_like(frame, min_max(picture.reshape(256, 2, 256, 4).mean(axis=(1, 3))))
        assert frame.min() <= 3
        assert frame.max() >= 252


def test_twelve_bits_stored_in_sixteen_keep_their_depth(tmp_path):
    picture = smooth(64, 64)
    write_raw(tmp_path / "raw.mkv", [(300 + 3000 * picture).astype(np.uint16)] * 2, "gray16le")
    made = normalised(tmp_path, size=(64, 64))
    assert_looks_like(made[1], 255 * picture)


def test_colour_recordings_become_grey(tmp_path):
    picture = np.dstack([255 * smooth(64, 64, seed) for seed in range(3)]).astype(np.uint8)
    with av.open(str(tmp_path / "raw.mov"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.height = stream.width = 64
        stream.pix_fmt = "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    normalise_video(tmp_path / "raw.mov", tmp_path / "out.mp4", size=(64, 64))
    made = next(read_frames(tmp_path / "out.mp4"))
    assert_looks_like(made, min_max(picture @ [0.299, 0.587, 0.114]))


def test_rotation_precedes_cropping(tmp_path):
    picture = (255 * smooth(60, 100)).astype(np.uint8)
    write_raw(tmp_path / "raw.mkv", [picture])
    for degrees, turned in (
        (0, picture),
        (90, np.rot90(picture)),
        (-90, np.rot90(picture, -1)),
        (180, picture[::-1, ::-1]),
    ):
        made = normalised(tmp_path, size=(40, 30), crop=(12, 8, 30, 40), rotation=degrees)
        assert_looks_like(made[0], min_max(turned[8:48, 12:42].astype(float)))


def test_rotation_is_counter_clockwise_about_the_centre(tmp_path):
    picture = np.zeros((101, 101), np.uint8)
    cv2.circle(picture, (80, 50), 6, 255, -1)  # a bright spot 30 pixels to the right of the centre
    write_raw(tmp_path / "raw.mkv", [picture])
    made = normalised(tmp_path, size=(102, 102), crop=None, rotation=30)[0]
    rows, columns = np.nonzero(made > 128)
    angle = np.degrees(np.arctan2(50.5 - rows.mean(), columns.mean() - 50.5))
    assert angle == pytest.approx(30, abs=2)


def test_rate_and_sound_are_kept(tmp_path):
    rate = Fraction(65040, 781)
    frames = np.zeros((250, 40, 40), np.uint8)
    frames[:, 20:] = 90
    sound = np.zeros(66150)
    sound[30000] = 0.8
    write_video(tmp_path / "raw.mp4", frames, rate, sound, 22050)
    normalise_video(tmp_path / "raw.mp4", tmp_path / "out.mp4", size=(64, 64))
    info = probe(tmp_path / "out.mp4")
    assert (info.rate, info.frames) == (rate, 250)
    assert abs(np.abs(read_audio(tmp_path / "out.mp4", sampling_rate=22050)).argmax() - 30000) <= 2


def test_recording_without_sound_stays_without(tmp_path):
    write_raw(tmp_path / "raw.mkv", [(255 * smooth(32, 32)).astype(np.uint8)] * 3)
    normalise_video(tmp_path / "raw.mkv", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio


def test_frame_of_one_value_becomes_black(tmp_path):
    write_raw(tmp_path / "raw.mkv", [np.full((32, 32), 77, np.uint8)] * 2)
    assert normalised(tmp_path, size=(32, 32)).max() <= 2


@pytest.mark.parametrize("box", [(0, 0, 65, 10), (60, 0, 10, 10), (-1, 0, 10, 10), (0, 0, 0, 10), (0, 40, 10, 10)])
def test_a_crop_outside_the_picture_is_refused_without_output(tmp_path, box):
    write_raw(tmp_path / "raw.mkv", [(255 * smooth(48, 64)).astype(np.uint8)])
    with pytest.raises(UserError, match="picture of 64x48 does not hold the crop box"):
        normalise_video(tmp_path / "raw.mkv", tmp_path / "out.mp4", crop=box)
    assert [path.name for path in tmp_path.iterdir()] == ["raw.mkv"]


def test_a_raw_recording_is_never_overwritten(tmp_path):
    write_video(tmp_path / "raw.mp4", [np.zeros((32, 32), np.uint8)], Fraction(25))
    before = (tmp_path / "raw.mp4").read_bytes()
    with pytest.raises(UserError, match="is the raw recording itself"):
        normalise_video(tmp_path / "raw.mp4", tmp_path / "raw.mp4")
    with pytest.raises(UserError, match=r"does not end in \.mp4"):
        normalise_video(tmp_path / "raw.mp4", tmp_path / "out.avi")
    assert (tmp_path / "raw.mp4").read_bytes() == before


def test_memory_does_not_grow_with_the_length(tmp_path):
    def peak(frames: int) -> int:
        pictures = (np.full((64, 64), number % 250, np.uint8) for number in range(frames))
        write_video(tmp_path / "raw.mp4", pictures, Fraction(25), np.zeros(frames * 320) + 0.1, 8000)
        tracemalloc.start()
        normalise_video(tmp_path / "raw.mp4", tmp_path / "out.mp4", size=(32, 32))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(10)
    assert peak(500) < peak(100) + 200_000


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


def test_script_processes_one_video_or_a_directory_despite_a_bad_one(tmp_path):
    raw = tmp_path / "生 動画"
    raw.mkdir()
    for number in range(2):
        write_raw(raw / f"{number:03d}.mkv", [(255 * smooth(48, 64, number)).astype(np.uint8)] * 5)
    one = run("--input", raw / "000.mkv", "--output", tmp_path / "one/000.mp4", "--size", 32, 40)
    assert (one.returncode, one.stderr) == (0, "")
    assert next(read_frames(tmp_path / "one/000.mp4")).shape == (32, 40)

    (raw / "002.mp4").write_text("these are words")
    flags = ("--crop", 10, 4, 40, 40, "--rotation", -5)
    several = run("--input", raw, "--output", tmp_path / "all", *flags)
    assert several.returncode == 2
    assert several.stderr.startswith(f"error: {raw / '002.mp4'}: holds no video that can be read; ")
    assert "Traceback" not in several.stderr
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["000.mp4", "001.mp4"]
    normalise_video(raw / "001.mkv", tmp_path / "same.mp4", crop=(10, 4, 40, 40), rotation=-5)
    assert (tmp_path / "all/001.mp4").read_bytes() == (tmp_path / "same.mp4").read_bytes()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--input", "none.mp4", "--output", "out.mp4"), "none.mp4: there is no such file; "),
        (("--input", "none.mp4", "--output", "out.mp4", "--size", "0", "9"), "--size: is [0, 9]; "),
    ],
)
def test_script_refuses_invalid_input_in_one_sentence(flags, words):
    refused = run(*flags)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: {words}")
    assert refused.stderr.count("\n") == 1
