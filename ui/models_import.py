"""Importing a model that Keras saved: a file that is uploaded, or a repository of the Hub."""

from __future__ import annotations

import json
import re
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import streamlit as st

from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, slug
from segmodels.home import home
from segmodels.hosted import limits
from segmodels.hub.names import parse_model
from ui.frame import plain
from ui.models_links import show_model
from ui.models_work import LIMIT, at_work, begin, problem_view, taken_token, token_field, told, work, work_view

IMPORT = "import"
FILE, HUB = "a .keras file", "the Hub"
#: What the pixels were that a network was trained on; without a choice it is told from the network.
SCALES = ("0..255", "0..1", "-1..1", "imagenet")
#: Folders of the home that are something else.
TAKEN = (
    "cache", "comparisons", "data", "evaluations", "locks", "models", "outbox", "predictions", "prepared", "queue",
    "runs", "searches", "thumbnails",
)  # fmt: skip


def import_view() -> None:
    """Draw the form, how far an import is, and what came of it."""
    st.caption(
        "A network that Keras 3 saved becomes a model of this workbench, if it is made of Keras' own layers, takes RGB "
        "and scores every pixel. Nothing in the file is run."
    )
    if not limits().own_data:
        st.info("Hosted demo: models are imported on a computer of your own.", icon=":material/info:")
        return
    source = st.segmented_control("From", [FILE, HUB], default=FILE, required=True, key="import-from")
    if source == FILE:
        st.file_uploader("File", "keras", key="import-file", max_upload_size=1000, help="Up to 1 GB")
    else:
        st.text_input("Name", key="import-name", max_chars=300, placeholder="owner/name, or owner/name@revision")
        token_field(IMPORT)
    left, right = st.columns(2, gap="medium")
    left.text_area(
        "Classes", key="import-classes", max_chars=30_000, height=160,
        placeholder="background #000000\npet #E69F00",
        help="One a line, in the order of the network's channels, each with a colour or all without. Left empty they "
        "are numbered",
    )  # fmt: skip
    right.text_input("Call it", key="import-as", max_chars=60, placeholder="as its file is called")
    right.selectbox(
        "Scale of its pixels", [None, *SCALES], key="import-scale", format_func=lambda scale: scale or "as it looks",
        help="What it was trained on. A wrong one gives masks that look like nothing: then import it with another",
    )  # fmt: skip
    right.number_input(
        "Side at which it sees pictures", 32, 2048, None, 32, key="import-size", placeholder="256",
        help="Of a network that takes any size",
    )  # fmt: skip
    st.button("Import", type="primary", icon=":material/input:", key="import-start", on_click=_import)
    problem_view(IMPORT)
    work_view(IMPORT, _imported)
    _forget_files()


def _import() -> None:
    """A callback: import what the form says."""
    with told(IMPORT):
        secrets = taken_token(IMPORT) if st.session_state.get("import-from") == HUB else {}
        form = dict(st.session_state)
        labels = class_labels(str(form.get("import-classes") or ""))
        if form.get("import-from") == HUB:
            name = parse_model(str(form.get("import-name") or ""))
            source, own = str(name), name.name
        else:
            upload = form.get("import-file")
            if upload is None:
                raise UserError("there is no file to import: choose one")
            own = str(upload.name).removesuffix(".keras")
            source = str(_kept(upload.getbuffer(), ".keras"))
        out = free_folder(str(form.get("import-as") or "").strip() or own)
        words = ["import", source, "--out", str(out)]
        words += ["--classes", str(_kept(json.dumps(labels).encode(), ".json"))] if labels else []
        words += [f"--scale={form['import-scale']}"] if form.get("import-scale") else []
        words += ["--size", str(int(form["import-size"]))] if form.get("import-size") else []
        begin(work(IMPORT, words, f"Importing {own[:60]}"), secrets)


def class_labels(text: str) -> list[str] | list[dict[str, str]]:
    """Lines such as "pet #E69F00" as a label file has them; `UserError` where only some have a colour."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [re.fullmatch(r"(.*\S)\s+(#[0-9a-fA-F]{6})", line) for line in lines]
    if not any(found):
        return lines
    if not all(found):
        raise UserError("give every class a colour, as #RRGGBB after its name, or none of them")
    return [{"name": each[1], "color": each[2]} for each in found if each]


def free_folder(wished: str) -> Path:
    """A folder of the home for an imported model that is not there yet."""
    name = slug(wished)
    if name in TAKEN:
        name = f"{name}-model"
    return next(
        folder
        for number in range(1, 10_000)
        if not (folder := home() / (name if number == 1 else f"{name}-{number}")).exists()
    )


def _kept(content: bytes | memoryview, ending: str) -> Path:
    """Bytes as a file, for as long as the import takes."""
    folder = home() / "cache" / "imports"
    with explain_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            with suppress(OSError):
                if time.time() - old.stat().st_mtime > LIMIT:
                    old.unlink()
        path = folder / f"{uuid.uuid4().hex}{ending}"
        path.write_bytes(content)
    st.session_state.setdefault("import-kept", []).append(path)
    return path


def _forget_files() -> None:
    """Remove what was written for an import that has ended."""
    question = at_work(IMPORT)
    if question is None or question.ask().state != "running":
        for path in st.session_state.pop("import-kept", []):
            path.unlink(missing_ok=True)


def _imported(document: dict[str, Any], _: str) -> None:
    """What came of it."""
    name = Path(str(document.get("model", ""))).name
    st.success(f"{plain(name)} is here.", icon=":material/check_circle:")
    classes, scale, seen = document.get("classes"), document.get("scale"), document.get("size")
    if isinstance(classes, list):
        names = ", ".join(map(str, classes[:20]))
        st.caption(plain(f"{len(classes)} classes: {names}. Pixels of {scale}, at {seen} x {seen}."))
    st.button("Look at it", icon=":material/arrow_forward:", key="import-show", on_click=show_model, args=(name,))
