"""Synthesise log mels with a HiFi-GAN checkpoint, with the flags of the official inference_e2e.py.

Reads every <stem>.npy, float32 (n_mels, T), and writes <stem>_generated_e2e.wav at the config's rate.
"""

import argparse
import sys
from pathlib import Path

from rtmri_speech.errors import USER_ERROR_EXIT, UserError, run_script


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input_mels_dir", type=Path, default=Path("test_mel_files"))
    parser.add_argument("--output_dir", type=Path, default=Path("generated_files_from_mel"))
    parser.add_argument("--checkpoint_file", type=Path, required=True, help="g_<steps>")
    parser.add_argument("--config", type=Path, help="HiFi-GAN's config.json (default: beside the checkpoint)")
    parser.add_argument("--float", action="store_true", help="write 32-bit float wavs instead of 16-bit ones")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16, if the device supports it")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    args = parser.parse_args()

    import torch

    from rtmri_speech.signal.audio import write_wav
    from rtmri_speech.vocoder.data import read_mel
    from rtmri_speech.vocoder.engine import load_vocoder, write_float_wav

    paths = sorted(args.input_mels_dir.glob("*.npy"))
    if not paths:
        raise UserError(args.input_mels_dir, "holds no .npy mel", "name the directory of the log mels")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if args.device == "auto" else args.device
    vocoder = load_vocoder(args.checkpoint_file, args.config, device, bf16=args.bf16)
    write = write_float_wav if args.float else write_wav
    code = 0
    for path in paths:
        target = args.output_dir / f"{path.stem}_generated_e2e.wav"
        try:
            write(target, vocoder.synthesise(read_mel(path, vocoder.spec.n_mels)), vocoder.sampling_rate)
        except UserError as error:
            # Continue with the other mels.
            print(f"error: {error}", file=sys.stderr)
            code = USER_ERROR_EXIT
        else:
            print(target)
    return code


if __name__ == "__main__":
    run_script(main)
