"""What has to be read of every annotation file when a folder is opened, such as its labels: read once, then kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from segmodels.errors import UserError
from segmodels.files import read_json, state_of, write_json
from segmodels.home import home


def read_once(
    files: Sequence[Path], read: Callable[[Path], Any], *, kind: str
) -> tuple[dict[Path, Any], dict[Path, str]]:
    """Ask `read` about each file, or find the answers in `home()/cache/classes`.

    Args:
        files: asked anew, all of them, once a path, size or time of these changes.
        read: gives what JSON can hold, or raises `UserError`.
        kind: tells apart several ways to read the same files, and their versions.

    Returns:
        the answers by file, and what is wrong with each file that has none.
    """
    path = home() / "cache" / "classes" / f"{kind}-{state_of(files)}.json"
    kept = _kept(path, len(files))
    if kept is None:
        kept = []
        for file in files:
            try:
                kept.append([read(file), None])
            except UserError as error:
                kept.append([None, str(error)])
        write_json(path, kept)
    answers = dict(zip(files, kept, strict=True))
    return (
        {file: answer for file, (answer, wrong) in answers.items() if wrong is None},
        {file: str(wrong) for file, (_, wrong) in answers.items() if wrong is not None},
    )


def _kept(path: Path, count: int) -> list[list[Any]] | None:
    """Earlier answers; None where there are none, or damaged ones."""
    if not path.is_file():
        return None
    try:
        kept = read_json(path, limit=1_000_000_000)
    except UserError:
        return None
    whole = isinstance(kept, list) and len(kept) == count
    return kept if whole and all(isinstance(entry, list) and len(entry) == 2 for entry in kept) else None
