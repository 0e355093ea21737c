"""Score generated wavs against recordings; prints a table, writes JSON and CSV."""

from __future__ import annotations

import argparse
from pathlib import Path

from rtmri_speech.errors import UserError, run_script
from rtmri_speech.settings.flags import add_flags, from_flags, require_json
from rtmri_speech.settings.use import F0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Files pair by stem; an ending _generated, _gen or _original is ignored.",
    )
    parser.add_argument("--reference", required=True, type=Path, metavar="DIR", help="directory of the recordings")
    parser.add_argument("--generated", required=True, type=Path, metavar="DIR", help="directory of the generated wavs")
    parser.add_argument(
        "--output", required=True, type=Path, metavar="FILE.json", help="JSON to write; a CSV is written beside it"
    )
    parser.add_argument("--hop", type=int, help="samples per frame (default: nearest to 36.8 ms, 420 at 11413 Hz)")
    parser.add_argument(
        "--processed_dir",
        type=Path,
        metavar="DIR",
        help="dataset with mel settings and scaler.json for standardised mel errors",
    )
    add_flags(parser, F0)
    parser.add_argument(
        "--seen",
        action="append",
        default=[],
        metavar="STAGE=FILELIST",
        help="file list of a training stage; its clips must not be scored (repeatable)",
    )
    args = parser.parse_args()
    if args.hop is not None and args.processed_dir is not None:
        parser.error("--hop is the dataset's own with --processed_dir; leave it out")
    if args.hop is not None and args.hop < 1:
        parser.error(f"--hop is {args.hop}; give at least 1")

    from tqdm import tqdm

    from rtmri_speech.dataset.filelists import read_filelist
    from rtmri_speech.dataset.meta import load_mel_spec
    from rtmri_speech.dataset.scaler import Scaler
    from rtmri_speech.evaluation.f0_range import training_f0_range
    from rtmri_speech.evaluation.leak import require_unseen
    from rtmri_speech.evaluation.scores import pair_wavs, score_directories

    require_json(args.output)
    seen = {}
    for item in args.seen:
        stage, _, path = item.partition("=")
        if not stage or not path:
            raise UserError("--seen", f"is {item!r}", "give STAGE=FILELIST")
        seen.setdefault(stage, set()).update(read_filelist(path))
    require_unseen(pair_wavs(args.reference, args.generated)[0], seen)
    spec = scaler = None
    f0_range = from_flags(F0, args).f0_range
    if args.processed_dir is not None:
        spec = load_mel_spec(args.processed_dir)
        scaler = Scaler.load(args.processed_dir / "scaler.json")
        f0_range = f0_range or training_f0_range(args.processed_dir, spec)

    scores = score_directories(
        args.reference,
        args.generated,
        hop=args.hop,
        spec=spec,
        scaler=scaler,
        f0_range=f0_range,
        progress=lambda clips: tqdm(clips, unit="clip", disable=None),
    )
    table = scores.write(args.output)
    print(scores.table())
    print(f"{len(scores.clips)} clips; scores in {args.output} and {table}")


if __name__ == "__main__":
    run_script(main)
