"""Export and verify a HiFi-GAN checkpoint as ONNX: log mel (1, n_mels, T) to samples (1, 1, T * hop)."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint_file", type=Path, required=True, help="g_<steps>")
    parser.add_argument("--config", type=Path, help="HiFi-GAN's config.json (default: beside the checkpoint)")
    parser.add_argument("--output", type=Path, required=True, help=".onnx file to write")
    args = parser.parse_args()

    from rtmri_speech.vocoder.engine import export_onnx, load_vocoder

    error = export_onnx(load_vocoder(args.checkpoint_file, args.config), args.output)
    print(f"{args.output}: differs from the vocoder by at most {error:.1e}")


if __name__ == "__main__":
    run_script(main)
