"""Choosing a data set, saying where it is, and bringing it where it is not."""

from __future__ import annotations

import streamlit as st

from segmodels.data.datasets import DATASETS, HUB, OWN, TFDS, dataset_type, list_brought, open_dataset
from segmodels.data.own_data import PREFIX, own_names
from segmodels.errors import UserError
from segmodels.hosted import limits
from ui import cached
from ui.frame import in_place, plain
from ui.links import linked_selectbox
from ui.own_data import add_own_data, own_settings

#: The last choice of the list, in the page's address too.
ADD = "add"


def choose_data(*, key: str = "data") -> tuple[str, str | None] | None:
    """Widgets for a data set and its folder; returns both once it can be opened, else None after saying what to do."""
    titles = {name: f"{dataset_type(name).title} ({name})" for name in DATASETS}
    titles |= {name: f"{name.removeprefix(PREFIX)} (your own)" for name in own_names()}
    titles |= {name: name for name in list_brought()} | {ADD: "Add your own …"}
    own_computer = limits().folders
    # Of a recipe that names one.
    if own_computer and (folder := st.session_state.get(f"{key}-folder")) is not None:
        titles = {folder: folder, **titles}
    if added := st.session_state.pop(f"{key}-added", None):
        st.session_state[key] = added
    asked = st.query_params.get(key)
    if asked is not None and asked not in titles:
        st.warning(plain(_why_not_here(asked)), icon=":material/search_off:")
    name = linked_selectbox("Data set", list(titles), key=key, format_func=titles.__getitem__)
    if name == ADD:
        if added := add_own_data(key):
            st.session_state[f"{key}-added"] = added  # chosen before its box is drawn again
            st.rerun()
        return None
    if name.startswith(PREFIX) and limits().own_data and not own_settings(name, key):
        return None
    if name not in DATASETS:
        cached.dataset(name, None)
        return name, None
    if not DATASETS[name].needs_files:
        return name, None
    root = _folder(name, key) if own_computer else None
    try:
        cached.dataset(name, root)
    except UserError as error:
        st.warning(plain(str(error)), icon=":material/folder_off:")
        if own_computer:
            _offer_download(name, key)
        return None
    return name, root


def _why_not_here(name: str) -> str:
    """Why a data set that a link names is not in the list: such as that it is being converted."""
    if name.startswith((OWN, TFDS, HUB)):  # not the paths that a link could name
        try:
            open_dataset(name)
        except UserError as error:
            return str(error)
    return f"{name[:100]} is not here any more."


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
