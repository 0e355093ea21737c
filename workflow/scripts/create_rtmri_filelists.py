"""Write the file lists of training, validation and test for a directory of wavs (memo 1.1).

The split of a clip is determined by a hash of the seed and its id, so that adding a clip never moves another one. Clips
in existing lists, as written by preprocess_rtmri_data.py, keep their split, and new ones are added.
"""

import argparse
from pathlib import Path

from rtmri_speech.errors import UserError, run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wav_dir", type=Path, help="directory of the wavs")
    parser.add_argument("out_dir", type=Path, help="directory for training.txt, validation.txt and test.txt")
    parser.add_argument("--valid-ratio", type=float, default=0.1)
    parser.add_argument("--test-ratio", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--overwrite", action="store_true", help="make a new split, replacing existing lists")
    args = parser.parse_args()

    from rtmri_speech.dataset.clip import require_id
    from rtmri_speech.dataset.filelists import assign_splits, read_filelist, write_filelist

    ids = [require_id(path.stem, path) for path in sorted(args.wav_dir.glob("*.wav"))]
    if not ids:
        raise UserError(args.wav_dir, "holds no .wav", "name the directory of the wavs")
    samples = args.out_dir.parent / "samples"
    if samples.is_dir():
        for id in [id for id in ids if not (samples / id).is_dir()]:
            print(f"{id}: skipped, no sample in {samples}.")
            ids.remove(id)
    assignment = assign_splits(args.out_dir, ids, args.seed, args.valid_ratio, args.test_ratio, reassign=args.overwrite)
    if assignment.displaced:
        which = f"{len(assignment.displaced)} of the clips listed in {args.out_dir}"
        print(
            f"{which} move to another split: make scaler, windows and models again."
            if args.overwrite
            else f"{which} are in another split than by this seed and these ratios, and stay there, because scaler, "
            "windows and models depend on it (--overwrite splits again)."
        )
    for split, members in assignment.splits.items():
        target = args.out_dir / f"{split}.txt"
        # Unchanged lists keep their file time, so that nothing is rerun.
        if not target.exists() or read_filelist(target) != members:
            write_filelist(target, members)
        print(f"{split}: {len(members)} clips")


if __name__ == "__main__":
    run_script(main)
