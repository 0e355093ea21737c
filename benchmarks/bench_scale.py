"""Scaling to many clips: planning, execution, and memory of every stage.

    python benchmarks/bench_scale.py plan          # 10,000 clips, dry runs
    python benchmarks/bench_scale.py execution     # 1,000 clips of 8 frames of 32x32, through the workflow on 2 cores
    python benchmarks/bench_scale.py memory        # the whole workflow with 10 clips and with 100
    python benchmarks/bench_scale.py full_size     # the workflow with the models of config/full_size.yaml, few steps

Every process of the workflow records its CPU seconds and peak memory when it ends (Linux only). Results are in
benchmarks/README.md.

The CPU seconds of a clip comprise Snakemake, the script including the start of Python, and the shell in between.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from workflow_checkout import ROOT, TINY_VOCODER

RATE, HOP = 11413, 420

# Python imports the module of this name at start-up.
RECORDER = """
import atexit, os, sys, time


def _record():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    # Unlike getrusage's peak, this one does not include the parent process.
    peak = int(status["VmHWM"].split()[0]) / 1000
    import json
    record = dict(argv=sys.argv, cpu=time.process_time(), peak_mb=peak)
    with open(os.path.join(os.environ["RECORDS"], f"{os.getpid()} {time.time_ns()}.json"), "w") as out:
        json.dump(record, out)


atexit.register(_record)
"""

VOCODER = TINY_VOCODER | {"batch_size": 4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["plan", "execution", "memory", "full_size"])
    parser.add_argument("--clips", type=int, help="number of clips; default: 10000, 1000, 10, 6")
    parser.add_argument("--frames", type=int, help="frames per clip; default: 8, 100 for memory, 60 for full_size")
    parser.add_argument("--cores", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, a loop of 10^7 steps: {loop():.2f} CPU s")
        whats = {"plan": plan, "execution": execution, "memory": memory, "full_size": full_size}
        whats[args.what](args, Path(folder))


def loop() -> float:
    """CPU seconds of a fixed computation, a measure of the load on the machine."""
    begin = time.process_time()
    for _ in range(10_000_000):
        pass
    return time.process_time() - begin


def configuration(folder: Path, size: int, **sections: object) -> Path:
    (folder / "hifigan.json").write_text(json.dumps(VOCODER), encoding="utf-8")
    settings = {
        "results": "results",
        "corpus": {"source": "directories", "videos": "videos", "audio": "audio"},
        "video": {"size": [size, size]},
        "mel": {"n_fft": 512, "n_mels": 16},
        "bands": {"F1": [300, 900]},
        "split": {"named": {"validation": ["c00001", "c00003"], "test": ["c00002", "c00004"]}},
        "vocoder": {"config": str(folder / "hifigan.json"), "base": None, "steps": 8, "gpus": 0, "threads": 2},
        "acoustic": {
            "backbone": "test_efficientnet",
            "image_size": [32, 32],
            "cnn_pretrained": False,
            "rnn_hidden": 8,
            "stretch": 16,
            "epochs": 2,
            "num_workers": 0,
            "use_checkpoint": False,
            "gpus": 0,
            "pin_memory": False,
        },
        "explain": {"masking": {"alphas": [1.0]}},
        **sections,
    }
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder / "config.json"


def make_corpus(folder: Path, clips: int, frames: int, size: int) -> None:
    """Write clips of noise: a video without two equal frames, and a sound."""
    import numpy as np

    from rtmri_speech.signal.audio import write_wav
    from rtmri_speech.signal.video import write_video

    rng = np.random.default_rng(0)
    for number in range(clips):
        pictures = rng.integers(0, 256, (frames, size, size), np.uint8)
        write_video(folder / "videos" / f"c{number:05d}.mp4", pictures, Fraction(RATE, HOP))
        write_wav(folder / "audio" / f"c{number:05d}.wav", 0.1 * rng.standard_normal(frames * HOP), RATE)


class Process(NamedTuple):
    """A finished process: command, CPU seconds, peak memory."""

    name: str
    cpu: float
    peak_mb: float


def snakemake(folder: Path, *words: str) -> tuple[list[Process], float]:
    """Run the workflow; return its processes and their total CPU seconds."""
    records = recorder(folder)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--configfile", "config.json", *words],
        cwd=folder,
        env={**os.environ, **records},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if run.returncode:
        sys.exit(run.stdout[-5000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return ended(Path(records["RECORDS"])), spent


def recorder(folder: Path) -> dict[str, str]:
    """Return the environment variables that make processes record their resources."""
    (folder / "recorder").mkdir(exist_ok=True)
    (folder / "recorder" / "sitecustomize.py").write_text(RECORDER, encoding="utf-8")
    path = os.pathsep.join([str(folder / "recorder"), str(ROOT / "src")])
    return {"PYTHONPATH": path, "RECORDS": tempfile.mkdtemp(dir=folder)}


def ended(records: Path) -> list[Process]:
    """Return the processes finished so far."""
    return [process_of(json.loads(path.read_text())) for path in records.glob("*.json") if path.stat().st_size]


def process_of(record: dict) -> Process:
    words = record["argv"]
    name = Path(words[0]).stem if words and Path(words[0]).name != "__main__.py" else Path(words[0]).parent.name
    if "--only" in words:
        name += f" --only {words[words.index('--only') + 1]}"
    return Process(name, record["cpu"], record["peak_mb"])


def plan(args: argparse.Namespace, folder: Path) -> None:
    clips = args.clips or 10_000
    configuration(folder, 32)
    for kind, ending in (("videos", "mp4"), ("audio", "wav")):
        (folder / kind).mkdir()
        for number in range(clips):
            (folder / kind / f"c{number:05d}.{ending}").touch()
    print(f"dry run of {clips} clips without existing results")
    print(f"{'target':<12}{'CPU s':>8}{'peak MB':>9}")
    for target in ("all", "dataset", "infer_all"):
        processes, spent = snakemake(folder, "--dry-run", "--quiet", "all", "--", target)
        (process,) = processes
        print(f"{target:<12}{spent:8.1f}{process.peak_mb:9.0f}", flush=True)


def execution(args: argparse.Namespace, folder: Path) -> None:
    clips, frames = args.clips or 1000, args.frames or 8
    make_corpus(folder, clips, frames, 32)
    configuration(folder, 32, synthesis=in_process(write_models, folder))
    made = [f"results/dataset/wavs/c{number:05d}.wav" for number in range(clips)]
    speech = [f"results/infer/c{number:05d}_generated.wav" for number in range(clips)]
    print(f"{clips} clips of {frames} frames of 32x32 on {args.cores} cores; CPU seconds per clip")
    print(f"{'rule':<16}{'all':>10}{'Snakemake':>12}{'planning':>12}{'script':>10}{'shell':>10}")
    for rule, targets, script in (
        ("prepare_clip", made, "preprocess_rtmri_data --only clip"),
        ("infer_clip", speech, "run_mri_video_inference"),
    ):
        _, planning = snakemake(folder, "--dry-run", "--quiet", "all", "--", *targets)
        processes, spent = snakemake(folder, "--cores", str(args.cores), "--", *targets)
        of = defaultdict(float)
        for process in processes:
            of[process.name] += process.cpu
        shell = spent - of["snakemake"] - of[script]
        cells = (spent, of["snakemake"], planning, of[script], shell)
        print(
            f"{rule:<16}"
            + "".join(f"{cell / clips:>{w}.3f}" for cell, w in zip(cells, (10, 12, 12, 10, 10), strict=True))
        )


def in_process(function, *arguments):
    """Call a function in a new process: the peak of a child includes its parent's memory."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as apart:
        return apart.submit(function, *arguments).result()


def write_models(folder: Path) -> dict[str, str]:
    """Write untrained models; return them as settings of the synthesis."""
    import dataclasses

    import torch

    from rtmri_speech.acoustic.model import AcousticModel, Network
    from rtmri_speech.signal.mel import MelSpec
    from rtmri_speech.vocoder.checkpoint import official_state
    from rtmri_speech.vocoder.config import read_config, write_config
    from rtmri_speech.vocoder.generator import Generator

    (folder / "models").mkdir()
    (folder / "hifigan.json").write_text(json.dumps(VOCODER), encoding="utf-8")
    config = dataclasses.replace(read_config(folder / "hifigan.json"), padding="official")
    write_config(folder / "models" / "config.json", config)
    torch.save({"generator": official_state(Generator(config))}, folder / "models" / "g_00000001")
    network = Network("test_efficientnet", rnn_hidden=8, n_mels=16)
    content = {
        "model_state_dict": AcousticModel(network).state_dict(),
        "network": dataclasses.asdict(network),
        "image_size": [32, 32],
        "frame_size": [32, 32],
        "frame_normalisation": "unit",
        "ref_frames": 4,
        "mel": MelSpec.preset("hifigan", n_fft=512, win_length=512, n_mels=16).to_dict(),
        "scaler": {"mean": [-40.0] * 16, "std": [20.0] * 16, "count_frames": 1},
        "training_ids": [],
        "validation_ids": [],
    }
    torch.save(content, folder / "models" / "mri_acoustic_model.pt")
    return {
        "mri_checkpoint": str(folder / "models" / "mri_acoustic_model.pt"),
        "hifigan_checkpoint": str(folder / "models" / "g_00000001"),
    }


def memory(args: argparse.Namespace, folder: Path) -> None:
    clips, frames = args.clips or 10, args.frames or 100
    peaks = []
    for count in (clips, 10 * clips):
        place = folder / str(count)
        place.mkdir()
        make_corpus(place, count, frames, 128)
        configuration(place, 128)
        targets = ("all", "infer_all", "gradcam", "masking")
        processes, _ = snakemake(place, "--cores", str(args.cores), "--", *targets)
        peaks.append(largest(processes))
    kilobytes = frames * (128 * 128 + HOP * 2 + 16 * 4) / 1000
    print(
        f"peak MB of the largest process of each script, clips of {frames} frames of 128x128: {kilobytes:.0f} kB each"
    )
    print(f"{'script':<44}{f'{clips} clips':>12}{f'{10 * clips} clips':>12}{'ratio':>8}{'kB a clip':>12}")
    for name in sorted(peaks[0]):
        few, many = (peak[name] for peak in peaks)
        growth = 1000 * (many - few) / (9 * clips)
        print(f"{name:<44}{few:12.0f}{many:12.0f}{many / few:8.2f}{growth:12.0f}")


def largest(processes: list[Process]) -> dict[str, float]:
    """Return the peak of the largest process of each script, MB."""
    peak = defaultdict(float)
    for process in processes:
        peak[process.name] = max(peak[process.name], process.peak_mb)
    return peak


def full_size(args: argparse.Namespace, folder: Path) -> None:
    import yaml

    clips, frames = args.clips or 6, args.frames or 60
    make_corpus(folder, clips, frames, 256)
    settings = yaml.safe_load((ROOT / "config" / "full_size.yaml").read_text(encoding="utf-8"))
    settings["corpus"] = {"source": "directories", "videos": "videos", "audio": "audio"}
    settings["split"]["named"] = {"validation": ["c00001"], "test": ["c00002"]}
    settings["acoustic"] |= {"epochs": 1, "max_train_steps": 2, "max_val_steps": 1, "cnn_pretrained": False, "gpus": 0}
    settings["vocoder"] |= {"steps": 1, "gpus": 0}
    settings["explain"] = {"masking": {"alphas": [1.0]}}
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    targets = ("all", "gradcam", "masking")
    processes, _ = snakemake(folder, "--cores", str(args.cores), "--", *targets)
    print(f"peak MB of the largest process of each script, {clips} clips of {frames} frames of 256x256")
    for name, peak in sorted(largest(processes).items()):
        print(f"{name:<44}{peak:12.0f}")
    print("peak MB of each job and its processes together, as measured by Snakemake")
    for path in sorted((folder / "results" / "benchmarks").glob("*.tsv")):
        print(f"{path.stem:<44}{path.read_text().splitlines()[1].split()[2]:>12}")


if __name__ == "__main__":
    main()
