"""Estimate the audio-video offset of each clip and report clips that are off by more than a frame."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rtmri_speech.errors import UserError, run_script


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Add a clip's offset_ms to the av_offset_ms column of the clip table, and make the dataset again.",
    )
    parser.add_argument("--processed_dir", required=True, type=Path, metavar="DIR", help="dataset to audit")
    parser.add_argument(
        "--output", required=True, type=Path, metavar="FILE.json", help="JSON for the offset of every clip"
    )
    parser.add_argument("--clips", nargs="+", metavar="ID", help="clips to audit (default: all clips of the dataset)")
    args = parser.parse_args()

    from tqdm import tqdm

    from rtmri_speech.atomic import save_json
    from rtmri_speech.dataset.meta import load_mel_spec
    from rtmri_speech.dataset.sample import open_sample, recording_of
    from rtmri_speech.evaluation.sync import audit_sync, sync_clip
    from rtmri_speech.signal.audio import WavSamples

    samples = args.processed_dir / "samples"
    if not samples.is_dir():
        raise UserError(samples, "is not a directory", "make the dataset first (snakemake dataset)")
    there = sorted(path.parent.name for path in samples.glob("*/mri.npy"))
    if not there:
        raise UserError(samples, "holds no clip", "make the dataset first (snakemake dataset)")
    ids = args.clips or there
    if unknown := [id for id in ids if id not in there]:
        raise UserError(
            samples, f"holds no clip {unknown[0]!r}", f"name some of its {len(there)} clips, such as {there[0]}"
        )
    spec = load_mel_spec(args.processed_dir)

    clips, left_out = {}, {}
    for clip in tqdm(ids, unit="clip", disable=None):
        try:
            frames = open_sample(args.processed_dir, clip).mri
            with WavSamples(recording_of(args.processed_dir, clip)) as audio:
                clips[clip] = sync_clip(frames, audio, spec.sampling_rate, spec.hop_length)
        except UserError as error:
            left_out[clip] = str(error)
            tqdm.write(f"{clip}: {error} It is left out.", file=sys.stderr)
    audit = audit_sync(clips)

    save_json(args.output, {**audit.to_dict(), "left_out": left_out})
    print(audit.table())


if __name__ == "__main__":
    run_script(main)
