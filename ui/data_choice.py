"""Choosing a data set, saying where it is, and bringing it where it is not."""

from __future__ import annotations

import streamlit as st

from segmodels.data.datasets import DATASETS, dataset_type
from segmodels.errors import UserError
from ui import cached
from ui.frame import in_place, plain
from ui.links import linked_selectbox


def choose_data(*, key: str = "data") -> tuple[str, str | None] | None:
    """Widgets for a data set and its folder; returns both once it can be opened, else None after saying what to do."""
    titles = {name: dataset_type(name).title for name in DATASETS}
    name = linked_selectbox("Data set", list(DATASETS), key=key, format_func=lambda n: f"{titles[n]} ({n})")
    if not DATASETS[name].needs_files:
        return name, None
    root = _folder(name, key)
    try:
        cached.dataset(name, root)
    except UserError as error:
        st.warning(plain(str(error)), icon=":material/folder_off:")
        _offer_download(name, key)
        return None
    return name, root


def _folder(name: str, key: str) -> str | None:
    """An optional folder; open to view where the data set is not found without one."""
    try:
        cached.dataset(name, None)
        missing = False
    except UserError:
        missing = True
    with st.expander("Folder on this computer", expanded=missing, icon=":material/folder_open:"):
        typed = st.text_input(
            "Folder of the data set",
            key=f"{key}-root-{name}",
            placeholder="found by itself" if not missing else "/path/to/the/data/set",
            help="Left empty, SEGMODELS_DATA and the folder of earlier downloads are searched.",
        )
    return typed.strip() or None


def _offer_download(name: str, key: str) -> None:
    kind = dataset_type(name)
    size = kind.download_size / 1e6
    if not size or not st.button(f"Download from the official source ({size:,.0f} MB)", key=f"{key}-download"):
        return
    bar = st.progress(0.0, "connecting …")

    def progress(done: int, total: int, what: str) -> None:
        unit = f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB" if total > 1_000_000 else f"{done} of {total}"
        bar.progress(min(1.0, done / max(1, total)), plain(f"{what}: {unit}"))

    with in_place():
        kind.download(progress)
        cached.dataset.clear()
        st.rerun()
