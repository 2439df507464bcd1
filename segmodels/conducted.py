"""Work of many runs that one process conducts, such as a comparison: its folder, its state, and who may write it. Loads
no Keras.

The app, the command line and the process that conducts it meet only in its files, as with runs.
"""

from __future__ import annotations

import re
import reprlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json, write_json
from segmodels.training.tickets import START_GRACE, holding, is_held

STATUS, REQUEST = "status.json", "request.json"
#: A name that is no path.
PLAIN_NAME = re.compile(r"[\w.+-]+")
#: States while a process is at work on it.
ALIVE = ("starting", "running")


class Conducted:
    """The folder of such work. Anyone may read; only who holds the lock writes results.

    Attributes:
        KIND: what it is called in a message.
        FILE: the file that makes the folder one of these.
        path: the folder.
    """

    KIND = ""
    FILE = ""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @property
    def id(self) -> str:
        return self.path.name

    @classmethod
    def folder(cls) -> Path:
        """Where all of the kind lie."""
        raise NotImplementedError

    @classmethod
    def listed(cls) -> list[Self]:
        """Those of the home, newest first; damaged ones are left out."""
        folder, found = cls.folder(), []
        for path in sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []:
            with suppress(UserError):
                if path.name[0] != "." and (path / cls.FILE).is_file():
                    found.append(cls(path))
        return found

    @classmethod
    def found(cls, name: str) -> Self:
        """By its id, or its folder; `UserError` where there is none."""
        places = [cls.folder() / name] if PLAIN_NAME.fullmatch(name) else []
        for path in [*places, Path(name).expanduser()]:
            with suppress(OSError, ValueError):
                if (path / cls.FILE).is_file():
                    return cls(path)
        verb = f"`python -m segmodels {cls.folder().name} list` names them"
        raise UserError(f"there is no {cls.KIND} {reprlib.repr(name)}: {verb}")

    def check_there(self) -> None:
        """`UserError` where it was deleted: its folder is not made again."""
        if not (self.path / self.FILE).is_file():
            raise UserError(f"there is no {self.KIND} {self.id} any more")

    def status(self) -> dict[str, Any]:
        """state ("starting", "running", "finished", "stopped" or "interrupted"), phase, error."""
        status = document_of(self.path / STATUS)
        if not isinstance(status.get("state"), str):
            status = {"state": "interrupted"}
        if status["state"] in ALIVE and not self.locked():
            began = status.get("heartbeat")
            fresh = isinstance(began, int | float) and 0 <= time.time() - began < START_GRACE
            if status["state"] == "running" or not fresh:
                again = document_of(self.path / STATUS)  # it may have ended between the two looks
                status = {**again, "state": "interrupted"} if again.get("state", "running") in ALIVE else again
        return status

    @property
    def state(self) -> str:
        return self.status()["state"]

    def write_status(self, **fields: Any) -> None:
        """Replace `status.json`; `UserError` where it was deleted."""
        self.check_there()
        write_json(self.path / STATUS, {**fields, "heartbeat": time.time()}, make_folder=False)

    def request_stop(self) -> None:
        """Ask who conducts it to end: its runs are paused. `UserError` where nobody is at work."""
        if (state := self.state) not in ALIVE:
            raise UserError(f"{self.KIND} {self.id} is {state}: there is nothing to stop")
        write_json(self.path / REQUEST, {"request": "stop"}, make_folder=False)

    def take_request(self) -> bool:
        """Whether it was asked to end, once."""
        try:
            (self.path / REQUEST).unlink()
            return True
        except OSError:
            return False

    def wait(self, seconds: float) -> str:
        """Wait until no process is at work on it, `seconds` at most; returns its state then."""
        end = time.monotonic() + seconds
        while self.state in ALIVE and time.monotonic() < end:
            time.sleep(0.2)
        return self.state

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Conduct it in this process; `UserError` where another does."""
        self.check_there()
        with holding(self.path, f"{self.KIND} {self.id} is conducted by another process already"):
            yield

    def locked(self) -> bool:
        return is_held(self.path / "lock")

    def delete(self) -> None:
        """Remove it; its runs stay. `UserError` while a process is at work on it."""
        if self.state in ALIVE:
            raise UserError(f"{self.KIND} {self.id} is at work: stop it first")
        if self.path.parent != self.folder().resolve():
            raise UserError(
                f"{self.path} is not among the {self.folder().name} of this home: remove the folder yourself"
            )
        with explain_disk_errors(self.path):
            shutil.rmtree(self.path)


def document_of(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty where it is missing or damaged."""
    with suppress(UserError):
        found = read_json(path)
        return found if isinstance(found, dict) else {}
    return {}
