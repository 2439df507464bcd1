"""One repository of the Hugging Face Hub, and its files, brought at a fixed commit.

`HF_TOKEN`, `HF_HOME`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` keep their meaning.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segmodels.data.archive import Refused, check_name
from segmodels.data.bars import heard_bar
from segmodels.data.disk import Report, Stopped, make_folder, need_space
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json, write_json
from segmodels.hub.names import COMMIT

#: A repository with more files is refused.
MAX_FILES = 200_000

#: Files brought at once.
CONNECTIONS = 8

#: What a repository holds, and what a person calls it.
Kind = Literal["dataset", "model"]
_KINDS: dict[Kind, str] = {"dataset": "data set", "model": "model"}


#: What some answers of the Hub mean, by their HTTP status.
_ANSWERS = {
    401: "does not accept the token: make a new one in your settings there and set HF_TOKEN",
    403: "does not let this token do that: it needs the right to write here, see your settings there",
}


class Unreachable(UserError):
    """The Hub does not answer, or is not to be asked."""


@dataclass(frozen=True)
class Listed:
    """A file as a commit lists it.

    Attributes:
        size: in bytes.
        sha256: of its content, where it is kept as a large file; else None.
        git: the name that git gives to its content, where it is kept in git itself; else None.
    """

    size: int
    sha256: str | None = None
    git: str | None = None

    def is_of(self, path: Path) -> bool:
        """Whether a file has the very bytes that are listed."""
        if path.stat().st_size != self.size:
            return False
        if self.sha256 is not None:
            return sha256_of(path) == self.sha256
        content = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == self.git


def sha256_of(path: Path) -> str:
    """The digest of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HubRepository:
    """A repository, asked for at the Hub. Whatever goes wrong is one line that begins with its name."""

    def __init__(
        self,
        repository: str,
        revision: str,
        name: str,
        endpoint: str | None,
        report: Report,
        *,
        kind: Kind = "dataset",
        token: str | None = None,
    ) -> None:
        """`repository` is `owner/name`; `name` is what a person called it; `endpoint` is `HF_ENDPOINT` and `token` that
        of `HF_TOKEN` or of the login of huggingface_hub where None."""
        from huggingface_hub import HfApi, constants

        self.repository, self.revision, self.name, self.report = repository, revision, name, report
        self.kind: Kind = kind
        self.api = HfApi(endpoint=endpoint, token=token, library_name="segmodels")
        self.page = f"{self.api.endpoint}/{'datasets/' if kind == 'dataset' else ''}{repository}"
        self.cache = Path(constants.HF_HUB_CACHE)

    def resolved(self) -> tuple[str, str]:
        """The commit of the revision, and the licence."""
        with self.explained():
            ask: Any = self.api.dataset_info if self.kind == "dataset" else self.api.model_info
            about = ask(self.repository, revision=self.revision, expand=["sha", "cardData"], timeout=30)
        if not isinstance(about.sha, str) or not COMMIT.fullmatch(about.sha):
            raise UserError(f"{self.name}: the Hub names no commit of it; try again later")
        licence = getattr(about.card_data, "license", None)
        return about.sha, " ".join(str(licence).split())[:100] if licence else f"see {self.page}"

    def listed(self, commit: str) -> dict[str, int]:
        """The files of the commit and their sizes, sorted by path; hidden ones are left out."""
        return {path: file.size for path, file in self.files(commit).items()}

    def files(self, commit: str, below: str | None = None) -> dict[str, Listed]:
        """The files of the commit, sorted by path; hidden ones are left out. Those `below` a folder alone, where it is
        given; none where there is no such folder."""
        from huggingface_hub import errors

        found: dict[str, Listed] = {}
        with self.explained(), contextlib.suppress(*([errors.RemoteEntryNotFoundError] if below else [])):
            entries = self.api.list_repo_tree(
                self.repository, below, recursive=True, revision=commit, repo_type=self.kind
            )
            for count, entry in enumerate(entries):
                if count >= 2 * MAX_FILES or len(found) >= MAX_FILES:
                    raise UserError(f"{self.name} has more than the {MAX_FILES:,} files allowed")
                self.report(0, 1, f"asking for {self.repository}")
                size, path = getattr(entry, "size", None), entry.path
                if size is None:
                    continue  # a folder
                try:
                    check_name(path)
                except Refused as error:
                    raise UserError(f"{self.name}: {error}; refused") from None
                if type(size) is not int or size < 0:
                    raise UserError(f"{self.name}: {path} claims a size of {str(size)[:40]}; refused")
                if not any(part.startswith(".") for part in path.split("/")):
                    large = getattr(entry, "lfs", None)
                    found[path] = (
                        Listed(size, large.sha256) if large else Listed(size, git=getattr(entry, "blob_id", None))
                    )
        return dict(sorted(found.items()))

    def brought(self, commit: str, files: Mapping[str, int], folder: Path) -> dict[str, Path]:
        """Where the files are in the cache, several brought at once; those already there are not asked for.

        `folder` is where they will be written to: space for both is asked for first. A file that is longer than listed
        is not taken.
        """
        from huggingface_hub import try_to_load_from_cache

        found: dict[str, Path] = {}
        for path in files:
            known = try_to_load_from_cache(
                self.repository, path, cache_dir=self.cache, revision=commit, repo_type=self.kind
            )
            if isinstance(known, str):
                found[path] = Path(known)
        make_folder(self.cache)
        to_come, total = sum(size for path, size in files.items() if path not in found), sum(files.values())
        one_disk = self.cache.stat().st_dev == folder.stat().st_dev
        need_space(folder, total + (to_come if one_disk else 0))
        need_space(self.cache, to_come)
        return self._all_brought(commit, files, found, None)

    def brought_into(
        self, commit: str, files: Mapping[str, Listed], folder: Path, named: Callable[[str], str] | None = None
    ) -> None:
        """Write the files into a folder, past the cache, and compare each with what is listed.

        Args:
            named: what a message calls a path; by default the repository and the path.

        Raises:
            UserError: beside what a download raises, a file that is longer than listed, or another.
        """
        sizes = {path: file.size for path, file in files.items()}
        make_folder(folder)
        need_space(folder, sum(sizes.values()))
        self._all_brought(commit, sizes, {}, folder)
        for path, file in files.items():
            if not file.is_of(folder / path):
                what = named(path) if named else f"{self.name}: {path}"
                raise UserError(f"{what} is not what its commit lists: try again, or ask its owner")

    def _all_brought(
        self, commit: str, files: Mapping[str, int], found: dict[str, Path], into: Path | None
    ) -> dict[str, Path]:
        missing = [path for path in files if path not in found]
        to_come, total = sum(files[path] for path in missing), sum(files.values())
        count = _Count(total - to_come, total, f"downloading {self.repository}", self.report)
        pool = ThreadPoolExecutor(CONNECTIONS)
        try:
            waiting = {pool.submit(self._bring, commit, path, files[path], count, into): path for path in missing}
            for done in as_completed(waiting):
                found[waiting[done]] = done.result()
        finally:
            count.ended = True  # the others stop at their next bytes
            pool.shutdown(wait=True, cancel_futures=True)
        return {path: found[path] for path in files}

    def _bring(self, commit: str, path: str, size: int, count: _Count, into: Path | None) -> Path:
        from huggingface_hub import hf_hub_download

        def hear(done: int, _: int, __: str) -> None:
            if done > size:
                raise UserError(f"{self.name}: {path} is larger than the {size:,} bytes listed; refused")
            count(path, done)

        with explain_disk_errors(into or self.cache), self.explained():
            found = Path(
                hf_hub_download(
                    self.repository, path, repo_type=self.kind, revision=commit, endpoint=self.api.endpoint,
                    cache_dir=self.cache, local_dir=into, tqdm_class=heard_bar(hear), token=self.api.token,
                    library_name="segmodels",
                )
            )  # fmt: skip
            if found.stat().st_size != size:
                raise UserError(f"{self.name}: {path} has {found.stat().st_size:,} bytes, not the {size:,} listed")
        count(path, size)
        return found

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Make one line of what huggingface_hub and its connections raise."""
        from huggingface_hub import errors

        name, page = self.name, self.page
        try:
            yield
        except UserError:
            raise
        except errors.GatedRepoError:
            problem = f"gated; ask for access at {page}, then set HF_TOKEN"
        except errors.DisabledRepoError:
            problem = "disabled by the Hub; choose another"
        except errors.RevisionNotFoundError:
            problem = f"there is no revision {self.revision!r}; leave it out, or see {page}"
        except errors.RepositoryNotFoundError:
            problem = f"no such {_KINDS[self.kind]}, or a private one; see {page}, or set HF_TOKEN"
        except errors.RemoteEntryNotFoundError:
            problem = f"a file that is listed is not there; see {page}"
        except errors.OfflineModeIsEnabled:
            raise Unreachable(
                f"{name}: the Hub is not asked while HF_HUB_OFFLINE is set; unset it and try again"
            ) from None
        except errors.LocalEntryNotFoundError:
            raise Unreachable(f"{name}: {page} cannot be reached; check the connection and try again") from None
        except errors.HfHubHTTPError as error:
            status = error.response.status_code
            problem = f"{page} {_ANSWERS.get(status, f'answers with HTTP {status}; try again later')}"
        except errors.HTTPError as error:  # of the library below: no connection, no answer in time
            problem = f"{page} cannot be reached ({_one_line(error)}); check the connection and try again"
            raise Unreachable(f"{name}: {problem}") from None
        except OSError as error:
            if error.errno:  # a full disk and the like
                raise
            problem = f"a file arrived damaged ({_one_line(error)}); try again"
        except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
            problem = f"the answer of {page} is not understood ({_one_line(error)}); try again later"
        else:
            return
        raise UserError(f"{name}: {problem}")


class _Count:
    """The bytes of several files on their way, told as one; it may be called from several threads."""

    def __init__(self, before: int, total: int, what: str, report: Report) -> None:
        self.before, self.total, self.what, self.report = before, total, what, report
        self.ended = False
        self._came: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, path: str, done: int) -> None:
        with self._lock:
            if self.ended:
                raise Stopped(f"stopped while {self.what}")
            self._came[path] = done
            self.report(self.before + sum(self._came.values()), self.total, self.what)


def noted_commits(base: Path) -> dict[str, str]:
    """The commit that each revision of a repository was when it was brought last; `base` is where its commits are."""
    path = base / "revisions.json"
    noted = read_json(path) if path.is_file() else {}
    return noted if isinstance(noted, dict) and all(isinstance(commit, str) for commit in noted.values()) else {}


def note_commit(base: Path, revision: str, commit: str) -> None:
    """Note which commit a revision is now; for who holds the lock on `base`."""
    if not COMMIT.fullmatch(revision):
        write_json(base / "revisions.json", {**noted_commits(base), revision: commit})


def _one_line(error: Any) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
