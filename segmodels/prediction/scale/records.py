"""What is done of a prediction, beside its results: one small file a picture, written last.

A call that was cut off is so taken up again: a picture is done when the record of exactly what is asked for is there,
and its results are as they were when it was written.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from segmodels.data.disk import locked
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, sweep, write_json

#: The folder of the records in that of the results.
FOLDER = ".predicted"


class Records:
    """The records of a folder of results. Several processes may write, of different pictures."""

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out / FOLDER

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Keep other calls out for the block, and remove what killed ones left half-written.

        Raises:
            UserError: another call writes there at this moment, or nothing can be written.
        """

        def refuse() -> None:
            raise UserError(f"another prediction writes to {self.out} at this moment: name another folder, or wait")

        with explain_disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock", refuse):
            self._clear()
            try:
                yield
            finally:
                self._clear()

    def _clear(self) -> None:
        sweep(self.out)
        sweep(self.folder)
        for tries in self.folder.glob("*.tries"):
            tries.unlink(missing_ok=True)

    def row(self, name: str, key: str) -> dict[str, Any] | None:
        """The row of a picture that is done, its files by their names; None where it is not."""
        try:
            record = json.loads(self._file(name, "json").read_text(encoding="utf-8"))
            if record["key"] != key or any(self._look(file) != state for file, state in record["files"].items()):
                return None
            return {**record["row"], "files": list(record["files"])}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # damaged is as good as none
            return None

    def keep(self, name: str, key: str, row: dict[str, Any]) -> None:
        """Note a picture as done; `row` has its files by their names. Raises `UserError` over a disk."""
        files = {file: self._look(file) for file in row["files"]}
        write_json(self._file(name, "json"), {"key": key, "files": files, "row": {**row, "files": []}})

    def begin(self, name: str) -> int:
        """Note that a picture is tried; how often it was begun and not ended, this time with it."""
        file, times = self._file(name, "tries"), 0
        with suppress(OSError, ValueError):
            times = int(file.read_text())
        with explain_disk_errors(file):
            file.write_text(str(times + 1))
        return times + 1

    def end(self, name: str) -> None:
        """Note that a try has come to an end, whichever."""
        self._file(name, "tries").unlink(missing_ok=True)

    def _look(self, file: str) -> list[int]:
        state = (self.out / file).stat()
        return [state.st_size, state.st_mtime_ns]

    def _file(self, name: str, ending: str) -> Path:
        """By the name without its suffix and case, as two pictures never have it in common."""
        stem = unicodedata.normalize("NFC", PurePosixPath(name).stem).casefold()
        digest = hashlib.blake2b(stem.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
        return self.folder / f"{digest}.{ending}"
