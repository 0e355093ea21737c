"""What a trained mel generator has learned: its error on held-out clips beside floor, look-up and control.

    python benchmarks/bench_acoustic_learning.py --processed_dir results/dataset \\
        --mri_checkpoint results/acoustic/mri_acoustic_model.pt

The error is the mean square of the standardised mel, over all frames and over speech frames (louder than the middle of
the clip's range). Control: the same model on the clip's frames in random order.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processed_dir", type=Path, required=True)
    parser.add_argument("--mri_checkpoint", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", default=["validation", "test"], help="of the split; not training")
    parser.add_argument("--seed", type=int, default=0, help="of the random order")
    args = parser.parse_args()

    import numpy as np

    from rtmri_speech.acoustic.predict import load_acoustic_model, predict_db
    from rtmri_speech.dataset.clip import open_sample
    from rtmri_speech.dataset.filelists import read_filelist
    from rtmri_speech.evaluation.baselines import NearestFrames

    def clips(part):
        lists = args.processed_dir / "hifigan_filelists"
        return [open_sample(args.processed_dir, id) for id in read_filelist(lists / f"{part}.txt")]

    bundle = load_acoustic_model(args.mri_checkpoint, "cpu")
    training = clips("training")
    lookup = NearestFrames(
        np.concatenate([clip.mri for clip in training]), np.concatenate([clip.mel_db for clip in training])
    )
    rng = np.random.default_rng(args.seed)
    systems = {
        "mean mel of the training clips": lambda mri: bundle.scaler.mean,
        "1 nearest training frame": lambda mri: lookup.predict(mri, 1),
        "5 nearest training frames": lambda mri: lookup.predict(mri, 5),
        "model, sequence": lambda mri: predict_db(bundle, mri, "sequence"),
        "model, window": lambda mri: predict_db(bundle, mri, "window"),
        "model, causal": lambda mri: predict_db(bundle, mri, "causal"),
        "control: window, frames shuffled": lambda mri: predict_db(bundle, mri[rng.permutation(len(mri))], "window"),
    }
    print(f"{len(training)} training clips, {sum(len(clip.mri) for clip in training)} frames")
    for part in args.parts:
        held_out = clips(part)
        print(f"\n{part}: {len(held_out)} clips, {sum(len(clip.mri) for clip in held_out)} frames")
        print(f"{'':34s} {'all frames':>10s} {'of the mean':>11s} {'speech':>10s} {'of the mean':>11s}")
        floor = None
        for name, predict in systems.items():
            errors, speech = [], []
            for clip in held_out:
                difference = bundle.scaler.standardise(predict(clip.mri)) - bundle.scaler.standardise(clip.mel_db)
                level = clip.mel_db.mean(1)
                heard = clip.mask > 0
                errors.append((difference**2).mean(1)[heard])
                speech.append((level > (level.min() + level.max()) / 2)[heard])
            error, spoken = np.concatenate(errors), np.concatenate(speech)
            values = error.mean(), error[spoken].mean()
            floor = floor or values
            cells = (f"{value:10.4f} {value / least:11.3f}" for value, least in zip(values, floor, strict=True))
            print(f"{name:34s} {' '.join(cells)}")


if __name__ == "__main__":
    main()
