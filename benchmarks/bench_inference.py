"""Speed of synthesis from packs and with PyTorch: a single clip, many clips in one call, live, and in the workflow.

Two sizes: the demo's (config/config.yaml with its vocoder, clips of 57 frames) and full size (EfficientNetV2-B2 at
256x256, HiFi-GAN V1 with 512 channels, clips of 4 s or 109 frames). Mel generators have random weights and clips are
noise; neither affects the time. Each row is a separate command; packs and PyTorch alternate. Time and peak memory are
of the whole process, including start-up; medians are shown, and the median of how many times less CPU than by PyTorch
in the same round. --workflow N also synthesises N short clips through Snakemake.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow" / "scripts"
SCRIPT = SCRIPTS / "run_mri_video_inference.py"
FRAMES = {"demo": 57, "full": 109}
SECONDS = {size: frames * 420 / 11413 for size, frames in FRAMES.items()}
MEGABYTE = 1e6 if sys.platform == "darwin" else 1e3
"""Units of `ru_maxrss` per megabyte."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20, help="clips in one call")
    parser.add_argument("--repeats", type=int, default=3, help="repeats of each short measurement; the median is shown")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--bf16", action="store_true", help="also in bfloat16, which is slow where it is emulated")
    parser.add_argument("--size", choices=list(FRAMES), help="only this size")
    parser.add_argument("--part", choices=["clips", "live"], help="only this part")
    parser.add_argument(
        "--workflow", type=int, default=0, metavar="N", help="also synthesise N clips of 12 frames through Snakemake"
    )
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        print(f"{args.threads} threads, load {os.getloadavg()[0]:.1f}")
        print(f"{'what':<56}{'wall s':>8}{'CPU s':>8}{'MB':>8}{'x real time':>13}{'x less CPU':>12}")
        if args.part is None:
            starts = {"--help": [SCRIPT, "--help"], "import of torch and timm alone": ["-c", "import torch, timm"]}
            report(starts, args.repeats)
        for size in FRAMES if args.size is None else [args.size]:
            write_clips(place / size / "processed", args.clips, FRAMES[size])
            models = made_models(place / size, size)
            if args.part == "live":
                continue
            many = [f"c{number}" for number in range(args.clips)]
            packs = {"from its pack": "float32", "from its pack in int8": "int8"}
            ways = {way: ["--model", place / size / f"{cnn}.pack"] for way, cnn in packs.items()}
            ways["by torch"] = models
            if size == "full" and args.bf16:
                ways["by torch, bf16"] = [*models, "--bf16"]
            common = ["--processed-dir", place / size / "processed", "--output-dir", place / "out"]
            common += ["--threads", args.threads, "--clips"]
            for name, clips, repeats in (("a clip alone", many[:1], args.repeats), (f"{len(many)} clips", many, 1)):
                what = f"{size}, {name} of {SECONDS[size]:.1f} s"
                commands = {f"{what}, {way}": [SCRIPT, *flags, *common, *clips] for way, flags in ways.items()}
                report(commands, repeats, SECONDS[size] * len(clips))
        if args.part != "clips" and args.size != "demo":
            live(place / "full", models, args.threads)
        if args.workflow:
            workflow(place, models, args.workflow)


def report(commands: dict[str, list[object]], repeats: int, seconds: float = 0) -> None:
    """Run the commands alternately and print the median of each."""
    measured = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            measured[name].append(resources([sys.executable, *map(str, command)]))
    by_torch = [rows for name, rows in measured.items() if name.endswith("by torch")]
    for name, rows in measured.items():
        wall, processor, memory = sorted(rows, key=lambda row: row[1])[len(rows) // 2]
        speed = f"{seconds / wall:13.2f}" if seconds else ""
        if by_torch:
            ratios = sorted(other[1] / row[1] for row, other in zip(rows, by_torch[0], strict=True))
            speed += f"{ratios[len(ratios) // 2]:12.2f}"
        print(f"{name:<56}{wall:8.2f}{processor:8.2f}{memory:8.0f}{speed}", flush=True)


def resources(command: list[str]) -> tuple[float, float, float]:
    """Wall and CPU seconds and peak memory, MB, of a command with a single process.

    This process must stay small: its memory at the start of a child counts towards the child's peak.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / MEGABYTE


def timed(command: list[str], **where: object) -> tuple[float, float]:
    """Wall and CPU seconds of a command, including the processes it waited for."""
    before, begin = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **where)
    after = os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return time.perf_counter() - begin, used


def made_models(folder: Path, size: str) -> list[str]:
    """Write the models of a size and their packs; return the flags for the models."""
    # In a process of its own, because torch takes memory.
    writer = multiprocessing.get_context("spawn").Process(target=write_models, args=(folder, size))
    writer.start()
    writer.join()
    vocoder = ROOT / "models" / "demo_vocoder" / "g_00016200" if size == "demo" else folder / "g_00000000"
    models = ["--mri-checkpoint", str(folder / "mri_acoustic_model.pt"), "--hifigan-checkpoint", str(vocoder)]
    terms = ["--licence", "MIT", "--speaker", "nobody", "--consent", "none is needed"]
    for cnn in ("float32", "int8"):
        pack = folder / f"{cnn}.pack"
        how = ["--cnn", cnn, "--calibration", str(folder / "processed"), "--output", str(pack)]
        wall, processor, memory = resources([sys.executable, str(SCRIPTS / "pack_model.py"), *models, *terms, *how])
        what = f"{size}, {cnn} pack of {pack.stat().st_size / 1e6:.0f} MB made"
        print(f"{what:<56}{wall:8.2f}{processor:8.2f}{memory:8.0f}", flush=True)
    return models


def write_models(folder: Path, size: str) -> None:
    """Write a mel generator with random weights and, at full size, a vocoder."""
    import torch

    from rtmri_speech.acoustic.model import AcousticModel, Network
    from rtmri_speech.signal.mel import MelSpec
    from rtmri_speech.vocoder.checkpoint import official_state
    from rtmri_speech.vocoder.config import read_config, write_config
    from rtmri_speech.vocoder.generator import Generator

    if size == "full":
        config = dataclasses.replace(read_config(ROOT / "config" / "hifigan_v1_11413.json"), padding="official")
        write_config(folder / "config.json", config)
        torch.save({"generator": official_state(Generator(config))}, folder / "g_00000000")
    demo = Network("test_efficientnet", output_stride=8, rnn_hidden=128)
    network, side = (demo, 64) if size == "demo" else (Network(), 256)
    content = {
        "model_state_dict": AcousticModel(network).state_dict(),
        "network": dataclasses.asdict(network),
        "image_size": [side, side],
        "frame_size": [256, 256],
        "frame_normalisation": "unit",
        "ref_frames": 4,
        "mel": MelSpec.preset("hifigan").to_dict(),
        "scaler": {"mean": [-40.0] * 64, "std": [20.0] * 64, "count_frames": 1},
        "training_ids": [],
        "validation_ids": [],
    }
    torch.save(content, folder / "mri_acoustic_model.pt")


def write_clips(processed: Path, count: int, frames: int) -> None:
    import numpy as np

    from rtmri_speech.dataset.filelists import write_filelist
    from rtmri_speech.signal.audio import write_wav

    rng = np.random.default_rng(0)
    for split in ("training", "validation"):
        write_filelist(processed / "hifigan_filelists" / f"{split}.txt", ["c0"])
    for number in range(count):
        sample = processed / "samples" / f"c{number}"
        sample.mkdir(parents=True)
        np.save(sample / "mri.npy", rng.integers(0, 256, (frames, 256, 256), dtype=np.uint8))
        np.save(sample / "mel_db.npy", np.zeros((frames, 64), np.float32))
        np.save(sample / "mask.npy", np.ones(frames, np.float32))
        write_wav(processed / "wavs" / f"c{number}.wav", rng.normal(0, 0.1, frames * 420), 11413)


def live(folder: Path, models: list[str], threads: int) -> None:
    """Time live streams of a clip without waiting for its frames; loading is not included."""
    import numpy as np
    import torch

    from rtmri_speech.acoustic.predict import load_acoustic_model
    from rtmri_speech.pack.speak import load_live_pack
    from rtmri_speech.synthesis.live import speak_live
    from rtmri_speech.synthesis.synthesiser import LIVE_BLOCK_FRAMES, LiveSynthesiser
    from rtmri_speech.vocoder.engine import load_vocoder

    torch.set_num_threads(threads)
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES["full"], 256, 256), dtype=np.uint8)
    for block_frames in (LIVE_BLOCK_FRAMES, 4, 16):
        by_torch = LiveSynthesiser(
            load_acoustic_model(models[1], "cpu"), load_vocoder(models[3], block_frames=block_frames)
        )
        packs = {cnn: load_live_pack(folder / f"{cnn}.pack", block_frames, threads) for cnn in ("float32", "int8")}
        for way, stream in {**packs, "by torch": by_torch}.items():
            begin = time.process_time()
            pace = speak_live(stream, frames, lambda samples: None)
            processor = time.process_time() - begin
            stated = f"blocks of {block_frames} frames, {1000 * stream.latency:.0f} ms behind"
            what = f"full, live, {stated}, {way}"
            print(f"{what:<56}{pace.computing:8.2f}{processor:8.2f}{'':8}{pace.factor:13.2f}", flush=True)


def workflow(place: Path, models: list[str], count: int) -> None:
    """Time ``count`` short clips through Snakemake, two at a time, and one of them again by itself."""
    import numpy as np
    import yaml

    from rtmri_speech.signal.audio import write_wav
    from rtmri_speech.signal.mel import MelSpec
    from rtmri_speech.signal.video import write_video

    rng = np.random.default_rng(0)
    for number in range(count):
        for folder in ("videos", "audio"):
            (place / folder).mkdir(exist_ok=True)
        frames = rng.integers(0, 256, (12, 64, 64), dtype=np.uint8)
        write_video(place / "videos" / f"c{number}.mp4", frames, MelSpec().frame_rate)
        write_wav(place / "audio" / f"c{number}.wav", rng.normal(0, 0.1, 12 * 420), 11413)
    ids = [f"c{number}" for number in range(count)]
    settings = {
        "results": "results",
        "corpus": {"source": "directories", "videos": "videos", "audio": "audio"},
        "split": {"named": {"training": ids[:1], "validation": ids[1:2], "test": ids[2:]}},
        "synthesis": {"mri_checkpoint": models[1], "hifigan_checkpoint": models[3]},
    }
    (place / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", "settings.yaml", "--quiet", "all"]
    for what, targets in (
        ("the wavs and frames", [f"results/dataset/wavs/{id}.wav" for id in ids]),
        ("inference", [f"results/infer/{id}_generated.wav" for id in ids]),
        ("inference of one", ["results/infer/c0_generated.wav"]),
    ):
        if what == "inference of one":
            shutil.rmtree(place / "results" / "infer")
        wall, processor = timed([*command, "--", *targets], cwd=place, stderr=subprocess.DEVNULL)
        name = f"workflow, {what}: {len(targets)} clips of 12 frames"
        print(f"{name:<44}{wall:8.2f}{processor:8.2f}{'':5}{wall / len(targets):.2f} s per clip", flush=True)


if __name__ == "__main__":
    main()
