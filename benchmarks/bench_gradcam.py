"""Time and memory of Grad-CAM for a clip at full size: the lab's network, 256x256, two bands, three target frames.

    python benchmarks/bench_gradcam.py --threads 2

runs workflow/scripts/mri_gradcam_formant.py with all its outputs on a video of 104 frames with random weights,
including start-up and decoding. The lab's script needs 171 s and 14.2 GB on 2 cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "workflow/scripts/mri_gradcam_formant.py"
RATE = Fraction(11413, 420)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=104)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--strides", type=int, nargs="+", default=[32, 16], help="stages to compute Grad-CAM at, as pixels per cell"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video, checkpoint = make_input(Path(folder), args.frames)
        columns = ("threads", "stride", "seconds", "CPU s", "peak MB")
        print("".join(f"{column:>10}" for column in columns))
        for threads in args.threads:
            for stride in args.strides:
                cells = run(video, checkpoint, Path(folder) / "out", threads, stride)
                print(f"{threads:>10}{stride:>10}" + "".join(f"{cell:>10.1f}" for cell in cells), flush=True)


def make_input(folder: Path, count: int) -> tuple[Path, Path]:
    """A video with motion and noise, and a checkpoint of the lab's network."""
    import numpy as np
    import torch

    from rtmri_speech.acoustic.model import AcousticModel, Network
    from rtmri_speech.atomic import save_json
    from rtmri_speech.signal.video import write_video

    rng = np.random.default_rng(0)
    rows = np.linspace(0, 9, 256)[:, None]
    frames = (
        np.uint8(110 + 90 * np.sin(rows + rows.T * 0.7 + number / 5) + rng.integers(0, 20, (256, 256)))
        for number in range(count)
    )
    write_video(folder / "clip.mp4", frames, RATE)
    torch.manual_seed(0)
    model = AcousticModel(Network())
    torch.save({"model_state_dict": model.state_dict()}, folder / "model.pt")
    save_json(folder / "scaler.json", {"mean": [-40.0] * 64, "std": [10.0] * 64, "count_frames": 1})
    return folder / "clip.mp4", folder / "model.pt"


def run(video: Path, checkpoint: Path, out: Path, threads: int, stride: int) -> list[float]:
    """Wall seconds, CPU seconds and peak resident megabytes of the script, including start-up."""
    command = [sys.executable, SCRIPT, "--video", video, "--mri-checkpoint", checkpoint, "--output-dir", out]
    command += ["--scaler-json", video.with_name("scaler.json"), "--target-frames", "30", "60", "90"]
    command += ["--formant-band", "F1:300-900", "--formant-band", "F2:900-2500", "--stride", str(stride)]
    begin = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{SCRIPT.name} failed")
    # In bytes on macOS, in kilobytes on Linux.
    peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return [time.monotonic() - begin, usage.ru_utime + usage.ru_stime, peak]


if __name__ == "__main__":
    main()
