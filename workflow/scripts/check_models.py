"""Check the models of a configuration before training or use: backbone, given checkpoints, matching mels."""

import argparse
import json
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mel", required=True, help="JSON of the dataset's mel specification")
    parser.add_argument("--network", help="JSON of the network to be trained, if any")
    files = ("pretrained", "resume_ckpt", "base", "vocoder_config")
    given = ("mri_checkpoint", "scaler_json", "hifigan_checkpoint", "hifigan_config")
    for name in (*files, *given):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--distinguishes_speakers", help="set to anything if jobs name the speakers of their clips")
    args = parser.parse_args()

    from rtmri_speech.preflight import check_models
    from rtmri_speech.signal.mel import MelSpec

    spec = MelSpec.from_dict(json.loads(args.mel), "--mel")
    network = args.network and json.loads(args.network)
    named = {name: getattr(args, name) for name in (*files, *given)}
    check_models(spec, network, **named, distinguishes_speakers=bool(args.distinguishes_speakers))


if __name__ == "__main__":
    run_script(main)
