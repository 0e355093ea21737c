"""Write the start of each training window (memo 1.1), and convert windows stored by the lab's older system.

Output: pairs_ref4_npy/{training,validation}.npy with the clip's index in the file list and the first frame. In a
directory of the older system (pairs_ref4/*.npz or pairs_ref4_npy/<id>/*.npy), missing samples are rebuilt from its
windows; nothing is deleted.
"""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script
from rtmri_speech.settings.data import Windows
from rtmri_speech.settings.flags import add_flags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processed_dir", type=Path, required=True)
    add_flags(parser, Windows)
    parser.add_argument("--part", choices=["training", "validation"], help="only this set (default: both)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing pairs")
    args = parser.parse_args()

    from rtmri_speech.dataset.windows import window_starts_path, write_window_starts
    from rtmri_speech.takeover.lab_dataset import restore_samples

    for id in restore_samples(args.processed_dir, args.ref_frames):
        print(f"samples/{id} was rebuilt from stored windows.")
    for part in [args.part] if args.part else ["training", "validation"]:
        target = window_starts_path(args.processed_dir, part, args.ref_frames)
        if target.exists() and not args.overwrite:
            print(f"{target} exists; --overwrite replaces it.")
            continue
        print(f"{target}: {write_window_starts(args.processed_dir, part, args.ref_frames)} windows.")


if __name__ == "__main__":
    run_script(main)
