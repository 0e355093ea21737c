"""Score copy synthesis (true mel to speech) of a vocoder in comparison with Griffin-Lim."""

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script
from rtmri_speech.evaluation import JUDGED_CLIPS
from rtmri_speech.settings.flags import add_flags, from_flags, require_json
from rtmri_speech.settings.use import F0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint_file", type=Path, required=True, help="g_<steps>")
    parser.add_argument("--config", type=Path, help="config of the vocoder (default: config.json beside it)")
    parser.add_argument("--input_wavs_dir", type=Path, required=True)
    parser.add_argument(
        "--input_file",
        type=Path,
        required=True,
        help=f"file list of held-out clips; at most {JUDGED_CLIPS} are used",
    )
    add_flags(parser, F0)
    parser.add_argument("--output", type=Path, help="JSON to write; a table (.md) is written beside it")
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    if args.output:
        require_json(args.output)

    from rtmri_speech.atomic import save_json, save_text
    from rtmri_speech.dataset.filelists import read_filelist
    from rtmri_speech.evaluation.copy_synthesis import judged_clips, score_copy_synthesis, table, verdict
    from rtmri_speech.evaluation.f0_range import require_f0_range
    from rtmri_speech.evaluation.scores import null_for_nan
    from rtmri_speech.vocoder.engine import load_vocoder

    vocoder = load_vocoder(args.checkpoint_file, args.config, bf16=args.bf16)
    f0_range = from_flags(F0, args).f0_range
    if f0_range:
        require_f0_range(*f0_range, vocoder.spec.sampling_rate)
    ids = judged_clips(read_filelist(args.input_file))
    wavs = [args.input_wavs_dir / f"{id}.wav" for id in ids]
    scores = score_copy_synthesis(vocoder, wavs, f0_range)
    text, sentence = table(scores), verdict(scores, args.checkpoint_file.name)
    print(f"{args.checkpoint_file.name}, {len(ids)} clips\n\n{text}")
    if sentence:
        print(sentence)
    if args.output:
        content = {"checkpoint": args.checkpoint_file.name, "ids": ids, "verdict": sentence, **scores}
        save_text(args.output.with_suffix(".md"), text)
        save_json(args.output, null_for_nan(content))


if __name__ == "__main__":
    run_script(main)
