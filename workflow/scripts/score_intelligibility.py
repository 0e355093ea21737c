"""Recognition error rates of generated speech, compared with recordings and chance."""

from __future__ import annotations

import argparse
from pathlib import Path

from rtmri_speech.errors import UserError, run_script
from rtmri_speech.settings.flags import add_flags, named_directories
from rtmri_speech.settings.use import Recognition
from rtmri_speech.threads import limit_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--recorded", required=True, type=Path, metavar="DIR", help="directory of the recordings, <id>.wav"
    )
    parser.add_argument(
        "--generated",
        nargs="+",
        required=True,
        metavar="NAME=DIR",
        help="rows: a name and a directory of <id>.wav; the names ceiling and griffin_lim get full titles",
    )
    parser.add_argument("--input_file", type=Path, help="file list of the clips (default: all of --recorded)")
    parser.add_argument(
        "--transcripts", type=Path, metavar="DIR", help="directory of <id>.txt, <id>.json or <id>.TextGrid"
    )
    add_flags(parser, Recognition)
    parser.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="FILE.json",
        help="JSON to write; a table (.md) is written beside it",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU cores to use")
    args = parser.parse_args()
    if args.asr is None:
        parser.error("the following arguments are required: --asr")
    if args.output.suffix != ".json":
        raise UserError(args.output, "is not a .json file", "give --output a name ending in .json")
    rows = named_directories("--generated", args.generated)

    limit_threads(args.threads)

    from tqdm import tqdm

    from rtmri_speech.atomic import save_json, save_text
    from rtmri_speech.dataset.filelists import read_filelist
    from rtmri_speech.evaluation.intelligibility import (
        RECORDING,
        intelligibility_note,
        intelligibility_table,
        score_intelligibility,
    )
    from rtmri_speech.evaluation.phonemes import transcript
    from rtmri_speech.evaluation.recognition import Recogniser
    from rtmri_speech.evaluation.systems import TITLES

    if args.input_file:
        ids = read_filelist(args.input_file)
    else:
        ids = sorted(path.stem for path in args.recorded.glob("*.wav"))
    if not ids:
        raise UserError(args.recorded, "holds no .wav file", "give the directory of the recordings")
    recogniser = Recogniser(args.asr, args.language, args.threads)
    wavs = {
        row: {id: directory / f"{id}.wav" for id in ids}
        for row, directory in {RECORDING: args.recorded, **rows}.items()
    }
    transcripts = {id: text for id in ids if args.transcripts and (text := transcript(args.transcripts, id))}
    scores = score_intelligibility(
        wavs,
        transcripts,
        recogniser,
        titles={name: title for name, (title, _) in TITLES.items()},
        progress=lambda all: tqdm(all, "recognised", unit="wav", disable=None),
    )
    scores["model"] = Path(args.asr).name
    table = intelligibility_table(scores)
    save_text(args.output.with_suffix(".md"), table + "\n")
    save_json(args.output, scores)
    print(table)
    print(intelligibility_note(scores))


if __name__ == "__main__":
    run_script(main)
