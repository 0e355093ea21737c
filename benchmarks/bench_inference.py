"""Speed of inference at full size: one clip with start-up, many in one call, live, and through the workflow.

The models are those of the memo (EfficientNetV2-B2 at 256x256, HiFi-GAN V1 with 512 channels) with random weights, the
clips noise of 4 s (109 frames): neither changes how long it takes. Each row is a command of its own; seconds are of the
wall clock and of the processor. --workflow N makes N short clips through Snakemake.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "workflow" / "scripts" / "run_mri_video_inference.py"
FRAMES = 109
SECONDS = FRAMES * 420 / 11413


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20, help="clips in one call")
    parser.add_argument("--repeats", type=int, default=3, help="of each short measurement; the median is shown")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workflow", type=int, default=0, metavar="N", help="also N clips of 12 frames by Snakemake")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        models = write_models(place / "models")
        write_clips(place / "processed", args.clips, FRAMES)
        print(f"{args.threads} threads, load {os.getloadavg()[0]:.1f}, clips of {SECONDS:.2f} s")
        print(f"{'what':<44}{'wall s':>8}{'CPU s':>8}{'x real time':>13}")
        call = [str(SCRIPT), *models, "--processed-dir", str(place / "processed"), "--threads", str(args.threads)]
        call += ["--output-dir", str(place / "out"), "--clips"]
        many = [f"c{number}" for number in range(args.clips)]
        report("--help", [str(SCRIPT), "--help"], args.repeats)
        report("import of torch and timm alone", ["-c", "import torch, timm"], args.repeats)
        report("a clip alone, start-up included", [*call, "c0"], args.repeats, SECONDS)
        report("a clip alone, start-up included, bf16", [*call, "c0", "--bf16"], args.repeats, SECONDS)
        report(f"{args.clips} clips in one call", [*call, *many], 1, SECONDS * args.clips)
        report(f"{args.clips} clips in one call, bf16", [*call, *many, "--bf16"], 1, SECONDS * args.clips)
        live(models, args.threads)
        if args.workflow:
            workflow(place, models, args.workflow)


def report(name: str, command: list[str], repeats: int, seconds: float = 0) -> None:
    measured = sorted(timed([sys.executable, *command]) for _ in range(repeats))
    wall, processor = measured[len(measured) // 2]
    print(f"{name:<44}{wall:8.2f}{processor:8.2f}" + (f"{seconds / wall:13.2f}" if seconds else ""), flush=True)


def timed(command: list[str], **where: object) -> tuple[float, float]:
    """Wall and processor seconds of a command and of the processes it waited for."""
    before, begin = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **where)
    after = os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return time.perf_counter() - begin, used


def write_models(folder: Path) -> list[str]:
    """Full-size models with random weights; the flags that name them."""
    import torch

    from rtmri_speech.acoustic.model import AcousticModel, Network
    from rtmri_speech.signal.mel import MelSpec
    from rtmri_speech.vocoder.checkpoint import official_state
    from rtmri_speech.vocoder.config import read_config, write_config
    from rtmri_speech.vocoder.generator import Generator

    folder.mkdir()
    config = dataclasses.replace(read_config(ROOT / "config" / "hifigan_v1_11413.json"), padding="official")
    write_config(folder / "config.json", config)
    torch.save({"generator": official_state(Generator(config))}, folder / "g_00000000")
    network = Network()
    content = {
        "model_state_dict": AcousticModel(network).state_dict(),
        "network": dataclasses.asdict(network),
        "image_size": [256, 256],
        "frame_size": [256, 256],
        "frame_normalisation": "unit",
        "ref_frames": 4,
        "mel": MelSpec.preset("hifigan").to_dict(),
        "scaler": {"mean": [-40.0] * 64, "std": [20.0] * 64, "count_frames": 1},
        "training_ids": [],
        "validation_ids": [],
    }
    torch.save(content, folder / "mri_acoustic_model.pt")
    return [
        "--mri-checkpoint",
        str(folder / "mri_acoustic_model.pt"),
        "--hifigan-checkpoint",
        str(folder / "g_00000000"),
    ]


def write_clips(processed: Path, count: int, frames: int) -> None:
    import numpy as np

    from rtmri_speech.signal.audio import write_wav

    rng = np.random.default_rng(0)
    for number in range(count):
        (processed / "samples" / f"c{number}").mkdir(parents=True)
        np.save(
            processed / "samples" / f"c{number}" / "mri.npy", rng.integers(0, 256, (frames, 256, 256), dtype=np.uint8)
        )
        write_wav(processed / "wavs" / f"c{number}.wav", rng.normal(0, 0.1, frames * 420), 11413)


def live(models: list[str], threads: int) -> None:
    import numpy as np
    import torch

    from rtmri_speech.acoustic.predict import load_acoustic_model
    from rtmri_speech.synthesis.synthesiser import LIVE_BLOCK_FRAMES, LiveSynthesiser
    from rtmri_speech.vocoder.engine import load_vocoder

    torch.set_num_threads(threads)
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, 256, 256), dtype=np.uint8)
    for block_frames in (1, LIVE_BLOCK_FRAMES, 16):
        stream = LiveSynthesiser(
            load_acoustic_model(models[1], "cpu"), load_vocoder(models[3], block_frames=block_frames)
        )
        begin = time.perf_counter()
        samples = sum(map(len, stream.stream(frames)))
        wall = time.perf_counter() - begin
        stated = f"{block_frames} + {stream.look_ahead} frames, {1000 * stream.latency:.0f} ms behind"
        print(f"{'live, ' + stated:<44}{wall:8.2f}{'':8}{samples / 11413 / wall:13.2f}", flush=True)


def workflow(place: Path, models: list[str], count: int) -> None:
    """Time ``count`` short clips through Snakemake, two at a time, and one of them once more alone."""
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
        print(f"{name:<44}{wall:8.2f}{processor:8.2f}{'':5}{wall / len(targets):.2f} s a clip", flush=True)


if __name__ == "__main__":
    main()
