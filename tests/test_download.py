"""Downloading and unpacking against a real server on this machine that misbehaves in every way a server can."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segmodels.data import download
from segmodels.data.datasets.oxford_pets import OxfordPets
from segmodels.data.download import Archive, Stopped, fetch, remaining, unpack
from segmodels.errors import UserError

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
    sent: list[int] = field(default_factory=list)  # bytes of body, one per request
    url: str = ""

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
        site.sent.append(0)
        try:
            self.body(body[:cut])
            if site.chunked and cut >= len(body):
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass  # the client went away

    def body(self, body: bytes) -> None:
        site = self.site
        for at in range(0, len(body), 10_000):
            if site.hold_at is not None and at >= site.hold_at:
                self.wfile.flush()
                site.go.wait(30)
            piece = body[at : at + 10_000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if site.chunked else piece)
            site.sent[-1] += len(piece)

    def answer(self, status: int, headers: dict[str, str | None]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server of its own for each test; pauses between tries are cut short, proxies are passed by."""
    monkeypatch.setattr(download, "PAUSE", 0.01)
    monkeypatch.setattr(download, "TIMEOUT", 10.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
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


def failure(site: Site, folder: Path, archive: Archive | None = None) -> str:
    """The one line with which a download fails, after which no file stands under the final name."""
    with pytest.raises(UserError) as caught:
        fetch(archive or site.archive, folder)
    message = str(caught.value)
    assert "\n" not in message
    assert not (folder / "thing.bin").exists()
    return message


def begin(site: Site, folder: Path, size: int) -> None:
    """Leave a part of about `size` bytes by stopping a download."""
    site.hold_at = size
    done = 0

    def progress(now: int, total: int, what: str) -> None:
        nonlocal done
        done = now

    def stop() -> bool:
        return (folder / "thing.bin.part").exists() and (folder / "thing.bin.part").stat().st_size >= size

    with pytest.raises(Stopped):
        fetch(site.archive, folder, progress, stop)
    site.go.set()
    site.hold_at = None
    site.requests.clear()
    site.sent.clear()


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


# ---------------------------------------------------------------------------------------------------------- fetching


def test_a_file_comes_whole(site, tmp_path):
    heard = []
    path = fetch(site.archive, tmp_path / "new" / "folder", lambda *said: heard.append(said))
    assert path == tmp_path / "new" / "folder" / "thing.bin"
    assert path.read_bytes() == CONTENT
    assert visible(path.parent) == ["thing.bin"]
    assert heard[0] == (0, len(CONTENT), "downloading thing.bin")
    assert (len(CONTENT), len(CONTENT), "downloading thing.bin") in heard
    assert heard[-1] == (len(CONTENT), len(CONTENT), "checking thing.bin")


def test_a_file_that_is_there_is_not_asked_for(site, tmp_path):
    fetch(site.archive, tmp_path)
    fetch(site.archive, tmp_path)
    assert len(site.requests) == 1


def test_a_file_put_there_by_hand_is_taken_without_any_connection(tmp_path):
    (tmp_path / "thing.bin").write_bytes(CONTENT)
    archive = Archive("http://127.0.0.1:9/thing", "thing.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert fetch(archive, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("wrong", [CONTENT[:-1], bytes(len(CONTENT))])
def test_a_wrong_file_put_there_by_hand_is_named_and_left(site, tmp_path, wrong):
    (tmp_path / "thing.bin").write_bytes(wrong)
    with pytest.raises(UserError, match=r"thing\.bin is not the file of http.*remove it and try again"):
        fetch(site.archive, tmp_path)
    assert (tmp_path / "thing.bin").read_bytes() == wrong
    assert not site.requests


@pytest.mark.parametrize("chunked", [False, True])
def test_cut_connections_are_resumed_for_the_missing_bytes_only(site, tmp_path, chunked):
    site.chunked = chunked
    site.cuts = [200_000, 150_000]
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    assert site.asked_from() == [0, 200_000, 350_000]
    assert [request.get("If-Range") for request in site.requests] == [None, '"v1"', '"v1"']
    assert sum(site.sent) == len(CONTENT)


def test_a_stopped_download_keeps_its_part_and_the_next_call_resumes(site, tmp_path):
    begin(site, tmp_path, 300_000)
    kept = (tmp_path / "thing.bin.part").stat().st_size
    assert 300_000 <= kept < len(CONTENT)
    assert remaining(site.archive, tmp_path) == len(CONTENT) - kept
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    assert site.asked_from() == [kept]
    assert sum(site.sent) == len(CONTENT) - kept
    assert visible(tmp_path) == ["thing.bin"]
    assert remaining(site.archive, tmp_path) == 0


def test_stopped_says_what_is_kept(site, tmp_path):
    with pytest.raises(
        Stopped, match=r"^stopped: 0\.\d MB of 0\.6 MB of thing\.bin are kept, and the next download goes"
    ):
        fetch(site.archive, tmp_path, stop=lambda: True)


def test_a_date_serves_where_the_etag_is_weak(site, tmp_path):
    site.etag, site.last_modified = 'W/"v1"', "Wed, 21 Oct 2015 07:28:00 GMT"
    site.cuts = [200_000]
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    assert site.requests[1]["If-Range"] == site.last_modified
    assert site.asked_from() == [0, 200_000]


def test_a_server_that_says_nothing_of_versions_is_resumed_too(site, tmp_path):
    site.etag = None
    site.cuts = [200_000]
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    assert site.asked_from() == [0, 200_000]
    assert "If-Range" not in site.requests[1]


def test_a_server_without_ranges_starts_anew(site, tmp_path):
    site.ranges = False
    site.cuts = [200_000]
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    assert site.sent == [200_000, len(CONTENT)]


def test_a_server_without_ranges_that_always_drops_is_given_up(site, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "GAIN", 1000)
    site.ranges = False
    site.cuts = [100_000 + 7000 * (turn % 3) for turn in range(50)]
    assert "failed 6 times" in failure(site, tmp_path)
    assert len(site.requests) < 20


def test_a_file_that_changed_between_attempts_starts_anew(site, tmp_path):
    site.content, site.etag = bytes(len(CONTENT)), '"old"'
    begin(site, tmp_path, 300_000)
    site.content, site.etag = CONTENT, '"v1"'
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    assert site.requests[0]["If-Range"] == '"old"'
    assert site.sent == [len(CONTENT)]


def test_a_file_that_changed_on_a_server_that_overlooks_if_range_starts_anew(site, tmp_path):
    site.if_range = False
    site.content, site.etag = bytes(len(CONTENT)), '"old"'
    begin(site, tmp_path, 300_000)
    site.content, site.etag = CONTENT, '"v1"'
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    assert site.asked_from()[1:] == [0]


def test_a_mixture_of_two_versions_never_lands(site, tmp_path):
    site.content, site.etag = bytes(len(CONTENT)), None
    begin(site, tmp_path, 300_000)
    site.content = CONTENT
    assert "arrived damaged (SHA-256" in failure(site, tmp_path)
    assert visible(tmp_path) == []
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("shift", [-1000, 1000])
def test_another_range_than_asked_for_is_not_taken(site, tmp_path, shift):
    begin(site, tmp_path, 300_000)
    site.shift = shift
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    assert site.asked_from()[1:] == [0]


def test_a_part_of_the_whole_size_is_checked_without_asking(site, tmp_path):
    begin(site, tmp_path, 300_000)
    (tmp_path / "thing.bin.part").write_bytes(CONTENT)
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    assert not site.requests


def test_a_part_that_is_too_long_or_of_another_file_is_dropped(site, tmp_path):
    part, notes = tmp_path / "thing.bin.part", tmp_path / "thing.bin.part.json"
    for damage in (
        lambda: part.write_bytes(CONTENT + b"more"),
        lambda: notes.unlink(),
        lambda: notes.write_text("{"),
        lambda: notes.write_text("[]"),
        lambda: notes.write_text(json.dumps({**json.loads(notes.read_text()), "sha256": "0" * 64})),
    ):
        begin(site, tmp_path, 300_000)
        damage()
        assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
        assert site.asked_from() == [0]
        (tmp_path / "thing.bin").unlink()
        site.go.clear()


def test_416_starts_anew(site, tmp_path):
    begin(site, tmp_path, 300_000)
    site.statuses = [416]
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    assert site.asked_from()[1:] == [0]


def test_corrupt_bytes_never_land(site, tmp_path):
    site.content = CONTENT[:1000] + b"\0" + CONTENT[1001:]
    message = failure(site, tmp_path)
    assert "arrived damaged (SHA-256" in message
    assert "it was deleted; try again, or fetch it by hand and put it in" in message
    assert visible(tmp_path) == []


@pytest.mark.parametrize("declare", [1000, len(CONTENT) - 1, len(CONTENT) + 1, 10**15])
def test_another_length_than_expected_is_refused_before_a_byte_is_kept(site, tmp_path, declare):
    site.declare = declare
    message = failure(site, tmp_path)
    assert f"is {declare:,} bytes, not the 600,000 expected" in message
    assert visible(tmp_path) == []


def test_a_login_page_in_between_does_not_cost_the_part(site, tmp_path):
    begin(site, tmp_path, 300_000)
    kept = (tmp_path / "thing.bin.part").stat().st_size
    site.content, site.ranges = b"<html>please log in</html>", False
    assert "something on the way answers in its place" in failure(site, tmp_path)
    site.content, site.ranges = CONTENT, True
    site.requests.clear()
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    assert site.asked_from() == [kept]


def test_a_length_that_promises_more_than_comes_is_given_up_after_some_tries(site, tmp_path):
    site.content = CONTENT[:-10]
    site.declare = len(CONTENT)
    site.ranges = False
    assert "failed 6 times (the connection ended early)" in failure(site, tmp_path)
    assert len(site.requests) == 6


def test_more_bytes_than_declared_are_refused(site, tmp_path):
    site.content, site.chunked = CONTENT + b"and more", True
    assert "sends more than the 600,000 bytes expected" in failure(site, tmp_path)
    assert visible(tmp_path) == []


def test_an_endless_answer_ends_with_the_size(site, tmp_path):
    site.content, site.chunked = CONTENT * 40, True
    assert "sends more than" in failure(site, tmp_path)
    assert site.sent[0] < len(CONTENT) * 40


@pytest.mark.parametrize("status", [401, 403, 404, 410, 204])
def test_a_refusal_is_not_repeated(site, tmp_path, status):
    site.statuses = [status]
    message = failure(site, tmp_path)
    assert f"HTTP {status}" in message
    assert site.url in message
    assert len(site.requests) == 1


def test_an_overloaded_server_is_asked_again_but_not_for_ever(site, tmp_path):
    site.statuses = [503, 429, 500]
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    (tmp_path / "thing.bin").unlink()
    site.statuses = [503] * 100
    assert "failed 6 times (HTTP 503 Service Unavailable)" in failure(site, tmp_path)


def test_a_silent_server_times_out(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    monkeypatch.setattr(download, "PAUSE", 0.01)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        archive = Archive(f"http://127.0.0.1:{silent.getsockname()[1]}/x", "thing.bin", 10, "0" * 64)
        with pytest.raises(UserError, match=r"failed 6 times \(.*timed out\)"):
            fetch(archive, tmp_path)


def test_a_server_that_speaks_no_http_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.01)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            for _ in range(download.ATTEMPTS):
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"220 mail.example.org ESMTP\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        archive = Archive(f"http://127.0.0.1:{server.getsockname()[1]}/x", "thing.bin", 10, "0" * 64)
        with pytest.raises(UserError, match="failed 6 times"):
            fetch(archive, tmp_path)
        thread.join()


def test_offline_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/thing"
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        fetch(Archive(url, "thing.bin", 10, "0" * 64), tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{url} cannot be reached (")
    assert f"or fetch it by hand and put it in {tmp_path} as thing.bin" in message
    assert "\n" not in message
    assert time.monotonic() - began < 0.9


def test_a_redirect_is_followed_with_its_range(site, tmp_path):
    site.location = "/elsewhere"
    site.cuts = [200_000]
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    assert site.asked_from() == [0, 0, 200_000, 200_000]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,hello", "javascript:alert(1)"])
def test_a_redirect_elsewhere_is_refused(site, tmp_path, location):
    site.location = location
    assert location in failure(site, tmp_path)
    assert len(site.requests) == 1


def test_a_redirect_from_https_to_http_is_refused():
    request = download.urllib.request.Request("https://example.org/x")
    with pytest.raises(download.urllib.error.HTTPError, match=r"redirects to http://example\.org/y"):
        download._CarefulRedirects().redirect_request(request, io.BytesIO(), 302, "", {}, "http://example.org/y")


def test_redirects_in_a_circle_end(site, tmp_path):
    site.location = "/thing"
    assert "HTTP 302" in failure(site, tmp_path)
    assert len(site.requests) < 20


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/x", "data:,x", "/etc/passwd", ""])
def test_other_addresses_are_refused(site, tmp_path, url):
    assert "only http and https" in failure(site, tmp_path, replace(site.archive, url=url))


def test_a_malformed_address_is_refused(site, tmp_path):
    assert "not a valid address" in failure(site, tmp_path, replace(site.archive, url="http://127.0.0.1:port/x"))


@pytest.mark.parametrize("name", ["../thing.bin", "/thing.bin", "a\\b", "", ".hidden", "c:thing"])
def test_other_file_names_are_refused(site, tmp_path, name):
    assert "is not a plain file name" in failure(site, tmp_path / "in", replace(site.archive, file_name=name))
    assert not site.requests


def test_too_little_space_is_said_before_anything_is_asked(site, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": download.RESERVE + 599_999}))
    message = failure(site, tmp_path)
    assert "are needed on the disk of" in message
    assert str(tmp_path) in message
    assert not site.requests


def test_a_file_in_the_way_of_the_folder_is_named(site, tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(UserError, match="data cannot be made: a file is in its way"):
        fetch(site.archive, tmp_path / "data")
    with pytest.raises(UserError, match="below cannot be made: a file is in its way"):
        fetch(site.archive, tmp_path / "data" / "below")


def start(site: Site, folder: Path) -> subprocess.Popen[str]:
    """A process of its own that downloads."""
    script = (
        "import sys; from pathlib import Path; from segmodels.data.download import Archive, fetch\n"
        "print(fetch(Archive(sys.argv[1], 'thing.bin', int(sys.argv[2]), sys.argv[3]), Path(sys.argv[4])))"
    )
    archive = site.archive
    return subprocess.Popen(
        [sys.executable, "-c", script, archive.url, str(archive.size), archive.sha256, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(download.__file__).parents[2])},
    )


def wait_for(what) -> None:
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end, "waited for 30 seconds"
        time.sleep(0.02)


def test_a_killed_download_is_resumed(site, tmp_path):
    site.hold_at = 250_000
    part = tmp_path / "thing.bin.part"
    process = start(site, tmp_path)
    wait_for(lambda: part.exists() and part.stat().st_size >= 250_000)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    site.go.set()
    assert not (tmp_path / "thing.bin").exists()
    kept = part.stat().st_size
    assert kept >= 250_000
    site.hold_at = None
    assert fetch(site.archive, tmp_path).read_bytes() == CONTENT
    assert site.asked_from() == [0, kept]


def test_two_processes_bring_a_file_once(site, tmp_path):
    site.hold_at = 250_000
    first = start(site, tmp_path)
    wait_for(lambda: site.sent and site.sent[0] >= 250_000)
    heard: list[str] = []
    second = threading.Thread(target=fetch, args=(site.archive, tmp_path, lambda *said: heard.append(said[2])))
    second.start()
    wait_for(lambda: "waiting for another download of thing.bin" in heard)
    with pytest.raises(Stopped, match="stopped while waiting"):
        fetch(site.archive, tmp_path, stop=lambda: True)
    site.go.set()
    output, errors = first.communicate(timeout=60)
    second.join(timeout=60)
    assert not second.is_alive()
    assert output.strip() == str(tmp_path / "thing.bin"), errors
    assert (tmp_path / "thing.bin").read_bytes() == CONTENT
    assert len(site.requests) == 1


# --------------------------------------------------------------------------------------------------------- unpacking


def pack(path: Path, *members: tuple[str | tarfile.TarInfo, bytes]) -> Path:
    """Write a .tar.gz of members as given, however wicked."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if member.type == tarfile.REGTYPE:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refused(tmp_path: Path, *archives: Path, **limits: Any) -> str:
    """The line with which unpacking fails, after which nothing stands anywhere that was not there before."""
    before = tree(tmp_path)
    with pytest.raises(UserError) as caught:
        unpack(archives, tmp_path / "deep" / "out", **limits)
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == before
    assert not (tmp_path / "deep" / "out").exists()
    assert [path for path in (tmp_path / "deep").iterdir() if path.is_dir()] == []
    return str(caught.value)


def test_archives_unpack_over_each_other(tmp_path):
    one = pack(tmp_path / "one.tar.gz", (special("images", tarfile.DIRTYPE), b""), ("images/a.jpg", b"A"))
    two = pack(
        tmp_path / "two.tar.gz", ("./annotations/list.txt", b"L"), ("images/b.jpg", b"B"), ("images/._b.jpg", b"?")
    )
    heard = []
    out = unpack([one, two], tmp_path / "out", lambda *said: heard.append(said))
    assert tree(out) == {"annotations/list.txt": b"L", "images/a.jpg": b"A", "images/b.jpg": b"B"}
    total = one.stat().st_size + two.stat().st_size
    assert heard[-1] == (total, total, "unpacking two.tar.gz")
    assert {said[2].split()[0] for said in heard} == {"checking", "unpacking"}
    assert all(0 <= done <= whole == total for done, whole, _ in heard)


def test_a_folder_that_is_there_is_replaced_as_a_whole(tmp_path):
    archive = pack(tmp_path / "a.tar.gz", ("new", b"new"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_bytes(b"old")
    assert tree(unpack([archive], tmp_path / "out")) == {"new": b"new"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../escaped", "would be written outside"),
        ("in/../../escaped", "would be written outside"),
        ("in/..", "would be written outside"),
        ("/tmp/segmodels-escaped", "would be written outside"),
        ("..\\escaped", "would be written outside"),
        ("C:escaped", "would be written outside"),
        ("bell\a", "is no usable file name"),
        ("x" * 300, "is no usable file name"),
        ("d/" * 600 + "x", "is no usable file name"),
    ],
)
def test_paths_that_climb_are_refused(tmp_path, name, said):
    message = refused(tmp_path, pack(tmp_path / "evil.tar.gz", ("fine", b"1"), (name, b"2")))
    assert message.startswith("evil.tar.gz: ")
    assert said in message
    assert not Path("/tmp/segmodels-escaped").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["..", "/etc", "fine"])
def test_links_are_refused(tmp_path, kind, target):
    evil = pack(tmp_path / "evil.tar.gz", ("fine", b"1"), (special("way", kind, target), b""), ("way/escaped", b"2"))
    assert "'way' is a link; refused" in refused(tmp_path, evil)


@pytest.mark.parametrize(
    "kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z"]
)
def test_devices_and_pipes_are_refused(tmp_path, kind):
    evil = pack(tmp_path / "evil.tar.gz", ("fine", b"1"), (special("odd", kind), b""))
    assert "is neither a plain file nor a folder" in refused(tmp_path, evil)


def test_a_file_that_is_also_a_folder_is_refused(tmp_path):
    assert "a file and a folder at once" in refused(tmp_path, pack(tmp_path / "a.tar.gz", ("x", b"1"), ("x/y", b"2")))


def test_bombs_are_refused(tmp_path):
    large = pack(tmp_path / "large.tar.gz", ("fine", b"1"), ("zeros", bytes(3_000_000)))
    assert "unpacks to more than the 2,000,000 bytes allowed" in refused(tmp_path, large, max_bytes=2_000_000)
    many = pack(tmp_path / "many.tar.gz", *[(f"m{index}", b"") for index in range(101)])
    assert "more than the 100 members allowed" in refused(tmp_path, many, max_members=100)
    half = pack(tmp_path / "half.tar.gz", *[(f"n{index}", b"") for index in range(60)])
    assert "more than the 100 members allowed" in refused(tmp_path, half, half, max_members=100)


def test_a_size_that_is_only_claimed_is_refused_without_reading_it(tmp_path):
    member = tarfile.TarInfo("huge")
    member.size = 1 << 50
    (tmp_path / "claim.tar.gz").write_bytes(gzip.compress(member.tobuf() + bytes(4096)))
    assert "unpacks to more than" in refused(tmp_path, tmp_path / "claim.tar.gz")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_of_many_megabytes_is_refused(tmp_path, kind):
    member = special("././@LongLink", kind)
    member.size = 40_000_000
    (tmp_path / "header.tar.gz").write_bytes(gzip.compress(member.tobuf() + b"a" * member.size, 1))
    assert "more data than its members account for" in refused(tmp_path, tmp_path / "header.tar.gz")


def test_an_endless_tail_is_refused(tmp_path):
    with tarfile.open(fileobj=(packed := io.BytesIO()), mode="w") as tar:
        tar.addfile(tarfile.TarInfo("fine"))
    (tmp_path / "tail.tar.gz").write_bytes(gzip.compress(packed.getvalue() + bytes(40_000_000), 1))
    assert "more data than its members account for" in refused(tmp_path, tmp_path / "tail.tar.gz")


def test_too_little_space_is_said_before_unpacking(tmp_path, monkeypatch):
    archive = pack(tmp_path / "a.tar.gz", ("x", bytes(100_000)))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": download.RESERVE + 100_000}))
    assert "are needed on the disk of" in refused(tmp_path, archive)


def test_damaged_archives_are_named(tmp_path):
    noise = random.Random(1).randbytes(200_000)
    whole = pack(tmp_path / "whole.tar.gz", ("x", noise), ("y", b"1")).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    for number, content in enumerate(
        (b"", b"no archive", whole[: len(whole) // 2], bytes(flipped), gzip.compress(noise))
    ):
        path = tmp_path / f"{number}.tar.gz"
        path.write_bytes(content)
        assert f"{path}: not a whole .tar.gz archive" in refused(tmp_path, path), number
    assert "gone.tar.gz: no such file" in refused(tmp_path, tmp_path / "gone.tar.gz")


def test_stopping_leaves_nothing_but_the_archives(tmp_path):
    archive = pack(
        tmp_path / "a.tar.gz", *[(f"m{index}", random.Random(index).randbytes(20_000)) for index in range(20)]
    )
    heard: list[str] = []

    def stop() -> bool:
        return "unpacking a.tar.gz" in heard

    with pytest.raises(Stopped, match=r"stopped while unpacking a\.tar\.gz; the archives are kept"):
        unpack([archive], tmp_path / "out", lambda *said: heard.append(said[2]), stop)
    assert visible(tmp_path) == ["a.tar.gz"]


def test_a_failed_check_leaves_nothing(tmp_path):
    def check(folder: Path) -> None:
        assert tree(folder) == {"x": b"1"}
        raise UserError("something is missing")

    with pytest.raises(UserError, match="something is missing"):
        unpack([pack(tmp_path / "a.tar.gz", ("x", b"1"))], tmp_path / "out", check=check)
    assert visible(tmp_path) == ["a.tar.gz"]


def test_a_killed_unpacking_leaves_no_folder_and_the_next_one_cleans_up(tmp_path):
    archive = pack(tmp_path / "a.tar.gz", *[(f"m{index}", b"1") for index in range(50)])
    script = (
        "import os, signal, sys; from pathlib import Path; from segmodels.data.download import unpack\n"
        "def check(folder): os.kill(os.getpid(), signal.SIGKILL)\n"
        "unpack([Path(sys.argv[1])], Path(sys.argv[2]), check=check)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(download.__file__).parents[2])}
    killed = subprocess.run([sys.executable, "-c", script, str(archive), str(tmp_path / "out")], env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert [name for name in visible(tmp_path) if name.endswith(".part")]
    unpack([archive], tmp_path / "out")
    assert visible(tmp_path) == ["a.tar.gz", "out"]
    assert len(tree(tmp_path / "out")) == 50


# ------------------------------------------------------------------------------------------------- Oxford-IIIT Pet


@pytest.fixture
def pets(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Archive, ...]:
    """A made-up Oxford-IIIT Pet in one archive on the server; `home()` is `tmp_path / "home"`."""
    monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SEGMODELS_DATA", raising=False)
    image, mask = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (4, 3)).save(image, "JPEG")
    Image.fromarray(np.full((3, 4), 2, np.uint8)).save(mask, "PNG")
    members = []
    for index in range(1, 13):
        members.append((f"images/Sphynx_{index}.jpg", image.getvalue()))
        members.append((f"annotations/trimaps/Sphynx_{index}.png", mask.getvalue()))
    lines = [f"Sphynx_{index} 1 1 1\n" for index in range(1, 13)]
    members.append(("annotations/trainval.txt", "".join(lines[:10]).encode()))
    members.append(("annotations/test.txt", "".join(lines[10:]).encode()))
    site.content = pack(tmp_path / "served.tar.gz", *members).read_bytes()
    digest = hashlib.sha256(site.content).hexdigest()
    return (Archive(site.url, "pets.tar.gz", len(site.content), digest),)


def test_pets_are_downloaded_once_and_opened(site, pets, tmp_path):
    folder = OxfordPets.download(archives=pets)
    assert folder == tmp_path / "home" / "data" / "oxford-iiit-pet"
    opened = OxfordPets()
    assert opened.root == folder
    assert len(opened.samples("train")) == 9
    assert opened.read(opened.samples("test")[0])[1].tolist() == [[1] * 4] * 3
    assert visible(tmp_path / "home" / "data" / "downloads") == []
    assert OxfordPets.download(archives=pets) == folder
    assert len(site.requests) == 1


def test_an_incomplete_folder_of_somebody_else_is_left_and_named(site, pets, tmp_path):
    folder = OxfordPets.download(archives=pets)
    (folder / "images" / "Sphynx_3.jpg").unlink()
    with pytest.raises(
        UserError, match=r"1 of 24 listed files are missing, first images/Sphynx_3\.jpg; to download it"
    ):
        OxfordPets.download(archives=pets)
    assert (folder / "images" / "Sphynx_4.jpg").exists()


def test_an_empty_folder_is_filled(pets, tmp_path):
    (tmp_path / "home" / "data" / "oxford-iiit-pet").mkdir(parents=True)
    assert len(OxfordPets(OxfordPets.download(archives=pets)).samples("test")) == 2


def test_pets_stopped_midway_leave_no_folder(site, pets, tmp_path):
    with pytest.raises(Stopped):
        OxfordPets.download(archives=pets, stop=lambda: True)
    assert not (tmp_path / "home" / "data" / "oxford-iiit-pet").exists()
    OxfordPets.download(archives=pets)


def test_space_for_all_of_it_is_asked_for_first(site, pets, monkeypatch):
    need = len(site.content) * 9 // 4
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": download.RESERVE + need - 2}))
    with pytest.raises(UserError, match="are needed on the disk of"):
        OxfordPets.download(archives=pets)
    assert not site.requests


def test_an_archive_without_the_data_set_is_not_taken_for_it(site, pets, tmp_path):
    site.content = pack(tmp_path / "other.tar.gz", ("readme", b"hello")).read_bytes()
    archive = Archive(site.url, "pets.tar.gz", len(site.content), hashlib.sha256(site.content).hexdigest())
    with pytest.raises(UserError, match="there is no folder images"):
        OxfordPets.download(archives=(archive,))
    assert not (tmp_path / "home" / "data" / "oxford-iiit-pet").exists()
