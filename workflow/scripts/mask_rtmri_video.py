"""Darken an articulator in a video, to study its effect on synthesis."""

import argparse
from pathlib import Path

from rtmri_speech.errors import UserError, run_script
from rtmri_speech.settings.flags import add_flags, from_flags
from rtmri_speech.settings.use import Mask


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--input", type=Path, required=True, help="video, or a dataset's mri.npy")
    parser.add_argument("--output", type=Path, required=True, help="mp4 to write")
    add_flags(parser, Mask)
    parser.add_argument("--crf", type=int, default=18, help="quality of the video: 0 is lossless (not for browsers)")
    parser.add_argument("--rate", help="frames per second of an mri.npy, a number or a fraction such as 11413/420")
    args = parser.parse_args()
    mask = from_flags(Mask, args)
    if (mask.type == "custom") != (mask.polygons is not None):
        parser.error("--polygons belongs to --mask-type custom, which needs it")
    if args.input.suffix == ".npy" and args.rate is None:
        parser.error("an mri.npy needs --rate")
    return args


def main() -> None:
    args = parse()

    from fractions import Fraction

    from rtmri_speech.dataset.sample import load_array
    from rtmri_speech.explain.masking import ARTICULATORS, mask_weight, masked, read_polygons
    from rtmri_speech.signal.audio import read_audio, track_rate
    from rtmri_speech.signal.video import frames_at_rate, probe, write_video

    mask = from_flags(Mask, args)
    polygons = read_polygons(mask.polygons) if mask.polygons else ARTICULATORS[mask.type]
    if args.output.absolute() == args.input.absolute():
        raise UserError(args.output, "is the input too", "give the masked video another name")
    audio = sampling_rate = None
    if args.input.suffix == ".npy":
        frames = load_array(args.input, dimensions=3, memory_map=True)
        size, rate = frames.shape[1:], Fraction(args.rate)
    else:
        info = probe(args.input)
        frames, size, rate = frames_at_rate(args.input, info.rate, "nearest"), (info.height, info.width), info.rate
        sampling_rate = track_rate(args.input)
        audio = read_audio(args.input, sampling_rate=sampling_rate) if sampling_rate else None
    weight = mask_weight(polygons, size, mask.alpha, mask.blur_kernel)
    write_video(args.output, masked(frames, weight), rate, audio, sampling_rate, crf=args.crf)
    print(args.output)


if __name__ == "__main__":
    run_script(main)
