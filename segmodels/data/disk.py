"""Long work on the disk: it tells how far it is, can be stopped, keeps other processes out and leaves some space."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from segmodels.data.dataset import Progress
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors

#: Asked often; once it returns True the work ends with `Stopped`.
Stop = Callable[[], bool]

#: Bytes left free on a disk, so that a download is not what fills it to the brim.
RESERVE = 64 << 20


class Stopped(UserError):
    """The work was ended by its `stop`, not by a mistake; doing it again goes on from what is there."""


class Report:
    """`progress` and `stop` as one thing to pass on and to call often."""

    def __init__(self, progress: Progress | None, stop: Stop | None) -> None:
        self._progress = progress
        self._stop = stop
        self._what = ""
        self._at = 0.0

    def __call__(self, done: int, total: int, what: str) -> None:
        """Tell `progress`, ten times a second and at each change of work. Raises `Stopped` where `stop` says so."""
        now = time.monotonic()
        if self._progress is not None and (what != self._what or done >= total or now - self._at >= 0.1):
            self._what, self._at = what, now
            self._progress(done, total, what)
        if self._stop is not None and self._stop():
            raise Stopped(f"stopped while {what}; the archives are kept")


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path`, which the operating system frees when a process dies.

    While another process or thread holds it, `waiting` is called ten times a second; what that raises ends the wait.
    Raises `UserError` where the place cannot be written.
    """
    lock = filelock.FileLock(path)
    with explain_disk_errors(path):
        while not lock.is_locked:
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout:
                waiting()
                time.sleep(0.1)
    try:
        yield
    finally:
        lock.release()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises `UserError` where a file is in the way or nothing may be written."""
    with explain_disk_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UserError(f"{folder} cannot be made: a file is in its way") from None


def need_space(folder: Path, size: int) -> None:
    """Raise `UserError` unless `size` bytes fit on the disk of `folder`, an existing one, with a little to spare."""
    free = shutil.disk_usage(folder).free
    if free < size + RESERVE:
        raise UserError(
            f"{megabytes(size + RESERVE)} are needed on the disk of {folder} but {megabytes(free)} are free: "
            "free some, or set SEGMODELS_HOME elsewhere"
        )


def size_of(path: Path) -> int:
    """The bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def megabytes(size: int) -> str:
    """ "791.9 MB" of 791918971."""
    return f"{size / 1e6:,.1f} MB"
