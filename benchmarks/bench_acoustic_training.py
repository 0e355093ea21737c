"""Speed of training and prediction of the mel generator, relative to the lab's method (single windows, float32).

    python benchmarks/bench_acoustic_training.py

trains the lab's network (EfficientNetV2-B2, 256x256, LSTM 640) on synthetic clips. The methods alternate within a run,
so that load on the machine affects all of them; the table gives median CPU seconds. Frames are counted per window, 4
each, no matter how often the CNN processes them.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = 1
LENGTH = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--windows", type=int, default=32, help="windows per step, for all methods")
    parser.add_argument("--size", type=int, default=256, help="height and width of the frames in pixels")
    parser.add_argument("--part", choices=["training", "prediction", "memory", "loader"], help="print only this table")
    parser.add_argument("--memory_of", choices=MEMORY, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    import torch

    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder, "dataset"), args.size)
        if args.memory_of:
            memory_of(args.memory_of, args.windows, dataset, Path(folder))
            return
        for part, table in (("training", training), ("prediction", prediction), ("loader", loader), ("memory", memory)):
            if args.part in (None, part):
                table(args, dataset, Path(folder))


def make_dataset(directory: Path, size: int) -> Path:
    import numpy as np

    from rtmri_speech.dataset.filelists import write_filelist
    from rtmri_speech.dataset.meta import write_meta
    from rtmri_speech.dataset.scaler import Scaler
    from rtmri_speech.dataset.windows import window_starts
    from rtmri_speech.signal.mel import MelSpec

    rng = np.random.default_rng(0)
    for number in range(3):
        sample = directory / "samples" / f"{number:03d}"
        sample.mkdir(parents=True)
        np.save(sample / "mri.npy", rng.integers(0, 256, (LENGTH, size, size)).astype(np.uint8))
        np.save(sample / "mel_db.npy", rng.standard_normal((LENGTH, 64)).astype(np.float32))
        np.save(sample / "mask.npy", np.ones(LENGTH, np.float32))
    (directory / "pairs_ref4_npy").mkdir()
    for part, ids in (("training", ["000", "001"]), ("validation", ["002"])):
        write_filelist(directory / "hifigan_filelists" / f"{part}.txt", ids)
        np.save(directory / "pairs_ref4_npy" / f"{part}.npy", window_starts([LENGTH] * len(ids), 4))
    Scaler(np.zeros(64), np.ones(64), 1).save(directory / "scaler.json")
    write_meta(directory, MelSpec.preset("hifigan"), (size, size), 4)
    return directory


def settings(dataset: Path, folder: Path, **changed):
    from rtmri_speech.acoustic.train import TrainingSettings

    places = {"out_ckpt": folder / "m.pt", "log_dir": folder / "logs", "state_dir": folder / "state"}
    plain = {"cnn_pretrained": False, "use_checkpoint": False, "num_workers": 0}
    return TrainingSettings(processed_dir=dataset, **places, device="cpu", **{**plain, **changed})


def one_training(dataset: Path, folder: Path, **changed):
    import torch

    from rtmri_speech.acoustic.train import AcousticTask
    from rtmri_speech.training.distributed import Processes

    return AcousticTask(settings(dataset, folder, **changed), Processes(0, 1, torch.device("cpu")))


def step_of(training) -> tuple[float, int]:
    """CPU seconds of one step and the windows trained in it."""
    begin = time.process_time()
    batch = training.segments.micro_batches(training.plan.keys(training.steps))
    training.step(batch)
    training.steps += 1
    return time.process_time() - begin, sum(len(part.starts) for part in batch)


def training(args: argparse.Namespace, dataset: Path, folder: Path) -> None:
    windows = args.windows
    lab = {"stretch": 1, "batch_size": windows, "micro_batch_size": 2, "channels_last": False, "amp": "float32"}
    ours = {"stretch": windows, "batch_size": 1, "micro_batch_size": 1}
    methods = {
        "one window at a time, float32 (lab)": lab,
        "the same, bfloat16 + channels_last": lab | {"channels_last": True, "amp": "bfloat16"},
        "segments, float32": ours | {"channels_last": False, "amp": "float32"},
        "segments, float32 + channels_last": ours | {"amp": "float32"},
        "segments, bfloat16 + channels_last": ours | {"amp": "bfloat16"},
    }
    trainings = {name: one_training(dataset, folder, **changed) for name, changed in methods.items()}
    rates = {name: [] for name in methods}
    for number in range(args.rounds + 1):
        for name, one in trainings.items():
            seconds, count = step_of(one)
            # The first round warms up caches.
            if number:
                rates[name].append(4 * count / seconds)
    print(f"training, {windows} windows a step, {args.size}x{args.size}, {THREADS} thread")
    print(f"{'method':38s} {'frames/CPU s':>12s} {'times lab':>10s} {'least':>6s}")
    base = rates[next(iter(methods))]
    for name, values in rates.items():
        paired = [value / other for value, other in zip(values, base, strict=True)]
        print(f"{name:38s} {statistics.median(values):12.2f} {statistics.median(paired):10.2f} {min(paired):6.2f}")


def prediction(args: argparse.Namespace, dataset: Path, folder: Path) -> None:
    import numpy as np
    import torch

    from rtmri_speech.acoustic.model import AcousticModel
    from rtmri_speech.acoustic.predict import AcousticBundle, predict_db
    from rtmri_speech.dataset.scaler import Scaler
    from rtmri_speech.signal.mel import MelSpec

    torch.manual_seed(0)
    plain = AcousticModel().eval()
    fast = AcousticModel().eval()
    fast.load_state_dict(plain.state_dict())
    fast.to(memory_format=torch.channels_last)
    scaler = Scaler(np.zeros(64), np.ones(64), 1)
    frames = np.load(dataset / "samples" / "000" / "mri.npy")
    frames = np.concatenate([frames, frames[::-1]])

    def bundle(model, precision="float32"):
        size, mel = frames.shape[1:], MelSpec.preset("hifigan")
        return AcousticBundle(model, Path("m.pt"), size, size, "unit", 4, mel, scaler, None, precision)

    @torch.inference_mode()
    def window_by_window():
        summed, count = np.zeros((len(frames), 64)), np.zeros((len(frames), 1))
        picture = torch.from_numpy(frames[:, None] / np.float32(255))
        for first in range(len(frames) - 3):
            mel = plain(picture[first : first + 4], torch.tensor([0]), 4)[0].numpy()
            summed[first : first + 4] += mel
            count[first : first + 4] += 1
        return summed / count

    methods = {
        "window by window, float32 (lab)": window_by_window,
        "whole clip, window context, float32": lambda: predict_db(bundle(plain), frames, "window"),
        "the same + channels_last": lambda: predict_db(bundle(fast), frames, "window"),
        "the same, bfloat16": lambda: predict_db(bundle(fast, "bfloat16"), frames, "window"),
        "sequence context, bfloat16": lambda: predict_db(bundle(fast, "bfloat16"), frames, "sequence"),
    }
    rates, results = {name: [] for name in methods}, {}
    predict_db(bundle(fast, "bfloat16"), frames[:32], "window")
    for _ in range(args.rounds):
        for name, method in methods.items():
            begin = time.process_time()
            results[name] = method()
            rates[name].append(len(frames) / (time.process_time() - begin))
    print(f"prediction of {len(frames)} frames, {args.size}x{args.size}, {THREADS} thread")
    print(f"{'method':38s} {'frames/CPU s':>12s} {'times lab':>10s} {'least':>6s} {'difference':>11s}")
    first = next(iter(methods))
    for name, values in rates.items():
        paired = [value / other for value, other in zip(values, rates[first], strict=True)]
        away = np.abs(results[name] - results[first]).max()
        print(
            f"{name:38s} {statistics.median(values):12.2f} {statistics.median(paired):10.2f} {min(paired):6.2f}"
            f" {away:11.1e}"
        )


def loader(args: argparse.Namespace, dataset: Path, folder: Path) -> None:
    """Throughput of the loader alone, compared with the fastest training on this machine."""
    from rtmri_speech.settings.acoustic import Augmentation

    ours = {"stretch": args.windows, "batch_size": 1, "micro_batch_size": 1, "amp": "bfloat16"}
    one = one_training(dataset, folder, augmentation=Augmentation(0.03, 5, 0.04, 0.1), **ours)
    step_of(one)
    trained = [4 * count / seconds for seconds, count in (step_of(one) for _ in range(args.rounds))]
    loaded = []
    for step in range(10 * args.rounds):
        begin = time.process_time()
        batch = one.segments.micro_batches(one.plan.keys(step))
        loaded.append(4 * sum(len(part.starts) for part in batch) / (time.process_time() - begin))
    print(f"loading, {args.size}x{args.size}, with augmentation, one process")
    print(f"{'loader alone':38s} {statistics.median(loaded):12.2f} frames/CPU s")
    print(f"{'loader and training (bfloat16)':38s} {statistics.median(trained):12.2f} frames/CPU s")


MEMORY = ("plain", "2", "4", "8")


def memory(args: argparse.Namespace, dataset: Path, folder: Path) -> None:
    """Peak memory of a step for different numbers of checkpointing segments, each in a process of its own."""
    print(f"peak memory of a step on {args.windows} windows, {args.size}x{args.size}, float32")
    for how in MEMORY:
        command = [
            sys.executable,
            __file__,
            "--memory_of",
            how,
            "--windows",
            str(args.windows),
            "--size",
            str(args.size),
        ]
        values = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        name = "without checkpointing" if how == "plain" else f"--use_checkpoint --ckpt_segments {how}"
        print(f"{name:38s} {float(values[0]):8.0f} MB above {float(values[1]):.0f} MB, {float(values[2]):5.1f} CPU s")


def memory_of(how: str, windows: int, dataset: Path, folder: Path) -> None:
    recomputing = {} if how == "plain" else {"use_checkpoint": True, "ckpt_segments": int(how)}
    one = one_training(dataset, folder, stretch=windows, batch_size=1, amp="float32", **recomputing)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds, _ = step_of(one)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before, before, seconds)


if __name__ == "__main__":
    main()
