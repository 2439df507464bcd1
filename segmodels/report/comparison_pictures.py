"""The test pictures on which the models of a comparison disagree most, with the truth and each model's mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from segmodels.data.dataset import ClassLabel
from segmodels.data.images import encoded
from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.entries import Entry
from segmodels.prediction.masks import overlay
from segmodels.prediction.stored import StoredPredictions

#: Pictures and models that are shown, and the longest side of a picture in pixels.
PICTURES, MODELS, SIDE = 4, 6, 320


@dataclass
class ComparedPictures:
    """What is drawn of the pictures.

    Attributes:
        labels: the classes.
        rows: of each picture its id, how far the models' pixel accuracies lie apart (standard deviation), and by name
            ("picture", "truth", then the models) JPEG bytes, None where there is nothing.
        missing: a line on each thing that is not there.
    """

    labels: Sequence[ClassLabel] = ()
    rows: list[tuple[str, float, list[tuple[str, bytes | None]]]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def most_disagreed(entries: Sequence[Entry], most: int = PICTURES) -> list[tuple[str, float]]:
    """The pictures that all were evaluated on, those first whose pixel accuracy differs most between the entries: ids
    and standard deviations. Entries whose counts are gone do not count; fewer than two disagree on nothing."""
    found: list[dict[str, float]] = []
    for entry in entries:
        try:
            if report := entry.report:
                accuracy = report.counts.scores()["pixel_accuracy"].tolist()
                found.append(dict(zip(report.counts.ids, accuracy, strict=True)))
        except UserError:
            continue
    if len(found) < 2:
        return []
    ids = [sample_id for sample_id in found[0] if all(sample_id in of for of in found)]
    apart = {sample_id: float(np.std([of[sample_id] for of in found])) for sample_id in ids}
    known = [sample_id for sample_id in ids if not np.isnan(apart[sample_id])]
    return [(sample_id, apart[sample_id]) for sample_id in sorted(known, key=lambda each: -apart[each])[:most]]


def compared_pictures(comparison: Comparison, entries: Sequence[Entry]) -> ComparedPictures:
    """Draw the pictures of `most_disagreed`. Never raises for what is missing or damaged.

    Args:
        entries: those of which masks are shown, one a member, in this order.
    """
    found = ComparedPictures()
    chosen = most_disagreed(entries)
    if not chosen:
        return found
    try:
        dataset = comparison.dataset()
        samples = {sample.id: sample for sample in dataset.samples(comparison.split)}
    except UserError as error:
        found.missing.append(f"the pictures cannot be shown: {error}")
        return found
    found.labels = dataset.classes
    kept = [
        (entry.name, StoredPredictions(checkpoint, dataset) if (checkpoint := entry.checkpoint) else None)
        for entry in entries[:MODELS]
    ]
    without = dict.fromkeys((name for name, _ in kept), 0)
    for sample_id, apart in chosen:
        if (sample := samples.get(sample_id)) is None:
            found.missing.append(f"{comparison.data} has no picture {sample_id} any more")
            continue
        try:
            image, truth = dataset.read(sample)
        except UserError as error:
            found.missing.append(str(error))
            continue
        drawn: list[tuple[str, bytes | None]] = [
            ("picture", _small(image)),
            ("truth", _laid_over(image, truth, found.labels)),
        ]
        for name, stored in kept:
            mask = stored.mask(sample) if stored else None
            if mask is None or mask.shape != image.shape[:2]:
                without[name] += 1
                drawn.append((name, None))
            else:
                drawn.append((name, _laid_over(image, mask, found.labels)))
        found.rows.append((sample_id, apart, drawn))
    for name, number in without.items():
        if number:
            found.missing.append(f"{number} of the masks of {name} are not kept any more: evaluate it with --masks")
    return found


def _laid_over(image: np.ndarray, mask: np.ndarray, labels: Sequence[ClassLabel]) -> bytes:
    return _small(overlay(image, mask, labels))


def _small(picture: np.ndarray) -> bytes:
    shown = Image.fromarray(picture)
    shown.thumbnail((SIDE, SIDE))
    return encoded(shown, "JPEG", quality=88, subsampling=0)
