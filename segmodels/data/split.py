"""Splitting a part off a list of samples: the same part on every machine, from every group its share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from segmodels.errors import UserError


def split_off(groups: Sequence[str], share: float, seed: int) -> np.ndarray:
    """Choose the samples to split off, stratified by group.

    The choice hangs on the seed, the name of a group and the positions of its samples among each other, and on nothing
    else: adding a breed leaves the choice in the others as it was. So sort the samples by id before calling; the order
    in which a disk lists files differs between machines.

    Args:
        groups: the group of each sample, in the order of their ids.
        share: the part of each group that is split off, over 0 and under 1, rounded to the nearest whole sample. A
            group of two or more gives at least one and keeps at least one; a group of one keeps it.
        seed: 0 or more; another seed makes another choice.

    Returns:
        bool `(len(groups),)`: True for the samples that are split off.

    Raises:
        UserError: a share or a seed out of range.
    """
    if not 0 < share < 1:
        raise UserError(f"a split's share must lie between 0 and 1, got {share}")
    if seed < 0:
        raise UserError(f"a split's seed must be 0 or more, got {seed}")
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    chosen = np.zeros(len(groups), dtype=bool)
    for group, indices in members.items():
        if len(indices) < 2:
            continue
        count = min(max(int(share * len(indices) + 0.5), 1), len(indices) - 1)
        chosen[np.asarray(indices)[_shuffled(len(indices), seed, group)[:count]]] = True
    return chosen


def _shuffled(count: int, seed: int, group: str) -> np.ndarray:
    """A permutation of `range(count)`: int64 `(count,)`.

    Made from the raw words of a bit generator because NumPy promises those to stay as they are in later versions, which
    it does not promise of `Generator.permutation`.
    """
    words = np.frombuffer(hashlib.blake2b(group.encode(), digest_size=16).digest(), dtype="<u4")
    bits = np.random.PCG64(np.random.SeedSequence([seed, *words.tolist()]))
    return np.argsort(bits.random_raw(count), kind="stable")
