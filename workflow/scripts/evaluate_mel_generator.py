"""Mel error of a mel generator on held-out clips, with mean mel, nearest neighbours and a shuffled control."""

import argparse
from pathlib import Path

from rtmri_speech.devices import add_gpus_flag, take_gpus
from rtmri_speech.errors import run_script
from rtmri_speech.settings.flags import add_flags, from_flags
from rtmri_speech.settings.use import F0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processed_dir", type=Path, required=True)
    parser.add_argument("--mri_checkpoint", type=Path, required=True)
    parser.add_argument("--output", type=Path, help="JSON to write")
    parser.add_argument("--parts", nargs="+", default=["validation", "test"], help="sets to score; not training")
    parser.add_argument("--seed", type=int, default=0, help="seed of the control's frame order")
    parser.add_argument("--f0_dir", type=Path, help="F0 of clips (track_f0.py) with the same range, to save time")
    add_flags(parser, F0)
    add_gpus_flag(parser)
    args = parser.parse_args()
    take_gpus(args.gpus)

    from rtmri_speech.acoustic.predict import load_acoustic_model
    from rtmri_speech.atomic import save_json
    from rtmri_speech.dataset.scaler import Scaler
    from rtmri_speech.evaluation.f0_range import require_f0_range
    from rtmri_speech.evaluation.mel_generator import mel_generator_errors

    bundle = load_acoustic_model(args.mri_checkpoint, scaler=Scaler.load(args.processed_dir / "scaler.json"))
    f0_range = from_flags(F0, args).f0_range
    if f0_range:
        require_f0_range(*f0_range, bundle.mel.sampling_rate)
    found = mel_generator_errors(bundle, args.processed_dir, args.parts, args.seed, f0_range, args.f0_dir)
    if args.output:
        save_json(args.output, found)
    for split, scores in found.items():
        print(
            f"{split}: {scores['clips']} clips, {scores['frames']} frames; mean squared error of the standardised mel"
        )
        floor = scores["systems"]["mean mel"]
        for name, error in scores["systems"].items():
            cells = (f"{frames} frames {error[frames]:.4f} ({error[frames] / floor[frames]:.3f})" for frames in error)
            print(f"    {name:34s} {'   '.join(cells)}")
        for name, error in scores["f0"].items():
            correlation = error["f0_correlation"]
            told = "" if correlation is None else f", F0 correlation {correlation:.3f}"
            print(f"    {name:34s} V/UV error {error['vuv_error']:.3f}{told}")


if __name__ == "__main__":
    run_script(main)
