"""Make the processed dataset from videos and audio (memo 1.1): samples, split, scaler, meta and windows.

    python preprocess_rtmri_data.py --data_dir normalized_videos --audio_dir audio_wav --out_dir processed

does everything for a directory; the workflow calls it for single steps (--only) and clips (--clip). Existing files in
the output directory are never deleted.
"""

import argparse
from pathlib import Path

from rtmri_speech.errors import UserError, run_script


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
    clip.add_argument("--clip", help="id of a single clip")
    clip.add_argument("--video", type=Path, help="its video")
    clip.add_argument("--audio", type=Path, help="its sound: a sound file, or a video with sound")
    clip.add_argument("--start", type=float, help="start of the interval, seconds")
    clip.add_argument("--end", type=float, help="end of the interval, seconds")
    clip.add_argument("--av_offset_ms", type=float, default=0.0, help="delay of the sound relative to the picture")
    signal = parser.add_argument_group("signal")
    signal.add_argument("--mel_preset", choices=["hifigan", "lab"], default="hifigan", help="convention of the mel")
    signal.add_argument("--sr", type=int, default=11413, help="sampling rate, Hz")
    signal.add_argument("--n_mels", type=int, default=64)
    signal.add_argument("--n_fft", type=int, default=2048)
    signal.add_argument("--win_length", type=int, help="default: n_fft")
    signal.add_argument("--hop_length", type=int, default=420, help="sr / hop_length is the video's frame rate")
    signal.add_argument("--fmin", type=float, default=0.0)
    signal.add_argument("--fmax", type=float, help="default: half the sampling rate")
    signal.add_argument("--preemph", type=float, help="default: the preset's")
    signal.add_argument("--gain", type=float, default=1.0, help="factor on every sample of every clip")
    signal.add_argument("--resize_h", type=int, default=256)
    signal.add_argument("--resize_w", type=int, default=256)
    signal.add_argument(
        "--resampling",
        choices=["refuse", "nearest", "mean"],
        default="refuse",
        help="resample videos with another frame rate",
    )
    split = parser.add_argument_group("split and windows")
    split.add_argument("--ref_frames", type=int, default=4, help="frames per window")
    split.add_argument("--seed", type=int, default=42, help="seed of the split")
    split.add_argument("--valid-ratio", type=float, default=0.1)
    split.add_argument("--test-ratio", type=float, default=0.1)
    split.add_argument("--valid-ids", nargs="+", default=[], help="clips for validation, regardless of their hash")
    split.add_argument("--test-ids", nargs="+", default=[], help="clips for test, regardless of their hash")
    return parser.parse_args()


def main() -> int:
    args = parse()
    from rtmri_speech.dataset.clip import Clip
    from rtmri_speech.dataset.process import DatasetSettings, Processing
    from rtmri_speech.dataset.split import split_clips
    from rtmri_speech.signal.mel import MelSpec

    given = {"fmax": args.fmax, "preemphasis": args.preemph}
    spec = MelSpec.preset(
        args.mel_preset,
        sampling_rate=args.sr,
        n_fft=args.n_fft,
        win_length=args.win_length or args.n_fft,
        hop_length=args.hop_length,
        n_mels=args.n_mels,
        fmin=args.fmin,
        **{name: value for name, value in given.items() if value is not None},
    )
    spec.require_below_nyquist()
    processing = Processing(
        args.out_dir,
        DatasetSettings(spec, (args.resize_h, args.resize_w), args.resampling, args.gain, args.ref_frames),
    )
    if args.only in ("clip", "frames", "mel"):
        if not args.clip or not args.video:
            raise UserError("--only " + args.only, "needs --clip and --video", "name the clip and its video")
        clip = Clip(args.clip, args.video, args.audio, args.start, args.end, args.av_offset_ms)
        if args.only in ("clip", "frames"):
            processing.frames(clip)
        if args.only in ("clip", "mel"):
            processing.sound(clip)
    elif args.only == "scaler":
        processing.scaler()
    elif args.only == "meta":
        processing.meta()
    else:
        clips = clips_of(args)
        named = {"validation": args.valid_ids, "test": args.test_ids}
        return processing.everything(clips, split_clips(clips, args.seed, args.valid_ratio, args.test_ratio, named))
    return 0


def clips_of(args: argparse.Namespace) -> dict:
    from rtmri_speech.dataset.clip import AUDIO_EXTENSIONS, VIDEO_EXTENSIONS, clips_from_directories, clips_from_table

    if args.table:
        return clips_from_table(args.table)
    if not args.data_dir:
        raise UserError("--data_dir", "is missing", "name the directory of the videos, or a --table")
    beside = args.data_dir if args.prefer_wav else None
    return clips_from_directories(
        args.data_dir,
        args.audio_dir or beside,
        args.video_exts or VIDEO_EXTENSIONS,
        args.audio_exts or AUDIO_EXTENSIONS,
        own_track=args.audio_dir is None,
    )


if __name__ == "__main__":
    run_script(main)
