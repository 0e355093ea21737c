"""Overlay a Grad-CAM sequence on its video in slow motion (memo 7.4); H.264, for browsers and PowerPoint."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script
from rtmri_speech.settings.flags import add_flags, from_flags
from rtmri_speech.settings.use import Film


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument(
        "--sequence", type=Path, required=True, help="gradcam_<band>_sequence.npy, or an interval of it"
    )
    parser.add_argument("--start-frame", type=int, default=0, help="video frame of the first map")
    parser.add_argument("--output", type=Path, required=True, help="mp4 to write")
    parser.add_argument("--fps", type=float, default=5.0, help="frames per second of the output")
    parser.add_argument("--repeat", type=int, default=1, help="repetitions of each frame")
    add_flags(parser, Film)
    parser.add_argument("--resize", type=int, nargs=2, metavar=("W", "H"), help="size of the output, pixels")
    parser.add_argument("--label", help="burn in this band name, the scale and the time")
    args = parser.parse_args()

    from rtmri_speech.explain.overlay import Style, write_slow_film

    count = write_slow_film(
        args.output,
        args.video,
        args.sequence,
        start_frame=args.start_frame,
        fps=args.fps,
        repeat=args.repeat,
        size=args.resize and (args.resize[1], args.resize[0]),
        scaling=from_flags(Film, args).film_scaling,
        style=from_flags(Style, args),
        name=args.label,
    )
    print(f"{args.output}: {count} frames")


if __name__ == "__main__":
    run_script(main)
