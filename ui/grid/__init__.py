"""The grid of Browse: small pictures under their masks, one page in one message, drawn in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from segmodels.data.dataset import Dataset, Sample
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


def grid(dataset: Dataset, samples: Sequence[Sample], said: Sequence[str], *, key: str) -> str | None:
    """Draw a page of samples; returns the id of the one that was clicked in this rerun.

    Args:
        dataset: what they are of.
        samples: a page of them; those that cannot be read say why in their place.
        said: what each shows, in words.
        key: of the component.
    """
    files = Files()
    tiles: list[dict[str, Any]] = []
    for sample, words in zip(samples, said, strict=True):
        try:
            made = thumbnail(dataset, sample)
        except UserError as error:
            tiles.append({"id": sample.id, "problem": str(error)})
            continue
        image, mask = files.add(made.image, "image/jpeg"), files.add(made.mask)
        tiles.append({"id": sample.id, "said": words, "image": image, "mask": mask})
    document: dict[str, Any] = {
        "classes": [{"name": label.name, "colour": label.colour} for label in dataset.classes],
        "tiles": tiles,
    }
    data = files.message({**document, "key": files.digest(document)})
    opened = _component(key=key, data=data, on_opened_change=lambda: None)
    chosen = opened.get("opened")
    return chosen if chosen in {sample.id for sample in samples} else None
