"""Pictures in buckets: `s3://`, `gs://`, and whatever else Arrow opens by its address.

A picture is brought to a temporary file by whoever predicts it, so that from there on it is like any other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from segmodels.data.disk import need_space
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors
from segmodels.prediction.sources import Found, failing, is_picture, is_zip

#: Bytes that are brought at a time.
CHUNK = 8 << 20
#: Seconds after which a store of Google that does not answer is given up, where the address says nothing of it: Arrow's
#: own are 15 minutes. (`retry_limit_seconds` is a parameter of Arrow's addresses.)
PATIENCE = "20"


@dataclass(frozen=True)
class InBucket:
    """A picture by the address of its bucket, which may hold secrets, and its path as Arrow has it.

    Attributes:
        address: as a person gave it.
        path: of the picture, with the bucket's name.
        shown: what messages call it, without secrets.
        size: bytes.
        changed: when, in nanoseconds.
    """

    address: str
    path: str
    shown: str
    size: int
    changed: int

    @contextmanager
    def opened(self) -> Iterator[Path]:
        """The picture as a temporary file, for the block.

        Raises:
            UserError: it is not there any more, is another one by now, or has no room on the disk.
        """
        with tempfile.TemporaryDirectory(prefix="segmodels-") as folder:
            need_space(Path(folder), self.size)
            file = Path(folder, "picture" + PurePosixPath(self.path).suffix[:16])
            with explained(self.shown, self.address):
                store, _ = _opened(self.address)
                source = store.open_input_stream(self.path)
            taken = 0
            with source, file.open("wb") as target:
                while True:
                    with explained(self.shown, self.address):
                        data = source.read(CHUNK)
                    if not data or (taken := taken + len(data)) > self.size:
                        break
                    with explain_disk_errors(file):
                        target.write(data)
            if taken != self.size:
                raise UserError(f"{self.shown} changed after it was listed: predict it again")
            yield file

    def state(self) -> tuple[object, ...]:
        return self.shown, self.size, self.changed


def is_address(text: str) -> bool:
    """Whether somebody means a bucket, not a path."""
    return "://" in text


def without_secrets(address: str) -> str:
    """An address without the keys and parameters that it may hold."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def found_in_bucket(address: str) -> Sequence[Found]:
    """The pictures at an address, with all below it where it is a folder, before they have their names: as those of a
    folder of this machine. What cannot be read, or holds none, becomes a picture that says so."""
    shown = without_secrets(address)
    name = PurePosixPath(urlsplit(address).path).name or urlsplit(shown).netloc
    try:
        with explained(shown, address):
            return _found(address, shown, name)
    except UserError as error:
        return [failing(name, shown, str(error))]


def _found(address: str, shown: str, name: str) -> Sequence[Found]:
    from pyarrow import fs

    store, path = _opened(address)
    if not path.strip("/"):
        raise UserError(f"{shown} names no bucket: write such as s3://bucket/folder")
    about = store.get_file_info(path)
    if about.type == fs.FileType.NotFound:
        raise UserError(f"{shown}: there is nothing of that name")
    if about.is_file:
        with store.open_input_stream(path) as file:
            if is_zip(file.read(4)):
                raise UserError(f"{shown} is an archive: unpack it in the bucket, or bring it to shared storage")
        return [_picture(address, about, (name,), shown)]
    files = [each for each in store.get_file_info(fs.FileSelector(path, recursive=True)) if each.is_file]
    found = []
    for each in files:
        parts = PurePosixPath(each.path).relative_to(path).parts
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
        if is_picture(parts[-1]) and not hidden:
            found.append(_picture(address, each, parts, "/".join((shown.rstrip("/"), *parts))))
    if not found:
        raise UserError(f"{shown} holds no picture: name a folder that does")
    return sorted(found, key=lambda picture: picture.parts)


def _picture(address: str, about: Any, parts: tuple[str, ...], shown: str) -> Found:
    place = InBucket(address, about.path, shown, about.size or 0, about.mtime_ns or 0)

    def read() -> Path | bytes:
        with place.opened() as file:
            return file.read_bytes()

    return Found(parts, shown, read, place)


def _opened(address: str) -> tuple[Any, str]:
    """Arrow's store, and the path in it."""
    from pyarrow import fs

    if address.startswith(("gs://", "gcs://")) and "retry_limit_seconds" not in address:
        address += ("&" if "?" in address else "?") + f"retry_limit_seconds={PATIENCE}"
    store, path = fs.FileSystem.from_uri(address)
    return store, path


@contextmanager
def explained(shown: str, address: str) -> Iterator[None]:
    """Turn what Arrow raises over a store into one line that names the picture or the bucket, without what the address
    hides."""
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{shown}: there is nothing of that name") from None
    except (OSError, ArrowException, ValueError) as error:
        reason = " ".join(str(error).replace(address, shown).split())[:160]
        raise UserError(
            f"{shown} cannot be read ({reason}): see whether it is there, and whether this machine and all nodes of "
            "the cluster have the keys to it"
        ) from None
