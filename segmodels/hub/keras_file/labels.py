"""The classes of an imported network: as a person names them, as a label file has them, or by number."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

from segmodels.data.label_files import read_label_file
from segmodels.errors import UserError
from segmodels.hub.checkpoint import ClassSpec


def class_specs(count: int, names: Sequence[str] | str | Path | None, colours: Sequence[str] | None) -> list[ClassSpec]:
    """`count` classes with names and colours.

    Args:
        names: one for each class; or a label file; None for "class 0" and so on, or of two that follow from one score
            "background" and "thing".
        colours: `#RRGGBB` for each; those of the label file, or colours that lie far apart, where None.

    Raises:
        UserError: another number of names or colours, one that is there twice, or no colour.
    """
    if isinstance(names, str | Path):
        labels = [label for label in read_label_file(Path(names)).labels if not label.ignored]
        names = [label.name for label in labels]
        if colours is None and all(label.colour for label in labels):
            colours = [str(label.colour) for label in labels]
    names = [f"class {number}" for number in range(count)] if names is None else [name.strip() for name in names]
    colours = distinct_colours(count) if colours is None else [colour.strip() for colour in colours]
    for what, given in (("names", names), ("colours", colours)):
        if len(given) != count:
            raise UserError(f"the network has {count} classes, but {len(given)} {what} are given: give {count}")
    if len(set(names)) != count or not all(0 < len(name) <= 100 for name in names):
        raise UserError("classes: give each one a name of its own, of 1 to 100 characters")
    try:
        return [ClassSpec(name=name, colour=colour) for name, colour in zip(names, colours, strict=True)]
    except ValueError:
        raise UserError("colours: write each as #RRGGBB") from None


def named_classes(text: str | None) -> list[str] | Path | None:
    """What a person typed for classes: names with commas between them, or the path of a label file."""
    if text is None:
        return None
    path = Path(text).expanduser()
    try:
        return path if path.is_file() else text.split(",")
    except (OSError, ValueError):  # no name of a file
        return text.split(",")


def distinct_colours(count: int) -> list[str]:
    """Colours `#RRGGBB` for classes: black, then hues that lie far apart, lighter in every other round."""
    found = ["#000000"]
    for number in range(count - 1):
        hue = (0.6 + number * 0.61803398875) % 1  # the golden section: no two neighbours look alike
        colour = colorsys.hls_to_rgb(hue, (0.5, 0.7, 0.35)[number // 8 % 3], 0.85)
        found.append("#" + "".join(f"{round(255 * part):02x}" for part in colour))
    return found[:count]
