"""Import one clip, or the scaler, of a processed directory of the older system into a dataset of the workflow."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script
from rtmri_speech.settings.data import Audio, Mel, Video
from rtmri_speech.settings.flags import add_flags, from_flags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lab_dir", type=Path, required=True, help="the processed directory of the older system")
    parser.add_argument("--out_dir", type=Path, required=True, help="the dataset")
    parser.add_argument("--clip", help="id of the clip; without it, the scaler is imported")
    parser.add_argument("--video", type=Path, help="its video, for messages")
    parser.add_argument("--audio", type=Path, help="its sound")
    parser.add_argument("--stored", type=Path, help="samples/<id>, pairs_ref<n>_npy/<id> or pairs_ref<n>/<id>.npz")
    settings = parser.add_argument_group("settings of the dataset, each as in the configuration (mel, video, audio)")
    for section in (Mel, Video, Audio):
        add_flags(settings, section)
    args = parser.parse_args()

    from rtmri_speech.takeover.lab_dataset import LabClip, StoredClip, import_clip, lab_scaler

    if args.clip is None:
        lab_scaler(args.lab_dir).save(args.out_dir / "scaler.json")
        print(f"{args.lab_dir}: its scaler is imported; it was fitted on all clips, validation and test included.")
        return
    from rtmri_speech.dataset.process import DatasetSettings, Processing
    from rtmri_speech.signal.mel import MelSpec

    spec, size = MelSpec.of(from_flags(Mel, args)), from_flags(Video, args).size
    clip = LabClip(args.clip, args.video, args.audio, stored=StoredClip(args.stored))
    missing = import_clip(args.out_dir, clip, spec, size, from_flags(Audio, args).gain)
    Processing(args.out_dir, DatasetSettings(spec, size)).complete(clip.id, missing)


if __name__ == "__main__":
    run_script(main)
