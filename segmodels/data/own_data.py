"""One's own data sets by name: uploads and folders of this machine that were added, with the form they are read in.

`home()/data/own/NAME.json` says of the data set `own:NAME` where its files are and how they are read. Those of an
upload lie in `home()/data/own/NAME/`; a folder that was added stays where it is and is never changed or deleted.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from segmodels.data.disk import make_folder
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json, slug, write_json
from segmodels.home import home

#: What the names of one's own data sets begin with wherever a data set is named.
PREFIX = "own:"


@dataclass(frozen=True)
class OwnData:
    """One record.

    Attributes:
        name: without the prefix.
        folder: where the files are.
        form: how they are read; None for the form they are recognised to have.
        uploaded: whether the files are kept here, and go when it is removed.
    """

    name: str
    folder: Path
    form: str | None
    uploaded: bool


def own_folder() -> Path:
    """Where records and uploads are kept."""
    return home() / "data" / "own"


def own_names() -> list[str]:
    """The names, prefix and all, of every data set that was added, sorted."""
    return sorted(PREFIX + path.stem for path in own_folder().glob("*.json") if not path.name.startswith("."))


def own_data(name: str) -> OwnData:
    """The record of `own:NAME`.

    Raises:
        UserError: there is none, or it is damaged.
    """
    short = name.removeprefix(PREFIX)
    path = own_folder() / f"{short}.json"
    if not path.is_file():
        here = ", ".join(own_names()) or "none yet"
        raise UserError(f"no data set {name} was added here ({here}): add it on the Browse page, or name its folder")
    record = read_json(path, limit=100_000)
    folder, form = (record.get("folder"), record.get("form")) if isinstance(record, dict) else (0, 0)
    if not isinstance(folder, str | None) or not isinstance(form, str | None):
        raise UserError(f"{path} is damaged: remove it and add the data set again")
    return OwnData(short, Path(folder) if folder else own_folder() / short, form, uploaded=folder is None)


def add_folder(folder: Path, name: str, *, form: str | None = None) -> str:
    """Add a folder of this machine; returns `own:NAME`. A name that is taken gets a number behind it."""
    with free_name(name) as short:
        write_json(own_folder() / f"{short}.json", {"folder": str(folder), "form": form})
    return PREFIX + short


@contextmanager
def free_name(wished: str) -> Iterator[str]:
    """A name like the wished one that no data set has, and that nobody else takes meanwhile."""
    make_folder(own_folder())
    with explain_disk_errors(own_folder()), filelock.FileLock(own_folder() / ".lock"):
        short, number = short_name(wished), 1
        taken = {path.name.removesuffix(".json") for path in own_folder().iterdir()}
        name = short
        while name in taken:
            number += 1
            name = f"{short}-{number}"
        yield name


def short_name(text: str) -> str:
    """The name of a data set that came as a file or folder: "My Cells (2).zip" is "my-cells-2"."""
    return slug(re.sub(r"\.(zip|tar|tgz|(tar\.)?gz)$", "", text.strip(), flags=re.IGNORECASE))


def set_form(name: str, form: str | None) -> None:
    """Keep how a data set is read; None for the form it is recognised to have."""
    record = own_data(name)
    write_json(
        own_folder() / f"{record.name}.json", {"folder": None if record.uploaded else str(record.folder), "form": form}
    )


def remove(name: str) -> None:
    """Forget a data set; the files of an upload are deleted, a folder of this machine is left as it is."""
    short = slug(name.removeprefix(PREFIX))  # a damaged record can be removed too
    (own_folder() / f"{short}.json").unlink(missing_ok=True)
    shutil.rmtree(own_folder() / short, ignore_errors=True)
