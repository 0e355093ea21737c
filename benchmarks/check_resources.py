"""Compare the resources requested by each rule with those used by its jobs, from Snakemake's benchmark files.

    snakemake --cores 2 && python benchmarks/check_resources.py
    python benchmarks/check_resources.py --configfile=config/mine.yaml --targets all gradcam masking

prints, for each rule that has run, the maximum memory, time and threads of a job and the request of its first attempt;
exits with 1 if a job used more. Snakemake samples memory every few seconds, so values of short jobs are inaccurate.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Asked(NamedTuple):
    """The largest request of a rule's jobs in their first attempt: threads, MB and minutes."""

    threads: int = 0
    memory_mb: int = 0
    minutes: int = 0


class Taken(NamedTuple):
    """The most a job of a rule used; ``load`` is CPU time over wall time."""

    jobs: int = 0
    memory_mb: float = 0.0
    minutes: float = 0.0
    load: float = 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, default=ROOT / "config" / "config.yaml")
    parser.add_argument("--results", type=Path, default=Path("results"), help="results directory of the configuration")
    parser.add_argument("--targets", nargs="+", default=["all", "gradcam", "masking"])
    args = parser.parse_args()
    asked, taken = asked_of(args.configfile, args.targets), taken_of(args.results / "benchmarks")
    if not taken:
        sys.exit(f"{args.results / 'benchmarks'}: contains no benchmark files; run the workflow first.")
    print(f"{'':<24}{'':>6}{'memory, MB':>18}{'time, min':>16}{'processors':>18}")
    print(f"{'rule':<24}{'jobs':>6}{'request':>9}{'used':>9}{'request':>8}{'used':>8}{'request':>9}{'used':>9}")
    less = []
    for rule in sorted(taken):
        of, took = asked.get(rule, Asked()), taken[rule]
        print(
            f"{rule:<24}{took.jobs:>6}{of.memory_mb:>9}{took.memory_mb:>9.0f}{of.minutes:>8}{took.minutes:>8.2f}"
            f"{of.threads:>9}{took.load:>9.2f}"
        )
        if rule in asked and (took.memory_mb > of.memory_mb or took.minutes > of.minutes):
            less.append(rule)
    print("requests below use: " + (", ".join(less) or "none"))
    return int(bool(less))


def asked_of(configfile: Path, targets: list[str]) -> dict[str, Asked]:
    """Return the requests of all rules of the targets, from a forced dry run with unlimited cores."""
    words = ["--cores", "1000", "--dry-run", "--forceall", "--configfile", str(configfile), "--", *targets]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *words]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stdout + run.stderr)
    asked: dict[str, Asked] = {}
    rule = ""
    threads: dict[str, int] = defaultdict(lambda: 1)
    for line in (run.stdout + run.stderr).splitlines():
        if found := re.match(r"(?:local)?rule (\w+):", line):
            rule = found[1]
        elif found := re.match(r"\s+threads: (\d+)", line):
            threads[rule] = max(threads[rule], int(found[1]))
        elif re.match(r"\s+resources: ", line):
            named = dict(re.findall(r"(\w+)=(\d+)", line))
            memory, minutes = (int(named.get(name, 0)) for name in ("mem_mb", "runtime"))
            known = asked.get(rule, Asked())
            asked[rule] = Asked(threads[rule], max(known.memory_mb, memory), max(known.minutes, minutes))
    return asked


def taken_of(benchmarks: Path) -> dict[str, Taken]:
    """Return the use of every rule's jobs, from the files ``<rule>.tsv`` and ``<rule>/<clip>.tsv``."""
    taken: dict[str, Taken] = defaultdict(Taken)
    for path in sorted(benchmarks.glob("**/*.tsv")):
        rule = path.relative_to(benchmarks).with_suffix("").parts[0]
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter="\t"):
            # NA: the job ended before it was measured.
            memory, seconds, cpu = (float(row[name].replace("NA", "0")) for name in ("max_rss", "s", "cpu_time"))
            known = taken[rule]
            taken[rule] = Taken(
                known.jobs + 1,
                max(known.memory_mb, memory),
                max(known.minutes, seconds / 60),
                max(known.load, cpu / seconds if seconds else 0),
            )
    return dict(taken)


if __name__ == "__main__":
    sys.exit(main())
