"""Start a project from a folder of recordings, or from a public data set: look at it, and write a configuration.

    start_project.py D:/rtMRI/mine
    start_project.py D:/rtMRI/USC75 --source usc75 --size full

The folder is not changed. Without --output, the configuration lies beside it (D:/rtMRI/mine.yaml), with HiFi-GAN's
JSON and, where one is needed, the table of clips.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rtmri_speech.errors import UserError, run_script
from rtmri_speech.settings.data import PublicSet


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder of recordings, looked through recursively")
    parser.add_argument(
        "--source", choices=get_args(PublicSet), help="public data set in DIR (default: recognised by its layout)"
    )
    parser.add_argument(
        "--size",
        choices=["small", "full"],
        help="small: minutes to an hour on two cores; full: the memo's sizes (default: full with a GPU, else small)",
    )
    parser.add_argument("--frame_rate", type=float, help="frames per second of pictures and arrays without one")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the configuration (default: DIR/../NAME.yaml)")
    parser.add_argument("--force", action="store_true", help="overwrite the files of an earlier proposal")
    return parser.parse_args()


def main() -> None:
    args = parse()

    import torch

    from rtmri_speech.devices import has_gpu
    from rtmri_speech.start.machine import gpu_notes, snakemake_command
    from rtmri_speech.start.project import propose
    from rtmri_speech.start.recordings import describe, find_recordings
    from rtmri_speech.training_cost import cost_on_processor

    # Print names that the terminal's code page cannot encode.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    directory = args.directory.absolute()
    path = (args.output or directory.parent / f"{directory.name}.yaml").absolute()
    if not path.parent.is_dir():
        raise UserError(path.parent, "there is no such directory", "make it, or give another --output")
    found = find_recordings(directory, args.source, args.frame_rate)
    show(f"Found in {directory}", describe(found))
    cuda = torch.cuda.is_available()
    size = args.size or ("full" if cuda else "small")
    project = propose(found, directory, path, size, Path(__file__).parents[2])
    for file in project.files:
        if file.exists() and not args.force:
            raise UserError(file, "already exists", "give --force to overwrite it, or another --output")
    project.write()
    show(f"Proposed, size {size}", project.notes)
    notes = gpu_notes(cuda, has_gpu())
    if not (cuda and size == "full"):
        cost = cost_on_processor(project.checked(), project.frames, project.vocoder_config)
        notes.append(f"Training takes up to {cost} on this machine's processor.")
    show("This machine", notes)
    command = snakemake_command(path, os.cpu_count() or 1)
    show("Written", [str(file) for file in project.files])
    show(
        "Next",
        [
            *("Speech of the test clips, scores, and the page:", f"  {command}"),
            *("Speech of other videos, at any frame rate, with the models as they are:",),
            f"  {command} infer_new --config 'synthesis={{new_videos: DIR}}'",
        ],
    )


def show(title: str, lines: Sequence[str]) -> None:
    """Print lines under a title."""
    if lines:
        print("\n".join([title, "-" * len(title), *lines]), end="\n\n", flush=True)


if __name__ == "__main__":
    run_script(main)
