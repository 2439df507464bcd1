"""What the forms of mask pictures share: pairs from the names, classes from a label file or from the masks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from segmodels.data.class_table import Unknown, hex_of, pack
from segmodels.data.dataset import IGNORE, ClassLabel, Finding, Sample
from segmodels.data.datasets.mask_values import MaskValues, mask_values
from segmodels.data.datasets.own import OwnDataset
from segmodels.data.datasets.polygon_folder import BACKGROUND, BACKGROUND_COLOUR, colour
from segmodels.data.images import FORMATS, read_mask_colours, read_mask_values
from segmodels.data.label_files import Label, LabelFile, find_label_file, read_label_file
from segmodels.data.mask_pairs import Pairs, find_pairs
from segmodels.errors import UserError

#: A value or colour of fewer pixels than this is no class of its own where no label file says so.
LEAST_SHARE = 1e-4

#: So many different unknown values in one mask are smoothed edges or JPEG, not classes that were forgotten.
MANY = 8

#: Masks whose heads are read, and masks that are decoded, to tell what a folder's masks hold.
_HEADS, _DECODED = 64, 6

Kind = Literal["colours", "masks"]


class Table(Protocol):
    """From what is stored to class ids, as `NumberTable` and `ColourTable`."""

    #: What it was built of, for the fingerprint.
    classes: tuple[object, ...]

    def ids(self, stored: np.ndarray) -> np.ndarray: ...

    def unknown(self, stored: np.ndarray) -> list[Unknown]: ...


class MaskFolder(OwnDataset):
    """Pictures with mask pictures. A subclass says what the masks hold and which class that is.

    `table` is built by `find_classes`, together with `classes`; what it does not know is told by `inspect`.
    """

    table: Table

    def collect(self) -> list[tuple[Sample, str]]:
        self.found = find_pairs(self.root)
        path = find_label_file(self.root)
        self.labels = read_label_file(path) if path else None
        #: What is odd about the classes; `find_classes` adds to it.
        self.class_findings: list[Finding] = []
        self.classes = ()
        if self.found.pairs:
            self.find_classes()
        return [
            (Sample(pair.id, pair.folder, self.found.source(pair), pair.image_path, pair.mask_path), pair.split)
            for pair in self.found.pairs
        ]

    @abstractmethod
    def find_classes(self) -> None:
        """Set `classes` and `table` from `labels` or from what occurs in the masks."""

    @abstractmethod
    def stored(self, path: Path) -> np.ndarray:
        """What a mask's pixels hold, as `table` takes it. Raises `UserError`."""

    def read_mask(self, sample: Sample) -> np.ndarray:
        """Class ids uint8 `(height, width)`; `IGNORE` for labels that do not count and values of no class."""
        assert sample.mask_path is not None
        return self.table.ids(self.stored(sample.mask_path))

    def reading(self) -> tuple[object, ...]:
        return (self.form, self.table.classes, [label.name for label in self.classes])

    def inspect(self, sample: Sample) -> list[Finding]:
        """Values or colours of no class."""
        assert sample.mask_path is not None
        where = sample.mask_path.relative_to(self.root).as_posix()
        try:
            stored = self.stored(sample.mask_path)
        except UserError:  # whoever reads the sample is told
            return []
        return unknown_findings(self.table.unknown(stored), stored, where, sample.id)

    def inspect_files(self) -> list[Finding]:
        """Pictures without mask, masks without picture, clashing names, faulty lists, labels that do not fit."""
        return [*self.found.findings, *self.class_findings]

    def values(self, kind: str, read: Callable[[Path], np.ndarray]) -> MaskValues:
        """What `read` finds in all masks, counted once for all times.

        Raises:
            UserError: there is nothing in them that can be read.
        """
        masks = [pair.mask_path for pair in self.found.pairs]
        values = mask_values(masks, read, masks, kind=kind)
        if not values.pixels:
            reason = next(iter(values.problems.values()), "they have no pixels")
            raise UserError(f"{self.root}: no mask of {len(masks)} can be read, first: {reason}")
        return values

    def doubt(self, kind: str, message: str, action: str) -> None:
        """Note what is odd about the classes."""
        where = self.labels.path.relative_to(self.root).as_posix() if self.labels else "masks"
        self.class_findings.append(Finding(kind, where, message, action))


def unknown_findings(unknown: Sequence[Unknown], stored: np.ndarray, where: str, sample: str) -> list[Finding]:
    """One finding on all pixels of a mask, numbers or colours, whose value is of no class."""
    if not unknown:
        return []
    what, pixels = ("value", stored.size) if stored.ndim == 2 else ("colour", stored.size // 3)
    first, total = unknown[0], sum(u.pixels for u in unknown)
    taken = sum(u.pixels for u in unknown if u.taken)
    message = (
        f"{_percent(total / pixels)} of the pixels have {len(unknown)} {what}{'s' if len(unknown) > 1 else ''} of no "
        f"class, most {first.value} ({_percent(first.pixels / pixels)}), whose nearest is {first.nearest} "
        f"at a distance of {first.distance:.0f}"
    )
    if taken == total:
        action = f"taken as the nearest {what}"
    elif not taken:
        action = "those pixels are ignored"
    else:
        action = f"{_percent(taken / pixels)} taken as the nearest {what}, {_percent((total - taken) / pixels)} ignored"
    kind = "anti-aliased" if len(unknown) > MANY else f"unknown-{what}"
    return [Finding(kind, where, message, action, sample=sample)]


def classes_of(labels: Iterable[Label]) -> tuple[ClassLabel, ...]:
    """Classes with the labels' colours, or colours of their own."""
    classes: list[ClassLabel] = []
    for index, label in enumerate(labels):
        name = "background" if label.name == BACKGROUND else label.name
        grey = index == 0 and name.lower() == "background"
        # Class 0 is grey where it is the background, and the others begin with the first colour.
        own = BACKGROUND_COLOUR if grey else colour(index - bool(classes and classes[0].colour == BACKGROUND_COLOUR))
        classes.append(ClassLabel(name, label.colour or own))
    return tuple(classes)


def numbered(labels: dict[int, Label]) -> tuple[tuple[ClassLabel, ...], dict[int, int]]:
    """The classes of labels by number, in the order of the numbers, and the class id of each number."""
    kept = [number for number in sorted(labels) if not labels[number].ignored]
    ids = {number: kept.index(number) if number in kept else IGNORE for number in labels}
    return classes_of(labels[number] for number in kept), {IGNORE: IGNORE, **ids}


def coloured(labels: Sequence[Label]) -> tuple[tuple[ClassLabel, ...], dict[str, int]]:
    """The classes of labels that all have colours, in their order, and the class id of each colour."""
    kept = [label for label in labels if not label.ignored]
    ids = {label.colour: kept.index(label) if label in kept else IGNORE for label in labels if label.colour}
    return classes_of(kept), ids


def mode_of(path: Path) -> str | None:
    """A picture's mode as Pillow calls it, from its head; None where it has none."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.mode
    except Exception:  # whatever Pillow raises, the file is unreadable, and reading it says so
        return None


def masks_in(root: Path) -> tuple[Kind, Pairs] | None:
    """What the masks of a folder hold, and its pairs; None where there are no pairs. Never raises.

    "colours" where a mask in colours has unequal channels. Palette pictures hold class numbers, unless the label file
    gives colours, the palette has just these, and not at the numbers that the label file would give them.
    """
    try:
        found = find_pairs(root)
        return (_kind(root, [pair.mask_path for pair in found.pairs]), found) if found.pairs else None
    except (UserError, OSError, ValueError, RecursionError):
        return None


def _kind(root: Path, masks: Sequence[Path]) -> Kind:
    modes = {path: mode for path in _spread(masks, _HEADS) if (mode := mode_of(path))}
    in_colour = [path for path, mode in modes.items() if mode[0] not in "1LPIF" or mode == "LAB"]
    for path in _spread(in_colour, _DECODED):
        try:
            pixels = read_mask_colours(path)
        except UserError:
            continue
        if not (pixels[..., 1:] == pixels[..., :1]).all():
            return "colours"
    palettes = [path for path, mode in modes.items() if mode == "P"]
    label_path = find_label_file(root)
    if palettes and label_path:
        try:
            labels = read_label_file(label_path)
        except UserError:
            return "masks"
        if labels.has_colours and any(_only_palette(path, labels) for path in _spread(palettes, _DECODED)):
            return "colours"
    return "masks"


def _only_palette(path: Path, labels: LabelFile) -> bool:
    """Whether a palette picture means its colours: all are of the label file, but at other numbers."""
    try:
        indices, colours = read_mask_values(path), pack(read_mask_colours(path))
    except UserError:
        return False
    wanted = {number: label.colour for number, label in labels.numbers().items()}
    used = {int(index): hex_of(int(colours[indices == index][0])) for index in np.unique(indices)}
    known = {label.colour for label in labels.labels}
    return known.issuperset(used.values()) and any(wanted.get(index) != shown for index, shown in used.items())


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of the paths, from all over the list."""
    step = max(1, len(paths) / count)
    return [paths[int(i * step)] for i in range(min(count, len(paths)))]


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= 0.0001 else "under 0.01%"
