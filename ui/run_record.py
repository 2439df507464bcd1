"""What is on record of a run: notes and tags, its recipe and how it differs from others, files to take along."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from segmodels.errors import UserError
from segmodels.report.run_report import run_report
from segmodels.training.changes import changes_of
from segmodels.training.notes import NOTE, TAGS, read_notes, write_notes
from segmodels.training.overview import overview
from segmodels.training.recipe_difference import differences
from segmodels.training.run_files import write_archive
from segmodels.training.runs import Run, find_run
from segmodels.training.tensorboard import write_events
from ui.frame import in_place, plain
from ui.hosted import is_own


def run_record(run: Run) -> None:
    """Draw it."""
    with st.expander("Notes and tags", icon=":material/edit_note:"):
        _notes(run)
    with st.expander("Recipe", icon=":material/receipt_long:"), in_place():
        _recipe(run)
    with st.expander("Report and files", icon=":material/download:"):
        _files(run)


def _notes(run: Run) -> None:
    """Each box writes what it shows and nothing else; where somebody else wrote meanwhile, it shows that."""
    notes = read_notes(run)
    known = sorted({*notes.tags, *(tag for row in overview() for tag in row.tags)})
    tags, note = f"tags-{run.id}-{hash(notes.tags)}", f"note-{run.id}-{hash(notes.note)}"
    st.multiselect(
        "Tags", known, default=notes.tags, key=tags, accept_new_options=True, max_selections=TAGS,
        placeholder="Choose or type", on_change=_keep, args=(run, "tags", tags), disabled=not is_own(run.id),
    )  # fmt: skip
    st.text_area(
        "Note", notes.note, max_chars=NOTE, key=note, placeholder="What it was for, what came of it",
        on_change=_keep, args=(run, "note", note), disabled=not is_own(run.id),
    )  # fmt: skip
    if problem := st.session_state.pop("notes-problem", None):
        st.error(plain(problem), icon=":material/error:")


def _keep(run: Run, what: str, key: str) -> None:
    try:
        write_notes(run, **{what: st.session_state[key]})
    except UserError as error:
        st.session_state["notes-problem"] = str(error)


def _recipe(run: Run) -> None:
    recipe = run.recipe
    command, text, differs = st.tabs(["Command", "YAML", "Compared with"])
    command.code(recipe.command(), language="bash", wrap_lines=True)
    text.code(recipe.yaml(), language="yaml")
    for change in changes_of(run.path):
        said = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in change.values.items())
        st.caption(f"Changed from epoch {change.epoch + 1}, step {change.step + 1} on: {plain(said)}")
    with differs:
        others = [row.id for row in overview() if row.id != run.id and row.readable]
        other = st.selectbox("Another run", others, index=None, key=f"differs-{run.id}", placeholder="Choose")
        if other:
            one, two = (each.recipe.model_dump(mode="json") for each in (run, find_run(other)))
            rows = [{"Field": d.field, run.id: str(d.one), other: str(d.other)} for d in differences(one, two)]
            if rows:
                st.dataframe(rows, hide_index=True, key=f"differences-{run.id}", alt=f"{run.id} against {other}")
            else:
                st.caption("Both have the same recipe.")
    st.caption(f"Run directory: {plain(str(run.path))}")


def _files(run: Run) -> None:
    st.caption(
        "A report that opens anywhere, every figure as CSV, or event files for TensorBoard; made when asked for."
    )
    with st.container(horizontal=True):
        for label, name, kind, made in (
            ("Report (HTML)", f"{run.id}.html", "text/html", lambda: run_report(run).encode()),
            ("All figures (zip)", f"{run.id}.zip", "application/zip", _written(lambda p: write_archive(run, p))),
            ("TensorBoard", _event_name(run), "application/octet-stream", lambda: _events(run)),
        ):
            st.download_button(
                label, made, file_name=name, mime=kind, key=f"{label}-{run.id}", on_click="ignore",
                icon=":material/download:",
            )  # fmt: skip


def _written(write: Callable[[Path], object]) -> Callable[[], bytes]:
    """The bytes of a file that something writes."""

    def made() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            write(path)
            return path.read_bytes()

    return made


def _event_name(run: Run) -> str:
    return f"events.out.tfevents.0.{run.id}"


def _events(run: Run) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_events(run, Path(folder)).read_bytes()
