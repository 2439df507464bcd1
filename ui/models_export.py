"""A model as a file for another runtime, made by a process of its own and offered when it is done."""

from __future__ import annotations

import io
import shutil
import time
import uuid
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import streamlit as st

from segmodels.files import explain_disk_errors, slug
from segmodels.home import home
from segmodels.hosted import limits
from ui.frame import plain
from ui.models_glance import Glance
from ui.models_parts import size
from ui.models_work import LIMIT, begin, problem_view, told, work, work_view

EXPORT = "export"
#: By the names of the command line: what a person calls it, its ending, and what it is for.
FORMATS = {
    "onnx": ("ONNX", ".onnx", "ONNX Runtime, OpenVINO and most others"),
    "saved_model": ("SavedModel", "", "TensorFlow and its serving; a folder, which comes as a zip archive"),
    "litert": ("LiteRT", ".tflite", "phones and small boards; at a fixed size"),
}


def export_view(seen: Glance) -> None:
    """An expander with the choices, how far the work is, and the file."""
    with st.expander("Export", icon=":material/output:"):
        form = st.segmented_control(
            "Format", list(FORMATS), default="onnx", required=True, key="export-format",
            format_func=lambda name: FORMATS[name][0],
        )  # fmt: skip
        st.caption(f"For {FORMATS[form][2]}. It is compared with Keras before it is offered.")
        if form == "litert":
            st.number_input(
                "Side of its pictures", 32, 2048, None, 32, key="export-size", placeholder="the model's own"
            )
            st.toggle("8-bit integers, calibrated on its data", key="export-int8", help="Smaller and faster")
        st.button("Export", icon=":material/output:", key="export-start", on_click=_export, args=(seen,))
        problem_view(EXPORT)
        work_view(EXPORT, _exported)


def _export(seen: Glance) -> None:
    """A callback: begin it, into a folder of its own."""
    with told(EXPORT):
        form = st.session_state.get("export-format") or "onnx"
        folder = exports()
        with explain_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            place = folder / uuid.uuid4().hex[:16]
            place.mkdir()
        out = place / f"{slug(seen.name)}{FORMATS[form][1]}"
        words = ["export", str(seen.model.path), "--format", form, "--out", str(out)]
        if form == "litert":
            wanted = st.session_state.get("export-size")
            words += ["--size", str(int(wanted))] if wanted else []
            words += ["--int8"] if st.session_state.get("export-int8") else []
        begin(work(EXPORT, words, f"Exporting {seen.name} as {FORMATS[form][0]}"))


def exports() -> Path:
    """Where exports are kept until they are taken."""
    return home() / "cache" / "exports"


def _sweep(folder: Path) -> None:
    """Those of yesterday go; of visitors those of an hour ago."""
    most = 3600 if limits().hosted else 2 * LIMIT
    for old in folder.iterdir():
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > most:
                shutil.rmtree(old)


def _exported(document: dict[str, Any], _: str) -> None:
    """The file, and how it is used."""
    path = Path(str(document.get("path", "")))
    if not path.exists() or path.parent.parent.resolve() != exports().resolve():
        st.warning("The export is not here any more: make it again.", icon=":material/search_off:")
        return
    files = files_below(path.parent)
    count = sum(file.stat().st_size for file in files)
    st.success(f"{plain(path.name)}: {plain(size(count))} in {len(files)} files", icon=":material/check_circle:")
    with st.container(horizontal=True):
        if path.is_file():
            st.download_button(
                path.name, lambda: path.read_bytes(), path.name, key="export-file", on_click="ignore",
                icon=":material/download:", type="primary",
            )  # fmt: skip
        st.download_button(
            "All of it as a zip", lambda: zip_below(path.parent), f"{path.stem}.zip", "application/zip",
            key="export-zip", on_click="ignore", icon=":material/folder_zip:",
        )  # fmt: skip
    samples = [file for file in files if file.suffix == ".py"]
    if samples:
        st.caption("How it is used, without segmodels")
        st.code(samples[0].read_text(encoding="utf-8")[:10_000], language="python")


def files_below(folder: Path) -> list[Path]:
    """The plain files of an export."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def zip_below(folder: Path) -> bytes:
    """An export as an archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files_below(folder):
            archive.write(path, str(path.relative_to(folder)))
    return packed.getvalue()
