"""Train the mel generator (memo 2.1).

The same command goes on after a kill. With --gpus N it trains in N processes, one on each GPU, or on the processor
where there is none.
"""

import argparse
from pathlib import Path

from rtmri_speech.devices import add_gpus_flag, run_on_each_gpu, take_gpus
from rtmri_speech.errors import run_script


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument_group("files").add_argument
    add("--processed_dir", type=Path, required=True, help="the dataset")
    add("--out_ckpt", type=Path, required=True, help="the best checkpoint; the last one goes beside it as *_last")
    add("--resume_ckpt", type=Path, help="begin from this checkpoint; usually the same file as --out_ckpt")
    add("--log_dir", type=Path, help="TensorBoard (default: <out_ckpt stem>_logs beside --out_ckpt)")
    add("--state_dir", type=Path, help="where a killed run goes on from (default: .<out_ckpt stem>.state beside it)")
    add(
        "--resume",
        choices=["auto", "warm"],
        default="auto",
        help="warm: take along weights when data or network change",
    )
    add("--provenance", type=Path, help="also write where the model comes from to this JSON")
    add("--no_wait", action="store_true", help="give up instead of waiting when another training uses the state")

    add = parser.add_argument_group("network").add_argument
    add("--backbone", default="tf_efficientnetv2_b2", help="a timm model")
    add("--output_stride", type=int, help="pixels a cell of the last feature map (default: the backbone's own)")
    add("--rnn_hidden", type=int, default=640, help="width of the LSTM")
    add("--dropout", type=float, default=0.5)
    add("--cnn_pretrained", nargs="?", const=True, default=False, metavar="FILE", help="from the hub, or from FILE")
    add("--image_size", type=int, nargs=2, metavar=("H", "W"), help="what the CNN sees (default: the stored frames)")
    add("--frame_normalisation", choices=["unit", "frame"], default="unit", help="of each picture")

    add = parser.add_argument_group("batches").add_argument
    add("--ref_frames", type=int, default=4, help="frames a window")
    add("--stretch", type=int, default=16, help="neighbouring windows that share one CNN pass; 1: each its own")
    add("--batch_size", type=int, default=8, help="stretches a step")
    add("--val_batch_size", type=int, default=8, help="stretches a batch of validation")
    add("--micro_batch_size", type=int, default=2, help="stretches in memory at a time; gradients are accumulated")
    add("--num_workers", type=int, default=0, help="loader processes")
    add("--prefetch_factor", type=int, default=2, help="batches each of them keeps ready")
    add("--pin_memory", action=argparse.BooleanOptionalAction, default=False, help="page-locked batches, for CUDA")
    add("--seed", type=int, default=42)

    add = parser.add_argument_group("augmentation, the largest random change of each stretch's pictures").add_argument
    add("--shift", type=float, default=0.0, help="of height and width")
    add("--rotation", type=float, default=0.0, help="degrees")
    add("--zoom", type=float, default=0.0, help="0.1: by factors from 0.9 to 1.1")
    add("--gain", type=float, default=0.0, help="0.1: brightness by factors from 0.9 to 1.1")

    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=int, default=4500)
    add("--max_train_steps", type=int, help="steps an epoch at most")
    add("--max_val_steps", type=int, help="batches of validation at most")
    add("--lr", type=float, default=1e-4)
    add("--weight_decay", type=float, default=1e-4)
    add("--grad_clip", type=float, default=1.0, help="largest norm of the gradient; 0: any")
    add("--schedule", choices=["plateau", "cosine"], default="plateau", help="of the learning rate")
    add("--warmup_steps", type=int, default=0, help="steps in which the learning rate rises")
    add("--plateau_factor", type=float, default=0.5)
    add("--plateau_patience", type=int, default=5, help="epochs")
    add("--min_lr", type=float, default=1e-6, help="floor of the plateau schedule; reaching it ends the training")
    add("--early_stop", type=int, default=20, help="epochs without improvement that end the training; 0: never")
    add("--freeze_batch_norm", action="store_true", help="use the statistics of the weights begun with")
    add("--save_minutes", type=float, default=10.0, help="between two states")
    add("--picture_epochs", type=int, default=25, help="between two drawings of validation mels; 0: none")

    add = parser.add_argument_group("loss, each weight from its start to its target as the ramp rises").add_argument
    add("--ramp_steps", type=int, help="steps of the ramp")
    add("--delta", type=float, nargs=2, metavar=("START", "TARGET"), help="first difference")
    add("--delta2", type=float, nargs=2, metavar=("START", "TARGET"), help="second difference")
    add("--latest", type=float, nargs=2, metavar=("START", "TARGET"), help="latest frame")
    add("--time_weights", type=float, nargs="+", dest="time", metavar="W", help="target of each frame of a window")
    add("--band_weights", nargs="+", dest="bands", metavar="NAME:FIRST_BIN:W", help="target of each band of bins")

    computing = parser.add_argument_group("computing")
    add_gpus_flag(computing)
    add = computing.add_argument
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--amp", choices=["auto", "float32", "bfloat16", "float16"], default="auto", help="precision of the CNN")
    add("--channels_last", action=argparse.BooleanOptionalAction, default=True, help="memory layout of the CNN")
    add("--use_checkpoint", action="store_true", help="less memory: compute the CNN's blocks again for the gradient")
    add("--ckpt_segments", type=int, default=2, help="runs of blocks for --use_checkpoint")
    add("--use_reentrant", action="store_true", help="torch's older kind of checkpointing")
    return parser


def main() -> int:
    args = arguments().parse_args()
    take_gpus(args.gpus)
    if (code := run_on_each_gpu(args.gpus)) is not None:
        return code

    from rtmri_speech.acoustic.data import Augmentation
    from rtmri_speech.acoustic.loss import LossSettings
    from rtmri_speech.acoustic.model import Network, Recomputing
    from rtmri_speech.acoustic.train import TrainingSettings, train
    from rtmri_speech.training.logging import say

    given = {name: getattr(args, name) for name in ("ramp_steps", "delta", "delta2", "latest", "time", "bands")}
    loss = LossSettings.from_flags({name: value for name, value in given.items() if value is not None})
    out = args.out_ckpt
    settings = TrainingSettings(
        processed_dir=args.processed_dir,
        out_ckpt=out,
        log_dir=args.log_dir or out.with_name(f"{out.stem}_logs"),
        state_dir=args.state_dir or out.with_name(f".{out.stem}.state"),
        resume_ckpt=args.resume_ckpt,
        resume=args.resume,
        network=Network(args.backbone, args.output_stride, args.rnn_hidden, args.dropout),
        loss=loss,
        ref_frames=args.ref_frames,
        image_size=tuple(args.image_size) if args.image_size else None,
        normalisation=args.frame_normalisation,
        augmentation=Augmentation(args.shift, args.rotation, args.zoom, args.gain),
        stretch=args.stretch,
        epochs=args.epochs,
        batch_size=args.batch_size,
        val_batch_size=args.val_batch_size,
        micro_batch_size=args.micro_batch_size,
        max_train_steps=args.max_train_steps,
        max_val_steps=args.max_val_steps,
        lr=args.lr,
        weight_decay=args.weight_decay,
        grad_clip=args.grad_clip,
        schedule=args.schedule,
        warmup_steps=args.warmup_steps,
        plateau_factor=args.plateau_factor,
        plateau_patience=args.plateau_patience,
        min_lr=args.min_lr,
        early_stop=args.early_stop,
        precision=args.amp,
        channels_last=args.channels_last,
        freeze_batch_norm=args.freeze_batch_norm,
        recomputing=Recomputing(args.ckpt_segments, args.use_reentrant) if args.use_checkpoint else None,
        pretrained=args.cnn_pretrained if isinstance(args.cnn_pretrained, bool) else Path(args.cnn_pretrained),
        workers=args.num_workers,
        prefetch=args.prefetch_factor,
        pin_memory=args.pin_memory,
        save_minutes=args.save_minutes,
        picture_epochs=args.picture_epochs,
        seed=args.seed,
        device=args.device,
        wait=not args.no_wait,
        provenance=args.provenance,
    )
    return train(settings, say)


if __name__ == "__main__":
    run_script(main)
