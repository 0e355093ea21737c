"""Convert raw recordings to normalised videos (memo 1.1): rotated, cropped, 256x256 grey, normalised per frame.

    python normalize_videos.py --input raw_videos --output normalized_videos --crop 30 20 200 200 --rotation -5

writes <output>/<name>.mp4 for every video in a directory. --input and --output can also be single files. Frame rate
and sound are kept.
"""

import argparse
import sys
from pathlib import Path

from rtmri_speech.errors import UserError, run_script


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True, help="raw video, or directory of raw videos")
    parser.add_argument("--output", type=Path, required=True, help="mp4 or directory to write")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=[256, 256],
        metavar=("HEIGHT", "WIDTH"),
        help="height and width of the output, pixels",
    )
    parser.add_argument(
        "--crop",
        type=int,
        nargs=4,
        metavar=("LEFT", "TOP", "WIDTH", "HEIGHT"),
        help="crop box in pixels of the rotated picture (default: everything)",
    )
    parser.add_argument(
        "--rotation",
        type=float,
        default=0.0,
        metavar="DEGREES",
        help="rotation in degrees, counter-clockwise, before cropping (default: 0)",
    )
    return parser.parse_args()


def main() -> int:
    args = parse()
    from rtmri_speech.dataset.normalize import normalise_video

    if min(args.size) < 1:
        raise UserError("--size", f"is {args.size[0]} {args.size[1]}", "give two whole numbers of at least 1")
    settings = {"size": tuple(args.size), "crop": args.crop and tuple(args.crop), "rotation": args.rotation}
    if not args.input.is_dir():
        normalise_video(args.input, args.output, **settings)
        return 0

    from tqdm import tqdm

    from rtmri_speech.dataset.clip import clips_from_directories

    refused = 0
    for clip in tqdm(clips_from_directories(args.input).values(), desc="videos", unit="video", disable=None):
        try:
            normalise_video(clip.video, args.output / f"{clip.id}.mp4", **settings)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            refused += 1
    return 2 if refused else 0


if __name__ == "__main__":
    run_script(main)
