"""Train the mel generator (memo 2.1).

The same command resumes a stopped training. --gpus N trains in N processes, one per GPU, or on the CPU without GPUs.
"""

import argparse
from pathlib import Path

from rtmri_speech.devices import add_gpus_flag, run_on_each_gpu, take_gpus
from rtmri_speech.errors import run_script
from rtmri_speech.settings.acoustic import Training
from rtmri_speech.settings.data import Windows
from rtmri_speech.settings.flags import add_flags, from_flags


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument_group("files").add_argument
    add("--processed_dir", type=Path, required=True, help="dataset")
    add(
        "--out_ckpt",
        type=Path,
        required=True,
        help="best checkpoint to write; the latest is written beside it as *_last",
    )
    add("--log_dir", type=Path, help="TensorBoard directory (default: <out_ckpt stem>_logs beside --out_ckpt)")
    add(
        "--state_dir",
        type=Path,
        help="directory of the resumable state (default: .<out_ckpt stem>.state beside --out_ckpt)",
    )
    add("--f0_dir", type=Path, help="F0 of the clips (track_f0.py), with --pitch")
    add("--provenance", type=Path, help="also write the provenance of the model to this JSON")
    add("--no_wait", action="store_true", help="refuse instead of waiting for another training with this state")
    add("--save_minutes", type=float, default=10.0, help="minutes between states")

    settings = parser.add_argument_group("settings, each as in the configuration (acoustic, windows)")
    add_flags(settings, Windows)
    add_flags(settings, Training)

    computing = parser.add_argument_group("computing")
    add_gpus_flag(computing)
    add = computing.add_argument
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--channels_last", action=argparse.BooleanOptionalAction, default=True, help="memory layout of the CNN")
    add("--use_reentrant", action="store_true", help="use torch's reentrant checkpointing")
    return parser


def main() -> int:
    args = arguments().parse_args()
    take_gpus(args.gpus)
    if (code := run_on_each_gpu(args.gpus)) is not None:
        return code

    from rtmri_speech.acoustic.train import TrainingSettings, train

    out = args.out_ckpt
    settings = from_flags(
        TrainingSettings,
        args,
        processed_dir=args.processed_dir,
        out_ckpt=out,
        log_dir=args.log_dir or out.with_name(f"{out.stem}_logs"),
        state_dir=args.state_dir or out.with_name(f".{out.stem}.state"),
        ref_frames=from_flags(Windows, args).ref_frames,
        f0_dir=args.f0_dir,
        provenance=args.provenance,
        channels_last=args.channels_last,
        use_reentrant=args.use_reentrant,
        save_minutes=args.save_minutes,
        device=args.device,
        wait=not args.no_wait,
    )
    return train(settings)


if __name__ == "__main__":
    run_script(main)
