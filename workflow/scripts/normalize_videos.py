"""Convert raw recordings to normalised videos (memo 1.1): rotated, cropped, 256x256 grey, normalised per frame.

    python normalize_videos.py --input raw_videos --output normalized_videos --crop 30 20 200 200 --rotation -5

writes <output>/<name>.mp4 for every video in a directory. --input and --output can also be single files. Frame rate
and sound are kept.
"""

import argparse
import sys
from pathlib import Path

from rtmri_speech.errors import UserError, run_script
from rtmri_speech.settings.data import RawVideos, Video
from rtmri_speech.settings.flags import add_flags, from_flags


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True, help="raw video, or directory of raw videos")
    parser.add_argument("--output", type=Path, required=True, help="mp4 or directory to write")
    add_flags(parser, Video, "size")
    add_flags(parser, RawVideos)
    parser.add_argument("--frame_rate", type=float, help="frames per second of pictures and arrays")
    return parser.parse_args()


def main() -> int:
    args = parse()
    from rtmri_speech.dataset.clip import clips_from_directories, holds_pictures
    from rtmri_speech.dataset.normalize import normalise_video

    raw = from_flags(RawVideos, args)
    settings = {
        "size": from_flags(Video, args).size,
        "crop": raw.crop,
        "rotation": raw.rotation,
        "own_rate": args.frame_rate,
    }
    if not args.input.is_dir() or holds_pictures(args.input):
        normalise_video(args.input, args.output, **settings)
        return 0

    from tqdm import tqdm

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
