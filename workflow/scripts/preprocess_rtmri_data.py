"""Make the processed dataset from videos and audio (memo 1.1): samples, split, scaler, meta and windows.

    python preprocess_rtmri_data.py --data_dir normalized_videos --audio_dir audio_wav --out_dir processed

does everything for a directory; the workflow calls it for single steps (--only) and clips (--id). Existing files in
the output directory are never deleted.
"""

import argparse
from pathlib import Path

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.errors import UserError, run_script
from rtmri_speech.settings.data import Audio, Mel, Split, Video, Windows
from rtmri_speech.settings.flags import add_flags, from_flags


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    corpus = parser.add_argument_group("corpus")
    corpus.add_argument("--data_dir", type=Path, help="directory of the videos")
    corpus.add_argument("--audio_dir", type=Path, help="directory of the sound files (default: the videos' own tracks)")
    corpus.add_argument("--table", type=Path, help="TSV of the clips, instead of the two directories")
    corpus.add_argument("--out_dir", type=Path, required=True, help="processed directory to write")
    corpus.add_argument("--video_exts", nargs="+", help="file extensions of videos (default: all known)")
    corpus.add_argument("--audio_exts", nargs="+", help="file extensions of sound files (default: .wav .flac)")
    corpus.add_argument(
        "--prefer_wav",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="prefer a sound file beside the video to the video's own track (without --audio_dir)",
    )
    corpus.add_argument("--no_prefer_wav", dest="prefer_wav", action="store_false", help="the memo's spelling")
    clip = parser.add_argument_group("one step of one clip, as the workflow calls it")
    clip.add_argument("--only", choices=["clip", "frames", "mel", "scaler", "meta"], help="make only this")
    add_flags(clip, Clip)
    settings = parser.add_argument_group("settings, each as in the configuration (mel, video, audio, windows, split)")
    for section in (Mel, Video, Audio, Windows, Split):
        add_flags(settings, section)
    settings.add_argument("--resize_h", type=int, help="height, instead of --size (memo)")
    settings.add_argument("--resize_w", type=int, help="width, instead of --size (memo)")
    return parser.parse_args()


def main() -> int:
    args = parse()
    from rtmri_speech.dataset.process import DatasetSettings, Processing
    from rtmri_speech.signal.mel import MelSpec

    height, width = args.size
    args.size = [args.resize_h or height, args.resize_w or width]
    video = from_flags(Video, args)
    ref_frames = from_flags(Windows, args).ref_frames
    settings = DatasetSettings(
        MelSpec.of(from_flags(Mel, args)), video.size, video.resampling, from_flags(Audio, args).gain, ref_frames
    )
    processing = Processing(args.out_dir, settings)
    if args.only in ("clip", "frames", "mel"):
        if not args.id or not args.video:
            raise UserError("--only " + args.only, "needs --id and --video", "name the clip and its video")
        clip = from_flags(Clip, args)
        if args.only in ("clip", "frames"):
            processing.frames(clip)
        if args.only in ("clip", "mel"):
            processing.sound(clip)
    elif args.only == "scaler":
        processing.scaler()
    elif args.only == "meta":
        processing.meta()
    else:
        from rtmri_speech.dataset.grouping import divide

        clips = clips_of(args)
        divided = divide(clips, from_flags(Split, args))
        print(*divided.notes, sep="\n", end="\n" if divided.notes else "")
        kept = {id: clip for id, clip in clips.items() if id not in divided.left_out}
        return processing.everything(kept, divided.splits)
    return 0


def clips_of(args: argparse.Namespace) -> dict:
    from rtmri_speech.dataset.clip import (
        AUDIO_EXTENSIONS,
        VIDEO_EXTENSIONS,
        clips_from_directories,
        clips_from_table,
        with_rate,
    )

    if args.table:
        return with_rate(clips_from_table(args.table), args.frame_rate)
    if not args.data_dir:
        raise UserError("--data_dir", "is missing", "name the directory of the videos, or a --table")
    beside = args.data_dir if args.prefer_wav else None
    clips = clips_from_directories(
        args.data_dir,
        args.audio_dir or beside,
        args.video_exts or VIDEO_EXTENSIONS,
        args.audio_exts or AUDIO_EXTENSIONS,
        own_track=args.audio_dir is None,
    )
    return with_rate(clips, args.frame_rate)


if __name__ == "__main__":
    run_script(main)
