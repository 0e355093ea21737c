"""How many processor threads a job computes with: as many as its rule asks for, in every library.

Snakemake exports a rule's ``threads`` as OMP_NUM_THREADS and its like, which torch and the BLAS of NumPy and SciPy read
when they are imported; OpenCV has a variable of its own. Videos are decoded and encoded by one thread.
"""

from __future__ import annotations

import os

_OPENMP = "OMP_NUM_THREADS"
_OPENCV = "OPENCV_FOR_THREADS_NUM"
_OTHERS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", _OPENCV)


def thread_variables(count: int) -> dict[str, str]:
    """Return the environment of a process that computes with ``count`` threads."""
    return dict.fromkeys((_OPENMP, *_OTHERS), str(count))


def limit_threads(count: int | None) -> None:
    """Let what is imported from here on compute with ``count`` threads; None: with those the environment names.

    Processes that torchrun started together on this machine share them.
    """
    together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if not count and together > 1:
        count = int(os.environ.get(_OPENMP, "0"))
    if count:
        os.environ.update(thread_variables(max(1, count // together)))
    elif os.environ.get(_OPENMP):
        os.environ.setdefault(_OPENCV, os.environ[_OPENMP])


def available_threads() -> int:
    """Return how many threads this process is to compute with: as many as the environment names, else its cores.

    For a library that reads no variable of the environment, and would take every core of the machine.
    """
    named = os.environ.get(_OPENMP, "")
    if named.isdecimal() and int(named):
        return int(named)
    # A cluster or a container may keep some of the machine's cores for others.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
