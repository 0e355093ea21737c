"""Where the time of a training step goes, and how many times the lab's or the official program's it is.

    python benchmarks/bench_training_step.py --what demo full vocoder

For the mel generator, at the size of config/config.yaml or at full size (EfficientNetV2-B2 at 256x256, LSTM 640):
loader, augmentation, CNN, LSTM with the last layer, loss, optimiser. For the vocoder (HiFi-GAN V1): generator,
discriminators' step, judging in the generator's step, mel, optimisers. Each part is computed by itself, forward and
backward, on the same batch; CPU seconds of one thread, medians. Whole steps alternate: ours, ours with F0 (pitch), ours
with or without neighbours of each frame, and the other program: the lab's with the same network (single windows of 4
frames, micro-batches of 2, float32, no augmentation), or the official HiFi-GAN step. The limit is the floating-point
operations of the step's convolutions and matrix products, a backward pass counted as two forward passes, over the
measured speed of a product of two matrices of 1024x1024.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAB = {"stretch": 1, "micro_batch_size": 2, "channels_last": False, "amp": "float32", "augmentation": None}
LAB |= {"neighbours": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=["demo", "full", "vocoder"], default=["demo", "full", "vocoder"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--windows", type=int, default=32, help="windows per step at full size")
    parser.add_argument("--batch", type=int, default=1, help="excerpts per step of the vocoder")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for what in args.what:
            if what == "vocoder":
                vocoder(args)
            else:
                mel_generator(what, args, Path(folder))


def seconds_of(run: Callable[[], object], rounds: int) -> float:
    """Median CPU seconds of a call, after one to warm up."""
    taken = []
    for _ in range(rounds + 1):
        begin = time.process_time()
        run()
        taken.append(time.process_time() - begin)
    return statistics.median(taken[1:])


def product_speed() -> float:
    """Floating-point operations per CPU second of a matrix product."""
    import torch

    a, b = torch.randn(2, 1024, 1024)
    return 2 * 1024**3 / seconds_of(lambda: a @ b, 10)


def operations(run: Callable[[], object]) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def alternately(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each way in each round; the first round is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, run in ways.items():
            begin = time.process_time()
            run()
            if number:
                taken[name].append(time.process_time() - begin)
    return taken


def report(title: str, parts: dict[str, float], taken: dict[str, list[float]], units: dict[str, int], limit: float):
    """Print the table of parts, then of whole steps per unit (window or excerpt)."""
    whole = statistics.median(taken["ours"])
    print(f"{title}\n{'part':44}{'CPU s':>9}{'share':>8}")
    for name, value in parts.items():
        print(f"{name:44}{value:9.3f}{100 * value / whole:7.0f} %")
    print(f"{'sum':44}{sum(parts.values()):9.3f}{100 * sum(parts.values()) / whole:7.0f} %")
    print(f"{'limit':44}{limit:9.3f}{100 * limit / whole:7.0f} %")
    print(f"{'whole step':44}{'CPU s':>9}{'ms each':>9}{'ours is':>9}")
    for name, values in taken.items():
        ratios = [v / units[name] / (o / units["ours"]) for v, o in zip(values, taken["ours"], strict=True)]
        each = 1000 * statistics.median(values) / units[name]
        print(f"{name:44}{statistics.median(values):9.3f}{each:9.1f}{statistics.median(ratios):8.2f}x", flush=True)


def mel_generator(what: str, args: argparse.Namespace, folder: Path) -> None:
    import numpy as np
    import torch
    import yaml
    from bench_acoustic_training import make_dataset, one_training

    from rtmri_speech.acoustic.data import _STILL
    from rtmri_speech.configuration import load_configuration
    from rtmri_speech.training.averaging import update_average

    demo = what == "demo"
    dataset = folder / "dataset"
    if not dataset.is_dir():
        make_dataset(dataset, 256)
        for id in ("000", "001", "002"):
            (folder / "f0").mkdir(exist_ok=True)
            length = len(np.load(dataset / "samples" / id / "mel_db.npy"))
            np.save(folder / "f0" / f"{id}.npy", np.where(np.arange(length) % 3, 120, 0).astype(np.float32))
    if demo:
        used = load_configuration(yaml.safe_load((ROOT / "config" / "config.yaml").read_text())).acoustic
        names = "backbone image_size output_stride neighbours rnn_hidden dropout augmentation stretch loss"
        names += " weight_decay lr average"
        ours = {name: getattr(used, name) for name in names.split()}
        ours |= {"batch_size": 3, "micro_batch_size": 3, "amp": "float32"}
    else:
        ours = {"stretch": args.windows, "batch_size": 1, "micro_batch_size": 1, "amp": "float32"}
    lab = {name: value for name, value in {**ours, **LAB}.items() if value is not None}
    lab["batch_size"] = ours["stretch"] * ours["batch_size"]
    pitch = {"pitch": True, "f0_dir": folder / "f0"}
    other = 0 if ours.get("neighbours") else 1
    trainings = {"ours": ours, "ours, with F0 (pitch)": ours | pitch}
    trainings |= {f"ours, neighbours: {other}": ours | {"neighbours": other}, "the lab's program": lab}
    steps = {name: one_training(dataset, folder / name[:8], **changed) for name, changed in trainings.items()}
    units = dict.fromkeys(steps, 0)

    def whole(name: str) -> Callable[[], object]:
        training = steps[name]

        def run() -> None:
            batch = training.segments.micro_batches(training.plan.keys(0))
            units[name] = sum(len(part.starts) for part in batch)
            training.step(batch)
            training.steps += 1

        return run

    taken = alternately({name: whole(name) for name in steps}, args.rounds)

    one, rounds = steps["ours"], args.rounds
    keys = one.plan.keys(0)
    loading = seconds_of(lambda: one.segments.micro_batches(keys), rounds)
    augmentation, one.segments._augmentation = one.segments._augmentation, _STILL
    still = seconds_of(lambda: one.segments.micro_batches(keys), rounds)
    one.segments._augmentation = augmentation
    batch = one.segments.micro_batches(keys)
    model, length = one.model.train(), one.settings.ref_frames
    totals = torch.stack([one.criterion.totals(part.sound_mask, 0.5) for part in batch]).sum(0)
    times = dict.fromkeys(("CNN, forward", "CNN, backward", "LSTM and last layer", "loss"), 0.0)

    def parts_of(part) -> list[float]:
        marks = [time.process_time()]
        features = model.features(part.frames)
        marks.append(time.process_time())
        cut = features.detach().requires_grad_()
        windows = torch.stack([cut.index_select(0, part.starts + place) for place in range(length)], 1)
        outputs = model.outputs(windows)
        marks.append(time.process_time())
        given = outputs.detach().requires_grad_()
        found = one._sums_of(given, part, 0.5)
        one._loss(found, totals, one._pitch_totals(batch), 0.5).backward()
        marks.append(time.process_time())
        outputs.backward(given.grad)
        marks.append(time.process_time())
        features.backward(cut.grad)
        marks.append(time.process_time())
        encoded, decoded, lost, decoded_back, encoded_back = np.diff(marks)
        return [encoded, encoded_back, decoded + decoded_back, lost]

    found = np.median([[np.sum([parts_of(part) for part in batch], 0)] for _ in range(rounds + 1)][1:], 0)[0]
    times = dict(zip(times, map(float, found), strict=True))

    def optimise() -> None:
        torch.nn.utils.clip_grad_norm_(one.model.parameters(), 1.0)
        one.optimizer.step()
        if one.averaged is not None:
            update_average(one.averaged, one.model, 0.99)

    times = {"loader": still, "augmentation": max(loading - still, 0.0), **times}
    times["optimiser"] = seconds_of(optimise, rounds)
    # torch's counter takes the gradients of grouped convolutions for those of full ones: forward passes are counted.
    forward = sum(operations(lambda p=part: model(p.frames, p.starts, length)) for part in batch)
    limit = 3 * forward / product_speed()
    report(f"Mel generator, {what} size, {units['ours']} windows a step", times, taken, units, limit)


def vocoder(args: argparse.Namespace) -> None:
    import torch
    from bench_vocoder import official_step

    from rtmri_speech.training.averaging import update_average
    from rtmri_speech.training.distributed import Processes
    from rtmri_speech.vocoder.config import read_config
    from rtmri_speech.vocoder.discriminators import frozen
    from rtmri_speech.vocoder.loss import adversarial_loss, discriminator_loss, feature_loss, mel_error
    from rtmri_speech.vocoder.train import Networks

    config = dataclasses.replace(read_config(ROOT / "config" / "hifigan_v1_11413.json"), padding="official")
    torch.manual_seed(0)
    ours, official = (Networks(config, Processes(0, 1, torch.device("cpu")), bf16=False) for _ in range(2))
    mel = torch.randn(args.batch, config.num_mels, config.segment_frames) - 4
    audio = torch.randn(args.batch, config.segment_size) * 0.1
    ways = {
        "ours": lambda: ours.step(mel, audio, adversarial=True),
        "the official program": lambda: official_step(official, mel, audio),
    }
    taken = alternately(ways, args.rounds)
    names = ("generator, forward", "discriminators' step", "mel", "judging, of the recording")
    names += ("judging, of the generated", "generator, backward", "optimisers and average")
    rows = []
    judges = (ours.mpd, ours.msd)
    for _ in range(args.rounds + 1):
        marks = [time.process_time()]
        made = ours.generator(mel)
        marks.append(time.process_time())
        both = torch.cat([audio[:, None], made.detach()])
        sum(discriminator_loss(*judge(both).halves()) for judge in judges).backward()
        marks.append(time.process_time())
        given = made.detach().requires_grad_()
        mel_error(config.loss_mel, audio, given[:, 0]).backward()
        marks.append(time.process_time())
        with frozen(*judges):
            with torch.no_grad():
                real = [judge(audio[:, None]) for judge in judges]
            marks.append(time.process_time())
            of_made = [judge(given) for judge in judges]
            losses = (adversarial_loss(m) + feature_loss(r, m) for r, m in zip(real, of_made, strict=True))
            sum(losses).backward()
        marks.append(time.process_time())
        made.backward(given.grad)
        marks.append(time.process_time())
        ours.optim_d.step()
        ours.optim_g.step()
        update_average(ours.averaged, ours.generator, config.average)
        marks.append(time.process_time())
        rows.append([after - before for before, after in itertools.pairwise(marks)])
    parts = dict(zip(names, map(statistics.median, zip(*rows[1:], strict=True)), strict=True))
    judged = sum(operations(lambda j=judge: j(audio[:, None])) for judge in judges)
    # Of the discriminators: recording and generated with all gradients; then the recording, and the generated with the
    # gradient of the sound alone.
    limit = (3 * operations(lambda: ours.generator(mel)) + (2 * 3 + 1 + 2) * judged) / product_speed()
    units = dict.fromkeys(ways, args.batch)
    report(f"Vocoder, HiFi-GAN V1, {args.batch} excerpts of {config.segment_size} samples", parts, taken, units, limit)


if __name__ == "__main__":
    main()
