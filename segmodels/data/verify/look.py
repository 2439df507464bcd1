"""What can be said of one sample by itself, and of one file by its head."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from segmodels.data.dataset import IGNORE, Dataset, Finding, Sample
from segmodels.data.images import FORMATS, read_image
from segmodels.data.verify.likeness import thumbnail
from segmodels.errors import UserError

#: The format that a suffix promises, as Pillow names it.
SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".gif": "GIF", ".bmp": "BMP",
    ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP", ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM",
}  # fmt: skip

#: How files of these formats begin, and what stands in the last bytes of each that is whole.
ENDS = ((b"\xff\xd8\xff", b"\xff\xd9"), (b"\x89PNG", b"IEND"), (b"GIF8", b"\0;"))


@dataclass
class Seen:
    """A sample after it was read.

    Attributes:
        findings: its defects.
        digest: of the decoded picture, b"" where it cannot be read.
        mask_digest: of the mask.
        thumbnail: uint8 `(32, 32)`, None where the picture cannot be read.
        pixels: int64 `(classes,)`, None where the sample cannot be used.
    """

    findings: list[Finding] = field(default_factory=list)
    digest: bytes = b""
    mask_digest: bytes = b""
    thumbnail: np.ndarray | None = None
    pixels: np.ndarray | None = None


def look(dataset: Dataset, sample: Sample, split: str) -> Seen:
    """Read a sample and ask the data set about it. Never raises, whatever the files hold."""
    try:
        return _look(dataset, sample, split)
    except Exception as error:  # one file out of thousands must not end the check of the others
        message = error if isinstance(error, UserError) else f"{type(error).__name__}: {' '.join(str(error).split())}"
        finding = Finding("unreadable", sample.id, f"it cannot be read: {message}"[:300], "skipped", sample.id, split)
        return Seen([finding])


def _look(dataset: Dataset, sample: Sample, split: str) -> Seen:
    seen = Seen()

    def tell(kind: str, path: Path | None, message: str, action: str = "skipped") -> None:
        seen.findings.append(Finding(kind, place_of(dataset, path) or sample.id, message, action, sample.id, split))

    image = mask = None
    try:
        image = dataset.read_image(sample)
    except UserError as error:
        tell(_defect(sample.image_path, "unreadable"), sample.image_path, _message(error, sample, sample.image_path))
    inspected = dataset.inspect(sample)
    try:
        mask = dataset.read_mask(sample)
    except UserError as error:
        # The data set's own words, where it has some, say it better.
        if not any(finding.action.startswith("skipped") for finding in inspected):
            kind = _defect(sample.mask_path, "wrong-mask")
            tell(kind, sample.mask_path, _message(error, sample, sample.mask_path))
    seen.findings += [replace(finding, sample=sample.id, split=split) for finding in inspected]

    if image is not None:
        seen.digest = _digest(image)
        seen.thumbnail = thumbnail(image)
    if mask is not None:
        seen.mask_digest = _digest(mask)
    if image is None or mask is None:
        return seen

    if image.shape[:2] != mask.shape:
        (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape
        sizes = f"the picture is {width}x{height} but its mask is {mask_width}x{mask_height}"
        tell("size-mismatch", sample.mask_path, sizes)
        return seen
    counts = np.bincount(mask.ravel(), minlength=256)
    wrong = [int(value) for value in np.flatnonzero(counts) if len(dataset.classes) <= value != IGNORE]
    if wrong:
        share = counts[wrong].sum() / mask.size
        values = ", ".join(map(str, wrong[:8])) + (" …" if len(wrong) > 8 else "")
        allowed = f"classes are 0 to {len(dataset.classes) - 1}, {IGNORE} is ignored"
        tell("wrong-value", sample.mask_path, f"mask values {values} on {100 * share:.3g} % of the pixels: {allowed}")
        return seen
    seen.pixels = counts[: len(dataset.classes)].astype(np.int64)
    present = np.flatnonzero(seen.pixels)
    if len(present) == 0:
        tell("empty-mask", sample.mask_path, "every pixel is ignored", "read all the same; it teaches nothing")
    elif len(present) == 1:
        name = dataset.classes[present[0]].name
        tell("empty-mask", sample.mask_path, f"every counted pixel is {name!r}", "read all the same")
    return seen


def wrong_suffix(path: Path) -> str:
    """What a picture file is if not what its name says ("a GIF picture in mode P, named .jpg"), or ""."""
    promised = SUFFIXES.get(path.suffix.lower())
    if promised is None:
        return ""
    try:
        with Image.open(path, formats=FORMATS) as image:
            found, mode = image.format or "", image.mode
    except Exception:  # reading it says what is wrong with it
        return ""
    found = "JPEG" if found == "MPO" else found  # several JPEG pictures in one file, as phones make them
    return "" if found == promised else f"a {found} picture in mode {mode}, named {path.suffix}"


def place_of(dataset: Dataset, path: Path | None) -> str:
    """A path below the data set's root, or as it is where it lies elsewhere; "" of None."""
    if path is None:
        return ""
    inside = dataset.root is not None and path.is_relative_to(dataset.root)
    return path.relative_to(dataset.root).as_posix() if inside and dataset.root is not None else str(path)


def _defect(path: Path | None, otherwise: str) -> str:
    """Why a file cannot be used: "missing", "truncated", "unreadable", or `otherwise` for a picture that is whole."""
    if path is None:
        return otherwise
    if not path.is_file():
        return "missing"
    try:
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(max(0, path.stat().st_size - 64))
            tail = file.read()
    except OSError:
        return "unreadable"
    if not head or any(head.startswith(start) and end not in tail for start, end in ENDS):
        return "truncated"
    try:
        read_image(path)
    except UserError:
        return "unreadable"
    return otherwise


def _message(error: UserError, sample: Sample, path: Path | None) -> str:
    """What was wrong, without the name of the file, which has a column of its own."""
    return str(error).removeprefix(f"{path}: ").removeprefix(f"{sample.id}: ").removeprefix(f"{path}, ")


def _digest(array: np.ndarray) -> bytes:
    digest = hashlib.blake2b(repr(array.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
