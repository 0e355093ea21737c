"""Write where a stage's results come from: code, packages, settings, seed, and the hashes of what it is made of."""

import argparse
import json
from pathlib import Path

from rtmri_speech.errors import run_script


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", required=True, help="its name")
    parser.add_argument("--modules", nargs="+", required=True, help="of its code, below rtmri_speech")
    parser.add_argument("--settings", type=json.loads, default={}, metavar="JSON", help="those that count")
    parser.add_argument("--seed", type=int, help="of its random numbers")
    parser.add_argument("--inputs", type=Path, nargs="*", default=[], help="files that it is made of")
    parser.add_argument(
        "--input_lists", type=Path, nargs="*", default=[], help="files that name such files, one a line"
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON")
    return parser


def main() -> int:
    args = arguments().parse_args()

    from rtmri_speech.atomic import save_json
    from rtmri_speech.provenance import contents_hash, maker, record

    inputs = [*args.inputs]
    for listed in args.input_lists:
        inputs += map(Path, listed.read_text(encoding="utf-8").splitlines())
    hashes = {file.as_posix(): contents_hash(file) for file in inputs}
    save_json(args.output, record(args.stage, {**maker(*args.modules), "settings": args.settings}, args.seed, hashes))
    return 0


if __name__ == "__main__":
    run_script(main)
