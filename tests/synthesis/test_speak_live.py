"""speak_live.py: a video or raw frames in, a wav or raw samples out, equal to the stream in Python."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_models

from rtmri_speech.pack.speak import load_live_pack
from rtmri_speech.signal.video import read_frames, write_video
from rtmri_speech.synthesis.live import speak_live

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "speak_live.py"


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    return tiny_models.write_pack(folder)


def run(pack, *words, given=None):
    command = [sys.executable, SCRIPT, "--model", pack, "--threads", "1", *words]
    return subprocess.run(list(map(str, command)), input=given, capture_output=True)


def test_raw_frames_give_raw_samples_and_the_delay_is_stated(pack):
    frames = tiny_models.moving_bar(13)
    done = run(pack, "--video", "-", "--output", "-", "--block-frames", 2, given=frames.tobytes())
    live = load_live_pack(pack, block_frames=2)
    expected = np.concatenate(list(live.stream(frames)))
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.frombuffer(done.stdout, "<i2") / 32767, expected, atol=1e-4)
    assert f"at most {1000 * live.latency:.0f} ms (74 ms of a block" in done.stderr.decode()
    assert "times as fast as it lasts" in done.stderr.decode()


def test_a_video_gives_a_wav(pack, tmp_path):
    write_video(tmp_path / "v.mp4", tiny_models.moving_bar(9), tiny_models.SPEC.frame_rate)
    done = run(pack, "--video", tmp_path / "v.mp4", "--output", tmp_path / "v.wav")
    assert done.returncode == 0, done.stderr
    found, rate = soundfile.read(tmp_path / "v.wav")
    expected = np.concatenate(list(load_live_pack(pack).stream(read_frames(tmp_path / "v.mp4"))))
    assert rate == tiny_models.SPEC.sampling_rate
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("given", "said"), [(b"", "-: has no frames"), (bytes(32 * 32 + 5), "ends within a frame, after 5 of 1024 bytes")]
)
def test_no_frame_or_part_of_one_is_one_sentence(pack, given, said):
    done = run(pack, "--video", "-", "--output", "-", given=given)
    assert done.returncode == 2
    assert said in done.stderr.decode().splitlines()[-1]


def test_waiting_for_frames_is_no_computation():
    """Of a clock that only frames and blocks move."""

    class Live:
        block_seconds = 0.5
        mel = tiny_models.SPEC

        def stream(self, frames):
            for _ in frames:
                clock.now += 3
                yield np.zeros(tiny_models.SPEC.sampling_rate, np.float32)

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    def frames():
        for _ in range(4):
            clock.now += 10
            yield None

    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rtmri_speech.synthesis.live.time", clock)
        pace = speak_live(Live(), frames(), lambda samples: None)
    assert (pace.speech, pace.computing, pace.slowest) == (4, 12, 3)
