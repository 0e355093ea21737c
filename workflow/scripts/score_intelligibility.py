"""Recognition error rates of generated speech, compared with recordings and chance."""

from __future__ import annotations

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script
from rtmri_speech.settings.flags import add_flags, add_sounds, named_directories, require_json
from rtmri_speech.settings.use import Recognition
from rtmri_speech.threads import limit_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_sounds(parser)
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
    require_json(args.output)
    rows = named_directories("--generated", args.generated)

    limit_threads(args.threads)

    from tqdm import tqdm

    from rtmri_speech.atomic import save_json, save_text
    from rtmri_speech.dataset.filelists import recorded_ids
    from rtmri_speech.evaluation.intelligibility import (
        RECORDING,
        intelligibility_note,
        intelligibility_table,
        score_intelligibility,
    )
    from rtmri_speech.evaluation.phonemes import transcript
    from rtmri_speech.evaluation.recognition import Recogniser
    from rtmri_speech.evaluation.systems import TITLES

    ids = recorded_ids(args.recorded, args.input_file)
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
