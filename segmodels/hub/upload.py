"""The files of one commit, sent to the Hub one after the other."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmodels.errors import UserError
from segmodels.hub.repository import HubRepository

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, CommitOperationAdd


class Overtaken(UserError):
    """Somebody else's commit came first."""


def sizes_of(folder: Path) -> dict[str, int]:
    """The files of a folder by their path in it, the smallest first: what is cut off later is the large one alone."""
    found = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return dict(sorted(found.items(), key=lambda each: (each[1], each[0])))


def commit(
    hub: HubRepository,
    folder: Path,
    sizes: Mapping[str, int],
    gone: Sequence[str],
    *,
    parent: str,
    message: str,
    pull_request: bool = False,
) -> CommitInfo:
    """Send files, then the commit that names them all and deletes others.

    Args:
        folder: where the files are.
        sizes: of the files by their paths, in the folder and in the repository; they are sent in this order.
        gone: paths to delete.
        parent: the commit that the branch must be at.
        message: of the commit.
        pull_request: propose it instead of making it.

    Raises:
        UserError: the Hub does not take a file or the commit; `Overtaken` where the branch has moved.
        Stopped: by the report of `hub`.
    """
    from huggingface_hub import CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

    total, done = sum(sizes.values()), 0
    what = f"sending {hub.repository}"
    where: dict[str, Any] = {"repo_id": hub.repository, "revision": hub.revision, "create_pr": pull_request}
    additions = []
    with hub.explained(), _silent_bars():
        for path, size in sizes.items():
            hub.report(done, total, what)

            def hear(sent: int, before: int = done) -> None:
                hub.report(min(before + sent, total - 1), total, what)  # the commit is still to come

            addition = _heard_addition(path, folder / path, hear)
            with _unwrapped(f"{hub.name}: {path}"):
                hub.api.preupload_lfs_files(additions=[addition], num_threads=1, free_memory=False, **where)
            if getattr(addition, "_should_ignore", False):
                raise UserError(f"{hub.repository} has a .gitignore that leaves out {path}: delete that line there")
            additions.append(addition)
            done += size
        hub.report(max(total - 1, 0), total, what)
        try:
            made = hub.api.create_commit(
                operations=[*additions, *(CommitOperationDelete(path) for path in gone)],
                commit_message=message,
                parent_commit=parent,
                **where,
            )
        except HfHubHTTPError as error:
            if error.response.status_code in (409, 412):
                raise Overtaken(f"{hub.repository} was changed by someone meanwhile: push again") from None
            raise
    hub.report(total, total, what)
    return made


def _heard_addition(path: str, file: Path, hear: Callable[[int], None]) -> CommitOperationAdd:
    """A file to commit; `hear` gets how many of its bytes have been read to be sent, and may raise.

    Where huggingface_hub sends over Xet, `hf_xet` reads the file itself, and nothing is heard.
    """
    from huggingface_hub import CommitOperationAdd

    class Heard(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            content = super().read(size)
            hear(self.tell())
            return content

    class HeardAddition(CommitOperationAdd):
        @contextlib.contextmanager
        def as_file(self, with_tqdm: bool = False) -> Iterator[Any]:
            if with_tqdm:  # only so where it is sent
                with Heard(io.FileIO(file)) as heard:
                    yield heard
            else:
                with file.open("rb") as plain:
                    yield plain

    return HeardAddition(path_in_repo=path, path_or_fileobj=str(file))


@contextlib.contextmanager
def _silent_bars() -> Iterator[None]:
    """Let huggingface_hub draw no bars of its own, unless the user asks for them in the environment."""
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars

    with contextlib.nullcontext() if constants.HF_HUB_DISABLE_PROGRESS_BARS is False else disable_progress_bars():
        yield


@contextlib.contextmanager
def _unwrapped(what: str) -> Iterator[None]:
    """What huggingface_hub wraps a failed upload in says only of which file it was; `hf_xet` has errors of its own."""
    try:
        yield
    except RuntimeError as error:
        if error.__cause__ is not None:
            raise error.__cause__ from None
        raise UserError(f"{what} cannot be sent ({' '.join(str(error).split())[:160]}); try again") from None
