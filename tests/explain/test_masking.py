"""Darkened articulators: where, how much, how softly; and the command."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.explain.masking import ARTICULATORS, mask_weight, masked, read_polygons
from rtmri_speech.signal.video import probe, read_frames, write_video

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "mask_rtmri_video.py"


def inside(polygon, x, y) -> bool:
    """Even-odd rule, by crossings of a ray."""
    crossings = 0
    for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            crossings += 1
    return crossings % 2 == 1


@pytest.mark.parametrize("name", ["lip", "tongue"])
def test_the_labs_polygons_are_filled(name):
    weight = mask_weight(ARTICULATORS[name], (256, 256), blur_kernel=0)
    (polygon,) = ARTICULATORS[name]
    brute = np.array([[inside(polygon, x + 0.5, y + 0.5) for x in range(256)] for y in range(256)])
    # Both agree but for pixels that an edge runs through.
    differing = np.argwhere(brute != (weight > 0.5))
    perimeter = sum(np.hypot(*np.subtract(a, b)) for a, b in zip(polygon, [*polygon[1:], polygon[0]], strict=True))
    assert len(differing) < 1.5 * perimeter
    assert weight.sum() == pytest.approx(brute.sum(), rel=0.05)


def test_polygons_scale_with_the_video():
    large = mask_weight(ARTICULATORS["tongue"], (256, 256))
    small = mask_weight(ARTICULATORS["tongue"], (64, 64))
    np.testing.assert_allclose(small, large.reshape(64, 4, 64, 4).mean((1, 3)), atol=1e-6)


def test_the_edge_is_as_soft_as_asked():
    square = [[(64, 64), (192, 64), (192, 192), (64, 192)]]
    profile = mask_weight(square, (256, 256), alpha=0.8, blur_kernel=11)[128]
    assert profile[128] == pytest.approx(0.8)
    assert profile[50] == 0
    edge = np.flatnonzero((profile > 0.001) & (profile < 0.799))
    assert set(np.abs(edge - np.where(edge < 128, 63.5, 192.5)).astype(int)) <= set(range(6))
    assert profile[59] > 0
    hard = mask_weight(square, (256, 256), blur_kernel=0)
    assert set(np.unique(hard)) == {0, 1}


def test_frames_are_darkened_by_alpha():
    frames = np.full((2, 4, 4), 200, np.uint8)
    weight = np.zeros((4, 4), np.float32)
    weight[0], weight[1] = 1, 0.25
    for frame in masked(frames, weight):
        assert frame.dtype == np.uint8
        assert [row[0] for row in frame] == [0, 150, 200, 200]


@pytest.mark.parametrize(
    "content", ["no json", "[]", "[[1, 2], [3, 4]]", '[[1, 2], [3, 4], ["x", 5]]', '{"a": 1}', "3"]
)
def test_an_invalid_polygon_is_refused(content, tmp_path):
    path = tmp_path / "polygon.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"polygon\.json: .*give \[\[x, y\]"):
        read_polygons(path)


@pytest.mark.parametrize(("settings", "said"), [({"alpha": 1.5}, "--alpha"), ({"blur_kernel": 4}, "odd")])
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        mask_weight(ARTICULATORS["lip"], (256, 256), **settings)


def test_the_command_keeps_rate_length_and_sound(tmp_path):
    rate = Fraction(11413, 420)
    frames = np.full((20, 64, 64), 180, np.uint8)
    write_video(tmp_path / "in.mp4", frames, rate, np.zeros(20 * 420), 11413)
    polygon = tmp_path / "upper half.json"
    polygon.write_text(json.dumps([[[0, 0], [256, 0], [256, 128], [0, 128]]]))
    command = ["--input", "in.mp4", "--output", "out.mp4", "--mask-type", "custom", "--polygons", polygon.name]
    command += ["--alpha", "0.5", "--blur-kernel", "0"]
    subprocess.run([sys.executable, SCRIPT, *command], cwd=tmp_path, check=True)
    assert probe(tmp_path / "out.mp4").rate == rate
    out = np.stack(list(read_frames(tmp_path / "out.mp4")))
    assert out.shape == frames.shape
    np.testing.assert_allclose(out[:, :28], 90, atol=3)
    np.testing.assert_allclose(out[:, 36:], 180, atol=3)
    from rtmri_speech.signal.audio import track_rate

    assert track_rate(tmp_path / "out.mp4")


def test_the_command_keeps_the_times_of_frames_where_some_were_dropped(tmp_path):
    shown = (0, 1, 2, 6, 7, 8, 9)
    with av.open(str(tmp_path / "in.avi"), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "gray"
        for number in shown:
            frame = av.VideoFrame.from_ndarray(np.full((64, 64), 20 * number, np.uint8), "gray")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    command = ["--input", "in.avi", "--output", "out.mp4", "--mask-type", "lip"]
    subprocess.run([sys.executable, SCRIPT, *command], cwd=tmp_path, check=True)
    brightness = [frame[-4:].mean() / 20 for frame in read_frames(tmp_path / "out.mp4")]
    np.testing.assert_allclose(brightness, [0, 1, 2, 2, 2, 2, 6, 7, 8, 9], atol=0.2)
