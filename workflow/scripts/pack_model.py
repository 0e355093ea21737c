"""Write a pack: a single file for synthesis without torch by run_mri_video_inference.py --model (docs/packs.md).

    pack_model.py --mri-checkpoint mri_acoustic_model.pt --hifigan-checkpoint g_00330000 --output model.pack
        --licence "CC BY 4.0" --speaker "one woman, Tokyo Japanese" --consent "research and sharing, signed 2024"

The models are those that use torch; what the pack makes is compared with what they make before it is written.

    pack_model.py --pack model.pack --scores scores.json --output shared.pack

adds the summary of an evaluation to a copy.
"""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script
from rtmri_speech.settings.acoustic import Prediction
from rtmri_speech.settings.flags import add_flags, from_flags
from rtmri_speech.settings.use import Pack
from rtmri_speech.threads import limit_threads


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    models = parser.add_argument_group("a new pack")
    models.add_argument("--mri-checkpoint", type=Path, help="checkpoint of the mel generator")
    models.add_argument("--scaler-json", type=Path, help="scaler, for checkpoints without one")
    models.add_argument("--hifigan-checkpoint", type=Path, help="g_<steps>")
    models.add_argument(
        "--hifigan-config", type=Path, help="config of the vocoder (default: config.json beside the checkpoint)"
    )
    add_flags(models, Prediction, "context")
    add_flags(models, Pack, "cnn")
    models.add_argument("--calibration", type=Path, metavar="DATASET", help="the mel generator's dataset, for int8")
    terms = parser.add_argument_group("what it is shared under; a voice is personal data")
    add_flags(terms, Pack, "licence", "speaker", "consent")
    # By hand they are said, not taken for not stated.
    parser.set_defaults(licence=None, speaker=None, consent=None)
    copy = parser.add_argument_group("a copy with scores")
    copy.add_argument("--pack", type=Path, help="existing pack")
    copy.add_argument("--scores", type=Path, help="scores.json of an evaluation")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--output", type=Path, required=True, help="pack to write")
    args = parser.parse_args()
    if args.pack is not None or args.scores is not None:
        if args.pack is None or args.scores is None or args.mri_checkpoint or args.hifigan_checkpoint:
            parser.error("--pack and --scores go together, without checkpoints")
        return args
    for name in ("mri_checkpoint", "hifigan_checkpoint", "licence", "speaker", "consent"):
        if getattr(args, name) is None:
            parser.error(f"a new pack needs --{name.replace('_', '-')}")
    return args


def main() -> None:
    args = parse()

    limit_threads(args.threads)

    if args.pack is not None:
        from rtmri_speech.pack.format import add_scores

        add_scores(args.pack, args.scores, args.output)
    else:
        from rtmri_speech.pack.export import make_pack

        make_pack(
            args.output,
            args.mri_checkpoint,
            args.hifigan_checkpoint,
            from_flags(Pack, args),
            hifigan_config=args.hifigan_config,
            scaler_json=args.scaler_json,
            context=args.context,
            calibration=args.calibration,
        )
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run_script(main)
