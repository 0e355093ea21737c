"""Grad-CAM of the mel generator for the power in formant bands (memo 7.4).

    python mri_gradcam_formant.py --video 000.mp4 --mri-checkpoint mri_acoustic_model.pt --output-dir gradcam/000 \\
        --formant-band F1:300-900 --formant-band F2:900-2500 --target-frames 60 90 120 --intervals first2s 0.8-1.2

Writes for each band gradcam_<band>_sequence.npy (T, 256, 256) in [0, 1], gradcam_<band>.json with the factor to raw
values, _average.png, for each target frame _frameNNNN.png (map of the sequence) and _frameNNNN_detail.png (map of that
frame alone), and _<interval>_sequence.npy. With --processed-dir and --clips, processes several clips, each into
<output-dir>/<id>.
"""

import argparse
from pathlib import Path

from rtmri_speech.devices import add_gpus_flag, take_gpus
from rtmri_speech.errors import UserError, run_script
from rtmri_speech.obsolete_flags import add_code_dir
from rtmri_speech.settings.acoustic import Prediction
from rtmri_speech.settings.all import WRITTEN_BANDS
from rtmri_speech.settings.data import Video
from rtmri_speech.settings.flags import add_flags, from_flags
from rtmri_speech.settings.use import GradCam


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_argument_group("frames: a video, or clips of a dataset")
    source.add_argument("--video", type=Path)
    source.add_argument("--processed-dir", type=Path, help="dataset")
    source.add_argument("--clips", nargs="+", metavar="ID", help="clips of the dataset")
    source.add_argument("--speaker", metavar="NAME", help="who speaks (default: as the dataset says)")
    add_flags(source, Video, "resampling")
    parser.add_argument("--mri-checkpoint", type=Path, required=True, help="checkpoint of the mel generator")
    parser.add_argument("--scaler-json", type=Path, help="scaler, for checkpoints of the lab")
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument(
        "--formant-band",
        action="append",
        metavar="NAME:LOW-HIGH",
        help=f"band in Hz; repeatable (default: {', '.join(WRITTEN_BANDS)})",
    )
    add_flags(parser, GradCam)
    add_flags(parser, Prediction, "context")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add_gpus_flag(parser)
    add_code_dir(parser)
    mel = parser.add_argument_group("mel of a checkpoint of the lab, which stores none; must agree with any other's")
    mel.add_argument("--n-mels", type=int)
    mel.add_argument("--sampling-rate", type=int)
    mel.add_argument("--fmin", type=float)
    mel.add_argument("--fmax", type=float)
    return parser.parse_args()


def main() -> None:
    args = parse()
    take_gpus(args.gpus)
    if (args.video is None) == (args.processed_dir is None) or (args.clips is None) != (args.processed_dir is None):
        raise UserError("--video", "and --processed-dir with --clips exclude each other", "give one of the two")

    from rtmri_speech.acoustic.fold import fold_batch_norm
    from rtmri_speech.acoustic.predict import load_acoustic_model
    from rtmri_speech.dataset.clip import require_id
    from rtmri_speech.dataset.sample import load_frames
    from rtmri_speech.dataset.scaler import Scaler
    from rtmri_speech.dataset.speakers import clip_speakers, known_speakers
    from rtmri_speech.explain.bands import Band
    from rtmri_speech.explain.clips import ClipSettings, checkpoint_mel, explain_clip, video_frames
    from rtmri_speech.explain.overlay import Style
    from rtmri_speech.explain.sequences import Interval

    maps = from_flags(GradCam, args)
    settings = ClipSettings(
        bands=tuple(map(Band.parse, args.formant_band or WRITTEN_BANDS)),
        target_frames=maps.target_frames,
        intervals=tuple(map(Interval.parse, maps.intervals)),
        reduction=maps.reduction,
        context=args.context,
        stride=maps.stride,
        method=maps.method,
        scaling=maps.scaling,
        style=from_flags(Style, args),
    )
    given = {"n_mels": args.n_mels, "sampling_rate": args.sampling_rate, "fmin": args.fmin, "fmax": args.fmax}
    bundle = load_acoustic_model(
        args.mri_checkpoint,
        args.device,
        scaler=Scaler.load(args.scaler_json) if args.scaler_json else None,
        mel=checkpoint_mel(args.mri_checkpoint, {name: value for name, value in given.items() if value is not None}),
    )
    bundle = bundle.spoken_by(args.speaker)
    fold_batch_norm(bundle.model)
    known = bundle.speakers if args.speaker is None else ()
    if args.video is not None:
        known_speakers({args.video.name: None}, known)
        frames = video_frames(args.video, bundle, args.resampling)
        explain_clip(bundle, frames, args.output_dir, settings, source=args.video.name)
        return
    speakers = clip_speakers(args.processed_dir, args.clips, known)
    for id in args.clips:
        path = args.processed_dir / "samples" / require_id(id, "--clips") / "mri.npy"
        frames = load_frames(path)
        explain_clip(bundle.spoken_by(speakers[id]), frames, args.output_dir / id, settings, source=id)


if __name__ == "__main__":
    run_script(main)
