"""Files that call themselves pictures and mean harm: one line each, in little time and memory, and none of it kept."""

from __future__ import annotations

import io
import json
import random
import resource
import signal
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.timing import run_json
from segmodels.data.images import page_count, read_image
from segmodels.errors import UserError
from tests.test_images import png, saved

#: Of one hostile picture: seconds, and bytes at the most. A picture at the limit takes up to 1.5 GB.
SECONDS, BYTES = 5.0, 300 << 20
#: Of all together: anonymous bytes that stay.
KEPT = 24 << 20
#: Of a mutated picture; the address space is bounded too, above what the libraries take.
FUZZ_SECONDS, FUZZ_BYTES = 20, 1536 << 20
MUTANTS = 4000

NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
SMOOTH = np.kron(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20, np.ones((8, 8), np.uint8))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(*chunks: bytes) -> bytes:
    """A good PNG with more chunks behind its header."""
    whole = saved(Image.fromarray(NOISE), "PNG")
    return whole[:33] + b"".join(chunks) + whole[33:]


def inflating(kind: bytes, size: int) -> bytes:
    """A good PNG with a chunk of a few kilobytes that inflates to `size` bytes."""
    return with_chunks(chunk(kind, b"a\0\0" + zlib.compress(bytes(size))))


def with_headers(kind: bytes, headers: list[bytes]) -> bytes:
    """A good JPEG with more headers, of 65,533 bytes each."""
    whole = saved(Image.fromarray(NOISE), "JPEG")
    return whole[:2] + b"".join(b"\xff" + kind + b"\xff\xff" + header for header in headers) + whole[2:]


def tiff(
    *entries: tuple[int, int, int, int], following: int = 0, count: int | None = None, extra: bytes = b""
) -> bytes:
    """A TIFF of one directory by hand: tag, type, count, value; the directory stands at 8."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    number = len(entries) if count is None else count
    return b"II*\0\x08\0\0\0" + struct.pack("<H", number) + body + struct.pack("<I", following) + extra


def grey_tiff(width: int, height: int, *more: tuple[int, int, int, int], **how: Any) -> bytes:
    given = {entry[0] for entry in more}
    plain = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
             (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, width * height & 0xFFFFFFFF)]  # fmt: skip
    return tiff(*[entry for entry in plain if entry[0] not in given], *more, **how)


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def jpeg_claiming(width: int, height: int) -> bytes:
    data = saved(Image.fromarray(NOISE), "JPEG")
    return patched(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


def scan_bomb() -> bytes:
    """A grey JPEG of 64 megapixels whose last scan, of 95 bytes, comes ten thousand times: minutes of decoding."""
    data = saved(Image.new("L", (8000, 8000)), "JPEG", progressive=True)
    return data[:-2] + data[data.rfind(b"\xff\xda") : -2] * 10_000 + data[-2:]


def webp(kind: bytes, data: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def zipped() -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("page.html", "<script>alert(1)</script>")
    return file.getvalue()


def many_frames(frames: int) -> bytes:
    """A GIF whose frames, of 4000 x 4000 pixels each, together are `frames` times 16 megapixels."""
    data = saved(Image.new("P", (4000, 4000)), "GIF")
    start = data.index(b"\x2c\0\0\0\0")
    return data[:start] + data[start:-1] * frames + b";"


SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
BMP = saved(Image.fromarray(NOISE), "BMP")
GIF = saved(Image.fromarray(NOISE), "GIF")
PNG_START = b"\x89PNG\r\n\x1a\n"

#: Each is refused. Made when asked for, as some are large; the readers never see how.
REFUSED: dict[str, Callable[[], bytes]] = {
    "png of 10 gigapixels claimed": lambda: png(100_000, 100_000),
    "png of 2**31 squared": lambda: png(2**31 - 1, 2**31 - 1),
    "png of 2**32 squared": lambda: png(2**32 - 1, 2**32 - 1),
    "png of 300 megapixels claimed": lambda: png(17_400, 17_400),
    "png of 300 megapixels": lambda: png(17_400, 17_400, depth=1, rows=bytes(17_400 * 2176)),
    "deep png of 300 megapixels": lambda: png(17_400, 17_400, depth=16, colour=2),
    "deep png of 64 megapixels that are not there": lambda: png(8000, 8000, depth=16, colour=6),
    "png of 64 megapixels that are not there": lambda: png(8000, 8000),
    "png of 1 x 100000": lambda: png(1, 100_000, rows=bytes(200_000)),
    "png of 100000 x 1": lambda: png(100_000, 1, rows=bytes(100_001)),
    "png of 0 x 0": lambda: png(0, 0),
    "png of 0 x 5": lambda: png(0, 5, rows=bytes(5)),
    "tiff of 300 megapixels claimed": lambda: grey_tiff(17_400, 17_400),
    "tiff of 2**32 squared": lambda: grey_tiff(2**32 - 1, 2**32 - 1),
    "tiff of 64 megapixels that are not there": lambda: grey_tiff(8000, 8000),
    "tiff of 0 x 0": lambda: grey_tiff(0, 0),
    "deep tiff of 300 megapixels": lambda: grey_tiff(17_400, 17_400, (258, 3, 1, 16), (277, 3, 1, 3), (262, 3, 1, 2)),
    "deep tiff that is not there": lambda: grey_tiff(8000, 8000, (258, 3, 1, 16), (277, 3, 1, 3), (262, 3, 1, 2)),
    "deep tiff of 60000 channels": lambda: grey_tiff(100, 100, (258, 3, 1, 16), (277, 3, 1, 60_000)),
    "float tiff that is not there": lambda: grey_tiff(8000, 8000, (258, 3, 1, 64), (339, 3, 1, 3)),
    "tiff with tiles of 100000 x 100000": lambda: grey_tiff(
        64, 64, (322, 4, 1, 100_000), (323, 4, 1, 100_000), (324, 4, 1, 8), (325, 4, 1, 9), (259, 3, 1, 5)
    ),
    "deep tiff with tiles of 100000 x 100000": lambda: grey_tiff(
        64,
        64,
        (258, 3, 1, 16),
        (277, 3, 1, 3),
        (262, 3, 1, 2),
        (322, 4, 1, 100_000),
        (323, 4, 1, 100_000),
        (324, 4, 1, 8),
        (325, 4, 1, 9),
        (259, 3, 1, 5),
    ),
    "tiff without a directory": lambda: b"II*\0\0\0\0\0",
    "tiff with a directory behind its end": lambda: b"II*\0\xff\xff\xff\x7f" + bytes(20),
    "tiff with an empty directory": lambda: tiff(),
    "tiff with an empty directory in a loop": lambda: tiff(following=8),
    "tiff with 2**31 strips": lambda: grey_tiff(64, 64, (273, 4, 2**31, 8), (279, 4, 2**31, 8)),
    "tiff with 2**32 bits": lambda: grey_tiff(64, 64, (258, 3, 2**32 - 1, 8)),
    "tiff whose width is a text": lambda: grey_tiff(64, 64, (256, 2, 4, 0x41414141)),
    "big tiff of 2**60 entries": lambda: b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**60) + bytes(64),
    "webp of 280 megapixels claimed": lambda: webp(b"VP8L", b"\x2f\xfe\xbf\xff\x0f" + bytes(9)),
    "webp of 2**24 squared": lambda: webp(b"VP8X", bytes(4) + b"\xff" * 6),
    "webp of 64 megapixels that are not there": lambda: webp(b"VP8X", bytes(4) + struct.pack("<I", 7999)[:3] * 2),
    "gif of 4 gigapixels claimed": lambda: patched(GIF, 6, b"\xff\xff\xff\xff"),
    "gif of 0 x 0": lambda: b"GIF89a" + bytes(7) + b";",
    "bmp of 2**31 squared": lambda: patched(BMP, 18, struct.pack("<ii", 2**31 - 1, 2**31 - 1)),
    "bmp of 0 x 0": lambda: patched(BMP, 18, bytes(8)),
    "bmp that lies upside down by 2**31": lambda: patched(BMP, 18, struct.pack("<ii", 32, -(2**31))),
    "ppm of 100 gigapixels claimed": lambda: b"P6 100000 1000000 255\n",
    "ppm of 10**40": lambda: b"P5 1" + b"0" * 40 + b" 1 255\n",
    "ppm of 0 x 0": lambda: b"P6 0 0 255\n",
    "jpeg of 4 gigapixels claimed": lambda: jpeg_claiming(65_500, 65_500),
    "jpeg of 0 x 0": lambda: jpeg_claiming(0, 0),
    "jpeg of ten thousand scans": scan_bomb,
    "svg": lambda: SVG,
    "svg of gigapixels": lambda: SVG.replace(b"<svg", b"<svg width='99999' height='99999'"),
    "html with the head of a png": lambda: PNG_START + b"<html><script>alert(1)</script></html>",
    "html with the header of a png": lambda: png(8, 8)[:33] + b"<html><script>alert(1)</script></html>",
    "zip that begins like a gif": lambda: b"GIF89a" + zipped(),
    "zip that begins like a jpeg": lambda: b"\xff\xd8\xff\xe0" + zipped(),
    "zip": zipped,
    "script that begins like a gif": lambda: b"GIF89a/*" + bytes(9) + b"*/=1;alert(1)",
    "pdf": lambda: b"%PDF-1.4\n" + bytes(99),
    "postscript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
    "text chunk that inflates to 200 MB": lambda: inflating(b"zTXt", 200 << 20),
    "profile that inflates to 200 MB": lambda: inflating(b"iCCP", 200 << 20),
    "a hundred text chunks of 1 MB": lambda: with_chunks(
        *[chunk(b"zTXt", b"%d\0\0" % n + zlib.compress(bytes((1 << 20) - 9))) for n in range(100)]
    ),
}

#: Each has a picture in it, which may be shown or not.
ODD: dict[str, Callable[[], bytes]] = {
    "gif of 500 frames of 16 megapixels": lambda: many_frames(500),
    "tiff of 65535 entries that are not there": lambda: grey_tiff(4, 4, count=65_535),
    "tiff with a directory in a loop": lambda: grey_tiff(4, 4, following=8),
    "tiff with a profile of 2**31 bytes": lambda: grey_tiff(4, 4, (34675, 7, 2**31, 8)),
    "tiff whose EXIF is its own directory": lambda: grey_tiff(4, 4, (34665, 4, 1, 8)),
    "a chunk of EXIF of 20 MB": lambda: with_chunks(chunk(b"eXIf", b"II*\0\x08\0\0\0" + bytes(20 << 20))),
    "EXIF of 65535 entries": lambda: with_chunks(chunk(b"eXIf", tiff(count=65_535, extra=b"\x12\x01\x03\0" * 50_000))),
    "EXIF with a value of 2**32 bytes": lambda: with_chunks(chunk(b"eXIf", tiff((274, 3, 2**32 - 1, 6)))),
    "jpeg with 300 headers of EXIF": lambda: with_headers(b"\xe1", [b"Exif\0\0" + bytes(65_527)] * 300),
    "jpeg with a profile in 255 parts": lambda: with_headers(
        b"\xe2", [b"ICC_PROFILE\0" + bytes([number, 255]) + bytes(65_519) for number in range(1, 256)]
    ),
    "svg behind a gif": lambda: GIF + SVG,
    "zip behind a png": lambda: png(2, 1, rows=bytes(3)) + zipped(),
}


def memory(what: str) -> int:
    """Bytes of this process: `RssAnon`, for which no file stands, or `VmHWM`, the most since `watch_memory`.

    What the system counts as a process's peak begins with that of its parent, so that it would hide all that is less.
    """
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[what].split()[0]) * 1024


def watch_memory() -> int:
    """Begin anew with the peak, and return the bytes that are taken now."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmHWM")


def outcome(source: Path | bytes, **options: Any) -> str:
    """The shape of what is read, or the line that says why it is not; anything else is a failure."""
    try:
        image = read_image(source, **options)
    except UserError as error:
        said = str(error)
    else:
        said = f"shape {image.shape}"
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        assert image.size
    assert "\n" not in said
    assert len(said) < 300
    return said


def read_all(folder: str) -> None:
    """Read each file of a folder twice, and print what became of it: in a process of its own."""
    for kind, options in (("PNG", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {}), ("JPEG", {}), ("GIF", {})):
        read_image(saved(Image.fromarray(NOISE), kind, **options))  # what the libraries take
    import imagecodecs  # noqa: F401
    import tifffile  # noqa: F401

    report = {}
    before = memory("RssAnon")
    for path in sorted(Path(folder).iterdir()):
        began, taken = time.perf_counter(), watch_memory()
        said = outcome(path, name="x")
        seconds = time.perf_counter() - began
        grown = memory("VmHWM") - taken
        data = path.read_bytes()
        again = outcome(data, name="x")
        del data
        report[path.name] = {"said": said, "again": again, "seconds": seconds, "grown": grown}
    kept = memory("RssAnon") - before
    print(json.dumps({"kept": kept, "report": report}))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of each hostile picture in a process that began afresh."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, make in {**REFUSED, **ODD}.items():
        (folder / name).write_bytes(make())
    command = [sys.executable, "-c", f"from tests.test_hostile_pictures import read_all; read_all({str(folder)!r})"]
    return run_json(command)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_hostile_is_refused_in_one_line(report: dict[str, Any], name: str) -> None:
    became = report["report"][name]
    assert became["said"].startswith("x: "), became
    assert became["again"].startswith("x: "), became


@pytest.mark.parametrize("name", [*REFUSED, *ODD])
def test_it_takes_little_time_and_memory(report: dict[str, Any], name: str) -> None:
    became = report["report"][name]
    assert became["seconds"] < SECONDS, became
    assert became["grown"] < BYTES, became


def test_its_memory_is_given_back(report: dict[str, Any]) -> None:
    assert report["kept"] < KEPT


def test_a_loop_of_directories_is_one_page() -> None:
    data = grey_tiff(4, 4, following=8, extra=bytes(16))
    assert page_count(data) == 1
    assert "only one is page 0" in outcome(data, page=1)


def test_pages_without_end_are_counted_in_time() -> None:
    """A thousand directories of a thousand entries each that lie over each other: a megabyte read a thousand times."""
    directory = struct.pack("<H", 60_000) + bytes(60_000 * 12)
    data = b"II*\0\x08\0\0\0" + directory + struct.pack("<I", 10) + bytes(100)
    began = time.perf_counter()
    assert page_count(data) <= 2
    assert time.perf_counter() - began < 2


def corpus() -> dict[str, bytes]:
    """A small valid picture of every kind that is accepted."""
    import imagecodecs
    import tifffile

    colours, grey, wide = Image.fromarray(NOISE), Image.fromarray(SMOOTH), NOISE.astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = colours.quantize(16)
    frames = [Image.fromarray(np.roll(NOISE, n, 0)) for n in range(3)]
    animated = {"save_all": True, "append_images": frames[1:]}

    def pages(*pictures: np.ndarray, **how: Any) -> bytes:
        with tifffile.TiffWriter(file := io.BytesIO(), bigtiff=how.pop("bigtiff", False)) as writer:
            for picture in pictures:
                writer.write(picture, metadata=None, **how)
        return file.getvalue()

    return {
        "jpeg": saved(colours, "JPEG", exif=exif),
        "jpeg progressive": saved(colours, "JPEG", progressive=True),
        "jpeg grey": saved(grey, "JPEG"),
        "jpeg cmyk": saved(colours.convert("CMYK"), "JPEG"),
        "mpo": saved(frames[0], "MPO", **animated),
        "png": saved(colours, "PNG", exif=exif, icc_profile=bytes(300)),
        "png grey": saved(grey, "PNG"),
        "png palette": saved(palette, "PNG", transparency=3),
        "png rgba": saved(colours.convert("RGBA"), "PNG"),
        "png one bit": saved(grey.convert("1"), "PNG"),
        "png deep grey": saved(Image.fromarray(wide[..., 0]), "PNG"),
        "png deep": imagecodecs.png_encode(wide),
        "apng": saved(frames[0], "PNG", **animated),
        "gif": saved(palette, "GIF"),
        "gif animated": saved(frames[0], "GIF", **animated),
        "bmp": saved(colours, "BMP"),
        "bmp palette": saved(palette, "BMP"),
        "bmp run lengths": patched(saved(grey, "BMP"), 30, b"\x01"),
        "tiff": saved(colours, "TIFF", exif=exif),
        "tiff lzw": saved(colours, "TIFF", compression="tiff_lzw"),
        "tiff deflate": saved(palette, "TIFF", compression="tiff_adobe_deflate"),
        "tiff packbits": saved(grey, "TIFF", compression="packbits"),
        "tiff jpeg": saved(colours, "TIFF", compression="jpeg"),
        "tiff fax": saved(grey.convert("1"), "TIFF", compression="group4"),
        "tiff cmyk": saved(colours.convert("CMYK"), "TIFF"),
        "tiff float": saved(Image.fromarray(SMOOTH.astype(np.float32)), "TIFF"),
        "tiff pages": pages(NOISE, NOISE[::-1], photometric="rgb"),
        "tiff tiles": pages(NOISE, photometric="rgb", tile=(16, 16), compression="zlib"),
        "tiff deep": pages(wide, photometric="rgb", compression="lzw", predictor=True),
        "tiff deep tiles": pages(wide, photometric="rgb", tile=(16, 16), compression="zstd"),
        "tiff deep planes": pages(
            np.ascontiguousarray(wide.transpose(2, 0, 1)), photometric="rgb", planarconfig="separate"
        ),
        "tiff floats": pages(NOISE.astype(np.float32), photometric="rgb", compression="packbits"),
        "big tiff": pages(NOISE, photometric="rgb", bigtiff=True),
        "webp": saved(colours, "WEBP", exif=exif),
        "webp lossless": saved(colours.convert("RGBA"), "WEBP", lossless=True),
        "webp animated": saved(frames[0], "WEBP", **animated),
        "ppm": saved(colours, "PPM"),
        "pgm": saved(grey, "PPM"),
        "pbm": saved(grey.convert("1"), "PPM"),
        "pgm deep": b"P5 4 2 65535\n" + bytes(range(16)),
        "ppm plain": b"P3 2 1 255\n1 2 3 40 50 60\n",
    }


PICTURES = corpus()


@pytest.mark.parametrize("kind", PICTURES)
def test_what_is_cut_anywhere_is_read_or_refused(kind: str) -> None:
    whole = PICTURES[kind]
    assert outcome(whole).startswith("shape") or kind == "bmp run lengths"
    places = sorted({*range(0, min(64, len(whole))), *np.linspace(0, len(whole) - 1, 60).astype(int).tolist()})
    said = [outcome(whole[:place]) for place in places]
    assert said[0].startswith("picture: not a picture")
    assert sum(not each.startswith("shape") for each in said) >= len(places) // 5


def mutant(number: int) -> bytes:
    """A valid picture with some damage, always the same for one number."""
    chance = random.Random(number)
    names = sorted(PICTURES)
    data = bytearray(PICTURES[names[number % len(names)]])
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        at = chance.randrange(len(data) + 1)
        # Half of all damage is done to the headers.
        at = min(at, chance.choice((len(data), 200)))
        length = chance.choice((1, 2, 4, 12, 64, 300))
        match chance.randrange(7):
            case 0:
                if at < len(data):
                    data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at : at + length] = chance.randbytes(length)
            case 2:
                del data[at:]
            case 3:
                del data[at : at + length]
            case 4:
                other = PICTURES[chance.choice(names)]
                start = chance.randrange(len(other))
                data[at : at + chance.choice((0, length))] = other[start : start + chance.choice((length, len(other)))]
            case 5:  # the same again, a few times or many
                data[at:at] = bytes(data[at : at + length]) * chance.choice((1, 3, 200))
            case 6:
                form, numbers = chance.choice(
                    (("<H", (0, 1, 0x7FFF, 0xFFFF)), ("<I", (0, 1, 8000, 0x7FFFFFFF, 0xFFFFFFFF)))
                )
                number_bytes = struct.pack(form.replace("<", chance.choice("<>")), chance.choice(numbers))
                data[at : at + len(number_bytes)] = number_bytes
    return bytes(data)


def read_mutants(first: int, last: int) -> None:
    """Read mutants within bounds of time and memory, and print what became of them: in a process of its own."""
    for data in PICTURES.values():
        outcome(data)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2 * FUZZ_BYTES, resource.RLIM_INFINITY))

    def too_long(*_: object) -> None:
        raise TimeoutError  # in Python; what hangs in C never comes here, and the test's own bound ends it

    signal.signal(signal.SIGALRM, too_long)
    before, decoded, slowest = watch_memory(), 0, (0.0, 0)
    for number in range(first, last):
        print(number, flush=True)  # the last one is who brought the process down
        data = mutant(number)
        signal.alarm(FUZZ_SECONDS)
        began = time.perf_counter()
        decoded += outcome(data).startswith("shape")
        signal.alarm(0)
        slowest = max(slowest, (time.perf_counter() - began, number))
    print(json.dumps({"decoded": decoded, "slowest": slowest, "grown": memory("VmHWM") - before}))


@pytest.mark.slow
def test_mutated_pictures_are_read_or_refused(python: Callable[..., Any]) -> None:
    done = python(
        "-c", f"from tests.test_hostile_pictures import read_mutants; read_mutants(0, {MUTANTS})", timeout=500
    )
    last = done.stdout.splitlines()[-1] if done.stdout else "none"
    assert done.returncode == 0, f"mutant {last}: {done.stderr[-2000:]}"
    became = json.loads(last)
    assert 200 < became["decoded"] < MUTANTS * 0.8
    assert became["slowest"][0] < FUZZ_SECONDS
    assert became["grown"] < FUZZ_BYTES
