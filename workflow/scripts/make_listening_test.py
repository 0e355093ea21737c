"""Make a listening test that opens without a server: opinion scores (MOS) or preferences (AB), systems hidden.

make_listening_test.py --sounds recording=DIR mine=DIR other=DIR --output_dir listening
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from rtmri_speech.errors import UserError, run_script
from rtmri_speech.settings.flags import named_directories

_log = logging.getLogger("rtmri_speech.scripts")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sounds",
        nargs="+",
        required=True,
        metavar="NAME=DIR",
        help="systems, or the recordings: a name and a directory of <id>.wav",
    )
    parser.add_argument("--input_file", type=Path, help="file list of the clips (default: all of every directory)")
    parser.add_argument("--kind", choices=("mos", "ab"), default="mos", help="default: %(default)s")
    parser.add_argument("--language", choices=("en", "ja"), default="en", help="of the sheet (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the order and the names (default: %(default)s)")
    parser.add_argument("--output_dir", required=True, type=Path, help="gets sheet/, for the listeners, and key.csv")
    args = parser.parse_args()
    systems = named_directories("--sounds", args.sounds)

    from rtmri_speech.dataset.filelists import read_filelist
    from rtmri_speech.report.listening import KEY_FILE, SHEET, write_listening_test
    from rtmri_speech.signal.audio import sound_length

    shared = set.intersection(*({path.stem for path in folder.glob("*.wav")} for folder in systems.values()))
    ids = read_filelist(args.input_file) if args.input_file else sorted(shared)
    if not ids:
        raise UserError("--sounds", "have no clip in common", "give directories of <id>.wav with the same ids")
    rate, _ = sound_length(next(iter(systems.values())) / f"{ids[0]}.wav")
    trials = write_listening_test(
        args.output_dir,
        systems,
        ids,
        kind=args.kind,
        seed=args.seed,
        sampling_rate=rate,
        language=args.language,
    )
    _log.info(
        f"{trials} trials; give listeners the folder {args.output_dir / SHEET}, and keep {args.output_dir / KEY_FILE}"
    )


if __name__ == "__main__":
    run_script(main)
