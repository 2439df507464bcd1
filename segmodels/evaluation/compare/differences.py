"""What of a comparison's results can be held against each other, and which differences between models are real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from segmodels.errors import UserError
from segmodels.evaluation.compare.bootstrap import Bootstrap, Scores, bootstrap
from segmodels.evaluation.compare.entries import Entry
from segmodels.evaluation.picture_counts import PictureCounts


class Compared(NamedTuple):
    """Models with what they got on the same pictures.

    Attributes:
        scores: of each model, in the order of the entries; those of its seeds together.
        ids: the pictures that all were evaluated on.
        classes: the names of the classes.
        pictures_left_out: how many pictures only some were evaluated on.
        left_out: which models, or seeds of them, cannot be held against the others and why, a line each.
    """

    scores: list[Scores]
    ids: list[str]
    classes: list[str]
    pictures_left_out: int
    left_out: list[str]


@dataclass(frozen=True)
class Differences:
    """Which differences are real.

    Attributes:
        bootstrap: intervals and pairs, of the models that could be compared.
        pictures: how many they were compared on.
        left_out: which models could not be, and why, a line each.
        pictures_left_out: how many pictures only some were evaluated on.
    """

    bootstrap: Bootstrap
    pictures: int
    left_out: list[str]
    pictures_left_out: int


def compared_scores(entries: Sequence[Entry]) -> Compared:
    """Align what was counted in each picture over all entries that are evaluated.

    Compared are those that most of them can be held against: with the same classes and, but for a tenth of the pictures
    at most, the same pictures with the same truth. Entries without figures are no part of this.
    """
    left_out: list[str] = []
    there: list[_Counted] = []
    for entry in entries:
        if (report := entry.report if entry.state == "evaluated" else None) is None:
            continue
        try:
            there.append(_Counted(entry, tuple(row["name"] for row in report.document["classes"]), report.counts))
        except UserError as error:
            left_out.append(f"{entry.name}: {error}")
    if not there:
        return Compared([], [], [], 0, left_out)
    alike: dict[object, list[_Counted]] = {}
    for one in there:
        alike.setdefault((one.classes, frozenset(one.truth.items())), []).append(one)
    kinds = list(alike.values())  # mostly a single one
    norm = max(kinds, key=lambda kind: sum(len(other) for other in kinds if kind[0].unlike(other[0]) is None))[0]
    reasons = {id(one): norm.unlike(kind[0]) for kind in kinds for one in kind}
    fitting = [one for one in there if reasons[id(one)] is None]
    left_out += [f"{one.name}: {reasons[id(one)]}" for one in there if reasons[id(one)]]
    ids = _shared([one.counts.ids for one in fitting])
    seen = {sample_id for one in fitting for sample_id in one.counts.ids}
    runs: dict[int, list[tuple[str, np.ndarray, np.ndarray | None]]] = {}
    for one in fitting:
        counts = one.counts.of(ids)
        runs.setdefault(one.entry.member, []).append((one.entry.name, counts.confusion, counts.instances))
    scores = [_scores(each) for each in runs.values()]
    return Compared(scores, ids, list(norm.classes), len(seen) - len(ids), left_out)


@dataclass(frozen=True)
class _Counted:
    """An entry with its classes and counts."""

    entry: Entry
    classes: tuple[str, ...]
    counts: PictureCounts

    @property
    def name(self) -> str:
        return f"{self.entry.name} (seed {self.entry.seed + 1})" if self.entry.seed else self.entry.name

    @cached_property
    def truth(self) -> dict[str, bytes]:
        """The pixels of each class of every picture, by its id."""
        true = self.counts.sums[..., 1]
        return {sample_id: row.tobytes() for sample_id, row in zip(self.counts.ids, true, strict=True)}

    def unlike(self, other: _Counted) -> str | None:
        """Why another cannot be held against this one; None where it can."""
        if self.classes != other.classes:
            return f"its classes are {', '.join(other.classes)}, those of the others {', '.join(self.classes)}"
        both = self.truth.keys() & other.truth.keys()
        if len(both) < 0.9 * max(len(self.truth), len(other.truth)):
            return "it was evaluated on other pictures than the others: those of the split that it was trained with"
        if any(self.truth[sample_id] != other.truth[sample_id] for sample_id in both):
            return "its truth is another than that of the others: at another size, or before masks were changed"
        return None


def real_differences(entries: Sequence[Entry], resamples: int = 10_000) -> Differences | None:
    """Which models can be told apart by a paired bootstrap over the pictures; None where none is evaluated, or no
    picture was by all."""
    found = compared_scores(entries)
    if not found.scores or not found.ids:
        return None
    resampled = bootstrap(found.scores, class_names=found.classes, resamples=resamples)
    return Differences(resampled, len(found.ids), found.left_out, found.pictures_left_out)


def _shared(lists: Sequence[list[str]]) -> list[str]:
    """What is in all lists, in the order of the first."""
    if not lists:
        return []
    shared = set(lists[0]).intersection(*lists[1:])
    return [sample_id for sample_id in lists[0] if sample_id in shared]


def _scores(runs: list[tuple[str, np.ndarray, np.ndarray | None]]) -> Scores:
    objects = [instances for _, _, instances in runs if instances is not None]
    return Scores(
        runs[0][0],
        np.stack([confusion for _, confusion, _ in runs]),
        np.stack(objects) if len(objects) == len(runs) else None,
    )
