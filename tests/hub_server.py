"""A Hugging Face Hub on this machine: repositories of data sets and models, uploads to them, and lies about them.

`serving_hub()` is the way in. What is asked for with POST and PUT is in `hub_writing`; here is what is read. Xet is
never offered: huggingface_hub downloads over it only what a server names a Xet hash for, but uploads over it wherever
`hf_xet` is installed, so `serving_hub` sets HF_HUB_DISABLE_XET for this process and those it starts.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest

from segmodels.hub.contents import most_bytes
from tests.hub_writing import CHUNK, Writing, git_sha1, is_large, sha256


@dataclass
class Hub:
    """What the server has; `commit` adds to it. Every request is noted as "METHOD path".

    A name is "owner/name" for data sets and "models/owner/name" for models.
    """

    url: str = ""
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)  # the commit of "NAME@revision"
    pushes: list[dict[str, Any]] = field(default_factory=list)  # the commits that came by the API, first to last
    objects: dict[str, bytes] = field(default_factory=dict)  # uploaded as LFS, by SHA-256
    large: set[str] = field(default_factory=set)  # SHA-256 of what is kept as LFS in some model
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)  # of objects still on their way
    card: dict[str, Any] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    received: Counter[str] = field(default_factory=Counter)  # bytes of uploaded files, by path or SHA-256
    sent: Counter[str] = field(default_factory=Counter)  # bytes of files, by path

    # Who may do what. Without tokens everybody may read, and any token writes.
    tokens: dict[str, str] = field(default_factory=dict)  # "read" or "write"
    private: set[str] = field(default_factory=set)  # names that need a token
    foreign: set[str] = field(default_factory=set)  # names that no token may write to
    gated: bool = False

    # Faults.
    status: int | None = None  # answered to everything
    listed: list[dict[str, Any]] = field(default_factory=list)  # entries that are listed beside the true ones
    sizes: dict[str, int] = field(default_factory=dict)  # sizes listed instead of the true ones, by path
    hashes: dict[str, str] = field(default_factory=dict)  # SHA-256 listed instead of the true ones, by path
    commit_named: Any = None  # instead of the true one
    cuts: dict[str, int] = field(default_factory=dict)  # how often a download of the path ends half-way; -1 is always
    damaged: set[str] = field(default_factory=set)  # paths whose bytes come wrong, as many as promised
    seconds: float = 0  # slept before each 64 KiB, both ways
    refuse_after: int | None = None  # the bytes of large files received in all, after which uploads are cut off
    part_size: int | None = None  # large files are uploaded in parts of this many bytes

    def __post_init__(self) -> None:
        self.lock = threading.RLock()

    def commit(
        self,
        repository: str,
        files: dict[str, bytes],
        revision: str = "main",
        kind: Literal["dataset", "model"] = "dataset",
    ) -> str:
        """Make these files what `revision` of a repository is now; returns the commit."""
        name = repository if kind == "dataset" else f"models/{repository}"
        if kind == "model":
            self.large |= {
                sha256(content) for path, content in files.items() if is_large(path, content[:512], len(content))
            }
        return self.put(name, files, revision)

    def put(self, name: str, files: dict[str, bytes], revision: str, about: object = None) -> str:
        sha = hashlib.sha1(repr((name, sorted(files.items()), *([about] if about else []))).encode()).hexdigest()
        self.commits[sha] = files
        self.refs[f"{name}@{revision}"] = self.refs[f"{name}@{sha}"] = sha
        return sha

    def head(self, repository: str, revision: str = "main") -> str:
        """The commit of a model's revision."""
        return self.refs[f"models/{repository}@{revision}"]

    def files(self, repository: str, revision: str = "main") -> dict[str, bytes]:
        """The files of a model."""
        return self.commits[self.head(repository, revision)]

    def known(self, name: str) -> bool:
        return any(ref.startswith(f"{name}@") for ref in list(self.refs))

    def asked(self, part: str) -> int:
        """How many requests have `part` in them."""
        return sum(part in request for request in self.requests)


class Handler(Writing):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, parts = self.hub, self.asked_for()
        if hub.status:
            return self.answer(hub.status)
        if not self.token_is_good():
            return self.refuse_credentials()
        if parts == ["api", "whoami-v2"]:
            if not self.token():
                return self.answer(401, {"X-Error-Message": "Invalid username or password."})
            about = {"type": "user", "name": "someone", "auth": {"accessToken": {"role": self.role()}}, "orgs": []}
            return self.answer(200, body=json.dumps(about).encode())
        name, verb, revision, path = self.place(parts)
        if not self.may_see(name):
            return self.refuse_repository()
        if hub.gated:
            return self.answer(403, {"X-Error-Code": "GatedRepo"})
        if verb == "refs":
            return self.answer(200, body=json.dumps(self.references(name)).encode())
        sha = hub.refs.get(f"{name}@{revision or 'main'}")
        if sha is None:
            return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
        files = hub.commits[sha]
        if verb == "tree" and path:
            files = {name: content for name, content in files.items() if name.startswith(f"{path}/")}
            if not files:
                return self.answer(404, {"X-Error-Code": "EntryNotFound"})
        if verb == "tree":
            return self.answer(200, body=json.dumps(self.tree(files) + hub.listed).encode())
        if verb == "resolve":
            return self.resolve(sha, files, path)
        about = {
            "id": name.removeprefix("models/"),
            "sha": hub.commit_named or sha,
            "private": name in hub.private,
            "cardData": hub.card,
            "siblings": [{"rfilename": path} for path in files],
        }
        return self.answer(200, body=json.dumps(about).encode())

    def resolve(self, sha: str, files: dict[str, bytes], path: str) -> None:
        hub = self.hub
        if path not in files:
            return self.answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
        content = files[path]
        digest = sha256(content) if sha256(content) in hub.large else git_sha1(content)
        headers = {"X-Repo-Commit": sha, "ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        if path in hub.damaged:
            content = bytes(byte ^ 1 for byte in content)
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, stop = int(asked[1]), int(asked[2] or len(content) - 1) + 1
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            return self.answer(206, headers, content[start:stop], path)
        return self.answer(200, headers, content, path)

    def references(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {"branches": [], "tags": [], "converts": [], "pullRequests": []}
        for key, sha in self.hub.refs.items():
            revision = key.removeprefix(f"{name}@")
            if revision in (key, sha):
                continue
            pull = revision.startswith("refs/pr/")
            about = {"name": revision, "ref": revision if pull else f"refs/heads/{revision}", "targetCommit": sha}
            found["pullRequests" if pull else "branches"].append(about)
        return found

    def tree(self, files: dict[str, bytes]) -> list[dict[str, Any]]:
        folders = {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)}
        entries: list[dict[str, Any]] = [
            {"type": "directory", "path": path, "oid": "0" * 40} for path in sorted(folders)
        ]
        for path, content in files.items():
            size = self.hub.sizes.get(path, len(content))
            entry = {"type": "file", "path": path, "size": size, "oid": git_sha1(content)}
            if (digest := sha256(content)) in self.hub.large:
                entry["lfs"] = {"oid": self.hub.hashes.get(path, digest), "size": size, "pointerSize": 134}
                entry["oid"] = git_sha1(f"pointer to {digest}".encode())
            entries.append(entry)
        return entries

    def place(self, parts: list[str]) -> tuple[str, str, str, str]:
        """Name, verb, revision and path of "[api/](models|datasets)/owner/name/verb/revision/path"."""
        parts = parts[1:] if parts[:1] == ["api"] else parts
        kind = parts.pop(0) if parts[:1] in (["models"], ["datasets"]) else "models"
        name = "/".join(parts[:2]) if kind == "datasets" else "/".join(["models", *parts[:2]])
        verb, revision = [*parts[2:4], "", ""][:2]
        return name, verb, revision, "/".join(parts[4:])

    def asked_for(self) -> list[str]:
        """The parts of the path, each unquoted; the request is noted."""
        path = urllib.parse.urlsplit(self.path).path
        with self.hub.lock:
            self.hub.requests.append(f"{self.command} {urllib.parse.unquote(path)}")
        return [urllib.parse.unquote(part) for part in path.strip("/").split("/")]

    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def token_is_good(self) -> bool:
        return not self.token() or not self.hub.tokens or self.token() in self.hub.tokens

    def role(self) -> str:
        return self.hub.tokens.get(self.token(), "" if self.hub.tokens or not self.token() else "write")

    def may_see(self, name: str) -> bool:
        return self.hub.known(name) and (name not in self.hub.private or bool(self.role()))

    def refuse_credentials(self) -> None:
        message = "Invalid credentials in Authorization header"
        self.answer(401, {"X-Error-Message": message}, json.dumps({"error": message}).encode())

    def refuse_repository(self) -> None:
        """A repository that is missing, or that a caller may not know of: the Hub answers the same."""
        if self.token():
            return self.answer(404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        return self.answer(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Invalid username or password."})

    def answer(
        self, status: int, headers: dict[str, str] | None = None, body: bytes = b"{}", path: str | None = None
    ) -> None:
        """`path` says that the body is a file's, which faults may spoil."""
        hub = self.hub
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if path is None:
            self.wfile.write(body)
            return
        with hub.lock:
            cut = len(body) > 1 and hub.cuts.get(path, 0) != 0
            if cut:
                hub.cuts[path] -= hub.cuts[path] > 0
                body = body[: len(body) // 2]
        for start in range(0, len(body), CHUNK):
            time.sleep(hub.seconds)
            self.wfile.write(body[start : start + CHUNK])
            with hub.lock:
                hub.sent[path] += len(body[start : start + CHUNK])
        self.close_connection = self.close_connection or cut


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error of the test's."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(*_)  # type: ignore[arg-type]


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """A hub on a free port of this machine; a proxy in the environment is passed by."""
    hub = Hub()
    handler = type("OneHub", (Handler,), {"hub": hub})
    server = Server(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("no_proxy", "127.0.0.1")
            patch.setenv("HF_HUB_DISABLE_XET", "1")  # processes that are started read it
            patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # this one has read it
            yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def hub_in_environment(patch: pytest.MonkeyPatch, folder: Path) -> Iterator[Hub]:
    """A hub that processes find by their environment; what they keep of it is below `folder`, and none has a token."""
    with serving_hub() as hub:
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_HOME", str(folder / "hf"))
        patch.delenv("HF_TOKEN", raising=False)
        yield hub


def travelling(folder: Path) -> dict[str, bytes]:
    """The files of a checkpoint that a repository holds."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if most_bytes(name) is not None}
