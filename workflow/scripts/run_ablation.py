"""Train variants of the mel generator with several seeds on one dataset, and write a table of their errors.

    snakemake --cores 2 dataset --configfile=config/mine.yaml
    python run_ablation.py --processed_dir results_mine/dataset --configfile config/mine.yaml \\
        --variants config/ablation.yaml --output_dir results_mine/ablation --page docs/ablation.md --title "My corpus"

The same command resumes a stopped run. Choose by the validation columns: test clips are for the last comparison.
"""

import argparse
import functools
import logging
import re
from pathlib import Path

from rtmri_speech.errors import run_script
from rtmri_speech.threads import limit_threads

_log = logging.getLogger("rtmri_speech.scripts")

PAGE = "# Ablation of the mel generator\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--processed_dir", type=Path, required=True, help="dataset")
    add("--configfile", type=Path, nargs="+", required=True, help="configuration; later files take precedence")
    add("--variants", type=Path, required=True, help="YAML of settings by variant")
    add("--only", nargs="+", metavar="NAME", help="variants to run (default: all)")
    add("--output_dir", type=Path, required=True, help="directory of the trainings")
    add("--seeds", type=int, default=3, help="trainings per variant (default %(default)s)")
    add("--no_train", action="store_true", help="write the table of the finished runs, and train nothing")
    add("--vocoder", type=Path, help="HiFi-GAN to compare with Griffin-Lim and WORLD on the predicted mels")
    add("--page", type=Path, help="Markdown page whose section is written")
    add("--title", default="Results", help="title of the section (default %(default)s)")
    add("--threads", type=int, default=1, help="CPU cores to use")
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f"--seeds is {args.seeds}; give at least 1")
    limit_threads(args.threads)

    from rtmri_speech.atomic import save_text
    from rtmri_speech.errors import UserError
    from rtmri_speech.evaluation import ablation
    from rtmri_speech.evaluation.predicted_speech import compared_vocoders, speech_scores, vocoder_table

    base = functools.reduce(ablation.laid_over, map(ablation.read_settings, args.configfile))
    overlays = ablation.read_settings(args.variants)
    if args.only:
        if missing := [name for name in args.only if name not in overlays]:
            raise UserError("--only", f"names {missing[0]!r}", f"give some of {', '.join(map(repr, overlays))}")
        overlays = {name: overlays[name] for name in args.only}
    variants = ablation.variants_of(base, overlays, args.variants)
    data = ablation.HeldOut(args.processed_dir)
    vocoders = compared_vocoders(data.spec, args.vocoder) if args.vocoder else {}
    runs, predictors = {name: [] for name in variants}, {name: [] for name in variants}
    # Seed by seed, so that a stopped ablation has compared all variants.
    for seed in range(args.seeds):
        for name, settings in variants.items():
            directory = args.output_dir / re.sub(r"\W+", "_", name) / f"seed{seed}"
            if args.no_train and not ablation.is_finished(directory):
                continue
            run = ablation.run_variant(data, settings, seed, directory, args.output_dir / "f0")
            if isinstance(run, int):
                return run
            runs[name].append(run)
            predictors[name].append((directory, settings))
            errors = ", ".join(f"{part} {scores['error_db']:.2f} dB" for part, scores in run["scores"].items())
            _log.info(f"{name}, seed {seed}: {errors}, {run['seconds']:.0f} CPU s.")
    table = ablation.ablation_table(data.baselines(), runs, overlays)
    if vocoders:
        predicting = {name: [predict] for name, predict in data.untrained().items()} | {
            name: [data.trained(*one) for one in made] for name, made in predictors.items() if made
        }
        table += "\n\n" + vocoder_table(
            {name: [speech_scores(data, one, vocoders) for one in made] for name, made in predicting.items()}
        )
    print(table)
    if args.page:
        page = args.page.read_text(encoding="utf-8") if args.page.exists() else PAGE
        save_text(args.page, ablation.with_section(page, args.title, table))
    return 0


if __name__ == "__main__":
    run_script(main)
