"""Masking study: mel error of each band with darkened lips, tongue and other regions, compared with Grad-CAM."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rtmri_speech.devices import add_gpus_flag, take_gpus
from rtmri_speech.errors import run_script
from rtmri_speech.settings.acoustic import Prediction
from rtmri_speech.settings.all import WRITTEN_BANDS
from rtmri_speech.settings.flags import add_flags
from rtmri_speech.settings.use import Darkening


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--processed-dir", type=Path, required=True, help="dataset")
    parser.add_argument("--clips", nargs="+", metavar="ID", required=True)
    parser.add_argument("--mri-checkpoint", type=Path, required=True, help="checkpoint of the mel generator")
    parser.add_argument("--hifigan-checkpoint", type=Path, help="vocoder, to synthesise and score the speech too")
    parser.add_argument("--hifigan-config", type=Path, help="config of the vocoder (default: config.json beside it)")
    add_flags(parser, Prediction, "context")
    add_flags(parser, Darkening)
    parser.add_argument(
        "--regions", type=Path, help="JSON of further regions {group: {region: [[x, y], ...]}} in a 256x256 picture"
    )
    parser.add_argument("--bands", nargs="+", metavar="NAME:LOW-HIGH", default=WRITTEN_BANDS)
    parser.add_argument("--gradcam-dir", type=Path, help="directory with <id>/gradcam_<band>_sequence.npy")
    parser.add_argument(
        "--output-dir", type=Path, required=True, help="directory for masking.csv, masking.png and wavs/"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add_gpus_flag(parser)
    args = parser.parse_args()
    take_gpus(args.gpus)

    from tqdm import tqdm

    from rtmri_speech.acoustic.predict import load_acoustic_model
    from rtmri_speech.dataset.meta import load_mel_spec
    from rtmri_speech.dataset.scaler import Scaler
    from rtmri_speech.errors import UserError
    from rtmri_speech.explain.bands import Band
    from rtmri_speech.explain.masking import ARTICULATORS, Polygon
    from rtmri_speech.explain.regions import Regions
    from rtmri_speech.explain.study import agreement, draw_study, masking_study, write_table
    from rtmri_speech.synthesis.synthesiser import Synthesiser
    from rtmri_speech.vocoder.engine import load_vocoder

    if unknown := [name for name in args.masks if name not in ARTICULATORS]:
        raise UserError("--masks", f"names {', '.join(unknown)}", f"give some of {', '.join(ARTICULATORS)}")
    masks: dict[str, Sequence[Polygon]] = {name: ARTICULATORS[name] for name in args.masks}
    if args.regions:
        regions = Regions.read(args.regions).single()
        if twice := sorted(masks.keys() & regions.keys()):
            raise UserError(
                args.regions, f"names {', '.join(twice)} as --masks does", "leave it out there or rename it"
            )
        masks |= regions
    scaler = Scaler.load(args.processed_dir / "scaler.json")
    acoustic = load_acoustic_model(
        args.mri_checkpoint, args.device, scaler=scaler, mel=load_mel_spec(args.processed_dir)
    )
    vocoders = {}
    if args.hifigan_checkpoint:
        name = args.hifigan_checkpoint.name
        vocoders[name] = load_vocoder(args.hifigan_checkpoint, args.hifigan_config, acoustic.device)
    bands = [Band.parse(text) for text in args.bands]
    effects = masking_study(
        Synthesiser(acoustic, vocoders, args.context),
        scaler,
        args.processed_dir,
        args.clips,
        masks,
        args.alphas,
        bands,
        gradcam_dir=args.gradcam_dir,
        wav_dir=args.output_dir / "wavs" if vocoders else None,
        progress=tqdm,
    )
    write_table(args.output_dir / "masking.csv", effects)
    draw_study(args.output_dir / "masking.png", effects)
    for band in bands:
        rank = agreement(effects, band.name)
        print(f"{band.name}: rank correlation over masks of change and Grad-CAM density {rank:.2f}")


if __name__ == "__main__":
    run_script(main)
