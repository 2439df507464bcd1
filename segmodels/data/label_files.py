"""Label files: the classes of a data set by name, number and colour, as annotation tools and papers write them down.

| file | line or content |
|---|---|
| `labels.txt`, `class_names.txt`, `classes.txt` | a name; `id name`; `R G B name`; `name R G B` |
| `label_colors.txt` (CamVid) | `R G B<tabs>name` |
| `class_dict.csv`, any CSV | `name,r,g,b`, with or without a header; `#RRGGBB` is a colour too |
| `labelmap.txt` (CVAT) | `label:color_rgb:parts:actions` |
| `classes.json`, `meta.json` (Supervisely) | `{"classes": [{"title", "color"}]}` |
| other JSON, YAML | lists of names or `{name, color, id}`; `{name: [r, g, b]}`, `{"0": name}`, `names:`, `classes:` |

The first line of a text file says what its columns are; every other line must have the same. Labels called Void,
Unlabelled, Unlabeled, Ignore, Ignored, Don't care or `__ignore__` stand for pixels that do not count.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmodels.data.dataset import IGNORE
from segmodels.data.label_rows import HEX, Row, document_rows, text_rows
from segmodels.errors import UserError

#: Names of label files, the likeliest to hold colours first; `find_label_file` compares them in lower case.
FILE_NAMES = (
    "label_colors.txt", "label_colours.txt", "class_dict.csv", "labelmap.txt", "label_map.txt", "classes.json",
    "classes.yaml", "classes.yml", "classes.csv", "labels.json", "labels.yaml", "labels.yml", "labels.csv",
    "labels.txt", "class_names.txt", "label_names.txt", "classes.txt", "meta.json", "data.yaml", "dataset.yaml",
    "codes.txt",
)  # fmt: skip

#: A larger file is no list of at most 255 classes. PyYAML takes a second for a tenth of this.
MAX_BYTES, MAX_YAML_BYTES = 1_000_000, 100_000

#: A longer name is a mistake.
MAX_NAME = 100

#: Names, in letters alone, of what does not count.
IGNORED_NAMES = ("void", "unlabelled", "unlabeled", "ignore", "ignored", "dontcare")

#: LabelMe's first line: it stands for -1, so that the label after it is number 0.
LABELME_IGNORE = "__ignore__"


@dataclass(frozen=True)
class Label:
    """A row of a label file: its name, and its number in masks and colour `#RRGGBB` where the file gives them."""

    name: str
    id: int | None = None
    colour: str | None = None

    @property
    def ignored(self) -> bool:
        """Whether its pixels do not count."""
        return re.sub(r"[^a-z]", "", self.name.lower()) in IGNORED_NAMES


@dataclass(frozen=True)
class LabelFile:
    """The labels of a file in its order. Names, numbers and colours are each there once."""

    path: Path
    labels: tuple[Label, ...]

    @property
    def has_colours(self) -> bool:
        """Whether every label has a colour."""
        return all(label.colour for label in self.labels)

    @property
    def has_ids(self) -> bool:
        """Whether the file numbers its labels itself."""
        return all(label.id is not None for label in self.labels)

    def numbers(self, first: int = 0) -> dict[int, Label]:
        """The label of each number in a mask: by id, or else by place, counted from `first`.

        LabelMe's `__ignore__` in the first line has no number.
        """
        if self.has_ids:
            return {label.id: label for label in self.labels if label.id is not None}
        labels = self.labels[1:] if self.labels[0].name == LABELME_IGNORE else self.labels
        return dict(enumerate(labels, start=first))


def find_label_file(root: Path) -> Path | None:
    """The label file of a folder: one of `FILE_NAMES` in it or, if there is none, in a folder directly below."""
    for folder in (root, *_folders(root)):
        try:
            names = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_file()}
        except OSError:
            continue
        for name in FILE_NAMES:
            if name in names:
                return names[name]
    return None


def read_label_file(path: Path) -> LabelFile:
    """Read a label file of any of the formats above.

    Raises:
        UserError: in one line that names the file and the line or entry: not UTF-8, too large, none of these formats, a
            number out of range, a name, number or colour that stands there twice, more than 255 classes, or none.
    """
    suffix = path.suffix.lower()
    text = _text(path, MAX_YAML_BYTES if suffix in (".yaml", ".yml") else MAX_BYTES)
    rows = document_rows(path, text) if suffix in (".json", ".yaml", ".yml") else text_rows(path, text)
    return LabelFile(path, _checked(rows, path))


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))[:100]
    except OSError:
        return []


def _text(path: Path, limit: int) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise UserError(f"{path}: the label file cannot be read ({error.strerror})") from None
    if len(content) > limit:
        raise UserError(f"{path}: over {limit // 1000} kB is no label file; it lists at most {IGNORE} classes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None


def _checked(rows: Iterable[Row], path: Path) -> tuple[Label, ...]:
    """The labels, each field checked and unique."""
    labels: list[Label] = []
    seen: dict[tuple[str, Any], str] = {}
    for where, raw_name, raw_id, raw_colour in rows:
        number = None if raw_id is None else _number(where, raw_id, "a class's number")
        colour = None if raw_colour is None else _colour(where, raw_colour)
        # A line of a colour alone: it is called by its colour.
        label = Label(_name(where, colour if raw_name is None and colour else raw_name), number, colour)
        for kind, value in (("name", label.name), ("number", label.id), ("colour", label.colour)):
            if value is not None and (kind, value) in seen:
                raise UserError(f"{where}: the {kind} {value} is there already, for {seen[kind, value]}; give another")
            seen[kind, value] = label.name
        labels.append(label)
        if sum(not label.ignored for label in labels) > IGNORE:
            raise UserError(f"{where}: more than {IGNORE} classes, the most that a mask can hold")
    if not any(not label.ignored for label in labels):
        raise UserError(f"{path}: the label file names no class")
    if len({label.id is None for label in labels}) > 1:
        bare = next(label for label in labels if label.id is None)
        raise UserError(f"{path}: {bare.name!a} has no number although others have one; number all or none")
    return tuple(labels)


def _name(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"{where}: expected the name of a class, got {reprlib.repr(value)}")
    name = " ".join(value.strip().strip("\"'").split())
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise UserError(f"{where}: {value[:40]!a} is no name of a class (1 to {MAX_NAME} printable characters)")
    return name


def _number(where: str, value: Any, what: str) -> int:
    """A whole number from 0 to 255."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value.strip()):
        value, whole = int(value), True
    if not whole or not 0 <= value <= 255:
        raise UserError(f"{where}: {what} must be 0 to 255, got {reprlib.repr(value)}")
    return value


def _colour(where: str, value: Any) -> str:
    """`#RRGGBB` of `[r, g, b]`, "#rrggbb" or "r,g,b"; of four channels the last, transparency, does not count."""
    if isinstance(value, str) and HEX.fullmatch(value.strip()):
        return value.strip().upper()
    if isinstance(value, str):
        value = re.sub(r"^(rgb)?\s*[\[(]|[\])]$", "", value.strip()).split(",")
    if not isinstance(value, (list, tuple)) or len(value) not in (3, 4):
        raise UserError(f"{where}: expected a colour as #RRGGBB or red, green, blue, got {reprlib.repr(value)}")
    return "#" + "".join(f"{_number(where, channel, 'a colour channel'):02X}" for channel in value[:3])
