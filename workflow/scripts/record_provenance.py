"""Record the provenance of a stage: code, packages, settings, seed, and hashes of its inputs."""

import argparse
import json
from pathlib import Path

from rtmri_speech.errors import run_script


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", required=True, help="name of the stage")
    parser.add_argument("--modules", nargs="+", required=True, help="modules of its code, relative to rtmri_speech")
    parser.add_argument(
        "--settings", type=json.loads, default={}, metavar="JSON to write", help="JSON of the relevant settings"
    )
    parser.add_argument("--seed", type=int, help="seed of its random numbers")
    parser.add_argument("--inputs", type=Path, nargs="*", default=[], help="input files")
    parser.add_argument("--input_lists", type=Path, nargs="*", default=[], help="lists of input files, one per line")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    return parser


def main() -> None:
    args = arguments().parse_args()

    from rtmri_speech.atomic import save_json
    from rtmri_speech.provenance import contents_hash, maker, record

    inputs = [*args.inputs]
    for listed in args.input_lists:
        inputs += map(Path, listed.read_text(encoding="utf-8").splitlines())
    hashes = {file.as_posix(): contents_hash(file) for file in inputs}
    save_json(args.output, record(args.stage, {**maker(*args.modules), "settings": args.settings}, args.seed, hashes))


if __name__ == "__main__":
    run_script(main)
