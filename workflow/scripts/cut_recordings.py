"""Cut long recordings into utterances and write the table of clips that corpus.table takes.

    cut_recordings.py --videos videos --audio wavs --alignments textgrids --output clips.tsv
    cut_recordings.py --table recordings.tsv --by silence --output clips.tsv
    cut_recordings.py --videos videos --by equal --seconds 5 --output clips.tsv

Utterances are the labels of a tier of sentences, or words between pauses (--by tier, of <name>.TextGrid, .eaf or .trans
beside the recording or in --alignments), what lies between silences, or equal stretches. The tier of words is the text.
"""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script
from rtmri_speech.settings.data import Cutting
from rtmri_speech.settings.flags import add_flags, from_flags


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="directory of the recordings' videos")
    parser.add_argument(
        "--audio", type=Path, help="directory of their sound files (default: beside them, or their own)"
    )
    parser.add_argument("--table", type=Path, help="TSV of whole recordings, in place of the directories")
    add_flags(parser, Cutting)
    parser.add_argument("--frame_rate", type=float, help="frames per second of pictures and arrays without one")
    parser.add_argument("--output", type=Path, required=True, help="the table to write")
    args = parser.parse_args()
    if (args.table is None) == (args.videos is None):
        parser.error("give --videos or --table")
    return args


def main() -> None:
    args = parse()
    cutting = from_flags(Cutting, args)
    from rtmri_speech.corpora.cut import cut_recordings, write_table
    from rtmri_speech.dataset.clip import clips_from_directories, clips_from_table, with_rate

    if args.table:
        recordings = clips_from_table(args.table)
    else:
        recordings = clips_from_directories(args.videos, args.audio or args.videos, own_track=args.audio is None)
    clips = cut_recordings(with_rate(recordings, args.frame_rate), cutting)
    write_table(args.output, clips)
    seconds = sum(clip.end - clip.start for clip in clips)
    print(f"{len(clips)} utterances of {len(recordings)} recordings, {seconds:.1f} s: {args.output}")
    print(f"corpus: {{source: table, table: {args.output}}}")


if __name__ == "__main__":
    run_script(main)
