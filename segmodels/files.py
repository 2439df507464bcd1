"""Writing that never leaves half a file: write beside, then rename."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import unicodedata
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segmodels.errors import DiskFull, UserError


@contextmanager
def replacing(path: Path, *, keep: bool = False, make_folder: bool = True) -> Iterator[Path]:
    """Yield a path beside `path` to write to; at the end it takes `path`'s place, or is removed after an error.

    Works for a file and for a folder. A folder that is replaced is moved aside first and removed last, so that at every
    moment the old or the new one exists whole (`previous` tells where the old one stands in between; with `keep` it
    stays there). The folder that `path` lies in is made, but for `make_folder` False.
    """
    path = Path(path)
    beside = path.with_name(f".{_short(path.name)}.{uuid.uuid4().hex[:8]}.part")
    with explain_disk_errors(path):
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            if beside.is_dir() and path.exists():
                aside = previous(path)
                shutil.rmtree(aside, ignore_errors=True)
                path.replace(aside)
                beside.replace(path)
                if not keep:
                    shutil.rmtree(aside, ignore_errors=True)
            else:
                beside.replace(path)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            with suppress(OSError):
                beside.unlink(missing_ok=True)


def being_written(path: Path) -> bool:
    """Whether something that will be at `path` is being made by `replacing` in any process, or was and was killed."""
    pattern = re.compile(rf"\.{re.escape(_short(path.name))}\.[0-9a-f]{{8}}\.part")
    with suppress(OSError):
        return not path.exists() and any(pattern.fullmatch(beside.name) for beside in path.parent.iterdir())
    return False


def _short(name: str) -> str:
    """As much of a name as leaves room for more: a file's takes 255 bytes."""
    return name.encode("utf-8", "surrogateescape")[:180].decode("utf-8", "ignore")


def sweep(folder: Path, name: str = "*") -> None:
    """Remove what killed processes left half-written beside `name`; only for who holds the lock on it."""
    for left in folder.glob(f".{name}.????????.part"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder, which is out of sight at once; where this is killed, `sweep` finds what is left."""
    doomed = folder.with_name(f".{_short(folder.name)}.{uuid.uuid4().hex[:8]}.part")
    with explain_disk_errors(folder):
        folder.replace(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def previous(path: Path) -> Path:
    """Where the old folder stands while `replacing` swaps `path`."""
    return path.with_name(f".{path.name}.previous")


def whole(path: Path) -> Path:
    """`path`, or the folder it replaces if a swap was cut off between its two renames."""
    return path if path.exists() or not previous(path).exists() else previous(path)


@contextmanager
def explain_disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or an unwritable place into one line that names it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left on the disk of {path}: free some, or set SEGMODELS_HOME elsewhere") from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(f"no permission for {path}: choose another place, or set SEGMODELS_HOME") from None
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"{str(path)[:80]}… is too long a name for this disk: choose a shorter one") from None
        if error.errno == errno.ENOENT:
            raise UserError(f"{path} cannot be made: choose another place") from None
        if error.errno == errno.EISDIR:
            raise UserError(f"{path} is a folder: name a file") from None
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            raise UserError(f"{path} is a file or lies below one: name a folder") from None
        raise


def user_path(text: str | Path) -> Path:
    """A path as a person typed it, made absolute: spaces and quotes around it do not count, `~` is the home folder."""
    try:
        path = Path(str(text).strip().strip("'\"")).expanduser().resolve()
        path.exists()  # a name that no file system takes is found out here
        return path
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{str(text)[:80]!r} is no path ({' '.join(str(error).split())[:80]})") from None


def state_of(paths: Iterable[Path], *about: object) -> str:
    """A digest of where files are, how long they are and when they were changed, and of `about`: a name for what was
    found in them, without reading them again."""
    digest = hashlib.blake2b(repr(about).encode("utf-8", "surrogateescape"), digest_size=16)
    for path in paths:
        try:
            state = path.stat()
            size, time = state.st_size, state.st_mtime_ns
        except OSError:
            size = time = -1
        digest.update(f"{path}\0{size}\0{time}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def slug(text: str, *, most: int = 60) -> str:
    """A name of small letters, digits and dashes, safe in file names and addresses: "My Cells (2)" is "my-cells-2"."""
    plain = unicodedata.normalize("NFKD", text[:1000]).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:most].strip("-")
    if not name or re.fullmatch(r"con|nul|aux|prn|(com|lpt)\d", name):  # the latter are devices on Windows
        return f"{name}-data".strip("-")
    return name


def write_text(path: Path, text: str, *, make_folder: bool = True) -> None:
    """Replace a UTF-8 text file as a whole."""
    with replacing(path, make_folder=make_folder) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, document: Any, *, make_folder: bool = True) -> None:
    """Replace a JSON file as a whole."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        text = json.dumps(document, indent=2)  # a file name that is no UTF-8
    write_text(path, text + "\n", make_folder=make_folder)


def read_json(path: Path, *, limit: int = 16_000_000) -> Any:
    """Read a JSON file; `UserError` where it is missing, over `limit` bytes, or no JSON."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise UserError(f"{path}: {size:,} bytes is more than the {limit:,} allowed for such a file")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path}: not a valid JSON file; it may be damaged") from None
