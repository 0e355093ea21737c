"""Context of the results: machine, sizes of the splits, time and memory of each stage."""

from __future__ import annotations

import csv
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from rtmri_speech.dataset.filelists import clips_of
from rtmri_speech.dataset.sample import load_mask
from rtmri_speech.dataset.split import SPLITS
from rtmri_speech.signal.mel import MelSpec


def machine_kind() -> str:
    """Describe this machine: CPU, usable cores, memory, GPU, operating system."""
    parts = [_processor(), f"{_cores()} cores"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        parts.append(f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB")
    return ", ".join([*parts, _gpu(), platform.system()])


def _processor() -> str:
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} ({platform.machine()})"
    return platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


@dataclass(frozen=True)
class SplitSize:
    """Number of clips in a split, and their seconds with sound."""

    clips: int
    seconds: float


def split_sizes(processed_dir: str | Path, spec: MelSpec) -> dict[str, SplitSize]:
    """Return the size of each split of a dataset."""
    sizes = {}
    for split in SPLITS:
        ids = clips_of(processed_dir, split)
        frames = sum(float(load_mask(processed_dir, id).sum()) for id in ids)
        sizes[split] = SplitSize(len(ids), frames / float(spec.frame_rate))
    return sizes


@dataclass(frozen=True)
class StageTime:
    """Total wall-clock and CPU seconds of a rule's jobs, and the maximum memory of one, MB."""

    jobs: int
    seconds: float
    cpu_seconds: float
    memory_mb: float


def stage_times(benchmarks: str | Path) -> dict[str, StageTime]:
    """Sum Snakemake's benchmark files ``<rule>.tsv`` and ``<rule>/<clip>.tsv`` by rule."""
    times: dict[str, StageTime] = {}
    for path in sorted(Path(benchmarks).glob("**/*.tsv")):
        rule = path.relative_to(benchmarks).with_suffix("").parts[0]
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter="\t"):
            known = times.get(rule, StageTime(0, 0.0, 0.0, 0.0))
            seconds, cpu, memory = (_number(row.get(name)) for name in ("s", "cpu_time", "max_rss"))
            times[rule] = StageTime(
                known.jobs + 1,
                known.seconds + seconds,
                known.cpu_seconds + cpu,
                max(known.memory_mb, memory),
            )
    return times


def _number(text: str | None) -> float:
    """A benchmark value; NA for a job too short to measure."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
