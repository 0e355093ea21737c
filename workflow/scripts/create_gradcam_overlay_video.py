"""Overlay one or two Grad-CAM sequences on their video, with sound (memo 7.4); H.264, for browsers and PowerPoint."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> int:
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
    parser.add_argument("--alpha", type=float, default=0.7, help="opacity at the maximum")
    parser.add_argument(
        "--fps", type=float, help="frames per second (default: the video's; with --audio no other is possible)"
    )
    parser.add_argument("--resize", type=int, nargs=2, metavar=("W", "H"), help="size of the output, pixels")
    parser.add_argument("--start-frame", type=int, default=0, help="video frame of the first map")
    parser.add_argument(
        "--scaling", choices=["clip", "frame"], default="clip", help="scale maps as stored, or each to its own maximum"
    )
    parser.add_argument("--colormap", choices=["inferno", "viridis", "cividis", "jet"], default="inferno")
    parser.add_argument(
        "--blend", choices=["heat", "even"], default="heat", help="even: uniform opacity, as in the older system"
    )
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
        scaling=args.scaling,
        style=Style(args.colormap, args.alpha, args.blend),
        names=tuple(args.labels),
    )
    print(f"{args.output}: {count} frames")
    return 0


if __name__ == "__main__":
    run_script(main)
