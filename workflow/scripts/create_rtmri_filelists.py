"""Write the file lists of training, validation and test for a directory of wavs (memo 1.1).

The part of a clip is decided by a hash of the seed and its id, so that adding a clip never moves another one. Where
there are lists already, as preprocess_rtmri_data.py makes them, their clips stay in their parts and new ones join them.
"""

import argparse
from pathlib import Path

from rtmri_speech.errors import UserError, run_script


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wav_dir", type=Path, help="directory of the wavs")
    parser.add_argument("out_dir", type=Path, help="directory to write training.txt, validation.txt and test.txt to")
    parser.add_argument("--valid-ratio", type=float, default=0.1)
    parser.add_argument("--test-ratio", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--overwrite", action="store_true", help="divide anew, whatever lists are there")
    args = parser.parse_args()

    from rtmri_speech.dataset.clip import require_id
    from rtmri_speech.dataset.filelists import divided, read_filelist, write_filelist

    ids = [require_id(path.stem, path) for path in sorted(args.wav_dir.glob("*.wav"))]
    if not ids:
        raise UserError(args.wav_dir, "holds no .wav", "name the directory of the wavs")
    samples = args.out_dir.parent / "samples"
    if samples.is_dir():
        for id in [id for id in ids if not (samples / id).is_dir()]:
            print(f"{id}: left out, it has no sample in {samples}.")
            ids.remove(id)
    division = divided(args.out_dir, ids, args.seed, args.valid_ratio, args.test_ratio, anew=args.overwrite)
    if division.elsewhere:
        which = f"{len(division.elsewhere)} of the clips listed in {args.out_dir}"
        print(
            f"{which} move to another part: make scaler, windows and models anew."
            if args.overwrite
            else f"{which} are in another part than by this seed and these ratios, and stay there: scaler, windows and "
            "models belong to it (--overwrite divides anew)."
        )
    for part, members in division.parts.items():
        target = args.out_dir / f"{part}.txt"
        # A list that says the same already keeps its time: nothing becomes stale by it.
        if not target.exists() or read_filelist(target) != members:
            write_filelist(target, members)
        print(f"{part}: {len(members)} clips")
    return 0


if __name__ == "__main__":
    run_script(main)
