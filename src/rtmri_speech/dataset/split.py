"""Assignment of clips to the training, validation and test splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from rtmri_speech.errors import UserError
from rtmri_speech.settings.data import Split

SPLITS = ("training", "validation", "test")

SMALL = 20
"""Corpus size below which the hash alone would often leave a split empty; there, its order is used."""


def place_of(id: str, seed: int) -> float:
    """Return a hash of seed and id in [0, 1)."""
    digest = hashlib.sha256(f"{seed}:{id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(id: str, seed: int, validation: float, test: float) -> str:
    """Return the split of a clip, by a hash of seed and id.

    A clip is in the test split if its `place_of` is below ``test``, in validation if below ``test + validation``.
    Adding a clip therefore never moves another one.
    """
    place = place_of(id, seed)
    if place < test:
        return "test"
    return "validation" if place < test + validation else "training"


def split_clips(
    ids: Iterable[str],
    seed: int = Split.seed,
    validation: float = Split.validation,
    test: float = Split.test,
    named: Mapping[str, Iterable[str]] | None = None,
    groups: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """Return the sorted ids of each split; clips of one group are in one split.

    With `SMALL` groups or more, each group's split is `split_of`, and adding a clip never moves another. A smaller
    corpus is split in the order of `place_of`: test groups first, then validation, in number by the shares and at least
    one of each if possible. There, and when the corpus grows past `SMALL`, adding clips can move others.

    Parameters
    ----------
    ids : all clips.
    seed, validation, test : seed of the hash and expected shares of the two splits, in [0, 1).
    named : ids assigned to a split by the configuration, with the rest of their group.
    groups : name of each clip's group (`grouping.groups_of`), hashed in place of the id; None for one group per clip.

    Raises
    ------
    UserError
        A named id is unknown or named twice, clips of one group are named for two splits, the shares leave no training
        clip, or a split is empty. Test may be empty if its share is 0 or there are two groups; with one group,
        validation too.
    """
    known = set(ids)
    if not 0 <= validation + test < 1 or validation < 0 or test < 0:
        raise UserError(
            "split",
            f"validation {validation} and test {test} leave no clips for training",
            "give two shares with a sum below 1",
        )
    group_of = {id: id for id in known} if groups is None else {id: groups[id] for id in known}
    fixed: dict[str, str] = {}
    fixed_groups: dict[str, str] = {}
    for split, members in (named or {}).items():
        for id in members:
            if id not in known:
                raise UserError(f"split.{split}", f"names {id!r}, which is not a clip", "name a clip of the corpus")
            if id in fixed:
                raise UserError(f"split.{split}", f"names {id!r}, which split.{fixed[id]} names too", "name it once")
            fixed[id] = split
            other = fixed_groups.setdefault(group_of[id], split)
            if other != split:
                raise UserError(
                    f"split.{split}",
                    f"names {id!r}, and split.{other} a clip of the same group ({group_of[id]})",
                    "name them for one split, or set split.by: clip",
                )
    free = sorted(set(group_of.values()) - fixed_groups.keys())
    total = len(free) + len(fixed_groups)
    if total < SMALL:
        fixed_groups |= _filled(free, fixed_groups, seed, validation, test)
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for id in sorted(known):
        group = group_of[id]
        splits[fixed_groups.get(group) or split_of(group, seed, validation, test)].append(id)
    needed = {"training": 1, "validation": 2} | ({"test": 3} if test else {})
    for split, clips in needed.items():
        if not splits[split] and total >= clips:
            raise UserError(
                f"split.{split}",
                f"no clip of the {len(known)} falls into it with seed {seed}",
                "name clips for it or choose another seed or share",
            )
    return splits


def _filled(free: Iterable[str], fixed: Mapping[str, str], seed: int, validation: float, test: float) -> dict[str, str]:
    """Return the split of each clip not in ``fixed``, so that the sizes of all splits match the shares."""
    waiting = sorted(free, key=lambda id: place_of(id, seed))
    total = len(waiting) + len(fixed)
    filled: dict[str, str] = {}
    # Training has priority: a single clip is in training.
    for split, share, others in (("test", test, 2), ("validation", validation, 1)):
        wanted = min(max(1, round(share * total)), total - others) if share else 0
        for _ in range(wanted - sum(named == split for named in fixed.values())):
            if waiting:
                filled[waiting.pop(0)] = split
    return filled | dict.fromkeys(waiting, "training")
