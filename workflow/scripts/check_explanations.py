"""How far maps of the formant bands can be believed: Grad-CAM, integrated gradients, occlusion, beside what moves.

Writes faithfulness.json and faithfulness.md; docs/explanation.md says what the measures mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rtmri_speech.devices import add_gpus_flag, take_gpus
from rtmri_speech.errors import run_script
from rtmri_speech.settings.acoustic import Prediction
from rtmri_speech.settings.all import WRITTEN_BANDS
from rtmri_speech.settings.flags import add_flags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processed_dir", type=Path, required=True, help="dataset")
    parser.add_argument("--clips", nargs="+", metavar="ID", required=True)
    parser.add_argument("--mri_checkpoint", type=Path, required=True, help="checkpoint of the mel generator")
    parser.add_argument("--bands", nargs="+", metavar="NAME:LOW-HIGH", default=WRITTEN_BANDS)
    parser.add_argument(
        "--regions", type=Path, help="JSON {group: {region: [[x, y], ...]}}; the first group is the vocal tract"
    )
    parser.add_argument("--truth_dir", type=Path, help="output of move_articulators.py, for clips of the demo")
    add_flags(parser, Prediction, "context")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add_gpus_flag(parser)
    args = parser.parse_args()
    take_gpus(args.gpus)

    from tqdm import tqdm

    from rtmri_speech.acoustic.predict import load_acoustic_model
    from rtmri_speech.atomic import save_json, save_text
    from rtmri_speech.dataset.meta import load_mel_spec
    from rtmri_speech.dataset.scaler import Scaler
    from rtmri_speech.explain.bands import Band
    from rtmri_speech.explain.check import check
    from rtmri_speech.explain.regions import Regions
    from rtmri_speech.report.faithfulness import faithfulness_table

    bundle = load_acoustic_model(
        args.mri_checkpoint,
        args.device,
        scaler=Scaler.load(args.processed_dir / "scaler.json"),
        mel=load_mel_spec(args.processed_dir),
    )
    found = check(
        bundle,
        args.processed_dir,
        args.clips,
        [Band.parse(text) for text in args.bands],
        context=args.context,
        regions=Regions.read(args.regions) if args.regions else None,
        truth_dir=args.truth_dir,
        progress=lambda ids: tqdm(ids, unit="clip"),
    )
    save_json(args.output_dir / "faithfulness.json", found)
    table = faithfulness_table(found)
    save_text(args.output_dir / "faithfulness.md", f"{table}\n")
    print(table)


if __name__ == "__main__":
    run_script(main)
