"""Write the file lists of training, validation and test for a directory of wavs (memo 1.1).

The part of a clip is decided by a hash of the seed and its id, so that adding a clip never moves another one.
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
    args = parser.parse_args()

    from rtmri_speech.dataset.clip import require_id
    from rtmri_speech.dataset.filelists import write_filelist
    from rtmri_speech.dataset.split import split

    ids = [require_id(path.stem, path) for path in sorted(args.wav_dir.glob("*.wav"))]
    if not ids:
        raise UserError(args.wav_dir, "holds no .wav", "name the directory of the wavs")
    for part, members in split(ids, args.seed, args.valid_ratio, args.test_ratio).items():
        write_filelist(args.out_dir / f"{part}.txt", members)
        print(f"{part}: {len(members)} clips")
    return 0


if __name__ == "__main__":
    run_script(main)
