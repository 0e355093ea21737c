"""Formants of the vowels of generated speech against the recordings: errors in Hz, all values, and the vowel space.

Writes formants.json, formants.md, vowels.tsv and vowel_space.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script
from rtmri_speech.settings.flags import add_sounds, named_directories


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_sounds(parser)
    parser.add_argument(
        "--phonemes", type=Path, required=True, metavar="DIR", help="directory of <id>.json or <id>.TextGrid"
    )
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args()
    rows = named_directories("--generated", args.generated)

    from tqdm import tqdm

    from rtmri_speech.atomic import save_json, save_text
    from rtmri_speech.dataset.filelists import recorded_ids
    from rtmri_speech.evaluation.systems import TITLES
    from rtmri_speech.evaluation.vowels import (
        draw_vowel_space,
        formant_errors,
        formant_table,
        measure_vowels,
        write_vowels,
    )

    ids = recorded_ids(args.recorded, args.input_file)
    vowels = measure_vowels(args.recorded, rows, ids, args.phonemes, progress=lambda ids: tqdm(ids, unit="clip"))
    errors = formant_errors(vowels)
    titles = {name: title for name, (title, _) in TITLES.items()}
    table = formant_table(errors, titles)
    save_json(args.output_dir / "formants.json", errors)
    save_text(args.output_dir / "formants.md", f"{table}\n")
    write_vowels(args.output_dir / "vowels.tsv", vowels)
    draw_vowel_space(args.output_dir / "vowel_space.png", vowels, titles)
    print(table)


if __name__ == "__main__":
    run_script(main)
