"""Import one clip, or the scaler, of a processed directory of the older system into a dataset of the workflow."""

import argparse
import json
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lab_dir", type=Path, required=True, help="the processed directory of the older system")
    parser.add_argument("--out_dir", type=Path, required=True, help="the dataset")
    parser.add_argument("--clip", help="id of the clip; without it, the scaler is imported")
    parser.add_argument("--video", type=Path, help="its video, for messages")
    parser.add_argument("--audio", type=Path, help="its sound")
    parser.add_argument("--stored", type=Path, help="samples/<id>, pairs_ref<n>_npy/<id> or pairs_ref<n>/<id>.npz")
    parser.add_argument("--mel", type=json.loads, help="the dataset's mel, as JSON")
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="height and width of the frames")
    parser.add_argument("--gain", type=float, default=1.0, help="factor on every sample of every clip")
    args = parser.parse_args()

    from rtmri_speech.takeover.lab_dataset import LabClip, StoredClip, import_clip, lab_scaler

    if args.clip is None:
        lab_scaler(args.lab_dir).save(args.out_dir / "scaler.json")
        print(f"{args.lab_dir}: its scaler is imported; it was fitted on all clips, validation and test included.")
        return 0
    from rtmri_speech.dataset.process import DatasetSettings, Processing
    from rtmri_speech.signal.mel import MelSpec

    spec, size = MelSpec.from_dict(args.mel, "--mel"), tuple(args.size)
    clip = LabClip(args.clip, args.video, args.audio, stored=StoredClip(args.stored))
    missing = import_clip(args.out_dir, clip, spec, size, args.gain)
    Processing(args.out_dir, DatasetSettings(spec, size)).complete(clip.id, missing)
    return 0


if __name__ == "__main__":
    run_script(main)
