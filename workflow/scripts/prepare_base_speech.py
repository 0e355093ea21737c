"""Make directories of speech into the clips and file lists that a base vocoder is trained on and validated with."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, nargs="+", required=True, help="directories of sound files to train on")
    parser.add_argument("--held_out", type=Path, nargs="+", required=True, help="directories of other voices")
    parser.add_argument("--config", type=Path, required=True, help="HiFi-GAN's config.json, for the sampling rate")
    parser.add_argument("--out_dir", type=Path, required=True, help="receives audio/, training.txt, validation.txt")
    args = parser.parse_args()

    from rtmri_speech.atomic import replacing_directory
    from rtmri_speech.dataset.filelists import write_filelist
    from rtmri_speech.vocoder.config import read_config
    from rtmri_speech.vocoder.speech import prepare_speech

    rate = read_config(args.config).sampling_rate
    parts = {"training": args.speech, "validation": args.held_out}
    with replacing_directory(args.out_dir / "audio") as audio:
        ids = {split: prepare_speech(directories, audio, rate, split) for split, directories in parts.items()}
    for split, clips in ids.items():
        write_filelist(args.out_dir / f"{split}.txt", clips)


if __name__ == "__main__":
    run_script(main)
