"""Damage files as a disk does that lost power before it had written them."""

import random
from pathlib import Path


def cut_short(path: Path, rng: random.Random) -> int:
    """Leave a random part of a file, sometimes nothing, sometimes all but a byte; return how many bytes are left."""
    size = path.stat().st_size
    left = rng.choice([0, rng.randrange(size), size - 1]) if size else 0
    with path.open("rb+") as file:
        file.truncate(left)
    return left
