"""All tests and measurements on a GPU, in one command with a time limit.

    python benchmarks/on_gpu.py --minutes 8 --out DIR

runs the tests marked gpu, measures both trainings, synthesis and Grad-CAM at full size, compares GPU and CPU results,
and uses the remaining time for the training given by --train. DIR receives on_a_gpu.json and on_a_gpu.md, updated after
every result, so that nothing is lost if the machine goes away; with --train also the generator in parts of 16 MiB.

    python benchmarks/on_gpu.py --tiny --device cpu --out DIR

runs every part at toy size on the CPU. benchmarks/gather_for_gpu.py collects what a machine without network access
needs.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
import traceback
from pathlib import Path

MARGIN = 5.0
"""Seconds before the time limit at which unfinished computations are abandoned."""

SHARES = {"checks": 0.3, "speed": 0.65, "comparison": 0.8}
"""The parts in order of importance, each with the share of the remaining time that it may take."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="time limit")
    parser.add_argument("--out", type=Path, required=True, help="receives at most 8 files of at most 16 MiB")
    parser.add_argument("--work", type=Path, help="directory of the dataset and the training state (default: DIR.work)")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="toy size, to test the command itself")
    parser.add_argument(
        "--train", type=Path, metavar="CONFIG", help="train HiFi-GAN with this config in the remaining time"
    )
    parser.add_argument("--base", type=Path, help="g_<steps> file to start from, with its do_<steps> beside it")
    parser.add_argument("--train_minutes", type=float, default=0.0, help="minutes reserved for --train")
    args = parser.parse_args()
    begin = time.monotonic()
    sys.path.insert(0, str(Path(__file__).parent))
    import torch
    from gpu.checks import checks
    from gpu.comparison import comparison
    from gpu.report import Report
    from gpu.speed import speed
    from gpu.subjects import Trial, prepare
    from gpu.vocoder_run import vocoder_run

    from rtmri_speech.errors import UserError

    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device", "is cuda, but PyTorch sees no GPU", "try the command with --tiny --device cpu")
    work = args.work or args.out.with_name(args.out.name + ".work")
    work.mkdir(parents=True, exist_ok=True)
    report = Report(args.out, args.device, args.tiny, args.minutes)
    deadline = begin + 60 * args.minutes
    trial = Trial(args.device, args.tiny, work, report, deadline)

    def leave() -> None:
        report.end("stopped at the time limit")
        os._exit(3)

    report.begin("Prepared")
    watch = threading.Timer(trial.left() - MARGIN, leave)
    watch.daemon = True
    watch.start()
    prepare(trial, report.note)
    report.end()
    parts = {
        "checks": ("Tests marked gpu", checks),
        "speed": ("Speed", speed),
        "comparison": ("Against the CPU", comparison),
    }
    failed = False
    for name, (title, part) in parts.items():
        report.begin(title)
        seconds = SHARES[name] * max(trial.left() - MARGIN - 60 * args.train_minutes, 1)
        try:
            part(trial, seconds)
        # Errors of torch and its libraries: continue with the next part.
        except (RuntimeError, UserError, ValueError, OSError) as error:
            failed = True
            traceback.print_exc()
            report.end(f"failed: {type(error).__name__}: {str(error)[:300]}")
            continue
        report.end()
    if args.train:
        report.begin("Training")
        vocoder_run(trial, args.train, args.base)
        report.end()
    watch.cancel()
    print((args.out / "on_a_gpu.md").read_text(encoding="utf-8"))
    return int(failed)


if __name__ == "__main__":
    from rtmri_speech.errors import run_script

    run_script(main)
