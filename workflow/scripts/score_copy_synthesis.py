"""Score a vocoder by copy-synthesis, true mel to speech, against Griffin-Lim from the same mels, as a table."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint_file", type=Path, required=True, help="g_<steps>, its config.json beside it")
    parser.add_argument("--input_wavs_dir", type=Path, required=True)
    parser.add_argument("--input_file", type=Path, required=True, help="file list of clips it was not trained on")
    parser.add_argument("--output", type=Path, help="Markdown file for the table; the scores go beside it as .json")
    parser.add_argument("--iterations", type=int, default=512, help="of Griffin-Lim")
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()

    from rtmri_speech.atomic import save_json, save_text
    from rtmri_speech.dataset.filelists import read_filelist
    from rtmri_speech.evaluation.copy_synthesis import score_copy_synthesis, table
    from rtmri_speech.training.logging import say
    from rtmri_speech.vocoder.engine import load_vocoder

    vocoder = load_vocoder(args.checkpoint_file, bf16=args.bf16, warn=say)
    ids = read_filelist(args.input_file)
    scores = score_copy_synthesis(vocoder, [args.input_wavs_dir / f"{id}.wav" for id in ids], args.iterations, say)
    text = table(scores)
    print(f"{args.checkpoint_file.name}, {len(ids)} clips\n\n{text}")
    if args.output:
        save_text(args.output, text)
        save_json(args.output.with_suffix(".json"), {"checkpoint": args.checkpoint_file.name, "ids": ids, **scores})
    return 0


if __name__ == "__main__":
    run_script(main)
