"""Export the true log mels of a dataset, for mixing into the fine-tuning of the vocoder."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--processed_dir", type=Path, required=True, help="dataset")
    parser.add_argument(
        "--output_dir", type=Path, required=True, help="directory for <id>.npy, float32 (n_mels, T), natural log"
    )
    parser.add_argument("--clips", nargs="+", metavar="ID", help="clips (default: all)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing mels")
    args = parser.parse_args()

    from rtmri_speech.dataset.log_mels import export_true

    export_true(
        args.processed_dir,
        args.output_dir,
        ids=args.clips,
        overwrite=args.overwrite,
    )


if __name__ == "__main__":
    run_script(main)
