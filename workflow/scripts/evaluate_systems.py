"""Synthesise and score the test clips with an experiment's systems and the reference systems; wavs, JSON and CSV."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import get_args

from rtmri_speech.devices import add_gpus_flag, take_gpus
from rtmri_speech.errors import UserError, run_script
from rtmri_speech.settings.acoustic import Context, Precision
from rtmri_speech.settings.flags import add_flags, from_flags
from rtmri_speech.settings.use import F0
from rtmri_speech.threads import limit_threads

_log = logging.getLogger("rtmri_speech.scripts")

CONTEXTS = get_args(Context)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processed_dir", required=True, type=Path, help="dataset, with hifigan_filelists")
    parser.add_argument("--clips", nargs="+", metavar="ID", help="clips to score (default: the test split)")
    parser.add_argument("--mri_checkpoint", required=True, type=Path, help="mri_acoustic_model.pt")
    parser.add_argument(
        "--scaler_json", type=Path, help="scaler of the mel generator (default: the dataset's scaler.json)"
    )
    parser.add_argument("--hifigan_checkpoint", required=True, type=Path, help="fine-tuned g_<steps>")
    parser.add_argument("--hifigan_config", type=Path, help="config of the vocoder (default: config.json beside it)")
    parser.add_argument("--base_checkpoint", type=Path, help="g_<steps> before fine-tuning, scored separately")
    parser.add_argument(
        "--context",
        nargs="+",
        choices=CONTEXTS,
        default=CONTEXTS,
        help="contexts of the LSTM to score, the main one first",
    )
    parser.add_argument("--bf16", action="store_true", help="compute most of the models in bfloat16")
    add_flags(parser, F0)
    parser.add_argument(
        "--phonemes", type=Path, metavar="DIR", help="directory of <id>.json or <id>.TextGrid, for errors by phoneme"
    )
    parser.add_argument(
        "--trained_elsewhere",
        nargs="+",
        default=[],
        choices=["scaler", "vocoder"],
        help="stages possibly trained on test clips; the scores carry a note",
    )
    parser.add_argument("--output_dir", required=True, type=Path)
    parser.add_argument("--device", default="auto")
    add_gpus_flag(parser)
    parser.add_argument("--threads", type=int, default=1, help="CPU cores to use")
    args = parser.parse_args()

    limit_threads(args.threads)
    take_gpus(args.gpus)

    from tqdm import tqdm

    from rtmri_speech.acoustic.predict import load_acoustic_model
    from rtmri_speech.atomic import replacing_directory
    from rtmri_speech.dataset.catalogue import read_catalogue
    from rtmri_speech.dataset.filelists import clips_of, filelist_of
    from rtmri_speech.dataset.meta import load_mel_spec
    from rtmri_speech.dataset.scaler import Scaler
    from rtmri_speech.evaluation import systems
    from rtmri_speech.evaluation.baselines import training_frames
    from rtmri_speech.evaluation.f0_range import sought_f0_range
    from rtmri_speech.evaluation.known_f0 import find_f0
    from rtmri_speech.evaluation.leak import caution, require_unseen
    from rtmri_speech.evaluation.ridge import RidgeMel
    from rtmri_speech.vocoder.blocks import MelVocoder
    from rtmri_speech.vocoder.engine import load_vocoder
    from rtmri_speech.vocoder.interpolation import fitted

    spec = load_mel_spec(args.processed_dir)
    scaler = Scaler.load(args.scaler_json or args.processed_dir / "scaler.json")
    ids = args.clips or clips_of(args.processed_dir, "test", may_be_empty=True)
    if not ids:
        raise UserError(
            filelist_of(args.processed_dir, "test"),
            "names no clip, so there is nothing to score",
            "give split.test a share or name test clips",
        )
    f0_range = sought_f0_range(from_flags(F0, args).f0_range, args.processed_dir, spec)
    precision: Precision = "bfloat16" if args.bf16 else "float32"
    acoustic = load_acoustic_model(args.mri_checkpoint, args.device, scaler=scaler, mel=spec, precision=precision)
    seen = systems.seen_clips(args.processed_dir, acoustic, args.trained_elsewhere)
    catalogue = read_catalogue(args.processed_dir)
    unsaid = require_unseen(ids, seen, catalogue.groups, catalogue.by)

    def vocoder(path: Path, config: Path | None = None) -> MelVocoder:
        loaded = load_vocoder(path, config, acoustic.device, bf16=args.bf16)
        return fitted(loaded, acoustic.mel, str(path), str(acoustic.source))

    training = clips_of(args.processed_dir, "training")
    speaking, ridge = vocoder(args.hifigan_checkpoint, args.hifigan_config), RidgeMel(args.processed_dir, training)
    made = systems.Systems(
        acoustic,
        speaking,
        vocoder(args.base_checkpoint) if args.base_checkpoint else None,
        training_frames(args.processed_dir, training),
        ridge,
        list(dict.fromkeys(args.context)),
        find_f0(args.processed_dir, training, spec, f0_range, ridge.pictures) if speaking.needs_f0 else None,
    )
    with replacing_directory(args.output_dir / systems.SOUNDS) as sounds:
        seconds = systems.write_sounds(
            made, args.processed_dir, ids, sounds, lambda clips: tqdm(clips, "sounds", unit="clip", disable=None)
        )
        scores = systems.score_sounds(
            made.rows(),
            ids,
            args.processed_dir,
            sounds,
            spec,
            scaler,
            f0_range=f0_range,
            seconds=seconds,
            phonemes=args.phonemes,
            workers=args.threads,
            progress=lambda found: tqdm(found, "scores", len(ids) * len(made.rows()), unit="wav", disable=None),
        )
    scores["settings"] |= {
        "vocoder": args.hifigan_checkpoint.name,
        "base_vocoder": args.base_checkpoint and args.base_checkpoint.name,
        "seen_clips": {stage: clips and len(clips) for stage, clips in seen.items()},
        "not_held_out": unsaid,
        "threads": args.threads,
    }
    systems.write_scores(args.output_dir, scores)
    print(systems.scores_table(scores))
    print(systems.scores_table(scores, ids[0]))
    if unsaid:
        _log.info(caution(unsaid))
    _log.info(f"{len(ids)} clips, {len(made.rows())} rows: {args.output_dir / systems.SCORES_FILE}")


if __name__ == "__main__":
    run_script(main)
