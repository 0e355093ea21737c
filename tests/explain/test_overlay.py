"""Grad-CAM films: number of frames, duration, synchrony, colours, and playback in a browser."""

import http.server
import queue
import shutil
import subprocess
import threading
import urllib.parse
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from rtmri_speech.errors import UserError
from rtmri_speech.explain.overlay import (
    COLORMAPS,
    TWO_COLOURS,
    Style,
    combined,
    legend,
    overlay,
    write_overlay_film,
    write_slow_film,
)
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.video import read_frames, write_video

RATE = Fraction(11413, 420)
COUNT = 60


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video of 60 frames of rising brightness, two sequences, and a wav with a click at the start of frame 30."""
    folder = tmp_path_factory.mktemp("film")
    gray = [np.full((64, 64), 40 + 2 * number, np.uint8) for number in range(COUNT)]
    write_video(folder / "v.mp4", gray, RATE, crf=4)
    for name, rows in (("F1", slice(0, 32)), ("F2", slice(32, 64))):
        maps = np.zeros((COUNT, 64, 64), np.float32)
        maps[:, rows] = 1
        np.save(folder / f"{name}.npy", maps)
    audio = np.zeros(COUNT * 420, np.float32)
    audio[30 * 420] = 1
    soundfile.write(folder / "click.wav", audio, 11413)
    return folder


def stream_facts(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        return frames, float(stream.duration * stream.time_base), stream.codec_context.name, stream.pix_fmt


def click_time(path):
    sound = np.abs(read_audio(path, sampling_rate=48000))
    return float(sound.argmax()) / 48000


def test_an_overlay_film_has_its_frames_its_length_and_its_click(clip):
    film = clip / "film.mp4"
    count = write_overlay_film(film, clip / "v.mp4", clip / "F1.npy", audio=clip / "click.wav")
    frames, seconds, codec, pixels = stream_facts(film)
    assert count == frames == COUNT
    assert seconds == pytest.approx(COUNT / RATE, abs=1e-4)
    assert codec == "h264" and pixels in ("yuv420p", "yuvj420p")  # FFmpeg calls full range by the latter name.
    # The wav's click is in the middle of sample 30 * 420.
    assert click_time(film) == pytest.approx(30 * 420 / 11413, abs=0.001)


def test_a_film_of_an_interval_has_the_sound_of_the_interval(clip):
    film, cut = clip / "cut.mp4", clip / "cut.npy"
    np.save(cut, np.load(clip / "F1.npy")[20:45])
    assert write_overlay_film(film, clip / "v.mp4", cut, audio=clip / "click.wav", start_frame=20) == 25
    assert click_time(film) == pytest.approx(10 / RATE, abs=0.001)
    lower = next(read_frames(film))[48:]
    assert lower.mean() == pytest.approx(40 + 2 * 20, abs=2)


def test_a_slow_film_shows_each_frame_as_often_as_asked(clip):
    film, cut = clip / "slow.mp4", clip / "cut2.npy"
    np.save(cut, np.load(clip / "F1.npy")[10:16])
    count = write_slow_film(film, clip / "v.mp4", cut, start_frame=10, fps=5, repeat=4, size=(96, 128), name="F1")
    frames, seconds, _, _ = stream_facts(film)
    assert count == frames == 24 and seconds == pytest.approx(24 / 5, abs=1e-3)
    shown = np.stack(list(read_frames(film)))
    assert shown.shape == (24, 96, 128)
    # Away from the text and the heat, brightness is that of the frames 10 to 15, four times each.
    assert shown[:, 60:80, 4:40].mean((1, 2)) == pytest.approx(np.repeat(40 + 2 * np.arange(10, 16), 4), abs=2)


def test_frame_scaling_shows_the_map_of_a_quiet_frame(clip):
    soft = np.load(clip / "F1.npy")[:2]
    soft[1] *= 0.01
    np.save(clip / "soft.npy", soft)
    shown = {}
    for scaling in ("clip", "frame"):
        write_slow_film(clip / "soft.mp4", clip / "v.mp4", clip / "soft.npy", scaling=scaling)
        shown[scaling] = [frame[:28].mean() for frame in read_frames(clip / "soft.mp4")]
    assert shown["clip"][1] == pytest.approx(42, abs=3)
    assert shown["frame"][1] == pytest.approx(shown["frame"][0], abs=3) and shown["frame"][1] > 100


def test_inputs_out_of_step_are_refused(clip):
    video = clip / "v.mp4"
    with pytest.raises(UserError, match=r"--fps: is 10, but the video has 27\.174 frames/s"):
        write_overlay_film(clip / "x.mp4", video, clip / "F1.npy", audio=clip / "click.wav", fps=10)
    with pytest.raises(UserError, match=r"F1\.npy: has 60 maps from frame 5 on, the video ends with frame 59"):
        write_overlay_film(clip / "x.mp4", video, clip / "F1.npy", start_frame=5)
    np.save(clip / "short.npy", np.zeros((3, 64, 64), np.float32))
    with pytest.raises(UserError, match=r"short\.npy: has 3 maps"):
        write_overlay_film(clip / "x.mp4", video, clip / "F1.npy", clip / "short.npy")
    assert not (clip / "x.mp4").exists()
    # The memo writes the rate with two decimals.
    assert write_overlay_film(clip / "y.mp4", video, clip / "F1.npy", audio=clip / "click.wav", fps=27.17) == COUNT


def test_two_maps_can_have_one_or_two_colours():
    upper, lower = np.zeros((2, 8, 8), np.float32)
    upper[:6], lower[2:] = 1, 0.5
    assert np.array_equal(combined((upper, lower), "max")[0], np.maximum(upper, lower))
    assert np.array_equal(combined((upper, lower), "mean")[0], (upper + lower) / 2)
    drawn = overlay(np.full((8, 8), 100, np.uint8), combined((upper, lower), "colours"), Style(alpha=1.0))
    assert tuple(drawn[0, 0]) == TWO_COLOURS[0]
    np.testing.assert_allclose(drawn[7, 0], 50 + np.array(TWO_COLOURS[1]) / 2, atol=1)


def test_opacity_follows_the_map():
    frame = np.arange(64, dtype=np.uint8).reshape(8, 8)
    np.testing.assert_array_equal(overlay(frame, (np.zeros((8, 8)),), Style()), np.stack([frame] * 3, -1))
    even = overlay(frame, (np.zeros((8, 8)),), Style("jet", 0.5, "even"))
    np.testing.assert_allclose(even[0, 0], [0, 0, 64], atol=1)  # half of jet's cold end, dark blue


def test_the_default_colours_rise_in_brightness_and_the_labs_do_not():
    ramp = np.linspace(0, 1, 64)[None]
    assert next(iter(COLORMAPS)) == Style().colormap
    for name in COLORMAPS:
        luma = Style(name).colours(ramp)[0] @ [0.2126, 0.7152, 0.0722]
        assert (np.diff(luma) > -0.5).all() == (name != "jet")
    with pytest.raises(UserError, match=r"explain\.colormap: is 'hot'"):
        Style("hot")


def test_a_legend_changes_only_its_own_area():
    plain = np.full((256, 256, 3), 90, np.uint8)
    marked = legend(plain, ("F1",), Style(), 0.442)
    assert (marked[:20] != plain[:20]).any() and (marked[-20:] != plain[-20:]).any()
    np.testing.assert_array_equal(marked[24:230], plain[24:230])


PAGE = b"""<video id=v src=film.mp4 muted></video><script>
const say = text => fetch("/said?" + encodeURIComponent(text));
const v = document.getElementById("v");
v.onerror = () => say("error " + v.error.message);
v.onended = () => say(`ended ${v.duration} ${v.currentTime} ${v.videoWidth}x${v.videoHeight}`);
v.play().catch(fault => say("error " + fault));
</script>"""
CHROMIUM_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required"
)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium")
def test_chromium_plays_a_film_to_its_end(clip):
    write_overlay_film(clip / "page.mp4", clip / "v.mp4", clip / "F1.npy", audio=clip / "click.wav")
    said = queue.Queue()

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/said?"):
                said.put(urllib.parse.unquote(self.path.split("?")[1]))
            kind, body = ("video/mp4", (clip / "page.mp4").read_bytes()) if "film" in self.path else ("text/html", PAGE)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        profile = f"--user-data-dir={clip}/profile"
        browser = subprocess.Popen(
            ["chromium", *CHROMIUM_FLAGS.split(), profile, "--remote-debugging-port=0", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            state, duration, position, size = said.get(timeout=90).split()
        finally:
            browser.terminate()
            browser.wait(30)
            server.shutdown()
    assert state == "ended" and size == "64x64"
    assert float(duration) == pytest.approx(COUNT / RATE, abs=0.05)
    assert float(position) == pytest.approx(COUNT / RATE, abs=0.1)
