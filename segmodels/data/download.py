"""Bringing an archive from the web, so that what stands under its final name is always whole and right.

A file grows as `NAME.part`, is checked against its size and SHA-256, and only then takes its name. Whatever interrupts
this (a lost connection, the user, a power cut) leaves something to go on from, never half a file that looks whole.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, Any

from segmodels.data.dataset import Progress
from segmodels.data.disk import Report, Stop, Stopped, locked, make_folder, megabytes, need_space, size_of
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json, write_json

#: How often in a row a connection may fail before the download gives up, and the seconds before the second try; the
#: wait doubles each time up to `LONGEST_PAUSE`.
ATTEMPTS = 6
PAUSE = 1.0
LONGEST_PAUSE = 20.0

#: An attempt that brought this many bytes counts as a success and starts the count of failures anew.
GAIN = 1 << 20

#: Seconds without a byte after which a connection counts as lost.
TIMEOUT = 30.0


@dataclass(frozen=True)
class Archive:
    """A file to bring: where it is, what it is called here, its bytes and its SHA-256 in hexadecimal."""

    url: str
    file_name: str
    size: int
    sha256: str


def fetch(archive: Archive, folder: Path, progress: Progress | None = None, stop: Stop | None = None) -> Path:
    """Bring one file into `folder` and return its path; at once if it is there already and right.

    What came before an interruption is kept as `NAME.part`, and the next call asks for the missing bytes only. Two
    processes that want the same file bring it once: the second waits and finds it.

    Raises:
        Stopped: `stop` returned True; the part that came is kept.
        UserError: the server cannot be reached, refuses or offers another file; what came is damaged (it is deleted);
            the disk is full; a file of that name is there but is another one.
    """
    name, size = archive.file_name, archive.size
    if urllib.parse.urlsplit(archive.url).scheme not in ("http", "https"):
        raise UserError(f"{archive.url}: only http and https addresses can be downloaded")
    if not name or name.startswith(".") or any(mark in name for mark in "/\\:\0"):
        raise UserError(f"{name!r} is not a plain file name")
    make_folder(folder)
    report = Report(progress, stop)
    transfer = _Transfer(archive, folder, report)

    def waiting() -> None:
        report(size_of(transfer.part), size, f"waiting for another download of {name}")

    with locked(folder / f".{name}.lock", waiting):
        target = folder / name
        if target.exists():
            if wrong := _difference(target, archive, report):
                # Not deleted: a download never leaves a wrong file here, so somebody put it there by hand.
                raise UserError(f"{target} is not the file of {archive.url} ({wrong}): remove it and try again")
            return target
        need_space(folder, size - transfer.have())
        try:
            transfer.run()
        except Stopped:
            raise Stopped(
                f"stopped: {megabytes(size_of(transfer.part))} of {megabytes(size)} of {name} are kept, "
                "and the next download goes on from there"
            ) from None
        if wrong := _difference(transfer.part, archive, report):
            transfer.discard()
            raise transfer.failure(f"arrived damaged ({wrong}): it was deleted; try again")
        with explain_disk_errors(target):
            transfer.part.replace(target)
        transfer.discard()
    return target


def remaining(archive: Archive, folder: Path) -> int:
    """The bytes of a file that are not in `folder` yet, judged by sizes alone."""
    have = max(size_of(folder / archive.file_name), size_of(folder / f"{archive.file_name}.part"))
    return max(archive.size - have, 0)


def _difference(path: Path, archive: Archive, report: Report) -> str:
    """How a file differs from what the archive should be; empty where it does not."""
    if (size := path.stat().st_size) != archive.size:
        return f"{size:,} bytes instead of {archive.size:,}"
    digest = hashlib.sha256()
    with explain_disk_errors(path), path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            report(file.tell(), archive.size, f"checking {archive.file_name}")
    found = digest.hexdigest()
    return "" if found == archive.sha256 else f"SHA-256 {found[:12]}… instead of {archive.sha256[:12]}…"


class _Dropped(Exception):
    """A connection failed in a way that another try may mend."""


class _Transfer:
    """A file on its way.

    `NAME.part` holds the bytes that came; `NAME.part.json` says which state of the server's file they belong to.
    """

    def __init__(self, archive: Archive, folder: Path, report: Report) -> None:
        self.archive = archive
        self.part = folder / f"{archive.file_name}.part"
        self.notes_path = folder / f"{archive.file_name}.part.json"
        self.report = report
        self.opener = urllib.request.build_opener(_CarefulRedirects)
        self.answered = False

    def have(self) -> int:
        """The bytes that can be gone on from; a part that belongs to another file is removed first."""
        size = size_of(self.part)
        if size and (size > self.archive.size or not self._notes()):
            self.discard()
            return 0
        return size

    def discard(self) -> None:
        """Remove the part and its notes."""
        with explain_disk_errors(self.part):
            self.part.unlink(missing_ok=True)
            self.notes_path.unlink(missing_ok=True)

    def failure(self, what: str) -> UserError:
        """An error that names the address, `what` is wrong with it, and the way around."""
        by_hand = f"fetch it by hand and put it in {self.part.parent} as {self.archive.file_name}"
        return UserError(f"{self.archive.url} {what}, or {by_hand}")

    def run(self) -> None:
        """Bring bytes until the part has the archive's size. Raises `UserError` or `Stopped`, and then keeps it."""
        size, name = self.archive.size, self.archive.file_name
        failures, farthest = 0, self.have()
        while (had := self.have()) < size:
            self.report(had, size, f"downloading {name}")
            try:
                self._attempt(had)
                why = "the connection ended early"
            except _Dropped as error:
                why = str(error)
            if (have := self.have()) >= size:
                break
            # Counted from the farthest point so far, or a server without ranges that drops every connection, sometimes
            # later than before, would be asked for ever.
            failures = 0 if have - farthest >= GAIN else failures + 1
            farthest = max(farthest, have)
            if failures >= ATTEMPTS:
                kept = f"{megabytes(have)} of {megabytes(size)} are kept"
                raise self.failure(f"failed {failures} times ({why}); {kept}: try again later")
            end = time.monotonic() + min(PAUSE * 2 ** max(failures - 1, 0), LONGEST_PAUSE)
            while (left := end - time.monotonic()) > 0:
                self.report(have, size, f"connecting again for {name}")
                time.sleep(min(left, 0.1))

    def _notes(self) -> dict[str, Any]:
        """What was noted when the part was begun; empty where that is missing or is about another file."""
        try:
            notes = read_json(self.notes_path, limit=100_000)
        except UserError:
            return {}
        wanted = (self.archive.url, self.archive.sha256)
        return notes if isinstance(notes, dict) and (notes.get("url"), notes.get("sha256")) == wanted else {}

    def _attempt(self, had: int) -> None:
        """One request: append what it brings to the part. Raises `_Dropped` where another one may do better."""
        request = urllib.request.Request(self.archive.url, headers={"User-Agent": "segmodels"})
        notes = self._notes()
        if had:
            request.add_header("Range", f"bytes={had}-")
            if validator := _validator(notes.get("etag"), notes.get("last_modified")):
                request.add_header("If-Range", validator)
        with self._open(request) as response:
            self.answered = True
            if response.status == 200:
                self._check_size(response.length)
                # In this order no part ever stands with another's notes, whenever it stops in between.
                self.discard()
                etag, last_modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
                notes = {"url": self.archive.url, "sha256": self.archive.sha256}
                write_json(self.notes_path, {**notes, "etag": etag, "last_modified": last_modified})
            elif response.status == 206 and had:
                self._check_range(response, had, notes.get("etag"))
            else:
                raise self.failure(f"is answered with HTTP {response.status} instead of the file: try again later")
            self._copy(response)

    def _open(self, request: urllib.request.Request) -> HTTPResponse:
        try:
            return self.opener.open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            self.answered = True
            error.close()
            reason = _one_line(f"HTTP {error.code} {error.reason}")
            if error.code == 416:  # the part is longer than the server's file: it was another one
                self.discard()
            elif error.code < 500 and error.code not in (408, 425, 429):
                raise self.failure(f"is refused by the server ({reason}): try again later") from None
            raise _Dropped(reason) from None
        except http.client.InvalidURL as error:
            raise UserError(f"{self.archive.url} is not a valid address ({_one_line(error)})") from None
        except (OSError, http.client.HTTPException) as error:
            reason = _one_line(getattr(error, "reason", error))
            if isinstance(error, urllib.error.URLError) and not self.answered:
                # Who has not answered once in this call is most likely out of reach: say so now, not after six tries.
                raise self.failure(f"cannot be reached ({reason}): check the connection and try again") from None
            raise _Dropped(reason) from None

    def _check_size(self, size: int | None) -> None:
        if size is not None and size != self.archive.size:
            # Before the part is touched: a hotel's login page in place of the file must not cost what has come so far.
            raise self.failure(
                f"is {size:,} bytes, not the {self.archive.size:,} expected: the file has changed, or something on the "
                "way answers in its place; try again later"
            )

    def _check_range(self, response: HTTPResponse, had: int, noted: str | None) -> None:
        """Refuse all but the rest of the very file whose first `had` bytes are here."""
        stated = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", stated.strip(), re.ASCII)
        if found and found[2] != "*":
            self._check_size(int(found[2]))
        etag = response.headers.get("ETag")
        if not found or int(found[1]) != had or (etag and noted and etag != noted):
            self.discard()
            raise _Dropped("the server sent another part than was asked for")

    def _copy(self, response: HTTPResponse) -> None:
        size = self.archive.size
        with explain_disk_errors(self.part), self.part.open("ab") as file:
            # Where no length was stated, only the end of the answer tells that it is not too long.
            while (done := file.tell()) < size or (done == size and response.length is None):
                try:
                    # read1 returns what one receive brings, so that a slow line does not delay `stop` and `progress`.
                    chunk = response.read1(1 << 18)
                except (OSError, http.client.HTTPException) as error:
                    raise _Dropped(_one_line(error)) from None
                if not chunk:
                    break
                file.write(chunk)
                file.flush()
                self.report(min(file.tell(), size), size, f"downloading {self.archive.file_name}")
        if done > size:
            self.discard()
            raise self.failure(f"sends more than the {size:,} bytes expected: it was deleted; try again later")


class _CarefulRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to http and https only, and never from https back to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            raise urllib.error.HTTPError(req.full_url, code, f"redirects to {newurl}", headers, fp)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        fp.close()  # urllib would read the body of the redirect to its end, however long that is
        return request


def _validator(etag: str | None, last_modified: str | None) -> str | None:
    """What If-Range may carry: a strong ETag, else the date; a weak ETag does not promise equal bytes."""
    value = etag if etag and etag.startswith('"') else last_modified
    return value if value and value.isascii() and value.isprintable() else None


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
