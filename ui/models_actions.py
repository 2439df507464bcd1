"""What can be done with a model: used, measured, shared, taken along, deleted."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import streamlit as st

from segmodels.errors import UserError
from segmodels.files import remove_folder, slug, whole
from segmodels.home import home
from segmodels.hosted import limits
from segmodels.hub.pulled import delete_pulled
from ui.compare_links import EVALUATE
from ui.frame import plain
from ui.models_glance import Glance, files_of
from ui.models_links import show_model, show_push
from ui.models_parts import size
from ui.models_work import problem_view, told

#: What a browser is given as one file; it is held in memory for that.
MOST_BYTES = 1_000_000_000


def model_actions(seen: Glance) -> None:
    """Draw the buttons."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if not seen.problem:
            st.page_link(
                "pages/4_Predict.py", label="Predict with it", icon=":material/draw:", query_params={"model": seen.name}
            )
            st.page_link(
                "pages/3_Compare.py", label="Evaluate it", icon=":material/analytics:",
                query_params={"compare-part": EVALUATE, "evaluate-model": seen.name},
            )  # fmt: skip
            st.button("Push", icon=":material/cloud_upload:", key="model-push", on_click=show_push, args=(seen.name,))
            if seen.size <= MOST_BYTES:
                st.download_button(
                    f"Download ({size(seen.size)})", lambda: zip_of(seen), f"{slug(seen.name, most=80)}.zip",
                    "application/zip", key="model-zip", on_click="ignore", icon=":material/folder_zip:",
                )  # fmt: skip
        if seen.model.run is not None:
            st.page_link(
                "pages/2_Train.py", label="Delete it with its run", icon=":material/delete:",
                query_params={"part": "Watch", "run": seen.model.run.id}, help="It can be had back there for a week",
            )  # fmt: skip
        elif not limits().hosted:  # others see it too
            _delete(seen)
    problem_view("model")


def zip_of(seen: Glance) -> bytes:
    """The files of a checkpoint as a zip archive; weights do not get smaller by packing."""
    folder = whole(seen.model.path)
    with tempfile.TemporaryFile() as packed:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for file in files_of(folder):
                archive.write(folder / file.path, file.path)
        packed.seek(0)
        return packed.read()


def _delete(seen: Glance) -> None:
    with st.popover("Delete", icon=":material/delete:", key="model-delete"):
        way = "It can be pulled again." if seen.model.pulled else "It cannot be had back."
        st.caption(f"{plain(seen.name)}, {plain(size(seen.size))}. {way}")
        st.button("Yes, delete it", key="model-delete-it", type="primary", on_click=_delete_it, args=(seen,))


def _delete_it(seen: Glance) -> None:
    with told("model"):
        delete_model(seen)
        st.toast(f"{plain(seen.name)} is deleted.")
        show_model(None)


def delete_model(seen: Glance) -> None:
    """Remove a model from the disk.

    Raises:
        UserError: it is a run's, or cannot be removed.
    """
    if (pulled := seen.model.pulled) is not None:
        delete_pulled(f"{pulled.name}@{pulled.commit}")
        return
    folder: Path = seen.model.path
    if seen.model.kind != "here" or folder.parent != home() or folder.is_symlink():
        raise UserError(f"{seen.name} is deleted where it comes from")
    remove_folder(folder)
