"""The maps of clips over time by articulator, beside the phonemes: a table and a TextGrid for Praat.

Writes <id>/articulators.tsv and <id>/articulators.TextGrid.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script
from rtmri_speech.settings.all import FORMANT_BANDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--gradcam_dir", type=Path, required=True, help="directory with <id>/gradcam_<band>_sequence.npy"
    )
    parser.add_argument("--processed_dir", type=Path, required=True, help="dataset, for the frame rate")
    parser.add_argument("--clips", nargs="+", metavar="ID", required=True)
    parser.add_argument("--bands", nargs="+", metavar="NAME", default=list(FORMANT_BANDS))
    parser.add_argument(
        "--regions", type=Path, required=True, help="JSON {group: {region: [[x, y], ...]}}; the first group's are named"
    )
    parser.add_argument("--phonemes", type=Path, metavar="DIR", help="directory of <id>.json or <id>.TextGrid")
    parser.add_argument("--output_dir", type=Path, help="default: --gradcam_dir")
    args = parser.parse_args()

    from rtmri_speech.dataset.meta import load_mel_spec
    from rtmri_speech.evaluation.phonemes import find_phonemes, read_phonemes
    from rtmri_speech.explain.regions import Regions
    from rtmri_speech.explain.sequences import open_sequence
    from rtmri_speech.explain.timeline import write_timeline

    spec, regions = load_mel_spec(args.processed_dir), Regions.read(args.regions)
    for id in args.clips:
        said = find_phonemes(args.phonemes, id) if args.phonemes else None
        written = (args.output_dir or args.gradcam_dir) / id
        write_timeline(
            {band: open_sequence(args.gradcam_dir / id, band) for band in args.bands},
            regions,
            spec,
            read_phonemes(said) if said else [],
            written / "articulators.tsv",
            written / "articulators.TextGrid",
        )


if __name__ == "__main__":
    run_script(main)
