"""What of a comparison's results can be held against each other, and which differences between models are real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from segmodels.errors import UserError
from segmodels.evaluation.compare.bootstrap import Bootstrap, Scores, bootstrap
from segmodels.evaluation.compare.comparison import Entry
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

    The classes and the truth are those of the first of them. Entries without figures are no part of this.
    """
    there: list[tuple[Entry, PictureCounts]] = []
    classes: list[str] = []
    left_out: list[str] = []
    for entry in entries:
        if (report := entry.report if entry.state == "evaluated" else None) is None:
            continue
        names = [row["name"] for row in report.document["classes"]]
        try:
            counts = report.counts
        except UserError as error:
            left_out.append(f"{entry.name}: {error}")
            continue
        classes = classes or names
        if names != classes:
            left_out.append(
                f"{entry.name}: its classes are {', '.join(names)}, those of the others {', '.join(classes)}"
            )
        else:
            there.append((entry, counts))
    ids = _shared([counts.ids for _, counts in there])
    seen = {sample_id for _, counts in there for sample_id in counts.ids}
    truth: np.ndarray | None = None
    runs: dict[int, list[tuple[str, np.ndarray, np.ndarray | None]]] = {}
    for entry, whole in there:
        counts = whole.of(ids)
        confusion = counts.confusion
        true = confusion.sum(axis=2)
        truth = true if truth is None else truth
        if np.array_equal(true, truth):
            runs.setdefault(entry.member, []).append((entry.name, confusion, counts.instances))
        else:
            left_out.append(f"{entry.name}: it was evaluated on another truth than the others: evaluate it again")
    return Compared([_scores(each) for each in runs.values()], ids, classes, len(seen) - len(ids), left_out)


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
