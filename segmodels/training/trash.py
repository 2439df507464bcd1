"""Deleted runs, which can be had back for a while. Loads no Keras.

A run is deleted by one rename, into a folder of its own below `runs/.deleted/`; a small file in that says when and from
where. A run that lies on another disk stays there, hidden beside where it was. What is removed for good is renamed once
more before that, so that a run whose removal was cut off is not offered again; the next removal finishes it.
"""

from __future__ import annotations

import errno
import os
import re
import reprlib
import shutil
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmodels.errors import DiskFull, UserError
from segmodels.files import explain_disk_errors, read_json, write_json
from segmodels.training.runs import Run, is_run, runs_folder
from segmodels.training.tickets import hold

#: Seconds that a deleted run is kept.
KEPT_FOR = 7 * 86400
#: What says when a run was deleted, and from where.
RECORD = "deleted-from.json"
#: How the folder ends of what is removed for good.
GONE = ".gone"


@dataclass(frozen=True)
class Deleted:
    """A deleted run: its id, where it lies now, when it was deleted (seconds since 1970) and where it was before."""

    id: str
    path: Path
    when: float
    origin: Path


@dataclass(frozen=True)
class Removed:
    """How many runs were removed for good, and the bytes of disk that freed."""

    runs: int
    bytes: int


def trash_folder() -> Path:
    return runs_folder().resolve() / ".deleted"


def delete(run: Run) -> Deleted:
    """Take a run out of the list, and out of the queue; `restore` brings it back until it is removed for good, by
    `purge` or by a deletion a week later.

    Raises:
        UserError: a trainer is at work in it, it is no run, or it cannot be moved.
    """
    deleted = _put_away(run)
    with suppress(UserError, OSError):  # what is old is no concern of this run
        purge()
    return deleted


def remove(run: Run) -> Removed:
    """Remove a run for good, at once, also where the disk has no space left to put it away; raises as `delete` does."""
    try:
        container = _container(_put_away(run))
    except DiskFull:
        return _remove_where_it_is(run)
    with hold(trash_folder()):
        _condemn(container)
    return _finish()


def _remove_where_it_is(run: Run) -> Removed:
    run.give_up()
    hidden = run.path.with_name(f".{run.id}{GONE}")
    with run.lock():
        _rename(run.path, hidden)
    size = disk_size(hidden)
    _remove(hidden)
    return Removed(1, size)


def deleted() -> list[Deleted]:
    """What can be restored, the newest deletion first."""
    found = [entry for container in _containers() if (entry := _read(container))]
    return sorted(found, key=lambda entry: entry.when, reverse=True)


def restore(id: str) -> Run:
    """Bring back the run that was deleted last under this id.

    Raises:
        UserError: there is none, or something stands in its place.
    """
    with hold(trash_folder()):
        entry = next((entry for entry in deleted() if entry.id == id), None)
        if entry is None:
            raise UserError(
                f"there is no deleted run {reprlib.repr(id)}: `python -m segmodels runs restore` names them"
            )
        if os.path.lexists(entry.origin):
            raise UserError(f"{entry.origin} stands where run {id} was: move it away first")
        if not entry.origin.parent.is_dir():
            raise UserError(f"{entry.origin.parent}, where run {id} was, is gone: make that folder again first")
        _rename(entry.path, entry.origin)
        shutil.rmtree(_container(entry), ignore_errors=True)
    return Run(entry.origin)


def purge(older_than_seconds: float = KEPT_FOR) -> Removed:
    """Remove for good the runs that were deleted so many seconds ago or more; all of them with 0.

    Raises:
        UserError: something cannot be removed.
    """
    if not trash_folder().is_dir():
        return Removed(0, 0)
    before = time.time() - max(0.0, older_than_seconds)
    with hold(trash_folder()):
        for container in _containers():
            entry = _read(container)
            # None: what a deletion left that was cut off, or a run on a disk that is away now.
            if entry.when <= before if entry else not _is_away(container):
                _condemn(container)
    return _finish()


def _put_away(run: Run) -> Deleted:
    """Move a run to the deleted ones."""
    trash = trash_folder()
    if trash in run.path.parents:
        raise UserError(f"run {run.id} is deleted already")
    at_home = run.path.parent == trash.parent
    _check_there(run, at_home)
    run.give_up()
    with hold(trash):
        _check_there(run, at_home)  # before its lock, which would make the folder of a deleted run again
        return _move_in(run, at_home)


def _move_in(run: Run, at_home: bool) -> Deleted:
    trash = trash_folder()
    with run.lock():  # so that no trainer begins now
        container = trash / uuid.uuid4().hex
        record = {"id": run.id, "from": None if at_home else str(run.path), "when": time.time()}
        try:
            with explain_disk_errors(container):
                container.mkdir()
            with suppress(DiskFull):  # whoever deletes may want to make room; `_read` copes without
                write_json(container / RECORD, record)
            try:
                _rename(run.path, container / run.id)
            except OtherDisk:
                write_json(container / RECORD, record)  # without it nobody would find the run again
                _rename(run.path, _beside(run.path, container))
            entry = _read(container)
            assert entry is not None
        except BaseException:
            if not (container / run.id).exists() and run.path.exists():
                shutil.rmtree(container, ignore_errors=True)
            raise
        return entry


def _check_there(run: Run, at_home: bool) -> None:
    """Anybody's folder is left alone; one among the runs may be half a run."""
    half = at_home and run.id[0] != "." and any((run.path / name).exists() for name in ("recipe.json", "status.json"))
    if not (half or is_run(run.path)):
        raise UserError(f"there is no run {reprlib.repr(run.id)} any more")


class OtherDisk(Exception):
    """A rename that would have to copy."""


def _rename(source: Path, target: Path) -> None:
    with explain_disk_errors(source):
        try:
            source.rename(target)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise OtherDisk from None
            if error.errno in (errno.EBUSY, errno.EINVAL, errno.ENOENT, errno.ENOTEMPTY):
                raise UserError(f"{source} cannot be moved to {target}: {error.strerror}") from None
            raise


def _containers() -> list[Path]:
    """The folders with a deleted run each."""
    try:
        found = list(trash_folder().iterdir())
    except OSError:
        return []
    return [path for path in found if re.fullmatch(r"[0-9a-f]{32}", path.name) and _is_folder(path)]


def _container(entry: Deleted) -> Path:
    """The folder that a deleted run has among the deleted ones."""
    if entry.path.parent.parent == trash_folder():
        return entry.path.parent
    return trash_folder() / entry.path.name.removesuffix(".deleted").rpartition(".")[2]


def _beside(origin: Path, container: Path) -> Path:
    """Where a run lies that is deleted on another disk."""
    return origin.with_name(f".{origin.name}.{container.name.removesuffix(GONE)}.deleted")


def _read(container: Path) -> Deleted | None:
    """What a folder of the deleted ones holds; None where that is no run. A damaged record costs only its knowledge."""
    record = _record(container)
    origin = _origin(record)
    try:
        inside = [path for path in container.iterdir() if _is_folder(path)]
        now, changed = time.time(), container.stat().st_mtime
    except OSError:  # it was restored or removed meanwhile
        return None
    when: Any = record.get("when")
    when = float(min(when, now)) if type(when) in (int, float) and when > 0 else changed
    if inside:
        path = inside[0]
        origin = origin if origin and origin.name == path.name else trash_folder().parent / path.name
        return Deleted(path.name, path, when, origin)
    if origin and _is_folder(path := _beside(origin, container)):
        return Deleted(origin.name, path, when, origin)
    return None


def _record(container: Path) -> dict[str, Any]:
    with suppress(UserError):
        record = read_json(container / RECORD, limit=100_000)
        return record if isinstance(record, dict) else {}
    return {}


def _origin(record: dict[str, Any]) -> Path | None:
    """Where a run was that did not lie among the runs of the home."""
    said = record.get("from")
    return Path(said) if isinstance(said, str) and Path(said).is_absolute() and "\0" not in said else None


def _is_away(container: Path) -> bool:
    """Whether a record speaks of a place that is not there now: its disk may be back another day."""
    origin = _origin(_record(container))
    return origin is not None and not os.path.lexists(origin)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _condemn(container: Path) -> None:
    """Mark for removal; from here on nobody is offered it any more."""
    with suppress(FileNotFoundError), explain_disk_errors(container):
        container.rename(container.with_name(container.name + GONE))


def _finish() -> Removed:
    """Remove what is marked."""
    runs = freed = 0
    for gone in filter(_is_folder, trash_folder().glob(f"*{GONE}")):
        entry = _read(gone)
        size = disk_size(entry.path) if entry else 0
        for path in ([entry.path] if entry else []) + [gone]:
            _remove(path)
        runs, freed = runs + (entry is not None), freed + size
    return Removed(runs, freed)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:  # somebody else removes it as well
        shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be removed: {error.strerror or error}") from None


def disk_size(folder: Path) -> int:
    """The bytes of disk that removing a folder frees: without files that have another name elsewhere."""
    total, links = 0, Counter[tuple[int, int]]()
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                state = (Path(place) / name).lstat()
                links[state.st_dev, state.st_ino] += 1
                if links[state.st_dev, state.st_ino] == state.st_nlink:
                    total += getattr(state, "st_blocks", -(-state.st_size // 512)) * 512
    return total
