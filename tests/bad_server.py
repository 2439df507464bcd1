"""A web server on this machine that misbehaves in every way a server can."""

from __future__ import annotations

import hashlib
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from segmodels.data.download import Archive

CONTENT = random.Random(0).randbytes(600_000)


@dataclass
class Site:
    """What the server has and how it behaves; every request's headers are noted in `requests`."""

    content: bytes = CONTENT
    etag: str | None = '"v1"'
    last_modified: str | None = None
    ranges: bool = True
    if_range: bool = True  # whether it honours If-Range
    declare: int | None = None  # a Content-Length that is a lie
    chunked: bool = False
    cuts: list[int] = field(default_factory=list)  # one per request: drop the connection after that many bytes of body
    statuses: list[int] = field(default_factory=list)  # one per request: answer with this and nothing else
    shift: int = 0  # answers a range with one that starts this many bytes elsewhere
    location: str | None = None
    hold_at: int | None = None  # wait for `go` after that many bytes of body
    go: threading.Event = field(default_factory=threading.Event)
    requests: list[dict[str, str]] = field(default_factory=list)
    counters: list[list[int]] = field(default_factory=list)  # a counter of its own for each request: they may overlap
    url: str = ""

    @property
    def sent(self) -> list[int]:
        """Bytes of body, one per request."""
        return [counter[0] for counter in self.counters]

    @property
    def archive(self) -> Archive:
        return Archive(self.url, "thing.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())

    def asked_from(self) -> list[int]:
        """Where each request began: 0 for one without a range."""
        return [int(re.sub(r"bytes=(\d+)-", r"\1", request.get("Range", "0"))) for request in self.requests]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        site = self.site
        site.requests.append(dict(self.headers))
        self.close_connection = True
        if site.location is not None and self.path == "/thing":
            self.answer(302, {"Location": site.location, "Content-Length": "0"})
            return
        if site.statuses and (status := site.statuses.pop(0)) != 200:
            self.answer(status, {"Content-Length": "0"})
            return
        start, status = 0, 200
        fresh = not site.if_range or self.headers.get("If-Range") in (None, site.etag, site.last_modified)
        if (asked := self.headers.get("Range")) and site.ranges and fresh:
            start, status = int(asked[6:-1]) + site.shift, 206
            if start >= len(site.content):
                self.answer(416, {"Content-Range": f"bytes */{len(site.content)}", "Content-Length": "0"})
                return
        body = site.content[start:]
        headers = {"ETag": site.etag, "Last-Modified": site.last_modified}
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{len(site.content) - 1}/{len(site.content)}"
        if site.chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(body) if site.declare is None else site.declare)
        self.answer(status, headers)
        cut = site.cuts.pop(0) if site.cuts else len(body)
        counter = [0]
        site.counters.append(counter)
        try:
            self.body(body[:cut], counter)
            if site.chunked and cut >= len(body):
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass  # the client went away

    def body(self, body: bytes, counter: list[int]) -> None:
        site = self.site
        for at in range(0, len(body), 10_000):
            if site.hold_at is not None and at >= site.hold_at:
                self.wfile.flush()
                site.go.wait(30)
            piece = body[at : at + 10_000]
            counter[0] += len(piece)  # before the client can have it and look
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if site.chunked else piece)

    def answer(self, status: int, headers: dict[str, str | None]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()


@contextmanager
def serving() -> Iterator[Site]:
    """A server at work, and what it is told to do."""
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_port}/thing"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield site
    site.go.set()
    server.shutdown()
    server.server_close()
    thread.join()
