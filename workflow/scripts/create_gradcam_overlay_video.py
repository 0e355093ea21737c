"""Overlay one or two Grad-CAM sequences on their video, with sound (memo 7.4); H.264, for browsers and PowerPoint."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script
from rtmri_speech.settings.flags import add_flags, from_flags
from rtmri_speech.settings.use import Film


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--video", type=Path, required=True, help="video, or a dataset's mri.npy")
    parser.add_argument("--rate", help="frames per second of an mri.npy, a number or a fraction such as 11413/420")
    parser.add_argument("--heatmap", type=Path, required=True, help="gradcam_<band>_sequence.npy")
    parser.add_argument("--heatmap2", type=Path, help="second sequence, of the same length")
    parser.add_argument(
        "--combine-mode",
        choices=["max", "mean", "colours"],
        default="max",
        help="combine two maps into one, or show two colours",
    )
    parser.add_argument("--audio", type=Path, help="generated or original sound: a wav, or a video with sound")
    parser.add_argument("--output", type=Path, required=True, help="mp4 to write")
    add_flags(parser, Film)
    parser.add_argument(
        "--fps", type=float, help="frames per second (default: the video's; with --audio no other is possible)"
    )
    parser.add_argument("--resize", type=int, nargs=2, metavar=("W", "H"), help="size of the output, pixels")
    parser.add_argument("--start-frame", type=int, default=0, help="video frame of the first map")
    parser.add_argument("--labels", nargs="+", default=[], metavar="NAME", help="burn in these band names and the time")
    args = parser.parse_args()

    from fractions import Fraction

    from rtmri_speech.explain.overlay import Style, write_overlay_film

    count = write_overlay_film(
        args.output,
        args.video,
        args.heatmap,
        args.heatmap2,
        combination=args.combine_mode,
        audio=args.audio,
        start_frame=args.start_frame,
        fps=args.fps,
        frame_rate=Fraction(args.rate) if args.rate else None,
        size=args.resize and (args.resize[1], args.resize[0]),
        scaling=from_flags(Film, args).film_scaling,
        style=from_flags(Style, args),
        names=tuple(args.labels),
    )
    print(f"{args.output}: {count} frames")


if __name__ == "__main__":
    run_script(main)
