"""Downloading from a real server on this machine that misbehaves in every way a server can."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bad_server import CONTENT, Site, serving

from segmodels.data import disk, download
from segmodels.data.disk import Stopped
from segmodels.data.download import Archive, fetch, remaining
from segmodels.errors import UserError


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server of its own for each test; pauses between tries are cut short, proxies are passed by."""
    monkeypatch.setattr(download, "PAUSE", 0.01)
    monkeypatch.setattr(download, "TIMEOUT", 10.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as site:
        yield site


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
    site.counters.clear()


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


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
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": disk.RESERVE + 599_999}))
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
