"""Preparing the clips of a corpus on SLURM in the two ways of docs/on_a_cluster.md: submissions and seconds.

    python benchmarks/bench_slurm.py --clips 256

Uses the SLURM of the tests, on this machine only (needs root and the packages slurm-wlm and munge). On a real cluster,
time in the queue adds to each submission.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_scale import ROOT, configuration, make_corpus

sys.path.insert(0, str(ROOT / "tests" / "cluster"))
from throwaway_slurm import Slurm, missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="concurrent jobs")
    parser.add_argument("--group", type=int, default=32, help="clips per submission, with groups")
    args = parser.parse_args()
    if lack := missing():
        sys.exit(lack)
    print(f"{args.clips} clips of {args.frames} frames of 32x32, {args.cores} cores")
    print(f"{'way':<40}{'submissions':>12}{'seconds':>9}")
    for name, way in (("inside one allocation (clips: local)", inside_one), ("in groups", in_groups)):
        with tempfile.TemporaryDirectory(prefix="slurm-") as directory, Slurm(Path(directory) / "s") as slurm:
            folder = Path(directory) / "work"
            folder.mkdir()
            make_corpus(folder, args.clips, args.frames, 32)
            begin = time.monotonic()
            way(args, folder, slurm)
            spent = time.monotonic() - begin
            made = len(list(folder.glob("results/dataset/wavs/*.wav")))
            if made != args.clips:
                sys.exit(f"{name}: {made} of {args.clips} clips were prepared; see {folder}")
            print(f"{name:<40}{len(slurm.jobs()):>12}{spent:>9.0f}", flush=True)


def command(folder: Path, *words: str) -> list[str]:
    targets = [f"results/dataset/wavs/{path.stem}.wav" for path in sorted((folder / "videos").iterdir())]
    places = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    profile = ["--profile", str(ROOT / "profiles" / "slurm"), "--configfile=config.json"]
    partitions = ["--slurm-partition-config", str(ROOT / "profiles" / "slurm" / "partitions.yaml")]
    return [sys.executable, "-m", "snakemake", *places, *profile, *partitions, *words, "--", *targets]


def environment(slurm: Slurm) -> dict[str, str]:
    return {**os.environ, "PATH": os.pathsep.join([str(slurm.bin), os.environ["PATH"]])}


def inside_one(args: argparse.Namespace, folder: Path, slurm: Slurm) -> None:
    configuration(folder, 32, cluster={"clips": "local"})
    words = shlex.join(command(folder, "--local-cores", str(args.cores)))
    driver = folder / "driver.sh"
    driver.write_text(f"#!/bin/sh\nexport PATH={shlex.quote(str(slurm.bin))}:$PATH\nexec {words}\n")
    options = [
        "--wait",
        "--partition=cpu",
        f"--cpus-per-task={args.cores}",
        "--mem=4G",
        f"--output={folder}/driver.log",
    ]
    with contextlib.chdir(folder):
        subprocess.run([slurm.bin / "sbatch", *options, driver], check=True, stdout=subprocess.DEVNULL)


def in_groups(args: argparse.Namespace, folder: Path, slurm: Slurm) -> None:
    configuration(folder, 32)
    groups = ["--groups", "prepare_clip=clips", "--group-components", f"clips={args.group}"]
    with (folder / "snakemake.log").open("w") as log:
        words = command(folder, *groups, "--jobs", "100")
        subprocess.run(words, cwd=folder, env=environment(slurm), check=True, stdout=log, stderr=subprocess.STDOUT)


if __name__ == "__main__":
    main()
