"""Export the predicted log mels of a dataset, for fine-tuning the vocoder (memo 3.1)."""

import argparse
from pathlib import Path

from rtmri_speech.devices import add_gpus_flag, take_gpus
from rtmri_speech.errors import run_script
from rtmri_speech.obsolete_flags import add_code_dir
from rtmri_speech.settings.acoustic import Prediction
from rtmri_speech.settings.flags import add_flags, from_flags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--processed_dir", type=Path, required=True, help="dataset")
    parser.add_argument("--mri_checkpoint", type=Path, required=True, help="checkpoint of the mel generator")
    parser.add_argument("--scaler_json", type=Path, help="scaler (default: the dataset's)")
    parser.add_argument(
        "--output_dir", type=Path, required=True, help="directory for <id>.npy, float32 (n_mels, T), natural log"
    )
    add_code_dir(parser)
    parser.add_argument("--clips", nargs="+", metavar="ID", help="clips (default: all)")
    parts = ["training", "validation", "test"]
    parser.add_argument("--parts", nargs="+", choices=parts, help="only clips of these file lists")
    add_flags(parser, Prediction)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--cpu", action="store_true", help="same as --device cpu")
    add_gpus_flag(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace existing mels")
    args = parser.parse_args()
    settings = from_flags(Prediction, args)
    take_gpus(args.gpus)

    from rtmri_speech.acoustic.predict import export_predicted, load_acoustic_model
    from rtmri_speech.dataset.filelists import clips_of
    from rtmri_speech.dataset.meta import load_mel_spec
    from rtmri_speech.dataset.scaler import Scaler

    bundle = load_acoustic_model(
        args.mri_checkpoint,
        "cpu" if args.cpu else args.device,
        scaler=Scaler.load(args.scaler_json or args.processed_dir / "scaler.json"),
        mel=load_mel_spec(args.processed_dir),
        precision=settings.prediction_precision,
    )
    export_predicted(
        bundle,
        args.processed_dir,
        args.output_dir,
        ids=args.clips or clips_of(args.processed_dir, *(args.parts or ())) or None,
        context=settings.context,
        overwrite=args.overwrite,
    )


if __name__ == "__main__":
    run_script(main)
