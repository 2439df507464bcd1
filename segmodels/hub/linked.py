"""The files of a checkpoint as they are at one moment, in another folder: a training may replace them meanwhile. Loads
no Keras."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, whole

#: How often a checkpoint is taken again that was replaced meanwhile.
TRIES = 20


def link_checkpoint(
    find: Callable[[], Path], folder: Path, files: Callable[[Path], Iterable[str]], *, called: str | Path
) -> None:
    """Give files of a checkpoint further names in `folder`, which is made, or emptied; all of one state.

    Args:
        find: the checkpoint directory; asked again at the end, whether it is still the same.
        files: their paths in it.
        called: what a person calls it.

    Raises:
        UserError: one of the files is not there, or the checkpoint is replaced again and again; no space.
    """
    for _ in range(TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        with explain_disk_errors(folder):
            folder.mkdir()
            with suppress(FileNotFoundError):
                source = whole(find())
                before = source.stat()
                for path in files(source):
                    (folder / path).parent.mkdir(exist_ok=True)
                    _link((source / path).resolve(strict=True), folder / path)
                if os.path.samestat(before, whole(find()).stat()):
                    return
    raise UserError(f"{called} lacks a file, or is replaced again and again: take it once its run has ended")


def _link(source: Path, target: Path) -> None:
    """Another name for a file, which is never written in place; a copy where the disk is another."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
