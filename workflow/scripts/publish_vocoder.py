"""Copy a vocoder without optimiser moments, for distribution as a base for fine-tuning."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint_file", type=Path, required=True, help="g_<steps>, with do_<steps> beside it")
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args()

    from rtmri_speech.vocoder.checkpoint import publish_pair
    from rtmri_speech.vocoder.naming import steps_of

    publish_pair(args.checkpoint_file.parent, steps_of(args.checkpoint_file), args.output_dir)


if __name__ == "__main__":
    run_script(main)
