"""Write an experiment's results as a Markdown document, and README's pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from rtmri_speech.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="results directory")
    parser.add_argument("--processed_dir", type=Path, help="dataset (default: <results>/dataset)")
    parser.add_argument("--output", type=Path, default=Path("docs/results.md"))
    parser.add_argument(
        "--pictures",
        action="store_true",
        help="also write pictures of the page and of a clip beside the document (needs Chromium and the extra dev)",
    )
    args = parser.parse_args()

    from rtmri_speech.atomic import save_text
    from rtmri_speech.report.document import results_document
    from rtmri_speech.report.page import Experiment, read_settings
    from rtmri_speech.report.pictures import page_pictures, sample_picture
    from rtmri_speech.report.scores import read_scores

    settings = args.results / "settings.json"
    experiment = Experiment(
        args.processed_dir or args.results / "dataset",
        args.results / "evaluation",
        benchmarks=args.results / "benchmarks",
        settings=read_settings(settings) if settings.exists() else {},
    )
    made = [args.output]
    if args.pictures:
        clip = min(read_scores(experiment.evaluation)["clips"])
        made += page_pictures(args.results / "report" / "index.html", args.output.parent)
        made.append(sample_picture(experiment.processed_dir / "samples" / clip / "figure.png", args.output.parent))
    save_text(args.output, results_document(experiment, "make results"))
    print(*made, sep="\n")


if __name__ == "__main__":
    run_script(main)
