"""Pictures and sound of a demo clip with each articulator moved a little, to check explanations against.

Writes <id>_pictures.npy (1 + K, T, 256, 256), <id>_power.npy (1 + K, T, n_mels) and <id>.json with the K movements, for
check_explanations.py; the first of each is the clip as it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rtmri_speech.errors import UserError, run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=int, required=True, help="number of the clip")
    parser.add_argument("--seed", type=int, required=True, help="seed of the demo corpus")
    parser.add_argument("--processed_dir", type=Path, required=True, help="dataset, for its mel")
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args()

    import numpy as np

    from rtmri_speech.atomic import save_json, save_npy
    from rtmri_speech.dataset.meta import load_mel_spec
    from rtmri_speech.demo.articulation import HOP_LENGTH, SAMPLING_RATE
    from rtmri_speech.demo.corpus import clip_id
    from rtmri_speech.demo.moves import MOVES, moved_clip

    spec = load_mel_spec(args.processed_dir)
    if (spec.sampling_rate, spec.hop_length) != (SAMPLING_RATE, HOP_LENGTH):
        raise UserError(
            args.processed_dir,
            f"has a mel of {spec.sampling_rate} Hz and {spec.hop_length} samples per frame",
            f"the demo has {SAMPLING_RATE} and {HOP_LENGTH}; name its dataset",
        )
    id = clip_id(args.clip)
    pictures, power = zip(*moved_clip(args.clip, args.seed, spec), strict=True)
    save_npy(args.output_dir / f"{id}_pictures.npy", np.stack(pictures))
    save_npy(args.output_dir / f"{id}_power.npy", np.stack(power))
    save_json(args.output_dir / f"{id}.json", {"movements": list(MOVES)})


if __name__ == "__main__":
    run_script(main)
