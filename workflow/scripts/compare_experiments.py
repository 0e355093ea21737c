"""Compare two or more finished experiments on one page: settings, paired differences with verdicts, and sounds.

compare_experiments.py results results_b --output_dir compare
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from rtmri_speech.errors import run_script

_log = logging.getLogger("rtmri_speech.scripts")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "results", nargs="+", type=Path, help="results directories; the others are compared with the first"
    )
    parser.add_argument(
        "--output_dir", type=Path, default=Path("compare"), help="directory of the page (default: %(default)s)"
    )
    parser.add_argument(
        "--further",
        action="store_true",
        help="compare the further clips of score_further_clips.py in place of the test clips",
    )
    args = parser.parse_args()
    if len({path.resolve() for path in args.results}) < max(len(args.results), 2):
        parser.error("give two or more results directories, each once")

    from tqdm import tqdm

    from rtmri_speech.report.compare import write_comparison
    from rtmri_speech.report.experiments import FURTHER, TEST, open_finished

    experiments = open_finished(args.results, FURTHER if args.further else TEST)
    print(write_comparison(args.output_dir, experiments, lambda clips: tqdm(clips, "media", unit="clip", disable=None)))
    _log.info(f"open {args.output_dir / 'index.html'} in a browser")


if __name__ == "__main__":
    run_script(main)
