"""A grid of small pictures under their masks, all in one message, drawn in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from segmodels.data.dataset import ClassLabel, Dataset, Sample
from segmodels.data.thumbnails import thumbnail
from segmodels.errors import UserError
from ui.viewer.message import Files
from ui.viewer.parts import script, style

_HERE = Path(__file__).parent

_component = st.components.v2.component(
    "segmodels_grid",
    html="<div data-grid></div>",
    css=style() + (_HERE / "grid.css").read_text(encoding="utf-8"),
    js=script("decode", "sources", "controls") + (_HERE / "grid.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Tile:
    """A place of a grid.

    Attributes:
        id: reported when it is clicked.
        caption: what stands below it.
        said: what it shows, in words.
        image: the bytes of a JPEG.
        mask: of a PNG of one channel whose values are the class ids.
        problem: why there is nothing to show, in the place of both.
    """

    id: str
    caption: str
    said: str = ""
    image: bytes = b""
    mask: bytes = b""
    problem: str = ""


def grid(tiles: Sequence[Tile], labels: Sequence[ClassLabel], *, key: str) -> str | None:
    """Draw small pictures under their masks; returns the id of the one that was clicked in this rerun.

    Args:
        tiles: in their order.
        labels: the classes of the masks.
        key: of the component.
    """
    files = Files()
    rows: list[dict[str, Any]] = []
    for tile in tiles:
        row = {"id": tile.id, "caption": tile.caption}
        if tile.problem:
            rows.append({**row, "problem": tile.problem})
        else:
            image, mask = files.add(tile.image, "image/jpeg"), files.add(tile.mask)
            rows.append({**row, "said": tile.said, "image": image, "mask": mask})
    document: dict[str, Any] = {
        "classes": [{"name": label.name, "colour": label.colour} for label in labels],
        "tiles": rows,
    }
    data = files.message({**document, "key": files.digest(document)})
    opened = _component(key=key, data=data, on_opened_change=lambda: None)
    chosen = opened.get("opened")
    return chosen if chosen in {tile.id for tile in tiles} else None


def sample_tile(dataset: Dataset, sample: Sample, caption: str, said: str) -> Tile:
    """The place of a sample; one that cannot be read says why."""
    try:
        made = thumbnail(dataset, sample)
    except UserError as error:
        return Tile(sample.id, caption, problem=str(error))
    return Tile(sample.id, caption, said, made.image, made.mask)
