"""Print a table of the CPU seconds of each stage of generating demo clips."""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from collections import defaultdict
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    spent = defaultdict(float)

    def timed(stage, function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent[stage] += time.process_time() - start

        return wrapper

    from rtmri_speech.demo import articulation, corpus, picture

    spent["start of Python, imports, engine"] = 0.0
    articulation.engine()
    start_up = time.process_time()
    articulation._motion = timed("gestures to motion", articulation._motion)
    articulation._synthesise = timed("motion to sound", articulation._synthesise)
    articulation.outlines = timed("outlines", articulation.outlines)
    picture.draw = timed("drawing", picture.draw)
    begin = time.process_time()
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("clip.mp4", "clip.wav", "clip.json")]
        for clip in range(arguments.clips):
            corpus.make_clip(clip, arguments.seed, *files)
            seconds += (files[1].stat().st_size - 44) / 2 / articulation.SAMPLING_RATE
    total = time.process_time() - begin
    spent["scanner, H.264, rest"] = total - sum(spent.values())
    spent["start of Python, imports, engine"] = start_up * arguments.clips
    print(f"{arguments.clips} clips of {seconds / arguments.clips:.2f} s")
    print(f"{'CPU seconds':34s} {'a clip':>6s} {'a s':>6s}")
    for stage, value in spent.items():
        print(f"{stage:34s} {value / arguments.clips:6.2f} {value / seconds:6.2f}")
    whole = sum(spent.values())
    print(f"{'all':34s} {whole / arguments.clips:6.2f} {whole / seconds:6.2f}")


if __name__ == "__main__":
    main()
