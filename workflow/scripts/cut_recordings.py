"""Cut long recordings into utterances and write the table of clips that corpus.table takes.

    cut_recordings.py --videos videos --audio wavs --alignments textgrids --output clips.tsv
    cut_recordings.py --table recordings.tsv --by silence --output clips.tsv
    cut_recordings.py --videos videos --by equal --seconds 5 --output clips.tsv

Utterances are the labels of a tier of sentences, or words between pauses (--by tier, of <name>.TextGrid, .eaf or .trans
beside the recording or in --alignments), what lies between silences, or equal stretches. The tier of words is the text.
"""

import argparse
from pathlib import Path

from rtmri_speech.errors import UserError, run_script


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="directory of the recordings' videos")
    parser.add_argument(
        "--audio", type=Path, help="directory of their sound files (default: beside them, or their own)"
    )
    parser.add_argument("--table", type=Path, help="TSV of whole recordings, in place of the directories")
    parser.add_argument("--by", choices=["tier", "silence", "equal"], default="tier", help="default: tier")
    parser.add_argument("--alignments", type=Path, metavar="DIR", help="files of tiers (default: beside the videos)")
    parser.add_argument("--tier", help="name of the tier (default: one of sentences, else of words)")
    parser.add_argument("--seconds", type=float, default=5.0, help="--by equal: length of a stretch (default: 5)")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds of a pause between utterances (default: 0.3)")
    parser.add_argument("--longest", type=float, default=10.0, help="seconds of an utterance, at most (default: 10)")
    parser.add_argument("--margin", type=float, default=0.1, help="seconds kept at both sides (default: 0.1)")
    parser.add_argument("--frame_rate", type=float, help="frames per second of pictures and arrays without one")
    parser.add_argument("--output", type=Path, required=True, help="the table to write")
    args = parser.parse_args()
    if (args.table is None) == (args.videos is None):
        parser.error("give --videos or --table")
    return args


def main() -> int:
    args = parse()
    for name in ("seconds", "longest"):
        if not getattr(args, name) > 0:
            raise UserError(f"--{name}", f"is {getattr(args, name):g}", "give more than 0 seconds")
    from rtmri_speech.corpora.cut import Cutting, cut_recordings, write_table
    from rtmri_speech.dataset.clip import clips_from_directories, clips_from_table, with_rate

    if args.table:
        recordings = clips_from_table(args.table)
    else:
        recordings = clips_from_directories(args.videos, args.audio or args.videos, own_track=args.audio is None)
    cutting = Cutting(args.by, args.alignments, args.tier, args.seconds, args.pause, args.longest, args.margin)
    clips = cut_recordings(with_rate(recordings, args.frame_rate), cutting)
    write_table(args.output, clips)
    seconds = sum(clip.end - clip.start for clip in clips)
    print(f"{len(clips)} utterances of {len(recordings)} recordings, {seconds:.1f} s: {args.output}")
    print(f"corpus: {{source: table, table: {args.output}}}")
    return 0


if __name__ == "__main__":
    run_script(main)
