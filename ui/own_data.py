"""Adding a data set of one's own: an upload, a folder of this computer, or a set from the web; and how it is read."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from pathlib import Path

import streamlit as st

from segmodels.data.add_upload import add_upload
from segmodels.data.datasets import HUB, TFDS
from segmodels.data.datasets.own import FORMS
from segmodels.data.own_data import add_folder, own_data, remove, set_form
from segmodels.errors import UserError
from segmodels.files import user_path
from segmodels.hosted import limits
from segmodels.process import WITHOUT_GPU, start
from ui import cached
from ui.frame import in_place, plain

#: Lines of libraries, which say nothing to whoever waits: "WARNING:urllib3…", "2026-01-01 12:00:00.123: W …".
_WARNING = re.compile(r"[A-Z]+:|\d{4}-|[WIE]\d{4} |\s*(import|warnings)")


def add_own_data(key: str) -> str | None:
    """Widgets that add a data set; returns its name once it was added."""
    if not limits().own_data:
        st.info("Hosted demo: no data sets of one's own; those of the list can be looked at.", icon=":material/info:")
        return None
    upload, folder, web = st.tabs(["Upload", "Folder", "Web"])
    with st.expander("Which forms are understood", icon=":material/help:"):
        st.markdown("\n".join(f"- **{row.title}**: {row.layout}" for row in FORMS.values()))
        st.caption(
            "Folders named train, val and test, or list files of these names, become the splits. "
            "Without them a tenth of the pictures is kept for testing and another for validation."
        )
    with upload, in_place():
        if added := _upload(key):
            return added
    with folder, in_place():
        if added := _folder(key):
            return added
    with web, in_place():
        if added := _web(key):
            return added
    return None


def _upload(key: str) -> str | None:
    given = st.file_uploader(
        "Archive of pictures and labels", type=["zip", "tar", "tgz", "gz"], key=f"{key}-archive",
        help="A zip or tar archive of a folder in one of the forms below.",
    )  # fmt: skip
    if given is None:
        return None
    name = st.text_input("Name", value=Path(given.name).stem, key=f"{key}-archive-name")
    if not st.button("Add this data set", type="primary", key=f"{key}-archive-add", icon=":material/add:"):
        return None
    bar = st.progress(0.0, "looking through the archive …")

    def progress(done: int, total: int, what: str) -> None:
        bar.progress(min(1.0, done / max(1, total)), plain(what))

    try:
        return add_upload(given, given.name, wished=name.strip(), progress=progress)
    finally:
        bar.empty()


def _folder(key: str) -> str | None:
    if not limits().folders:  # its visitors do not own the computer
        st.info("Not on a hosted app: upload an archive instead.", icon=":material/info:")
        return None
    typed = st.text_input("Folder on this computer", key=f"{key}-folder", placeholder="/path/to/pictures/and/labels")
    if not typed.strip():
        return None
    folder = user_path(typed)
    if not Path(typed.strip()).expanduser().is_absolute():
        raise UserError(f"{typed[:80]!r}: write the whole path, from the root of the disk")
    found = cached.forms(folder)
    if not found:
        raise UserError(f"{folder}: no known form of a data set in it; the forms are listed below")
    for evidence in found.values():
        st.caption(f":material/check: {plain(evidence)}")
    if not st.button("Add this folder", type="primary", key=f"{key}-folder-add", icon=":material/add:"):
        return None
    return add_folder(folder, folder.name)


def _web(key: str) -> str | None:
    typed = st.text_input(
        "Name",
        key=f"{key}-web",
        placeholder="hf://datasets/owner/name or tfds:oxford_iiit_pet",
        help="A data set of pictures and masks on the Hugging Face Hub, or of TensorFlow Datasets.",
    ).strip()
    if not typed or not st.button("Bring it", type="primary", key=f"{key}-web-add", icon=":material/download:"):
        return None
    if not typed.startswith((HUB, TFDS)):
        raise UserError(f"{typed[:80]!r} is no such name: write hf://datasets/owner/name or tfds:name")
    _bring(typed)
    return typed


def _bring(name: str) -> None:
    """Bring a set in a process of its own: this one loads no engine. Whatever reruns the page ends that process."""
    said: list[str] = []
    with (
        st.status("Connecting …", expanded=True) as status,
        start(
            ["datasets", "download", name],
            variables=WITHOUT_GPU,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process,
    ):
        st.button("Cancel", key="cancel-bring", icon=":material/close:")  # any rerun ends what is under way
        assert process.stderr is not None
        threading.Thread(target=lambda: said.extend(process.stderr), daemon=True).start()  # type: ignore[arg-type]
        try:
            while process.poll() is None:
                time.sleep(0.5)
                shown = (line.strip() for line in reversed(said) if line.strip() and not _WARNING.match(line))
                last = next(shown, "Connecting …")
                status.update(label=plain(last[:120]))
        finally:
            process.kill()
    if process.returncode:
        own = [line.removeprefix("segmodels: ").strip() for line in said if line.startswith("segmodels: ")]
        raise UserError(own[-1] if own else f"{name} could not be brought (exit code {process.returncode})")


def own_settings(name: str, key: str) -> bool:
    """How a data set of one's own is read, and the way to be rid of it; reruns the page when either changes.

    Returns whether it is clear how it is read. What stands in the way is said, and the set can be removed all the same.
    """
    record, found, problem = None, {}, ""
    try:
        record = own_data(name)
        found = cached.forms(record.folder)
    except UserError as error:
        problem = str(error)
    form = record.form if record is not None and record.form in FORMS else None
    if form is None and len(found) == 1:
        form = next(iter(found))
    with st.expander(
        f"Read as {FORMS[form].title}" if form else "This data set" if problem else "Choose how it is read",
        expanded=form is None,
        icon=":material/folder_open:",
    ):
        if problem:
            st.error(plain(problem), icon=":material/error:")
        for evidence in found.values():
            st.caption(f":material/check: {plain(evidence)}")
        if record is not None and not problem:
            if len(found) > 1 and form is None:
                st.info("More than one form fits: choose which one counts.", icon=":material/help:")
            if form is not None and form not in found:
                st.warning("Its files do not look like this form.", icon=":material/warning:")
            forms = [*found, *(other for other in FORMS if other not in found)]
            chosen = st.selectbox(
                "Form", forms, index=forms.index(form) if form else None, key=f"{key}-form-{name}",
                format_func=lambda name: FORMS[name].title, placeholder="Choose",
            )  # fmt: skip
            if chosen is not None and chosen != form:
                set_form(name, chosen if list(found) != [chosen] else None)
                cached.forget_data()
                st.rerun()
        kept = record is None or not record.uploaded
        files = "(its files stay where they are)" if kept else "and delete its files"
        sure = st.checkbox(f"Remove this data set {files}", key=f"{key}-sure-{name}")
        if sure and st.button("Remove", key=f"{key}-remove-{name}", icon=":material/delete:"):
            remove(name)
            cached.forget_data()
            st.rerun()
    return form is not None and not problem
