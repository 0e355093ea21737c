"""Synthesise speech live with a pack: frames in, samples out, with the delay stated.

    speak_live.py --model model.pack --video new.mp4 --output new.wav

    ffmpeg -f v4l2 -i /dev/video0 -vf fps=11413/420,scale=256:256 -pix_fmt gray -f rawvideo -
        | speak_live.py --model model.pack --video - --output - | ffplay -f s16le -ar 11413 -

"-" as the video is raw gray pixels of 8 bits from the standard input, in frames of the pack's size and at its rate; as
the output, raw 16-bit samples, little-endian and mono, to the standard output. The LSTM sees only the latest frames
(context causal).
"""

import argparse
import os
import sys
from pathlib import Path

from rtmri_speech.errors import UserError, run_script
from rtmri_speech.settings.data import Video
from rtmri_speech.settings.flags import add_flags
from rtmri_speech.threads import limit_threads

STREAM = "-"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, metavar="PACK", required=True, help="pack (pack_model.py)")
    parser.add_argument("--video", required=True, help="video, or - for raw frames from the standard input")
    parser.add_argument("--output", required=True, help="wav to write, or - for raw samples to the standard output")
    parser.add_argument(
        "--block-frames", type=int, help="frames per block: fewer mean less delay and more computation (default: 1)"
    )
    parser.add_argument("--speaker", metavar="NAME", help="who speaks, if the pack distinguishes speakers")
    add_flags(parser, Video, "resampling")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    return parser.parse_args()


def main() -> None:
    args = parse()

    limit_threads(args.threads)

    import numpy as np

    from rtmri_speech.pack.speak import load_live_pack
    from rtmri_speech.signal.audio import to_int16, write_wav
    from rtmri_speech.signal.video import frames_at_rate
    from rtmri_speech.synthesis.live import raw_frames, speak_live
    from rtmri_speech.synthesis.synthesiser import LIVE_BLOCK_FRAMES

    block_frames = LIVE_BLOCK_FRAMES if args.block_frames is None else args.block_frames
    live = load_live_pack(args.model, block_frames, speaker=args.speaker)
    print(
        f"Samples follow their frames by at most {1000 * live.latency:.0f} ms ({1000 * live.block_seconds:.0f} ms of a"
        f" block and {1000 * live.look_ahead:.0f} ms ahead), and the time of the computation.",
        file=sys.stderr,
    )
    if args.video == STREAM:
        frames = raw_frames(sys.stdin.buffer, live.frame_size, "standard input")
    else:
        frames = frames_at_rate(args.video, live.mel.frame_rate, args.resampling, size=live.frame_size)
    blocks: list[np.ndarray] = []

    def send(samples: np.ndarray) -> None:
        sys.stdout.buffer.write(to_int16(samples))
        sys.stdout.buffer.flush()

    try:
        pace = speak_live(live, frames, send if args.output == STREAM else blocks.append)
    except BrokenPipeError:
        # The player was closed. What is left is not to be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if not pace.speech:
        raise UserError(args.video, "has no frames", "give at least one")
    if args.output != STREAM:
        write_wav(args.output, np.concatenate(blocks), live.mel.sampling_rate)
    print(
        f"{pace.speech:.2f} s of speech, computed {pace.factor:.2f} times as fast as it lasts; the slowest block of"
        f" {1000 * pace.block:.0f} ms took {1000 * pace.slowest:.0f} ms.",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run_script(main)
