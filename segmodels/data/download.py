"""Bringing a data set's archives from the web, so that what stands under the final name is always whole and right.

A file grows as `NAME.part`, is checked against its size and SHA-256, and only then takes its name; a folder is unpacked
beside its place and renamed as a whole. Whatever interrupts either (a lost connection, the user, a power cut) leaves
something to go on from or nothing, never half a file that looks like a whole one.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import io
import re
import shutil
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, Any, BinaryIO

import filelock

from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json, replacing, write_json

#: Called with the bytes done, the bytes in all and what is being done; about ten times a second.
Progress = Callable[[int, int, str], None]

#: Asked often; once it returns True the work ends with `Stopped`.
Stop = Callable[[], bool]

#: How often in a row a connection may fail before the download gives up, and the seconds before the second try; the
#: wait doubles each time up to `LONGEST_PAUSE`.
ATTEMPTS = 6
PAUSE = 1.0
LONGEST_PAUSE = 20.0

#: An attempt that brought this many bytes counts as a success and starts the count of failures anew.
GAIN = 1 << 20

#: Seconds without a byte after which a connection counts as lost.
TIMEOUT = 30.0

#: Bytes left free on a disk, so that a download is not what fills it to the brim.
RESERVE = 64 << 20

#: What an archive may hold unless `unpack` is told otherwise; Oxford-IIIT Pet has about 26,000 members and 1 GB.
MAX_MEMBERS = 200_000
MAX_BYTES = 8 << 30

_CHUNK = 1 << 18


@dataclass(frozen=True)
class Archive:
    """A file to bring: where it is, what it is called here, its bytes and its SHA-256 in hexadecimal."""

    url: str
    file_name: str
    size: int
    sha256: str


class Stopped(UserError):
    """The work was ended by its `stop`, not by a mistake; doing it again goes on from what is there."""


class _Dropped(Exception):
    """A connection failed in a way that another try may mend."""


class _Damaged(Exception):
    """A file is not the one that was asked for; the message says how it differs."""


def fetch(archive: Archive, folder: Path, progress: Progress | None = None, stop: Stop | None = None) -> Path:
    """Bring one file into `folder` and return its path; at once if it is there already and right.

    What came before an interruption is kept as `NAME.part`, and the next call asks for the missing bytes only. Two
    processes that want the same file bring it once: the second waits and finds it.

    Raises:
        Stopped: `stop` returned True; the part that came is kept.
        UserError: the server cannot be reached, refuses or offers another file; what came is damaged (it is deleted);
            the disk is full; a file of that name is there but is another one.
    """
    _check(archive)
    _make(folder)
    report = _Report(progress, stop)
    target = folder / archive.file_name
    part = folder / f"{archive.file_name}.part"

    def waiting() -> None:
        report(_size(part), archive.size, f"waiting for another download of {archive.file_name}")

    with locked(folder / f".{archive.file_name}.lock", stop, waiting):
        if target.exists():
            try:
                _verify(target, archive, report)
            except _Damaged as wrong:
                # Not deleted: a download never leaves a wrong file here, so somebody put it there by hand.
                raise UserError(
                    f"{target} is not the file of {archive.url} ({wrong}): remove it and try again"
                ) from None
            return target
        transfer = _Transfer(archive, part, report)
        need_space(folder, archive.size - transfer.have())
        transfer.run()
        try:
            _verify(part, archive, report)
        except _Damaged as wrong:
            transfer.discard()
            raise UserError(
                f"{archive.url} arrived damaged ({wrong}): it was deleted; try again, {_by_hand(archive, folder)}"
            ) from None
        with explain_disk_errors(target):
            part.replace(target)
        transfer.discard()
    return target


def remaining(archive: Archive, folder: Path) -> int:
    """The bytes of a file that are not in `folder` yet, judged by sizes alone."""
    have = max(_size(folder / archive.file_name), _size(folder / f"{archive.file_name}.part"))
    return max(archive.size - have, 0)


def unpack(
    archives: Sequence[Path],
    folder: Path,
    progress: Progress | None = None,
    stop: Stop | None = None,
    *,
    check: Callable[[Path], None] | None = None,
    max_members: int = MAX_MEMBERS,
    max_bytes: int = MAX_BYTES,
) -> Path:
    """Unpack `.tar.gz` archives into one new `folder`, which appears whole or not at all, and return it.

    Every member of every archive is checked before the first byte is written, and again while it is. `progress` counts
    the bytes of the archives that have been read.

    Args:
        archives: the files, unpacked one over the other.
        folder: what it becomes; a folder that is there is replaced as a whole.
        check: called with the unpacked folder before it takes its name; what it raises ends the work.
        max_members: files and folders in all archives together.
        max_bytes: their unpacked bytes together.

    Raises:
        Stopped: `stop` returned True; nothing is left of the unpacked files.
        UserError: an archive that is damaged, holds links or devices, would write outside `folder`, or is larger than
            allowed; too little space on the disk.
    """
    if not hasattr(tarfile, "data_filter"):  # Python 3.11.0 to 3.11.3
        raise UserError("unpacking safely needs Python 3.11.4 or later")
    report = _Report(progress, stop)
    with explain_disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)

    def waiting() -> None:
        report(0, 1, f"waiting for another process that unpacks {folder.name}")

    with locked(folder.with_name(f".{folder.name}.unpack.lock"), stop, waiting):
        _remove_leftovers(folder)
        needed = 0

        def measure(_: tarfile.TarFile, member: tarfile.TarInfo) -> None:
            nonlocal needed
            needed += -(-member.size // 4096) * 4096 + 4096  # whole blocks, and one for the entry itself

        _each_member(archives, measure, report, "checking", max_members, max_bytes)
        need_space(folder.parent, needed)
        with replacing(folder) as beside:
            beside.mkdir()

            def extract(tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
                # macOS's tar adds a "._NAME" beside every NAME; they are no data, and Oxford's archive has thousands.
                if not member.name.rpartition("/")[2].startswith("._"):
                    tar.extract(member, beside, filter="data")

            _each_member(archives, extract, report, "unpacking", max_members, max_bytes)
            if check is not None:
                check(beside)
    return folder


@contextmanager
def locked(path: Path, stop: Stop | None = None, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path`, which the operating system frees when a process dies.

    While another process or thread holds it, `waiting` is called now and then and `stop` may end the wait.

    Raises:
        Stopped: `stop` returned True while waiting.
        UserError: the place cannot be written.
    """
    lock = filelock.FileLock(path)
    with explain_disk_errors(path):
        while True:
            try:
                lock.acquire(blocking=False)
                break
            except filelock.Timeout:
                if stop is not None and stop():
                    raise Stopped("stopped while waiting for another process that does the same") from None
                if waiting is not None:
                    waiting()
                time.sleep(0.1)
    try:
        yield
    finally:
        lock.release()


def need_space(folder: Path, size: int) -> None:
    """Raise `UserError` unless `size` bytes fit on the disk of `folder`, an existing one, with a little to spare."""
    free = shutil.disk_usage(folder).free
    if free < size + RESERVE:
        raise UserError(
            f"{_mb(size + RESERVE)} are needed on the disk of {folder} but {_mb(free)} are free: "
            "free some, or set SEGMODELS_HOME elsewhere"
        )


# ----------------------------------------------------------------------------------------------------- one transfer


class _Transfer:
    """A file on its way.

    `NAME.part` holds the bytes that came; `NAME.part.json` says which state of the server's file they belong to.
    """

    def __init__(self, archive: Archive, part: Path, report: _Report) -> None:
        self.archive = archive
        self.part = part
        self.notes_path = part.with_name(f"{part.name}.json")
        self.report = report
        self.answered = False
        self.opener = _opener()

    def run(self) -> None:
        """Bring bytes until the part has the archive's size. Raises `UserError` or `Stopped`, and then keeps it."""
        failures = 0
        farthest = self.have()
        while self.have() < self.archive.size:
            self._look_for_stop()
            try:
                self._attempt(self.have())
                why = "the connection ended early"
            except _Dropped as error:
                why = str(error)
            if self.have() >= self.archive.size:
                break
            # Counted from the farthest point so far, or a server without ranges that drops every connection, sometimes
            # later than before, would be asked for ever.
            failures = 0 if self.have() - farthest >= GAIN else failures + 1
            farthest = max(farthest, self.have())
            if failures >= ATTEMPTS:
                raise UserError(
                    f"{self.archive.url} failed {failures} times ({why}); {_mb(self.have())} of "
                    f"{_mb(self.archive.size)} are kept: try again later, {_by_hand(self.archive, self.part.parent)}"
                )
            self._wait(min(PAUSE * 2 ** max(failures - 1, 0), LONGEST_PAUSE))

    def have(self) -> int:
        """The bytes that can be gone on from; a part that belongs to another file is removed first."""
        size = _size(self.part)
        if size and (size > self.archive.size or not self._notes()):
            self.discard()
            return 0
        return size

    def discard(self) -> None:
        """Remove the part and its notes."""
        with explain_disk_errors(self.part):
            self.part.unlink(missing_ok=True)
            self.notes_path.unlink(missing_ok=True)

    def _notes(self) -> dict[str, Any]:
        """What was noted when the part was begun; empty where that is missing or is about another file."""
        try:
            notes = read_json(self.notes_path, limit=100_000)
        except UserError:
            return {}
        about_this = isinstance(notes, dict) and notes.get("sha256") == self.archive.sha256
        return notes if about_this and notes.get("url") == self.archive.url else {}

    def _attempt(self, had: int) -> None:
        """One request: append what it brings to the part. Raises `_Dropped` where another one may do better."""
        request = urllib.request.Request(self.archive.url, headers={"User-Agent": "segmodels"})
        if had:
            request.add_header("Range", f"bytes={had}-")
            notes = self._notes()
            if validator := _validator(notes.get("etag"), notes.get("last_modified")):
                request.add_header("If-Range", validator)
        with self._open(request) as response:
            self.answered = True
            length = self._check_answer(response, had)
            if response.status == 200:
                self._begin(response)
                had = 0
            with explain_disk_errors(self.part):
                file = self.part.open("ab")
            with file:
                self._copy(response, file, had, length)

    def _open(self, request: urllib.request.Request) -> HTTPResponse:
        url, folder = self.archive.url, self.part.parent
        try:
            return self.opener.open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            self.answered = True
            error.close()
            reason = _one_line(f"HTTP {error.code} {error.reason}")
            if error.code == 416:  # the part is longer than the server's file: it was another one
                self.discard()
                raise _Dropped(reason) from None
            if error.code in (408, 425, 429) or error.code >= 500:
                raise _Dropped(reason) from None
            raise UserError(
                f"{url}: the server refuses ({reason}); try again later, {_by_hand(self.archive, folder)}"
            ) from None
        except urllib.error.URLError as error:
            reason = _one_line(error.reason)
            if self.answered:
                raise _Dropped(reason) from None
            # Who has not answered once in this call is most likely out of reach: say so now, not after six tries.
            raise UserError(
                f"{url} cannot be reached ({reason}): check the connection and try again, "
                f"{_by_hand(self.archive, folder)}"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, http.client.InvalidURL):
                raise UserError(f"{url} is not a valid address ({_one_line(error)})") from None
            raise _Dropped(_one_line(error)) from None

    def _check_answer(self, response: HTTPResponse, had: int) -> int | None:
        """The bytes that this answer will bring, None where it does not say; refuse all that was not asked for."""
        length = _whole_number(response.headers.get("Content-Length"))
        if response.status == 200:
            self._check_total(length)
            return length
        if response.status != 206 or not had:
            raise UserError(f"{self.archive.url}: the server answers HTTP {response.status} instead of the file")
        start, total = _content_range(response.headers.get("Content-Range"))
        self._check_total(total)
        etag, noted = response.headers.get("ETag"), self._notes().get("etag")
        if start != had or (etag and noted and etag != noted):
            self.discard()
            raise _Dropped("the server sent another part than was asked for")
        return length

    def _check_total(self, total: int | None) -> None:
        if total is not None and total != self.archive.size:
            # Before the part is touched: a hotel's login page in place of the file must not cost what has come so far.
            raise UserError(
                f"{self.archive.url} is {total:,} bytes, not the {self.archive.size:,} expected: the file has changed, "
                f"or something on the way answers in its place; try again later, "
                f"{_by_hand(self.archive, self.part.parent)}"
            )

    def _begin(self, response: HTTPResponse) -> None:
        """Start the part anew. The order matters: whenever it stops in between, no part stands with another's notes."""
        self.discard()
        headers = response.headers
        write_json(
            self.notes_path,
            {
                "url": self.archive.url,
                "sha256": self.archive.sha256,
                "etag": headers.get("ETag"),
                "last_modified": headers.get("Last-Modified"),
            },
        )

    def _copy(self, response: HTTPResponse, file: BinaryIO, done: int, length: int | None) -> None:
        what = f"downloading {self.archive.file_name}"
        self.report(done, self.archive.size, what)
        while length is None or length > 0:
            try:
                # read1 returns what one receive brings, so that a slow line does not delay `stop` and `progress`.
                chunk = response.read1(_CHUNK if length is None else min(_CHUNK, length))
            except (OSError, http.client.HTTPException) as error:
                raise _Dropped(_one_line(error)) from None
            if not chunk:
                break
            done += len(chunk)
            length = None if length is None else length - len(chunk)
            if done > self.archive.size:
                file.close()
                self.discard()
                raise UserError(
                    f"{self.archive.url} sends more than the {self.archive.size:,} bytes expected: it was deleted; "
                    f"try again later, {_by_hand(self.archive, self.part.parent)}"
                )
            with explain_disk_errors(self.part):
                file.write(chunk)
                file.flush()
            self.report(done, self.archive.size, what)
            self._look_for_stop()

    def _wait(self, seconds: float) -> None:
        """Wait before the next try, open to `stop`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._look_for_stop()
            self.report(_size(self.part), self.archive.size, f"connecting again for {self.archive.file_name}")
            time.sleep(min(left, 0.1))

    def _look_for_stop(self) -> None:
        if self.report.stopped():
            raise Stopped(
                f"stopped: {_mb(_size(self.part))} of {_mb(self.archive.size)} of {self.archive.file_name} are kept, "
                "and the next download goes on from there"
            )


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


def _opener() -> urllib.request.OpenerDirector:
    """Handlers for http, https and the proxies of the environment; none for file, ftp and data addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _CarefulRedirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _check(archive: Archive) -> None:
    if urllib.parse.urlsplit(archive.url).scheme not in ("http", "https"):
        raise UserError(f"{archive.url}: only http and https addresses can be downloaded")
    name = archive.file_name
    if not name or name.startswith(".") or any(mark in name for mark in "/\\:\0"):
        raise UserError(f"{name!r} is not a plain file name")
    if archive.size <= 0:
        raise UserError(f"{archive.url}: its size must be known beforehand")


def _validator(etag: object, last_modified: object) -> str | None:
    """What If-Range may carry: a strong ETag, else the date; a weak ETag does not promise equal bytes."""
    if isinstance(etag, str) and etag.startswith('"') and etag.isascii() and etag.isprintable():
        return etag
    usable = isinstance(last_modified, str) and last_modified.isascii() and last_modified.isprintable()
    return str(last_modified) if usable and last_modified else None


def _content_range(header: str | None) -> tuple[int | None, int | None]:
    """Start and total of `bytes START-END/TOTAL`; None for what is missing."""
    found = re.fullmatch(r"\s*bytes\s+(\d{1,18})-\d{1,18}/(\d{1,18}|\*)\s*", header or "", re.ASCII)
    if not found:
        return None, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _whole_number(header: str | None) -> int | None:
    return int(header) if header and re.fullmatch(r"\d{1,18}", header.strip(), re.ASCII) else None


def _verify(path: Path, archive: Archive, report: _Report) -> None:
    """Raise `_Damaged` unless the file has the archive's size and SHA-256."""
    size = path.stat().st_size
    if size != archive.size:
        raise _Damaged(f"{size:,} bytes instead of {archive.size:,}")
    digest = hashlib.sha256()
    done = 0
    with explain_disk_errors(path), path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            done += len(chunk)
            report(done, archive.size, f"checking {archive.file_name}")
            if report.stopped():
                raise Stopped(f"stopped while checking {archive.file_name}; it is kept")
    if digest.hexdigest() != archive.sha256.lower():
        raise _Damaged(f"SHA-256 {digest.hexdigest()[:12]}… instead of {archive.sha256[:12]}…")


def _by_hand(archive: Archive, folder: Path) -> str:
    return f"or fetch it by hand and put it in {folder} as {archive.file_name}"


# -------------------------------------------------------------------------------------------------------- unpacking


class _Metered(io.RawIOBase):
    """A stream that refuses to be read further than the members so far account for.

    tarfile reads a member's long name or extended header into memory whatever length it claims, before anyone is asked;
    here such a claim ends after a mebibyte, and so does what follows the last member.
    """

    HEADERS = 1 << 20

    def __init__(self, plain: BinaryIO | gzip.GzipFile, archive: Path, after_read: Callable[[], None]) -> None:
        self.plain = plain
        self.archive = archive
        self.after_read = after_read
        self.left = self.HEADERS

    def allow(self, size: int) -> None:
        """Let a member's `size` bytes and the next member's headers be read."""
        self.left = size + self.HEADERS

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self.plain.read(min(size, _CHUNK) if size >= 0 else _CHUNK)
        self.left -= len(data)
        if self.left < 0:
            raise UserError(f"{self.archive.name}: more data than its members account for; refused")
        self.after_read()
        return data


def _each_member(
    archives: Sequence[Path],
    action: Callable[[tarfile.TarFile, tarfile.TarInfo], None],
    report: _Report,
    verb: str,
    max_members: int,
    max_bytes: int,
) -> None:
    """Call `action` with every member of every archive that passes the checks; the first that does not ends it."""
    sizes = [_size(archive) for archive in archives]
    members = total = 0
    for number, archive in enumerate(archives):
        before = sum(sizes[:number])
        with (
            _explain_damage(archive),
            archive.open("rb") as packed,
            gzip.GzipFile(fileobj=packed) as plain,
        ):

            def after_read(before: int = before, packed: BinaryIO = packed, archive: Path = archive) -> None:
                report(before + packed.tell(), sum(sizes), f"{verb} {archive.name}")
                if report.stopped():
                    raise Stopped(f"stopped while {verb} {archive.name}; the archives are kept")

            metered = _Metered(plain, archive, after_read)
            # As a stream: read once from front to back, so nothing seeks past the meter.
            with tarfile.open(fileobj=metered, mode="r|") as tar:
                while (member := tar.next()) is not None:
                    _check_member(member, archive)
                    members += 1
                    total += member.size
                    if members > max_members:
                        raise UserError(f"{archive.name}: more than the {max_members:,} members allowed; refused")
                    if total > max_bytes:
                        raise UserError(
                            f"{archive.name}: unpacks to more than the {max_bytes:,} bytes allowed; refused"
                        )
                    metered.allow(member.size)
                    action(tar, member)
            # The checksum of the whole stands at the end, behind the padding at which tarfile stops.
            while metered.read(_CHUNK):
                pass
    if archives:
        report(sum(sizes), sum(sizes), f"{verb} {archives[-1].name}")


def _check_member(member: tarfile.TarInfo, archive: Path) -> None:
    """Refuse what no data set needs: anything but plain files and folders under plain relative names."""
    name = member.name
    shown = ascii(name[:80])
    if member.issym() or member.islnk():
        raise UserError(f"{archive.name}: {shown} is a link; refused")
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE) or member.issparse():
        raise UserError(f"{archive.name}: {shown} is neither a plain file nor a folder; refused")
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or re.search(r"[\\:]", name):
        raise UserError(f"{archive.name}: {shown} would be written outside the folder; refused")
    if not name.isprintable() or len(name) > 1000 or any(len(part.encode()) > 255 for part in parts):
        raise UserError(f"{archive.name}: {shown} is no usable file name; refused")


@contextmanager
def _explain_damage(archive: Path) -> Iterator[None]:
    """Turn what the unpackers raise on a damaged archive into one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or archive}: no such file") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise UserError(f"{archive.name}: a member is a file and a folder at once; refused") from None
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{archive}: not a whole .tar.gz archive ({_one_line(error)}); delete it and download it again"
        ) from None


def _remove_leftovers(folder: Path) -> None:
    """Remove what an unpacking that was killed left beside `folder`; no other can be at work while the lock is held."""
    left = re.compile(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{8}}\.part")
    for path in folder.parent.iterdir():
        if left.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


# ------------------------------------------------------------------------------------------------------ small things


class _Report:
    """`progress` and `stop` as one thing to pass on; calls `progress` ten times a second and at each change of work."""

    def __init__(self, progress: Progress | None, stop: Stop | None) -> None:
        self._progress = progress
        self._stop = stop
        self._what = ""
        self._at = 0.0

    def __call__(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if self._progress is not None and (what != self._what or done >= total or now - self._at >= 0.1):
            self._what, self._at = what, now
            self._progress(done, total, what)

    def stopped(self) -> bool:
        return self._stop is not None and self._stop()


def _make(folder: Path) -> None:
    with explain_disk_errors(folder), contextlib.suppress(FileExistsError, NotADirectoryError):
        folder.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir():
        raise UserError(f"{folder} cannot be made: a file is in its way")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
