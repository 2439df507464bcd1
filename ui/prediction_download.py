"""Predictions as files: one zip archive in the forms that were chosen, made when it is asked for."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import streamlit as st

from segmodels.errors import UserError
from segmodels.prediction.export import FORMATS, Settings, write_forms
from segmodels.prediction.sources import uploaded_pictures

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
    """Draw a choice of forms and the button that makes an archive of them."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        forms = st.multiselect(
            "Forms", list(FORMATS), default=["png", "overlay"], key=f"{key}-forms", width=420,
            help="\n".join(f"- **{name}**: {form.description}" for name, form in FORMATS.items()),
        )  # fmt: skip
        st.download_button(
            label, lambda: zip_of(wanted, forms, Settings(micrometres=micrometres)), "predictions.zip",
            "application/zip", key=f"{key}-zip", on_click="ignore", icon=":material/folder_zip:",
            disabled=not forms or not wanted,
        )  # fmt: skip


def zip_of(wanted: Sequence[Wanted], forms: Sequence[str], settings: Settings | None = None) -> bytes:
    """The archive. A picture at a time is predicted and written, and its files are removed at once; those that fail are
    named in `FAILED`."""
    packed, failed = io.BytesIO(), []
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, stem in zip(wanted, stems(wanted), strict=True):
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
