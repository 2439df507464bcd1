"""The models that were pulled from the Hub and are kept: found, listed and deleted without a network, without Keras.

A commit is a checkpoint directory, `home()/models/owner--name/COMMIT/`, with `pulled.json` beside its files;
`revisions.json` above it says which commit each branch or tag was when it was pulled last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmodels.data.disk import locked, make_folder, size_of
from segmodels.errors import UserError
from segmodels.files import read_json, remove_folder, sweep
from segmodels.home import home
from segmodels.hub.checkpoint import SPEC
from segmodels.hub.names import COMMIT, ModelName, parse_model
from segmodels.hub.repository import noted_commits

#: What a pull notes beside the files: repository, commit, when, and size and SHA-256 of every file.
RECORD = "pulled.json"
#: No time is later, in seconds since 1970: the calendar of some machines ends there, in the year 3001.
LATEST = 32_503_680_000


@dataclass(frozen=True)
class Pulled:
    """A commit of a model that is kept.

    Attributes:
        name: of its repository, `owner/name`.
        revisions: the branches and tags that were this commit when they were pulled last.
        path: the checkpoint directory.
        pulled: when, in seconds since 1970.
        size: of its files, in bytes.
    """

    name: str
    commit: str
    revisions: tuple[str, ...]
    path: Path
    pulled: float
    size: int

    def __str__(self) -> str:
        """The shortest name that finds it."""
        revision = "main" if "main" in self.revisions else next(iter(self.revisions), self.commit)
        return str(parse_model(self.name, revision))


def models_folder() -> Path:
    return home() / "models"


def repository_folder(name: ModelName) -> Path:
    """Where the commits of a repository are kept."""
    return models_folder() / f"{name.owner}--{name.name}"


def pulled_models() -> list[Pulled]:
    """All that are kept, those pulled last first."""
    found = [_read(path.parent) for path in models_folder().glob(f"[!.]*/[!.]*/{RECORD}")]
    return sorted((each for each in found if each), key=lambda each: each.pulled, reverse=True)


def find_pulled(name: ModelName) -> Pulled | None:
    """The commit that is kept of a revision, as it was when it was pulled last."""
    base = repository_folder(name)
    with suppress(UserError):  # a damaged note: then it is pulled anew
        commit = noted_commits(base).get(name.revision, name.revision)
        if COMMIT.fullmatch(commit):
            return _read(base / commit)
    return None


def delete_pulled(text: str) -> list[Pulled]:
    """Remove a model from the disk: of `owner/name` all that is kept, of `owner/name@revision` one commit.

    Returns what was removed; of what an unfinished pull left nothing is said. Raises `UserError` where nothing of the
    kind is kept, or it is being pulled.
    """
    name = parse_model(text)
    base, one = repository_folder(name), "@" in text

    def busy() -> None:
        raise UserError(f"{text} is being pulled or deleted just now: wait for that, or stop it")

    make_folder(models_folder())
    with repository_lock(name, busy):
        if one:
            kept = find_pulled(name)
            doomed = [kept] if kept else []
        else:
            doomed = [each for each in pulled_models() if each.name == name.repository]
        if not doomed and (one or not base.is_dir()):
            raise UserError(f"nothing is kept of {text}: `python -m segmodels cache list` names what is")
        for each in doomed:
            remove_folder(each.path)
        if not one or not any(base.glob(f"[!.]*/{RECORD}")):
            remove_folder(base)  # with what an unfinished pull left
    return doomed


@contextmanager
def repository_lock(name: ModelName, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold what is kept of a repository for the block, as `locked` does, and remove what killed processes left there.
    The folder of models is there already."""
    base = repository_folder(name)
    with locked(base.with_name(f".{base.name}.lock"), waiting):  # beside it: it may be removed
        sweep(base)
        sweep(base.parent, base.name)
        yield


def _read(folder: Path) -> Pulled | None:
    """A folder as its record says it is; None where that is missing, damaged, or of another place."""
    try:
        record: Any = read_json(folder / RECORD, limit=1_000_000)
        name, commit, pulled = parse_model(record["name"]), str(record["commit"]), float(record["pulled"])
        sizes = {str(path): int(file["size"]) for path, file in record["files"].items()}
        noted = noted_commits(folder.parent)
    except (UserError, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    if not 0 <= pulled < LATEST:  # nor NaN
        return None
    whole = all(size_of(folder / path) == size for path, size in sizes.items())
    if not whole or SPEC not in sizes or folder != repository_folder(name) / commit:
        return None
    revisions = tuple(sorted(revision for revision, of in noted.items() if of == commit))
    return Pulled(name.repository, commit, revisions, folder, pulled, sum(sizes.values()))
