"""Which values occur in all masks of a data set: they tell its classes where no label file does. Counted once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from segmodels.data.ahead import ahead
from segmodels.data.dataset import Progress
from segmodels.errors import UserError
from segmodels.files import read_json, state_of, write_json
from segmodels.home import home

#: Values kept of one mask, and of all: a photograph taken for a mask has millions.
MOST = 4096

#: Changes with what is counted.
_VERSION = 1

Item = TypeVar("Item")


@dataclass(frozen=True)
class MaskValues:
    """What occurs in a set of masks.

    Attributes:
        pixels: by value, the most frequent `MOST`.
        masks: in how many masks each of them occurs.
        total: pixels in all.
        problems: masks that could not be read, by their number, and why.
    """

    pixels: dict[int, int] = field(default_factory=dict)
    masks: dict[int, int] = field(default_factory=dict)
    total: int = 0
    problems: dict[int, str] = field(default_factory=dict)

    def share(self, value: int) -> float:
        """Of all pixels, from 0 to 1."""
        return self.pixels.get(value, 0) / max(1, self.total)


def mask_values(
    items: Sequence[Item],
    read: Callable[[Item], np.ndarray],
    files: Sequence[Path],
    *,
    kind: str,
    progress: Progress | None = None,
) -> MaskValues:
    """Count the values of masks, or find them counted in `home()/cache/classes`.

    Args:
        items: the masks.
        read: gives one's values, integers of any shape; called from several threads. Where it raises `UserError` the
            mask is among the problems.
        files: what the masks are read from: the count is done anew once a path, size or time of these changes.
        kind: tells apart several ways to read the same files.
        progress: told the masks done.
    """
    path = home() / "cache" / "classes" / f"{state_of(files, _VERSION, kind, len(items))}.json"
    if (kept := _kept(path)) is not None:
        return kept
    found = _count(items, read, progress)
    write_json(
        path,
        {
            "values": [[value, pixels, found.masks[value]] for value, pixels in found.pixels.items()],
            "total": found.total,
            "problems": list(found.problems.items()),
        },
    )
    return found


def _kept(path: Path) -> MaskValues | None:
    """An earlier count; None where there is none, or a damaged one."""
    if not path.is_file():
        return None
    try:
        kept: dict[str, Any] = read_json(path)
        return MaskValues(
            {value: pixels for value, pixels, _ in kept["values"]},
            {value: masks for value, _, masks in kept["values"]},
            kept["total"],
            {int(number): problem for number, problem in kept["problems"]},
        )
    except (UserError, KeyError, TypeError, ValueError):
        return None


def _count(items: Sequence[Item], read: Callable[[Item], np.ndarray], progress: Progress | None) -> MaskValues:
    def one(item: Item) -> tuple[np.ndarray, np.ndarray, int] | str:
        try:
            mask = read(item)
        except UserError as error:
            return str(error)
        values, counts = np.unique(mask, return_counts=True)
        first = np.sort(np.argsort(-counts, kind="stable")[:MOST])
        return values[first], counts[first], mask.size

    found = MaskValues()
    total = 0
    with closing(ahead(one, items)) as results:
        for number, result in enumerate(results):
            if isinstance(result, str):
                found.problems[number] = result
            else:
                for value, count in zip(result[0].tolist(), result[1].tolist(), strict=True):
                    found.pixels[value] = found.pixels.get(value, 0) + count
                    found.masks[value] = found.masks.get(value, 0) + 1
                total += result[2]
                if len(found.pixels) > 64 * MOST:
                    _forget(found, 16 * MOST)
            if progress:
                progress(number + 1, len(items), "looking for the classes in the masks")
    _forget(found, MOST)
    order = sorted(found.pixels)
    return MaskValues(
        {value: found.pixels[value] for value in order},
        {value: found.masks[value] for value in order},
        total,
        found.problems,
    )


def _forget(found: MaskValues, keep: int) -> None:
    """Drop all but the `keep` most frequent values."""
    for value in sorted(found.pixels, key=lambda value: -found.pixels[value])[keep:]:
        del found.pixels[value], found.masks[value]
