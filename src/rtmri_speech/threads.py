"""Number of CPU threads of a job: that of its rule, in every library.

Snakemake exports a rule's ``threads`` as OMP_NUM_THREADS and similar, which torch and the BLAS of NumPy and SciPy read
on import; OpenCV has its own variable. Videos are decoded and encoded by one thread.
"""

from __future__ import annotations

import os

_OPENMP = "OMP_NUM_THREADS"
_OPENCV = "OPENCV_FOR_THREADS_NUM"
_OTHERS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", _OPENCV)


def thread_variables(count: int) -> dict[str, str]:
    """Return the environment variables that limit a process to ``count`` threads."""
    return dict.fromkeys((_OPENMP, *_OTHERS), str(count))


def limit_threads(count: int | None) -> None:
    """Limit libraries imported from now on to ``count`` threads; None uses the number in the environment.

    torchrun's workers on this machine share them.
    """
    together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if not count and together > 1:
        count = int(os.environ.get(_OPENMP, "0"))
    if count:
        os.environ.update(thread_variables(max(1, count // together)))
    elif os.environ.get(_OPENMP):
        os.environ.setdefault(_OPENCV, os.environ[_OPENMP])


def available_threads() -> int:
    """Return the number of threads for this process: that of the environment, else its cores.

    For a library that ignores the environment and would use every core of the machine.
    """
    named = os.environ.get(_OPENMP, "")
    if named.isdecimal() and int(named):
        return int(named)
    # A cluster or container may restrict the process to some of the cores.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
