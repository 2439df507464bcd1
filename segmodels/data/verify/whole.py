"""What can be said of a data set only after all of its samples were read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from segmodels.data.dataset import SPLITS, Dataset, Finding, Sample
from segmodels.data.verify.likeness import alike
from segmodels.data.verify.look import SUFFIXES, Seen, place_of

#: A class with a smaller share of the pixels, or in fewer pictures than `FEW` and a tenth of them, is rare.
RARE, FEW = 0.001, 5

#: What to do about a picture that stands on two sides of a split; the program leaves it where it is.
_LEAK = "read all the same; split anew by source, or the score is too good"


@dataclass(frozen=True)
class Checked:
    """A sample of a split with what was seen in it."""

    split: str
    sample: Sample
    seen: Seen


def duplicates(dataset: Dataset, checked: Sequence[Checked]) -> Iterator[Finding]:
    """Samples whose decoded pictures are equal to the last pixel: one finding for each but the first."""
    first: dict[bytes, list[Checked]] = {}
    for one in checked:
        if not one.seen.digest:
            continue
        twins = first.setdefault(one.seen.digest, [])
        across = next((twin for twin in twins if twin.split != one.split), None)
        twin = across or next(iter(twins), None)
        # Of each split the first is enough to find the others by.
        if all(known.split != one.split for known in twins):
            twins.append(one)
        if twin is None:
            continue
        masks = "the same" if one.seen.mask_digest == twin.seen.mask_digest else "another"
        if across:
            message = f"the same picture, with {masks} mask, as {twin.sample.id} in {twin.split}"
            yield _finding(dataset, "duplicate-across-splits", one, message, _LEAK)
        else:
            message = f"the same picture, with {masks} mask, as {twin.sample.id}"
            yield _finding(dataset, "duplicate", one, message, "read all the same; it counts twice")


def near_duplicates(dataset: Dataset, checked: Sequence[Checked]) -> Iterator[Finding]:
    """Samples of a later split that look like another one of an earlier split: one finding for each."""
    known: list[Checked] = []
    digests: set[bytes] = set()
    for split in SPLITS:
        # What is equal has been told: here each picture stands once, and for the first time.
        new = {
            one.seen.digest: one
            for one in checked
            if one.split == split and one.seen.thumbnail is not None and one.seen.digest not in digests
        }
        late = list(new.values())
        for match in alike(_thumbnails(late), _thumbnails(known)):
            one, other = late[match.row], known[match.column]
            more = f" and {match.found - 1} more" if match.found > 1 else ""
            message = f"looks like {other.sample.id} in {other.split}{more} (alike by {100 * match.detail:.0f} %)"
            yield _finding(dataset, "near-duplicate-across-splits", one, message, _LEAK)
        known += late
        digests |= new.keys()


def sources_across_splits(samples: dict[str, list[Sample]]) -> Iterator[Finding]:
    """Sources whose samples stand on more than one side of the split."""
    counts: dict[str, dict[str, int]] = {}
    for split, members in samples.items():
        for sample in members:
            if sample.source:
                at = counts.setdefault(sample.source, {})
                at[split] = at.get(split, 0) + 1
    for source, at in sorted(counts.items()):
        if len(at) > 1:
            where = " and ".join(f"{count} in {split}" for split, count in at.items())
            yield Finding("source-across-splits", source, f"its pictures stand on both sides: {where}", _LEAK)


def name_clashes(samples: dict[str, list[Sample]]) -> Iterator[Finding]:
    """Samples whose ids are equal but for case, suffix or the way an accent is written."""
    suffix = re.compile("(?:" + "|".join(map(re.escape, SUFFIXES)) + ")$")
    first: dict[str, tuple[str, str]] = {}
    for split, members in samples.items():
        for sample in members:
            plain = suffix.sub("", unicodedata.normalize("NFC", sample.id).casefold())
            other = first.setdefault(plain, (sample.id, split))
            if other != (sample.id, split):
                message = f"{sample.id!r} and {other[0]!r} in {other[1]} differ by case or suffix alone"
                action = "both are read; rename one, some systems take them for one file"
                yield Finding("name-clash", sample.id, message, action, sample.id, split)


def class_balance(dataset: Dataset, checked: Sequence[Checked]) -> Iterator[Finding]:
    """Classes that hardly occur, never occur, or are missing from a split."""
    pixels = {
        split: np.stack(rows)
        for split in SPLITS
        if (rows := [one.seen.pixels for one in checked if one.split == split and one.seen.pixels is not None])
    }
    if not pixels:
        return
    learned = pixels.get("train", next(iter(pixels.values())))
    learned_in = "train" if "train" in pixels else next(iter(pixels))
    for index, label in enumerate(dataset.classes):
        inside = [split for split, rows in pixels.items() if rows[:, index].any()]
        outside = [split for split in pixels if split not in inside]
        if not inside:
            yield Finding(
                "absent-class", label.name, "no pixel of any picture has it", "kept; it cannot be learned, nor counts"
            )
            continue
        if outside:
            message = f"it occurs in {_listed(inside)} but not in {_listed(outside)}"
            action = "kept; it cannot be learned" if "train" in outside else "kept; its score cannot be measured there"
            yield Finding("class-missing-in-split", label.name, message, action)
        share = learned[:, index].sum() / max(1, learned.sum())
        images = int(np.count_nonzero(learned[:, index]))
        if images and (share < RARE or images < min(FEW, 0.1 * len(learned))):
            message = f"{100 * share:.2g} % of the pixels of {learned_in}, in {images} of {len(learned)} pictures"
            yield Finding("rare-class", label.name, message, "read all the same; class weights help")


def _thumbnails(checked: Sequence[Checked]) -> list[np.ndarray]:
    return [one.seen.thumbnail for one in checked if one.seen.thumbnail is not None]


def _finding(dataset: Dataset, kind: str, one: Checked, message: str, action: str) -> Finding:
    where = place_of(dataset, one.sample.image_path) or one.sample.id
    return Finding(kind, where, message, action, one.sample.id, one.split)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)
