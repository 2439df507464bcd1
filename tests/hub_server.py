"""A Hugging Face Hub on this machine: data set repositories of a few commits each, and lies about them."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hub:
    """What the server has; `commit` adds to it. Every request is noted as "METHOD path"."""

    url: str = ""
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)  # of "owner/name@revision"
    card: dict[str, Any] = field(default_factory=dict)
    gated: bool = False
    status: int | None = None  # answered to everything
    listed: list[dict[str, Any]] = field(default_factory=list)  # entries that are listed beside the true ones
    sizes: dict[str, int] = field(default_factory=dict)  # sizes listed instead of the true ones
    commit_named: Any = None  # instead of the true one
    requests: list[str] = field(default_factory=list)

    def commit(self, repository: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Make these files what `revision` of a repository is now; returns the commit."""
        sha = hashlib.sha1(repr((repository, sorted(files.items()))).encode()).hexdigest()
        self.commits[sha] = files
        self.refs[f"{repository}@{revision}"] = self.refs[f"{repository}@{sha}"] = sha
        return sha

    def asked(self, part: str) -> int:
        """How many requests have `part` in them."""
        return sum(part in request for request in self.requests)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.hub
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        hub.requests.append(f"{self.command} {path}")
        found = re.fullmatch(
            r"(?:/api)?/datasets/([^/]+/[^/]+)(?:/(revision|tree|resolve)/(refs/convert/\w+|[^/]+)(?:/(.+))?)?", path
        )
        if hub.status:
            return self.answer(hub.status)
        if found is None or not any(ref.startswith(f"{found[1]}@") for ref in hub.refs):
            return self.answer(404, {"X-Error-Code": "RepoNotFound"})
        if hub.gated:
            return self.answer(403, {"X-Error-Code": "GatedRepo"})
        repository, verb, revision, name = found.groups()
        sha = hub.refs.get(f"{repository}@{revision or 'main'}")
        if sha is None:
            return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
        files = hub.commits[sha]
        if verb == "tree":
            return self.answer(200, body=json.dumps(self.tree(files)).encode())
        if verb != "resolve":
            about = {"id": repository, "sha": hub.commit_named or sha, "cardData": hub.card}
            return self.answer(200, body=json.dumps(about).encode())
        if name not in files:
            return self.answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
        content = files[name]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{hashlib.sha1(content).hexdigest()}"', "Accept-Ranges": "bytes"}
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self.answer(206, headers, content[start:])
        return self.answer(200, headers, content)

    def tree(self, files: dict[str, bytes]) -> list[dict[str, Any]]:
        folders = {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)}
        entries: list[dict[str, Any]] = [
            {"type": "directory", "path": path, "oid": "0" * 40} for path in sorted(folders)
        ]
        for path, content in files.items():
            size = self.hub.sizes.get(path, len(content))
            entries.append({"type": "file", "path": path, "size": size, "oid": hashlib.sha1(content).hexdigest()})
        return entries + self.hub.listed

    def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"{}") -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """A hub on a free port of this machine."""
    hub = Hub()
    handler = type("OneHub", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
