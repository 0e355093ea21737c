"""CPU time, peak memory and disk space of preprocessing a clip, compared with the time of decoding alone.

    python benchmarks/bench_preprocessing.py

writes synthetic clips of 256x256 at 11413/420 frames/s (H.264, 11413 Hz wav) into a temporary directory and
processes them with workflow/scripts/preprocess_rtmri_data.py, as the workflow does.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "workflow/scripts/preprocess_rtmri_data.py"
RATE, HOP = 11413, 420


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, nargs="+", default=[10, 25.4, 600], help="lengths of the clips, seconds"
    )
    args = parser.parse_args()
    print("CPU s per second of video; peak resident memory; bytes of one second")
    columns = ("clip s", "decoder", "frames", "mel", "above decoder", "peak MB frames", "peak MB mel", "kB/s")
    print("".join(f"{column:>16}" for column in columns))
    with tempfile.TemporaryDirectory() as folder:
        for seconds in args.seconds:
            cells = measure(Path(folder), seconds)
            print(f"{seconds:>16g}" + "".join(f"{cell:>16.3f}" for cell in cells), flush=True)


def measure(folder: Path, seconds: float) -> list[float]:
    video, sound, out = folder / "clip.mp4", folder / "clip.wav", folder / "processed"
    # In a process of its own: the peak memory of a child includes its parent's memory at the start.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as apart:
        decoder = apart.submit(make_clip, video, sound, seconds).result()
    common = ["--clip", "clip", "--video", str(video), "--audio", str(sound), "--out_dir", str(out)]
    frames, frames_peak = run("--only", "frames", *common)
    mel, mel_peak = run("--only", "mel", *common)
    kept = sum(path.stat().st_size for path in out.rglob("*") if path.suffix in (".npy", ".wav"))
    above = (frames + mel - decoder) / seconds
    return [
        decoder / seconds,
        frames / seconds,
        mel / seconds,
        above,
        frames_peak,
        mel_peak,
        kept / seconds / 1000,
    ]


def make_clip(video: Path, sound: Path, seconds: float) -> float:
    """Write the clip and return the CPU seconds of decoding it."""
    import numpy as np

    from rtmri_speech.signal.audio import write_wav
    from rtmri_speech.signal.video import write_video

    count = round(seconds * RATE / HOP)
    write_video(video, pictures(count), Fraction(RATE, HOP))
    write_wav(sound, 0.1 * np.random.default_rng(0).standard_normal(count * HOP), RATE)
    return decoder_seconds(video)


def pictures(count: int) -> Iterator[object]:
    """Frames with the motion and noise of a recording."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    large = cv2.GaussianBlur(rng.uniform(size=(320, 256)).astype(np.float32), (0, 0), 6)
    large = cv2.normalize(large, None, 20, 220, cv2.NORM_MINMAX).astype(np.uint8)
    noise = rng.integers(0, 12, (8, 256, 256), dtype=np.uint8)
    for number in range(count):
        shift = round(32 + 30 * np.sin(number / 5))
        yield cv2.add(large[shift : shift + 256], noise[number % 8])


def decoder_seconds(video: Path) -> float:
    import av

    begin = time.process_time()
    with av.open(str(video)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(video=0):
            pass
    return time.process_time() - begin


def run(*arguments: str) -> tuple[float, float]:
    """CPU seconds and peak resident megabytes of the script, including start-up."""
    process = subprocess.Popen([sys.executable, SCRIPT, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{SCRIPT.name} failed")
    # In bytes on macOS, in kilobytes on Linux.
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    main()
