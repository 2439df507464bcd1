"""Which class id each label of drawn shapes stands for: by the label file where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from segmodels.data.dataset import IGNORE, ClassLabel
from segmodels.data.datasets.polygon_folder import BACKGROUND, IGNORED, class_labels
from segmodels.data.label_files import LabelFile, read_label_file
from segmodels.errors import UserError

#: Labels that stand for class 0 or for `IGNORE` where no label file says otherwise.
ALIASES: Mapping[str, int] = {IGNORED: IGNORE, BACKGROUND: 0, "background": 0, "Background": 0}


def label_ids(labels: Iterable[str], file: LabelFile | None) -> tuple[tuple[ClassLabel, ...], dict[str, int]]:
    """The classes, and the class id of every label.

    Without a label file class 0 is the background and the labels follow in their order. A label file gives order and
    colours; class 0 is what it numbers 0 or calls background, and is put before its classes if there is none such.
    Labels in use that are not in the file follow.

    Raises:
        UserError: more than 255 classes.
    """
    rows = sorted(file.labels, key=lambda row: row.id or 0) if file else []
    counted = [row for row in rows if not row.ignored]
    first = next((row for row in counted if row.id == 0), None)
    first = first or next((row for row in counted if ALIASES.get(row.name) == 0), None)
    names = [row.name for row in counted if row is not first]
    ids = {**ALIASES, **{row.name: IGNORE for row in rows if row.ignored}, **({first.name: 0} if first else {})}
    known = {*names, *ids}
    names += [label for label in dict.fromkeys(labels) if label not in known]
    ids |= {name: number for number, name in enumerate(names, start=1)}
    shown = first.name if first and first.name != BACKGROUND else "background"
    colours = {shown if row is first else row.name: row.colour for row in counted}
    classes = class_labels(names, background=shown)
    return tuple(ClassLabel(label.name, colours.get(label.name) or label.colour) for label in classes), ids


def class_numbers(root: Path) -> LabelFile | None:
    """The `classes.json` that `segmodels.data.convert` writes where a format does not say which class is number 0."""
    try:
        file = read_label_file(root / "classes.json")
    except UserError:
        return None
    return file if file.has_ids else None
