"""Make a slow-motion film of a Grad-CAM sequence over its video (memo 7.4), H.264 that browsers and PowerPoint play."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--sequence", type=Path, required=True, help="gradcam_<band>_sequence.npy, or a cut-out of it")
    parser.add_argument("--start-frame", type=int, default=0, help="frame of the video that the first map belongs to")
    parser.add_argument("--output", type=Path, required=True, help="the mp4 to write")
    parser.add_argument("--fps", type=float, default=5.0, help="frames per second of the film")
    parser.add_argument("--repeat", type=int, default=1, help="how often each frame is shown")
    parser.add_argument("--alpha", type=float, default=0.7, help="opacity of the hottest place")
    parser.add_argument("--resize", type=int, nargs=2, metavar=("W", "H"), help="size of the film, pixels")
    parser.add_argument(
        "--scaling", choices=["clip", "frame"], default="clip", help="maps as stored, or each by its own maximum"
    )
    parser.add_argument("--colormap", choices=["inferno", "viridis", "cividis", "jet"], default="inferno")
    parser.add_argument("--blend", choices=["heat", "even"], default="heat", help="even: opaque alike everywhere (lab)")
    parser.add_argument("--label", help="burn in this name (the band's), the scale and the time")
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
        scaling=args.scaling,
        style=Style(args.colormap, args.alpha, args.blend),
        name=args.label,
    )
    print(f"{args.output}: {count} frames")
    return 0


if __name__ == "__main__":
    run_script(main)
