"""Show the effect of masking: original and masked video side by side, and both predicted mels."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=Path, required=True, help="mri.npy of the unmasked clip")
    parser.add_argument("--masked-video", type=Path, required=True)
    parser.add_argument("--mel", type=Path, required=True, help="<id>_mel.npy of the unmasked clip")
    parser.add_argument("--masked-mel", type=Path, required=True)
    parser.add_argument("--masked-audio", type=Path, required=True, help="sound of the video")
    parser.add_argument("--processed-dir", type=Path, required=True, help="dataset with the mel settings")
    parser.add_argument("--title", default="", help="title above the picture")
    parser.add_argument("--video", type=Path, required=True, help="video to write")
    parser.add_argument("--figure", type=Path, required=True, help="figure to write")
    args = parser.parse_args()

    import numpy as np

    from rtmri_speech.dataset.meta import load_mel_spec
    from rtmri_speech.dataset.sample import load_array
    from rtmri_speech.signal.audio import read_audio
    from rtmri_speech.signal.video import read_frames, write_video
    from rtmri_speech.synthesis.speech import draw_mels

    spec = load_mel_spec(args.processed_dir)
    unmasked = load_array(args.frames, dimensions=3, memory_map=True)
    pairs = zip(unmasked, read_frames(args.masked_video), strict=True)
    audio = read_audio(args.masked_audio, sampling_rate=spec.sampling_rate)
    write_video(args.video, (np.hstack(pair) for pair in pairs), spec.frame_rate, audio, spec.sampling_rate)
    rows = [("unmasked", load_array(args.mel, dimensions=2)), ("masked", load_array(args.masked_mel, dimensions=2))]
    draw_mels(args.figure, args.title, rows, spec)


if __name__ == "__main__":
    run_script(main)
