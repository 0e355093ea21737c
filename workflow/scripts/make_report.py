"""Make the HTML page of an experiment from its evaluation; works without a server."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from rtmri_speech.errors import run_script

_log = logging.getLogger("rtmri_speech.scripts")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processed_dir", required=True, type=Path, help="dataset")
    parser.add_argument("--evaluation", required=True, type=Path, help="directory with scores.json and sounds")
    parser.add_argument("--output_dir", required=True, type=Path, help="directory for index.html, figures and media")
    parser.add_argument("--acoustic_logs", type=Path, help="TensorBoard directory of the mel generator")
    parser.add_argument("--vocoder_logs", type=Path, help="TensorBoard directory of the vocoder")
    parser.add_argument("--films", type=Path, metavar="DIR", help="directory with the Grad-CAM films, <id>/*.mp4")
    parser.add_argument("--phonemes", type=Path, metavar="DIR", help="directory of <id>.json or <id>.TextGrid")
    parser.add_argument("--benchmarks", type=Path, metavar="DIR", help="directory of Snakemake's benchmark files")
    parser.add_argument("--settings", type=Path, metavar="FILE.json", help="JSON of the configuration to show")
    parser.add_argument(
        "--provenance", type=Path, nargs="*", default=[], metavar="FILE.json", help="provenance JSON of each stage"
    )
    args = parser.parse_args()

    from tqdm import tqdm

    from rtmri_speech.provenance import require_record
    from rtmri_speech.report.page import Experiment, read_settings, write_page
    from rtmri_speech.untrusted import read_json

    logs = {"acoustic": args.acoustic_logs, "vocoder": args.vocoder_logs}
    experiment = Experiment(
        args.processed_dir,
        args.evaluation,
        {name: path for name, path in logs.items() if path},
        args.films,
        args.phonemes,
        args.benchmarks,
        read_settings(args.settings) if args.settings else {},
        [
            require_record(read_json(path, missing="check --provenance", remedy="make it again"), path)
            for path in args.provenance
        ],
    )
    write_page(args.output_dir, experiment, lambda clips: tqdm(clips, "media", unit="clip", disable=None))
    _log.info(f"open {args.output_dir / 'index.html'} in a browser")


if __name__ == "__main__":
    run_script(main)
