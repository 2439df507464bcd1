"""Splitting samples: the same way on every machine, from every group its share, a source never across; as a file."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from segmodels.data.dataset import SPLITS, Dataset, Sample
from segmodels.errors import UserError
from segmodels.files import read_json, write_json

#: Shares of the splits where a data set has none of its own.
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


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


def split_by_source(
    samples: Sequence[Sample], *, seed: int, shares: Mapping[str, float] = SHARES
) -> dict[str, list[Sample]]:
    """Deal whole sources out to the splits, so that no source stands on two sides.

    The order in which sources are dealt hangs on the seed and their names alone; each goes to the split that is
    furthest behind its share. Where there are as many sources as splits, each split gets one.

    Args:
        samples: any; a sample without a source is one by itself.
        shares: of the samples, over 0, by split.

    Returns:
        the samples of each split of `shares`, in the order given.

    Raises:
        UserError: a seed or a share out of range.
    """
    if seed < 0:
        raise UserError(f"a split's seed must be 0 or more, got {seed}")
    if not shares or min(shares.values()) <= 0:
        raise UserError("a split's shares must be over 0")
    sizes: dict[str, int] = {}
    for sample in samples:
        sizes[source_of(sample)] = sizes.get(source_of(sample), 0) + 1
    names = sorted(sizes)
    order = [names[index] for index in _shuffled(len(names), seed, "sources")]
    dealt, side = dict.fromkeys(shares, 0), {}
    total = sum(shares.values())
    for number, name in enumerate(order):
        bare = [split for split in shares if not dealt[split]]
        behind = {split: shares[split] / total * len(samples) - dealt[split] for split in shares}
        # Towards the end those without any come first, however small their share.
        open_to = bare if bare and len(order) - number <= len(bare) else list(shares)
        split = max(open_to, key=lambda split: behind[split])
        dealt[split] += sizes[name]
        side[name] = split
    return {split: [sample for sample in samples if side[source_of(sample)] == split] for split in shares}


def source_of(sample: Sample) -> str:
    """What must stay on one side of a split: the sample's source, or its id where it has none."""
    return sample.source or f"id {sample.id}"


def regroup(samples: Sequence[Sample], by: str) -> list[Sample]:
    """The samples with another source: "image" for each alone, "folder" for the folder they lie in, or a regular
    expression on the id, whose first group, or whole match, is the source (`^TCGA-\\w+-\\w+` for a patient).

    Raises:
        UserError: not a regular expression, or one that finds nothing in an id.
    """
    if by == "image":
        return [dataclasses.replace(sample, source="") for sample in samples]
    if by == "folder":
        return [dataclasses.replace(sample, source=sample.id.rpartition("/")[0]) for sample in samples]
    try:
        pattern = re.compile(by)
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(f"{by!r} is none of image, folder and a regular expression ({error})") from None
    grouped = []
    for sample in samples:
        found = pattern.search(sample.id)
        if found is None:
            raise UserError(f"the expression {by!r} finds no source in the id {sample.id!r}")
        grouped.append(dataclasses.replace(sample, source=(found.group(1) if pattern.groups else found.group()) or ""))
    return grouped


def write_split(path: Path, splits: Mapping[str, Sequence[Sample]], **about: object) -> None:
    """Write a split as a file: JSON with the ids of each split, and whatever else is said about it."""
    document = {"format": 1, **about, "splits": {name: [sample.id for sample in splits[name]] for name in splits}}
    write_json(path, document)


def use_split(dataset: Dataset, path: str | Path) -> None:
    """Make a data set follow a split file: each id in it goes where it stands there, all others are left out.

    Raises:
        UserError: no such file, another content, an unknown id, or one that stands in two splits.
    """
    document = read_json(Path(path), limit=100_000_000)
    given = document.get("splits") if isinstance(document, dict) else None
    if not isinstance(given, dict) or not all(
        name in SPLITS and isinstance(ids, list) and all(isinstance(i, str) for i in ids) for name, ids in given.items()
    ):
        raise UserError(f'{path} is no split file: it needs {{"splits": {{"train": [ids], …}}}} of {", ".join(SPLITS)}')
    if not any(given.values()):
        raise UserError(f"{path} names no sample in any split: make the split file anew")
    known = {sample.id: sample for split in SPLITS for sample in dataset.listed(split)}
    seen: dict[str, str] = {}
    for name, ids in given.items():
        for sample_id in ids:
            if sample_id not in known:
                raise UserError(f"{path}: {dataset.name} has no sample {sample_id!r}; make the split file anew")
            if sample_id in seen:
                where = f"twice in {name}" if seen[sample_id] == name else f"in {seen[sample_id]} and in {name}"
                raise UserError(f"{path}: {sample_id!r} stands {where}; it may stand once")
            seen[sample_id] = name
    dataset.given_split = {name: [known[sample_id] for sample_id in given.get(name, [])] for name in SPLITS}


def _shuffled(count: int, seed: int, group: str) -> np.ndarray:
    """A permutation of `range(count)`: int64 `(count,)`.

    Made from the raw words of a bit generator because NumPy promises those to stay as they are in later versions, which
    it does not promise of `Generator.permutation`.
    """
    words = np.frombuffer(hashlib.blake2b(group.encode(), digest_size=16).digest(), dtype="<u4")
    bits = np.random.PCG64(np.random.SeedSequence([seed, *words.tolist()]))
    return np.argsort(bits.random_raw(count), kind="stable")
