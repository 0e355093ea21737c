"""The items of each step's batch, as a pure function of seed and step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtmri_speech.training.state import seed_for_step


class StepBatches:
    """Step-indexed batches over ``items`` items, reshuffled each epoch.

    Parameters
    ----------
    items : number of items.
    batch_size : items per step; an epoch is ``ceil(items / batch_size)`` steps.
    seed : of the order.

    Notes
    -----
    Every batch is full: the last one of an epoch is filled from the epoch's start, so that it splits evenly over
    devices and no gradient is based on a few items.
    """

    def __init__(self, items: int, batch_size: int, seed: int) -> None:
        if items < 1 or batch_size < 1:
            raise ValueError(f"{items} items in batches of {batch_size}")
        self.items, self.batch_size, self.seed = items, batch_size, seed
        self.steps_per_epoch = -(-items // batch_size)
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def __getitem__(self, step: int) -> np.ndarray:
        """Return the items of step ``step`` (from 0), int64 ``(batch_size,)``."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            order = np.random.default_rng(seed_for_step(self.seed, epoch)).permutation(self.items)
            self._epoch, self._order = epoch, np.resize(order, self.steps_per_epoch * self.batch_size)
        return self._order[place * self.batch_size : (place + 1) * self.batch_size]

    def between(self, first: int, last: int, rank: int = 0, ranks: int = 1) -> Iterator[list[int]]:
        """Yield the batches of steps ``first`` to ``last - 1``, or the share of process ``rank``."""
        for step in range(first, last):
            yield self[step][rank::ranks].tolist()
