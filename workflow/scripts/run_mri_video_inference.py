"""Synthesise speech from rtMRI videos with a pack, or with a mel generator and HiFi-GAN checkpoints (memo 4).

    run_mri_video_inference.py --video normalized_videos/000.mp4 --model model.pack --output-dir output

    run_mri_video_inference.py --video normalized_videos/000.mp4 --mri-checkpoint mri_acoustic_model.pt
        --scaler-json scaler.json --hifigan-checkpoint g_00330000 --output-dir output

Input: videos (files or directories), a TSV, or clips of a processed dataset. Output per clip: <id>_generated.wav,
<id>_original.wav (if it has sound), <id>_mel.npy (dB), <id>_mel_log.npy (natural logarithm) and <id>_mel.png. With
several HiFi-GAN checkpoints, the speech of each is in a directory of its name.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rtmri_speech.devices import add_gpus_flag, take_gpus
from rtmri_speech.errors import run_script
from rtmri_speech.obsolete_flags import Ignored, add_code_dir
from rtmri_speech.settings.acoustic import Context
from rtmri_speech.settings.data import Audio, Video
from rtmri_speech.settings.flags import add_flags, from_flags
from rtmri_speech.threads import limit_threads

if TYPE_CHECKING:
    from rtmri_speech.synthesis.speech import Source
    from rtmri_speech.synthesis.synthesiser import Synthesiser


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    clips = parser.add_argument_group("what to make speech of")
    clips.add_argument(
        "--video", type=Path, nargs="+", action="extend", default=[], help="videos, or directories of videos"
    )
    clips.add_argument("--audio", type=Path, nargs="+", help="sound of each video, in the same order")
    clips.add_argument("--audio-dir", type=Path, help="directory of <id>.wav or .flac (default: a video's own track)")
    clips.add_argument("--id", help="id of a single --video (default: name of the file)")
    clips.add_argument("--start", type=float, help="start of the interval in a single --video, seconds")
    clips.add_argument("--end", type=float, help="end of the interval, seconds")
    clips.add_argument(
        "--av-offset-ms", "--av_offset_ms", type=float, default=0.0, help="delay of the sound relative to the picture"
    )
    clips.add_argument("--frame-rate", "--frame_rate", type=float, help="frames per second of pictures and arrays")
    clips.add_argument("--title", help="of a single --video, shown in place of its id")
    clips.add_argument(
        "--table", type=Path, help="TSV with columns id, video and optionally audio, start, end, av_offset_ms"
    )
    clips.add_argument(
        "--processed-dir",
        type=Path,
        help="dataset with the --clips, or that says who speaks in a --video named as one of its clips",
    )
    clips.add_argument("--clips", nargs="+", metavar="ID", help="clips of the dataset, or of the table")
    clips.add_argument("--speaker", metavar="NAME", help="who speaks (default: as the dataset or the table says)")
    clips.add_argument("--max-frames", type=int, metavar="N", help="only the first N frames")
    add_flags(clips, Video, "resampling")
    add_flags(clips, Audio)
    models = parser.add_argument_group("models")
    models.add_argument("--model", type=Path, metavar="PACK", help="pack (pack_model.py), for synthesis without torch")
    models.add_argument("--mri-checkpoint", type=Path, help="checkpoint of the mel generator, instead of a pack")
    models.add_argument("--scaler-json", type=Path, help="scaler, for checkpoints without one")
    models.add_argument(
        "--hifigan-config", type=Path, help="config of the vocoder (default: config.json beside the checkpoint)"
    )
    models.add_argument("--hifigan-checkpoint", type=Path, nargs="+", help="g_<steps>; repeat for several vocoders")
    models.add_argument("--n-mels", type=int, help="checked against the checkpoint")
    models.add_argument("--rnn-hidden", type=int, help="checked against the checkpoint")
    models.add_argument("--dropout", action=Ignored, help="in the memo; ignored, no dropout in inference")
    add_code_dir(models)
    how = parser.add_argument_group("how")
    how.add_argument(
        "--context",
        choices=get_args(Context),
        help="input of the LSTM for a frame (default: the pack's; sequence for checkpoints)",
    )
    how.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; packs always use the CPU")
    add_gpus_flag(how)
    how.add_argument("--bf16", action="store_true", help="compute in bfloat16, if the device supports it")
    how.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--output-dir", type=Path, required=True)
    args = parser.parse_args()
    checkpoints = (args.mri_checkpoint, args.hifigan_checkpoint)
    if args.model is None and None in checkpoints:
        parser.error("give --model, or --mri-checkpoint and --hifigan-checkpoint")
    only_checkpoints = (*checkpoints, args.scaler_json, args.hifigan_config, args.n_mels, args.rnn_hidden, args.bf16)
    if args.model is not None and (any(only_checkpoints) or args.gpus or args.device not in ("auto", "cpu")):
        parser.error("--model names all of the models, which the processor computes in float32; give nothing of them")
    if not args.video and args.table is None and args.processed_dir is None:
        parser.error("give --video, --table, or --processed-dir with --clips")
    if args.processed_dir is not None and not (args.clips or args.video):
        parser.error("--processed-dir needs --clips")
    if (args.id or args.start or args.end or args.av_offset_ms) and len(args.video) != 1:
        parser.error("--id, --start, --end and --av-offset-ms belong to one --video; use --table for several")
    return args


def models_of(args: argparse.Namespace) -> "Synthesiser":
    """Load the models."""
    if args.model is not None:
        from rtmri_speech.pack.speak import load_pack

        return load_pack(args.model, args.context)

    take_gpus(args.gpus)

    from rtmri_speech.synthesis.checkpoints import load_synthesiser
    from rtmri_speech.synthesis.models import Models

    models = Models(
        mri_checkpoint=str(args.mri_checkpoint),
        hifigan_checkpoints=tuple(map(str, args.hifigan_checkpoint)),
        hifigan_config=args.hifigan_config and str(args.hifigan_config),
        scaler_json=args.scaler_json and str(args.scaler_json),
        context=args.context or "sequence",
        device=args.device,
        bf16=args.bf16,
        n_mels=args.n_mels,
        rnn_hidden=args.rnn_hidden,
    )
    return load_synthesiser(models)


def main() -> None:
    args = parse()

    limit_threads(args.threads)

    from rtmri_speech.dataset.clip import with_rate
    from rtmri_speech.dataset.speakers import clip_speakers, known_speakers
    from rtmri_speech.synthesis.speech import corpus_source, named_clips, speak_each, video_source

    of_dataset = args.processed_dir is not None and not args.video
    clips = {} if of_dataset else named_clips(args.video, args.audio, args.audio_dir, args.table, args.clips)
    if args.id or args.start or args.end or args.av_offset_ms:
        (clip,) = clips.values()
        clip = dataclasses.replace(
            clip, id=args.id or clip.id, start=args.start, end=args.end, av_offset_ms=args.av_offset_ms
        )
        clips = {clip.id: clip}
    clips = with_rate(clips, args.frame_rate)
    synthesiser = models_of(args)

    def source(id: str) -> "Source":
        if of_dataset:
            return corpus_source(args.processed_dir, id, synthesiser.mel, args.max_frames)
        return video_source(
            clips[id],
            synthesiser.mel,
            synthesiser.frame_size,
            resampling=from_flags(Video, args).resampling,
            gain=from_flags(Audio, args).gain,
            max_frames=args.max_frames,
        )

    ids = args.clips if of_dataset else list(clips)
    if args.speaker is not None:
        synthesiser, speakers = synthesiser.spoken_by(args.speaker), dict.fromkeys(ids)
    elif args.processed_dir is not None:
        speakers = clip_speakers(args.processed_dir, ids, synthesiser.speakers)
    else:
        speakers = known_speakers({id: clip.speaker for id, clip in clips.items()}, synthesiser.speakers)
    speak_each(speakers, source, synthesiser, args.output_dir)


if __name__ == "__main__":
    run_script(main)
