"""Average Grad-CAM maps of clips by band and by phoneme, and compute the share of each head region."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script
from rtmri_speech.settings.all import FORMANT_BANDS
from rtmri_speech.settings.flags import add_flags, from_flags
from rtmri_speech.settings.use import Look


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--gradcam-dir", type=Path, required=True, help="directory with <id>/gradcam_<band>_sequence.npy"
    )
    parser.add_argument("--processed-dir", type=Path, required=True, help="dataset with the frames")
    parser.add_argument("--clips", nargs="+", metavar="ID", required=True)
    parser.add_argument("--bands", nargs="+", metavar="NAME", default=list(FORMANT_BANDS))
    parser.add_argument("--phoneme-dir", type=Path, help="directory with <id>.json (demo) or <id>.TextGrid")
    parser.add_argument(
        "--regions", type=Path, help="JSON of head regions: {group: {region: [[x, y], ...]}} in a 256x256 picture"
    )
    add_flags(parser, Look, "colormap")
    parser.add_argument("--output-dir", type=Path, required=True)
    args = parser.parse_args()

    from rtmri_speech.explain.aggregate import aggregate
    from rtmri_speech.explain.overlay import Style
    from rtmri_speech.explain.regions import Regions

    facts = aggregate(
        args.gradcam_dir,
        args.processed_dir,
        args.clips,
        args.bands,
        args.output_dir,
        phoneme_dir=args.phoneme_dir,
        regions=Regions.read(args.regions) if args.regions else None,
        style=from_flags(Style, args),
    )
    for sentence in facts["findings"]:
        print(sentence)


if __name__ == "__main__":
    run_script(main)
