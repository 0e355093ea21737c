"""Write the F0 of a dataset's training and validation clips, for a mel generator that learns it (acoustic.pitch)."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script
from rtmri_speech.settings.flags import add_flags, from_flags
from rtmri_speech.settings.use import F0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processed_dir", required=True, type=Path, help="dataset, with hifigan_filelists")
    parser.add_argument("--output_dir", required=True, type=Path, help="directory of <id>.npy, Hz a frame")
    add_flags(parser, F0)
    args = parser.parse_args()

    from tqdm import tqdm

    from rtmri_speech.dataset.f0 import write_f0
    from rtmri_speech.dataset.filelists import clips_of
    from rtmri_speech.dataset.meta import load_mel_spec
    from rtmri_speech.evaluation.f0_range import sought_f0_range

    spec = load_mel_spec(args.processed_dir)
    write_f0(
        args.processed_dir,
        clips_of(args.processed_dir, "training", "validation"),
        args.output_dir,
        spec,
        sought_f0_range(from_flags(F0, args).f0_range, args.processed_dir, spec),
        lambda clips: tqdm(clips, "F0", unit="clip", disable=None),
    )


if __name__ == "__main__":
    run_script(main)
