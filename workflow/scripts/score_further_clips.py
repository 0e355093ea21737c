"""Score a demo system on further clips from another seed, and compare it with another results directory."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import get_args

from rtmri_speech.errors import UserError, run_script
from rtmri_speech.settings.acoustic import Context
from rtmri_speech.threads import limit_threads

_log = logging.getLogger("rtmri_speech.scripts")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="results directory of the system")
    parser.add_argument(
        "--against", type=Path, metavar="RESULTS", help="results directory of the system to compare with"
    )
    parser.add_argument("--output_dir", type=Path, help="output directory (default: <results>/further)")
    parser.add_argument(
        "--corpus", type=Path, help="directory of the clips, made if missing (default: <output_dir>/corpus)"
    )
    parser.add_argument("--clips", type=int, default=24, help="number of clips (default %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=9001, help="seed of the clips; not the demo's (default %(default)s)"
    )
    parser.add_argument(
        "--context", choices=get_args(Context), default="window", help="context of the LSTM (default: the demo's)"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU cores to use")
    args = parser.parse_args()
    if args.clips < 2:
        parser.error(f"--clips is {args.clips}; give at least 2")

    limit_threads(args.threads)

    from tqdm import tqdm

    from rtmri_speech.atomic import save_text
    from rtmri_speech.dataset.clip import Clip
    from rtmri_speech.dataset.results import open_results
    from rtmri_speech.demo import BASE_SEEDS
    from rtmri_speech.demo.corpus import clip_id, make_clip
    from rtmri_speech.evaluation import further, systems
    from rtmri_speech.evaluation.f0_range import training_f0_range
    from rtmri_speech.report.comparison import comparison_table
    from rtmri_speech.untrusted import read_json

    output = args.output_dir or args.results / "further"
    corpus = args.corpus or output / "corpus"
    known = set(BASE_SEEDS.values())
    opened = open_results(args.results)
    for description in sorted((opened.demo / "descriptions").glob("*.json"))[:1]:
        known.add(read_json(description, missing="make the demo again", remedy="make the demo again")["seed"])
    if args.seed in known:
        raise UserError("--seed", f"is {args.seed}, whose clips a training has seen", "give another number")
    clips = []
    for number in tqdm(range(args.clips), "clips", unit="clip", disable=None):
        # The seed is part of the id, to distinguish the clips from those of the demo.
        id = f"s{args.seed}_{clip_id(number)}"
        video, audio, description = (corpus / kind / f"{id}.{ending}" for kind, ending in FILES)
        if not description.exists():
            make_clip(number, args.seed, video, audio, description)
        clips.append(Clip(id, video, audio))
    ids = [clip.id for clip in clips]
    processed = output / "dataset"
    further.prepare(args.results, processed, clips)

    ours = further.load_system(args.results, args.context)
    theirs = further.load_system(args.against, args.context) if args.against else None
    rows, seconds = further.speak_both(
        ours,
        theirs,
        processed,
        ids,
        output / systems.SOUNDS,
        lambda all: tqdm(all, "sounds", unit="clip", disable=None),
    )
    spec, scaler = ours.acoustic.mel, ours.acoustic.scaler
    scores = systems.score_sounds(
        rows,
        ids,
        processed,
        output / systems.SOUNDS,
        spec,
        scaler,
        f0_range=training_f0_range(opened.dataset, spec),
        seconds=seconds,
        workers=args.threads,
        progress=lambda all: tqdm(all, "scores", len(ids) * len(rows), unit="wav", disable=None),
    )
    compared = scores["compared"] = further.compare(scores)
    scores["settings"] |= {"clips_seed": args.seed, "against": args.against and str(args.against)}
    systems.write_scores(output, scores)
    print(systems.scores_table(scores))
    tables = [comparison_table(found, systems.TITLES[row][0].lower()) for row, found in compared.items()]
    if tables:
        save_text(output / "compared.md", "\n\n".join(tables) + "\n")
        print("", *tables, sep="\n\n")
    _log.info(f"{len(ids)} clips of seed {args.seed}, {len(rows)} rows: {output / systems.SCORES_FILE}")


FILES = (("videos", "mp4"), ("audio", "wav"), ("descriptions", "json"))
"""Directory and extension of the three files of a clip."""


if __name__ == "__main__":
    run_script(main)
