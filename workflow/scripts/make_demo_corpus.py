"""Generate the demo corpus, or a single clip of it."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterable
from pathlib import Path

from rtmri_speech.errors import UserError, run_script


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out_dir", type=Path, help="directory for videos/, audio/ and descriptions/")
    parser.add_argument("--clips", type=int, default=40, help="number of clips, ids 000 on (default %(default)s)")
    parser.add_argument("--only", metavar="ID", help="make only this clip")
    parser.add_argument("--audio_only", action="store_true", help="make only DIR/audio, in half the time")
    parser.add_argument(
        "--clip", type=int, help="number of a single clip; needs the three files below instead of --out_dir"
    )
    parser.add_argument("--video", type=Path, help="mp4 of --clip")
    parser.add_argument("--audio", type=Path, help="wav of --clip")
    parser.add_argument("--description", type=Path, help="JSON of --clip: text, phonemes with times, F0")
    parser.add_argument("--seed", type=int, default=42, help="seed of the corpus (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="parallel processes (default %(default)s)")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    if arguments.seed < 0:
        raise UserError("--seed", f"is {arguments.seed}", "give a whole number of at least 0")
    one_clip = (arguments.clip, arguments.video, arguments.audio, arguments.description)
    if any(value is not None for value in one_clip):
        if any(value is None for value in one_clip) or arguments.out_dir:
            raise UserError("--clip", "is incomplete", "give --clip, --video, --audio and --description, or --out_dir")
        if arguments.clip < 0:
            raise UserError("--clip", f"is {arguments.clip}", "give a whole number of at least 0")
        from rtmri_speech.demo.corpus import make_clip

        make_clip(arguments.clip, arguments.seed, arguments.video, arguments.audio, arguments.description)
    elif arguments.out_dir:
        make_corpus(arguments)
    else:
        raise UserError("--out_dir", "is missing", "give a directory, or one clip with --clip")


def make_corpus(arguments: argparse.Namespace) -> None:
    """Make the requested clips in ``--out_dir``, in parallel processes."""
    for flag, value in (("--clips", arguments.clips), ("--jobs", arguments.jobs)):
        if value < 1:
            raise UserError(flag, f"is {value}", "give a whole number of at least 1")
    from rtmri_speech.demo.articulation import engine
    from rtmri_speech.demo.corpus import clip_id

    clips = range(arguments.clips)
    if arguments.only is not None:
        clips = [clip for clip in clips if clip_id(clip) == arguments.only]
        if not clips:
            last = clip_id(arguments.clips - 1)
            raise UserError("--only", f"is {arguments.only!r}", f"give an id of the corpus, 000 to {last}")
    engine()  # Checked before any process is started.
    audio = arguments.out_dir / "audio"
    if not arguments.audio_only:
        run(functools.partial(make_files, arguments.out_dir, arguments.seed), clips, arguments.jobs)
    elif arguments.only is not None:
        run(functools.partial(make_sound, audio, arguments.seed), clips, arguments.jobs)
    else:
        from rtmri_speech.atomic import replacing_directory

        with replacing_directory(audio) as whole:
            run(functools.partial(make_sound, whole, arguments.seed), clips, arguments.jobs)


def make_files(out_dir: Path, seed: int, clip: int) -> None:
    """Make the files of a clip in ``out_dir``."""
    from rtmri_speech.demo.corpus import clip_id, make_clip

    name = clip_id(clip)
    files = out_dir / "videos" / f"{name}.mp4", out_dir / "audio" / f"{name}.wav"
    make_clip(clip, seed, *files, out_dir / "descriptions" / f"{name}.json")


def make_sound(directory: Path, seed: int, clip: int) -> None:
    """Make only the sound of a clip in ``directory``."""
    from rtmri_speech.demo.corpus import clip_id, make_speech

    make_speech(clip, seed, directory / f"{clip_id(clip)}.wav")


def run(make: Callable[[int], None], clips: Iterable[int], jobs: int) -> None:
    """Call ``make`` for each clip in ``jobs`` processes; the synthesiser has global state, hence processes."""
    import multiprocessing

    from tqdm import tqdm

    from rtmri_speech.workers import end_with_parent

    clips = list(clips)
    with tqdm(total=len(clips), unit="clip", desc="demo corpus") as bar:
        if jobs == 1:
            for clip in clips:
                make(clip)
                bar.update()
            return
        # Spawned, not forked: the same on every system, without inherited library state.
        with multiprocessing.get_context("spawn").Pool(min(jobs, len(clips)), end_with_parent) as pool:
            for _ in pool.imap_unordered(make, clips):
                bar.update()


if __name__ == "__main__":
    run_script(main)
