"""Print how long a training takes if PyTorch finds no GPU; nothing if it finds one or it takes less than an hour.

The configuration is read from standard input, as JSON.
"""

import argparse
import json
import sys
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, required=True, help="frames of the training clips")
    parser.add_argument("--vocoder_config", type=Path, required=True, help="HiFi-GAN's config JSON")
    args = parser.parse_args()

    import torch

    from rtmri_speech.configuration import load_configuration
    from rtmri_speech.training_cost import cost_on_processor

    settings = load_configuration(json.load(sys.stdin))
    if torch.cuda.is_available() and settings.acoustic.gpus:
        return
    cost = cost_on_processor(settings, args.frames, args.vocoder_config)
    if cost.worth_reporting:
        print(
            f"PyTorch finds no GPU: training on this machine's processor takes up to {cost}."
            " workflow/scripts/start_project.py writes a configuration of small size, which takes minutes."
        )


if __name__ == "__main__":
    run_script(main)
