"""Count the answers of a listening test: mean opinion scores, or shares of preference, by system.

score_listening_test.py --key listening/key.csv --answers answers_*.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--key", required=True, type=Path, help="key.csv of make_listening_test.py")
    parser.add_argument("--answers", required=True, nargs="+", type=Path, help="files that listeners downloaded")
    args = parser.parse_args()

    from rtmri_speech.evaluation.listening import count_answers, read_key, results_table

    print(results_table(count_answers(read_key(args.key), args.answers)))


if __name__ == "__main__":
    run_script(main)
