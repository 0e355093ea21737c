"""Train or fine-tune HiFi-GAN (memo 3.2), with the flags of the official train.py.

With --fine_tuning 1, the mels come from --input_mels_dir and the weights from --base (which is copied) or from the
newest checkpoint in --checkpoint_path. The same command resumes a stopped training. --gpus N trains in N processes, one
per GPU, or on the CPU if there is none.
"""

import argparse
from pathlib import Path

from rtmri_speech.devices import add_gpus_flag, run_on_each_gpu, take_gpus
from rtmri_speech.errors import UserError, run_script
from rtmri_speech.obsolete_flags import Ignored
from rtmri_speech.settings.flags import add_flags, from_flags
from rtmri_speech.settings.vocoder import Training
from rtmri_speech.threads import limit_threads


def yes_or_no(text: str) -> bool:
    if text.lower() in ("1", "true", "yes"):
        return True
    if text.lower() in ("0", "false", "no", ""):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither 1 nor 0")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="HiFi-GAN's config.json")
    parser.add_argument("--input_wavs_dir", type=Path, required=True, help="directory of <id>.wav")
    parser.add_argument("--input_training_file", type=Path, required=True, help="file list, one <id>|... per line")
    parser.add_argument("--input_validation_file", type=Path, required=True)
    parser.add_argument(
        "--input_mels_dir", type=Path, help="directory of <id>.npy, log mels (n_mels, T), for --fine_tuning 1"
    )
    parser.add_argument("--extra_mels_dir", type=Path, help="directory of true mels to mix in")
    parser.add_argument(
        "--checkpoint_path", type=Path, help="directory for g_, do_, config.json and logs (default: dated)"
    )
    parser.add_argument("--fine_tuning", type=yes_or_no, nargs="?", const=True, default=False, metavar="0|1")
    parser.add_argument("--base", type=Path, help="g_<steps> file, or directory, to start from")
    parser.add_argument("--from_scratch", action="store_true", help="allow --fine_tuning 1 without a base")
    parser.add_argument("--training_epochs", type=int, default=3100)
    parser.add_argument("--training_steps", type=int, help="total number of steps, including those of the base")
    parser.add_argument("--stdout_interval", action=Ignored, help="ignored")
    parser.add_argument("--group_name", action=Ignored, help="ignored, as by the official script")
    parser.add_argument(
        "--state_dir", type=Path, help="directory of the resumable state (default: <checkpoint_path>/state)"
    )
    add_flags(parser, Training)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    add_gpus_flag(parser)
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--provenance", type=Path, help="also write the provenance of the model to this JSON")
    parser.add_argument(
        "--no_wait", action="store_true", help="refuse instead of waiting for another training with this state"
    )
    return parser


def main() -> int:
    args = arguments().parse_args()
    limit_threads(args.threads)
    take_gpus(args.gpus)
    if (code := run_on_each_gpu(args.gpus)) is not None:
        return code

    from rtmri_speech.dataset.meta import META, load_mel_spec
    from rtmri_speech.vocoder.config import read_config
    from rtmri_speech.vocoder.data import open_clips
    from rtmri_speech.vocoder.train import Run, dated_directory, train

    if args.fine_tuning and args.input_mels_dir is None:
        raise UserError("--input_mels_dir", "is missing", "--fine_tuning 1 needs the predicted mels")
    if args.checkpoint_path is None and args.base is None:
        raise UserError("--checkpoint_path", "is missing", "name the directory for the checkpoints")
    directory = args.checkpoint_path or dated_directory(args.base)
    config = read_config(args.config)
    mels = {"mels_dir": args.input_mels_dir if args.fine_tuning else None}
    true_mels = {"extra_mels_dir": args.extra_mels_dir if args.fine_tuning and args.extra_mels_weight else None}
    training = open_clips(args.input_training_file, args.input_wavs_dir, config, **mels, **true_mels)
    validation = open_clips(args.input_validation_file, args.input_wavs_dir, config, **mels)
    # As in the memo, mels are exported into the dataset.
    dataset = args.input_mels_dir.parent if args.fine_tuning else None
    run = from_flags(
        Run,
        args,
        directory=directory,
        steps=args.training_steps,
        epochs=args.training_epochs,
        state_directory=args.state_dir or directory / "state",
        base=args.base,
        base_needed=args.fine_tuning and not args.from_scratch,
        new_rate=args.fine_tuning,
        device=args.device,
        wait=not args.no_wait,
        mel=load_mel_spec(dataset) if dataset and (dataset / META).exists() else None,
        provenance=args.provenance,
    )
    return train(config, training, validation, run)


if __name__ == "__main__":
    run_script(main)
