"""The chosen pictures of a split as a grid, page by page."""

from __future__ import annotations

import streamlit as st

from segmodels.data.dataset import Dataset
from segmodels.data.statistics import Statistics
from ui.browse_filters import Chosen
from ui.frame import in_place
from ui.grid import grid, sample_tile

PER_PAGE = 24


@st.fragment
def grid_view(dataset: Dataset, split: str, counts: Statistics, chosen: Chosen) -> None:
    """Draw a page of them; another page draws nothing else anew, and a click on a picture opens it."""
    with in_place():
        pages = -(-len(chosen.ids) // PER_PAGE)
        number = _choose_page(pages, of=hash((dataset.name, split, tuple(chosen.ids))))
        here = chosen.ids[(number - 1) * PER_PAGE : number * PER_PAGE]
        samples = {sample.id: sample for sample in dataset.samples(split)}
        position = {sample_id: place for place, sample_id in enumerate(counts.ids)}
        names, off = [label.name for label in dataset.classes], chosen.disagreement
        tiles = []
        for sid in here:
            row = counts.pixels[position[sid]]
            shares = [f"{name} {100 * n / row.sum():.0f} %" for name, n in zip(names, row, strict=True) if n]
            said = f"{sid} with its mask: {', '.join(shares) or counts.problems.get(sid, 'nothing counted')}"
            caption = f"{sid} · {100 * off[sid]:.0f} % not as predicted" if sid in off else sid
            tiles.append(sample_tile(dataset, samples[sid], caption, said))
        if clicked := grid(tiles, dataset.classes, key="grid"):
            st.query_params["picture"] = clicked
            st.rerun()


def _choose_page(pages: int, *, of: int) -> int:
    """The page that is looked at, which is in the address; the first one once other pictures are chosen."""
    asked = st.query_params.get("page", "") if st.session_state.get("page-of", of) == of else ""
    st.session_state["page-of"] = of
    first = min(int(asked), pages) if asked.isdecimal() and len(asked) < 9 and int(asked) else 1
    number = st.pagination(pages, default=first, key=f"page-{of}") if pages > 1 else 1
    if number > 1:
        st.query_params["page"] = str(number)
    else:
        st.query_params.pop("page", None)
    return number
