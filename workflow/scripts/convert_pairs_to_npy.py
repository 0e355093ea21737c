"""Write where each window starts (memo 1.1), and take over the windows a lab stored in full.

Ours are pairs_ref4_npy/{training,validation}.npy: clip number in the file list and first frame. A directory of the
old system (pairs_ref4/*.npz or pairs_ref4_npy/<id>/*.npy) is read as it lies there: samples that are missing are put
together from its windows, and nothing of it is deleted.
"""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processed_dir", type=Path, required=True)
    parser.add_argument("--ref_frames", type=int, default=4, help="neighbouring frames a window")
    parser.add_argument("--part", choices=["training", "validation"], help="only this part (default: both)")
    parser.add_argument("--overwrite", action="store_true", help="replace pairs that are there already")
    args = parser.parse_args()

    from rtmri_speech.dataset.lab_format import restore_samples
    from rtmri_speech.dataset.windows import window_starts_path, write_window_starts

    for id in restore_samples(args.processed_dir, args.ref_frames):
        print(f"samples/{id} was put together from its stored windows.")
    for part in [args.part] if args.part else ["training", "validation"]:
        target = window_starts_path(args.processed_dir, part, args.ref_frames)
        if target.exists() and not args.overwrite:
            print(f"{target} is there already; --overwrite makes it anew.")
            continue
        print(f"{target}: {write_window_starts(args.processed_dir, part, args.ref_frames)} windows.")
    return 0


if __name__ == "__main__":
    run_script(main)
