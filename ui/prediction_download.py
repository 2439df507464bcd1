"""Predictions as files: one zip archive in the forms that were chosen, made when it is asked for; of many pictures
under a bar that can be stopped."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import streamlit as st

from segmodels.data.disk import megabytes
from segmodels.errors import UserError
from segmodels.prediction.export import FORMATS, Settings, write_forms
from segmodels.prediction.sources import uploaded_pictures
from ui.frame import plain

if TYPE_CHECKING:
    from segmodels.prediction.result import Result

#: The file of an archive that says which pictures failed.
FAILED = "failed.txt"


@dataclass(frozen=True)
class Wanted:
    """A prediction that goes into an archive: the folder there, the picture's name, and what gives the result."""

    folder: str
    name: str
    result: Callable[[], Result]


def zip_view(wanted: Sequence[Wanted], label: str, *, key: str, micrometres: float | None = None) -> None:
    """Draw a choice of forms and the button that makes an archive of them, of predictions that are there."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        forms = _choose_forms(key)
        _download(
            label,
            lambda: zip_of(wanted, forms, Settings(micrometres=micrometres)),
            key,
            disabled=not forms or not wanted,
        )


def long_zip_view(wanted: Sequence[Wanted], label: str, *, key: str, of: Hashable) -> None:
    """The same for predictions that are made anew: first a button that begins it, then a bar with one that stops it,
    then the download, which is there until something else is wanted.

    Args:
        of: says what is wanted, but for the forms.
    """
    made, asked = f"{key}-zip-made", f"{key}-zip-asked"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        forms = _choose_forms(key)
        what = (of, tuple(forms))
        kept = st.session_state.get(made)
        if kept and kept[0] == what:
            _download(f"{label} ({megabytes(len(kept[1]))})", kept[1], key)
            return
        begun = st.session_state.get(asked) == what
        if not begun:
            st.button(
                f"Make {label[0].lower()}{label[1:]}", key=f"{key}-zip-begin", icon=":material/folder_zip:",
                disabled=not forms or not wanted, on_click=st.session_state.update, args=({asked: what},),
            )  # fmt: skip
            return
        bar = st.progress(0.0, "Writing …", width=300)
        st.button(
            "Stop", icon=":material/stop:", key=f"{key}-zip-stop", on_click=st.session_state.pop, args=(asked, None)
        )

    def told(done: int, name: str) -> None:
        bar.progress(done / len(wanted), f"{plain(name)}: {done + 1} of {len(wanted)}")

    st.session_state.pop(made, None)  # before the next takes its memory
    packed = zip_of(wanted, forms, told=told)
    st.session_state[made] = (what, packed)
    st.session_state.pop(asked, None)
    st.rerun()


def _choose_forms(key: str) -> list[str]:
    return st.multiselect(
        "Forms", list(FORMATS), default=["png", "overlay"], key=f"{key}-forms", width=420,
        help="\n".join(f"- **{name}**: {form.description}" for name, form in FORMATS.items()),
    )  # fmt: skip


def _download(label: str, data: bytes | Callable[[], bytes], key: str, *, disabled: bool = False) -> None:
    st.download_button(
        label, data, "predictions.zip", "application/zip", key=f"{key}-zip", on_click="ignore",
        icon=":material/folder_zip:", disabled=disabled,
    )  # fmt: skip


def zip_of(
    wanted: Sequence[Wanted],
    forms: Sequence[str],
    settings: Settings | None = None,
    *,
    told: Callable[[int, str], object] | None = None,
) -> bytes:
    """The archive. A picture at a time is predicted and written, and its files are removed at once; those that fail are
    named in `FAILED`. `told` is called before each with how many are done and its name; what it raises ends the work.
    """
    packed, failed = io.BytesIO(), []
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for done, (each, stem) in enumerate(zip(wanted, stems(wanted), strict=True)):
            if told is not None:
                told(done, each.name)
            try:
                result = each.result()
                with TemporaryDirectory() as folder:
                    for path in write_forms(result, Path(folder), stem, forms, name=each.name, settings=settings):
                        archive.write(path, f"{each.folder}{path.name}")
            except UserError as error:
                failed.append(f"{each.folder}{each.name}: {error}")
            except MemoryError:
                failed.append(f"{each.folder}{each.name}: there is not enough memory for it")
        if failed:
            archive.writestr(FAILED, "\n".join(failed) + "\n")
    return packed.getvalue()


def stems(wanted: Sequence[Wanted]) -> list[str]:
    """What the files of each picture begin with: as `predict_files` names them, each folder by itself."""
    folders: dict[str, list[str]] = {}
    for each in wanted:
        folders.setdefault(each.folder, []).append(each.name)
    named = {
        folder: iter([Path(source.name).stem for source in uploaded_pictures([(name, b"") for name in names])])
        for folder, names in folders.items()
    }
    return [next(named[each.folder]) for each in wanted]
