"""An uploaded archive becomes a data set of one's own, or leaves no trace."""

from __future__ import annotations

import shutil
import time
import uuid
from pathlib import Path
from typing import BinaryIO

from segmodels.data.dataset import Progress
from segmodels.data.datasets.own import FORMS, recognise
from segmodels.data.disk import Stop
from segmodels.data.own_data import PREFIX, free_name, own_folder
from segmodels.data.upload import unpack_upload
from segmodels.errors import UserError
from segmodels.files import write_json


def add_upload(
    source: Path | BinaryIO,
    name: str,
    *,
    wished: str = "",
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> str:
    """Unpack an archive that somebody uploaded and keep it; returns `own:NAME`.

    Args:
        source: a zip or tar archive, hostile until checked.
        name: what the file is called.
        wished: what the data set shall be called, if not like the file.

    Raises:
        UserError: a refused or damaged archive, too little space, or no known form in it; nothing is left.
    """
    _sweep()
    beside = own_folder() / f".{uuid.uuid4().hex}"
    try:
        unpack_upload(source, beside, name=name, progress=progress, stop=stop)
        if not recognise(beside):
            raise UserError(f"{name} holds no data set in a known form: arrange it as one of {', '.join(FORMS)}")
        with free_name(wished or name) as short:
            beside.rename(own_folder() / short)
            write_json(own_folder() / f"{short}.json", {"folder": None, "form": None})
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return PREFIX + short


def _sweep() -> None:
    """Remove what uploads left that were killed a day ago or longer."""
    for left in own_folder().glob(".*"):
        if left.is_dir() and time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)
