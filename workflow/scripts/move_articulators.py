"""Where the pictures of a demo clip show what the power of a formant band depends on, by moving each articulator.

Writes <id>_<band>.npy (T, 64, 64) for check_explanations.py, and <id>.json with each movement's share of the change.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rtmri_speech.errors import UserError, run_script

SIDE = 64
"""Height and width of the maps, pixels."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=int, required=True, help="number of the clip")
    parser.add_argument("--seed", type=int, required=True, help="seed of the demo corpus")
    parser.add_argument("--processed_dir", type=Path, required=True, help="dataset, for its mel")
    parser.add_argument("--bands", nargs="+", metavar="NAME:LOW-HIGH", default=["F1:300-900", "F2:900-2500"])
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args()

    from rtmri_speech.atomic import save_json, save_npy
    from rtmri_speech.dataset.meta import load_mel_spec
    from rtmri_speech.demo.articulation import HOP_LENGTH, SAMPLING_RATE
    from rtmri_speech.demo.corpus import clip_id
    from rtmri_speech.demo.moves import changes
    from rtmri_speech.explain.bands import Band
    from rtmri_speech.explain.truth import truth_map

    spec = load_mel_spec(args.processed_dir)
    if (spec.sampling_rate, spec.hop_length) != (SAMPLING_RATE, HOP_LENGTH):
        raise UserError(
            args.processed_dir,
            f"has a mel of {spec.sampling_rate} Hz and {spec.hop_length} samples per frame",
            f"the demo has {SAMPLING_RATE} and {HOP_LENGTH}; name its dataset",
        )
    id = clip_id(args.clip)
    found = list(changes(args.clip, args.seed, spec, (SIDE, SIDE)))
    shares = {}
    for band in map(Band.parse, args.bands):
        power = [change.power[:, spec.band(band.low, band.high)].sum(1) for change in found]
        save_npy(
            args.output_dir / f"{id}_{band.name}.npy",
            truth_map([change.pixels for change in found], power).astype("float32"),
        )
        sizes = {change.name: abs(by).sum() for change, by in zip(found, power, strict=True)}
        shares[band.name] = {name: round(float(size / sum(sizes.values())), 4) for name, size in sizes.items()}
    save_json(args.output_dir / f"{id}.json", shares)


if __name__ == "__main__":
    run_script(main)
