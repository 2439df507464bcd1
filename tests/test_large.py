"""Pictures of any size from file to file: read by region as others read them whole, predicted without seams, written
as they go, with no more in memory than a row of tiles; and every hostile file one clear line."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from segmodels.data.dataset import ClassLabel
from segmodels.data.disk import Stopped
from segmodels.data.images import read_image, resize_image, rgb
from segmodels.errors import UserError
from segmodels.hub.checkpoint import InputSpec
from segmodels.prediction import masks, tiling
from segmodels.prediction.large import FORMS, LargePicture, is_large, predict_large
from segmodels.prediction.large.png_writer import PngWriter
from segmodels.prediction.large.reduce import reduce_picture
from segmodels.prediction.predictor import Predictor
from segmodels.prediction.resize import resize_logits
from segmodels.prediction.tiling import tiled_logits
from segmodels.training.reporter import Reporter

LABELS = (ClassLabel("background", "#000000"), ClassLabel("dark", "#FF8000"), ClassLabel("blue", "#0000FF"))
RANDOM = np.random.default_rng(7)


def smooth(height: int, width: int, samples: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    """A picture that JPEG does not spoil, with some noise."""
    rows, columns = np.mgrid[:height, :width] / 40
    waves = np.stack([np.sin(rows + phase) * np.cos(columns * (1 + phase / 3)) for phase in range(samples)], axis=-1)
    top = np.iinfo(dtype).max
    noisy = (waves / 2 + 0.5) * top * 0.9 + RANDOM.integers(0, top // 20, waves.shape)
    return noisy.astype(dtype) if samples > 1 else noisy[..., 0].astype(dtype)


class StandIn:
    """A model whose logits hang on the neighbours to the left and above, and on nothing outside its tile."""

    def __init__(self, mode: Any = "tiles", size: int = 64, overlap: int = 16) -> None:
        self.labels = LABELS
        contract = InputSpec(mode=mode, size=size, overlap=overlap if mode == "tiles" else None)
        self.spec = SimpleNamespace(input=contract)
        self.passes = 0

    views = Predictor.views

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        self.passes += 1
        values = pictures.astype(np.float32) / 255
        values[:, 1:, 1:] = (values[:, 1:, 1:] + values[:, :-1, :-1]) / 2
        return np.stack([values[..., 0], 1 - values[..., 1], 2 * values[..., 2] - 0.5], axis=-1)


class Told(Reporter):
    def __init__(self) -> None:
        self.calls: list[tuple[int, int, str]] = []

    def progress(self, done: int, total: int, what: str) -> None:
        self.calls.append((done, total, what))


def predict(model: StandIn, path: Path, out: Path, forms: tuple[str, ...] = ("png",), **how: Any) -> dict[str, Any]:
    return predict_large(model, path, out, "slide", forms, **how)  # type: ignore[arg-type]


# Reading

KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "strips": ({}, {"rowsperstrip": 16}),
    "one uncompressed strip": ({}, {}),
    "deflate": ({}, {"compression": "zlib", "rowsperstrip": 16}),
    "deflate and differences": ({}, {"compression": "zlib", "predictor": True, "tile": (32, 48)}),
    "lzw": ({}, {"compression": "lzw", "tile": (32, 48)}),
    "lzw and differences": ({}, {"compression": "lzw", "predictor": True, "rowsperstrip": 7}),
    "packbits": ({}, {"compression": "packbits", "tile": (32, 32)}),
    "zstd": ({}, {"compression": "zstd", "tile": (32, 32)}),
    "tiles": ({}, {"tile": (16, 32)}),
    "big": ({}, {"tile": (32, 32), "bigtiff": True}),
    "big-endian": ({}, {"tile": (32, 32), "byteorder": ">"}),
    "big, big-endian": ({}, {"tile": (32, 32), "byteorder": ">", "bigtiff": True}),
    "grey": ({"samples": 1}, {"tile": (32, 32)}),
    "grey of 16 bits": ({"samples": 1, "dtype": np.uint16}, {"compression": "zlib", "predictor": True}),
    "grey of 16 bits, big-endian": (
        {"samples": 1, "dtype": np.uint16},
        {"compression": "zlib", "predictor": True, "byteorder": ">", "tile": (32, 32)},
    ),
    "grey, white is zero": ({"samples": 1}, {"tile": (32, 32), "photometric": "miniswhite"}),
    "RGB of 16 bits": ({"dtype": np.uint16}, {"compression": "lzw", "rowsperstrip": 16}),
    "RGBA": ({"samples": 4}, {"tile": (32, 32), "extrasamples": ["unassalpha"]}),
    "RGBA, multiplied": ({"samples": 4}, {"tile": (32, 32), "extrasamples": ["assocalpha"]}),
    "RGBX": ({"samples": 4}, {"tile": (32, 32), "extrasamples": ["unspecified"]}),
    "palette": (
        {"samples": 1},
        {"tile": (32, 32), "photometric": "palette", "colormap": RANDOM.integers(0, 65536, (3, 256), np.uint16)},
    ),
    "JPEG, YCbCr": ({}, {"compression": "jpeg", "tile": (32, 48)}),
    "JPEG, RGB": ({}, {"compression": "jpeg", "compressionargs": {"outcolorspace": "rgb"}, "tile": (32, 48)}),
    "JPEG, grey": ({"samples": 1}, {"compression": "jpeg", "tile": (32, 48)}),
    "JPEG in strips": ({}, {"compression": "jpeg", "rowsperstrip": 16}),
    "WebP": ({}, {"compression": "webp", "compressionargs": {"lossless": True}, "tile": (32, 48)}),
    "WebP with alpha": (
        {"samples": 4},
        {
            "compression": "webp",
            "compressionargs": {"lossless": True},
            "tile": (32, 48),
            "extrasamples": ["unassalpha"],
        },
    ),
    "WebP in strips": ({}, {"compression": "webp", "rowsperstrip": 16}),
    "Jpeg 2000": ({}, {"compression": "jpeg2000", "tile": (32, 48)}),
    "Jpeg 2000, grey": ({"samples": 1}, {"compression": "jpeg2000", "tile": (32, 48)}),
    "Jpeg 2000 of Aperio": ({}, {"compression": "aperio_jp2000_rgb", "tile": (32, 48)}),
}


def write(path: Path, picture: np.ndarray, **how: Any) -> Path:
    opening = {name: how.pop(name) for name in ("bigtiff", "byteorder") if name in how}
    how.setdefault("photometric", "rgb" if picture.ndim == 3 else "minisblack")
    with tifffile.TiffWriter(path, **opening) as file:
        file.write(picture, metadata=None, **how)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_that_others_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmodels.prediction.large.directory._PART_BYTES", 2000)  # one strip is read in parts
    made, how = KINDS[kind]
    picture = smooth(101, 130, **made)
    path = write(tmp_path / "a.tif", picture, **how)
    # Pillow does not know a BigTIFF of that order of bytes, nor all compressions.
    if kind == "big, big-endian" or kind.startswith(("WebP", "Jpeg 2000")):
        stored = tifffile.imread(path)
        expected = rgb(Image.fromarray(stored))
    else:
        expected = read_image(path)
    with LargePicture(path, cache=5000) as found:
        assert found.shape == (101, 130, 3)
        whole = found.rows(0, 101)
        tolerance = 3 if "YCbCr" in kind or "JPEG in" in kind else 0
        assert np.abs(whole.astype(int) - expected).max() <= tolerance
        for top, bottom in [(0, 1), (100, 101), (31, 33), (15, 80), (50, 50)]:
            np.testing.assert_array_equal(found.rows(top, bottom), whole[top:bottom])
            np.testing.assert_array_equal(found[top:bottom], whole[top:bottom])
        assert len(found._cache) == 1 or sum(part.nbytes for part in found._cache.values()) <= 5000
    if "JPEG" in kind:
        other = tifffile.imread(path)
        np.testing.assert_array_equal(whole, other if other.ndim == 3 else np.stack([other] * 3, -1))
        assert np.abs(whole.astype(float) - (picture if picture.ndim == 3 else picture[..., None])).mean() < 12


def test_a_slide_is_its_first_page(tmp_path: Path) -> None:
    path, slide = tmp_path / "slide.tif", smooth(200, 300)
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(
            slide, tile=(64, 64), photometric="rgb", subifds=1, compression="jpeg", compressionargs={"level": 95}
        )
        file.write(slide[::2, ::2], tile=(64, 64), photometric="rgb", subfiletype=1, compression="jpeg")
        file.write(slide[::4, ::4], tile=(64, 64), photometric="rgb", compression="zlib")
    with LargePicture(path) as first, LargePicture(path, page=1) as second:
        np.testing.assert_array_equal(first.rows(0, 200), tifffile.imread(path, key=0))
        np.testing.assert_array_equal(second.rows(0, 50), slide[::4, ::4])
    with pytest.raises(UserError, match="no page 2: there are 2, from 0 to 1"):
        LargePicture(path, page=2)


def test_tiles_that_were_left_out_are_black(tmp_path: Path) -> None:
    parts = [smooth(32, 32), None, None, smooth(32, 32)]
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, iter(parts), shape=(64, 64, 3), dtype=np.uint8, tile=(32, 32), compression="zlib", photometric="rgb"
    )
    with LargePicture(path) as found:
        np.testing.assert_array_equal(found.rows(0, 64), tifffile.imread(path))


def test_what_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.tif", smooth(100, 130), tile=(32, 32))
    Image.fromarray(smooth(100, 130)).save(tmp_path / "a.png")
    assert not is_large(path)
    monkeypatch.setattr("segmodels.prediction.large.picture.MAX_PIXELS", 12_000)
    assert is_large(path)
    assert not is_large(path, page=1)
    for name in ("a.png", "missing.tif", "."):
        assert not is_large(tmp_path / name)


# What is no picture to read by region

Tag = tuple[int, int, int, int]  # code, type, count, value


def tiff(*changes: Tag, after: int = 0, more: bytes = b"") -> bytes:
    """A TIFF of 64 x 64 grey pixels in one strip, some tags of it changed; `more` lies at byte 5000."""
    strip = 1000
    tags = {
        256: (4, 1, 64), 257: (4, 1, 64), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1),
        273: (4, 1, strip), 277: (3, 1, 1), 278: (4, 1, 64), 279: (4, 1, 4096),
    }  # fmt: skip
    for code, kind, count, value in changes:
        tags[code] = (kind, count, value)
    block = struct.pack("<H", len(tags))
    for code, (kind, count, value) in sorted(tags.items()):
        block += struct.pack("<HHII", code, kind, count, value)
    head = b"II*\0" + struct.pack("<I", 8) + block + struct.pack("<I", after)
    return head.ljust(strip, b"\0") + bytes(4096) + more


TILED: tuple[Tag, ...] = ((322, 4, 1, 64), (323, 4, 1, 64), (324, 4, 1, 1000), (325, 4, 1, 4096))
HOSTILE: dict[str, tuple[bytes, str]] = {
    "a claim of 10^18 pixels": (tiff((256, 4, 1, 10**9), (257, 4, 1, 10**9)), "1,000,000,000 x 1,000,000,000 pixels"),
    "more than 2^33 pixels": (tiff((256, 4, 1, 1 << 17), (257, 4, 1, (1 << 16) + 1)), "cannot be read; crop it"),
    "no rows": (tiff((257, 4, 1, 0)), "64 x 0 pixels cannot be read"),
    "a tile of 4 GB": (tiff(*TILED, (322, 4, 1, 1 << 16), (323, 4, 1, 1 << 16)), "each tile of 65,536 x 65,536 pixels"),
    "a tile without a size": (tiff(*TILED, (322, 4, 1, 0)), "segments without a size"),
    "a strip that had to be decoded whole": (
        tiff((256, 4, 1, 20_000), (257, 4, 1, 20_000), (278, 4, 1, 20_000), (259, 3, 1, 8)),
        "each strip of 20,000 x 20,000 pixels would have to be decoded whole: save it as a TIFF in tiles",
    ),
    "tiles of one pixel": (
        tiff(*TILED, (256, 4, 1, 5000), (257, 4, 1, 5000), (322, 4, 1, 1), (323, 4, 1, 1)),
        "25,000,000 segments are too many",
    ),
    "two billion offsets": (tiff((273, 4, 2_000_000_000, 1000)), "2000000000 values of type 4 in tag 273"),
    "offsets beyond the end": (tiff((278, 4, 1, 8), (273, 4, 8, 5090), (279, 4, 8, 1000)), "cut short or damaged"),
    "fewer offsets than strips": (tiff((278, 4, 1, 8)), "1 offsets and 1 lengths of 8 segments"),
    "a strip beyond the end": (tiff((273, 4, 1, 4_000_000_000)), "cut short or damaged"),
    "a strip longer than the file": (tiff((279, 4, 1, 4_000_000_000)), "cut short or damaged"),
    "a compressed strip far too long": (tiff((257, 4, 1, 1), (259, 3, 1, 8), (279, 4, 1, 100_000), more=bytes(200_000)),
                                        "a segment of 100,000 bytes"),
    "planes": (tiff((277, 3, 1, 3), (284, 3, 1, 2), (262, 3, 1, 2)), "planar"),
    "32 bits": (tiff((258, 3, 1, 32)), "samples of 32 bits"),
    "numbers with a sign": (tiff((339, 3, 1, 2)), "with a sign"),
    "CMYK": (tiff((262, 3, 1, 5), (277, 3, 1, 4)), "4 samples a pixel of kind 5"),
    "an unknown compression": (tiff((259, 3, 1, 34676)), "pictures of compression 34676"),
    "JPEG 2000 of YCbCr": (tiff((259, 3, 1, 33003)), "pictures of compression 33003"),
    "JPEG 2000 of 16 bits": (tiff((259, 3, 1, 34712), (258, 3, 1, 16)), "JPEG 2000 pictures of 1 samples and 16 bits"),
    "turned": (tiff((274, 3, 1, 6)), "stored turned or mirrored"),
    "a palette without colours": (tiff((262, 3, 1, 3)), "a palette of 0 values"),
    "a tag of fractions": (tiff((256, 5, 1, 5000), more=bytes(8)), "type 5 in tag 256"),
    "no tags": (b"II*\0\x08\0\0\0" + bytes(100), "0 tags in a page"),
    "a directory beyond the end": (b"II*\0\xff\xff\xff\xff" + bytes(100), "cut short or damaged"),
    "nothing but a head": (b"II*\0\x08\0\0\0", "cut short or damaged"),
    "four bytes": (b"II*\0", "cut short or damaged"),
    "nothing": (b"", "cut short or damaged"),
    "no TIFF": (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a TIFF"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files_are_one_line_and_take_no_memory(tmp_path: Path, what: str) -> None:
    content, message = HOSTILE[what]
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            predict(StandIn(), path, tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    is_large(path)


def test_pages_in_a_circle(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(after=8))
    with LargePicture(path) as found:
        assert not found.rows(0, 64).any()
    for page in (1, 4095, 10**9, -1):
        with pytest.raises(UserError, match=f"has no page {page}: the only one is page 0"):
            LargePicture(path, page)


@pytest.mark.parametrize("kind", ["deflate", "lzw", "packbits", "zstd", "JPEG, YCbCr", "JPEG in strips", "tiles",
                                  "WebP", "Jpeg 2000"])  # fmt: skip
def test_a_file_that_was_cut_off_or_changed(tmp_path: Path, kind: str) -> None:
    """Every answer is the picture or one line."""
    how = KINDS[kind][1]
    content = write(tmp_path / "a.tif", smooth(101, 130), **how).read_bytes()
    path, lines = tmp_path / "b.tif", list[str]()
    random = np.random.default_rng(1)
    for trial in range(60):
        if trial % 3 == 0:
            changed = content[: int(random.integers(0, len(content)))]
        else:
            values = np.frombuffer(content, np.uint8).copy()
            reach = 400 if trial % 3 == 1 else len(values)  # the tags, or anywhere
            values[random.integers(0, reach, 3)] = random.integers(0, 256, 3)
            changed = values.tobytes()
        path.write_bytes(changed)
        try:
            with LargePicture(path) as found:
                if found.shape[0] * found.shape[1] < 1e7:
                    found.rows(0, found.shape[0])
        except UserError as error:
            lines.append(str(error))
    assert len(lines) >= 20
    assert all(line.startswith(str(path)) and "\n" not in line for line in lines)


def test_a_jpeg_larger_than_its_tile_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    whole = io.BytesIO()
    Image.fromarray(smooth(64, 64, 1)).save(whole, "JPEG")
    claims = bytearray(whole.getvalue())
    at = claims.index(b"\xff\xc0")
    claims[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    monkeypatch.setattr("imagecodecs.jpeg_decode", lambda *_, **__: pytest.fail("it was decoded"))
    path.write_bytes(tiff((259, 3, 1, 7), (273, 4, 1, 5096), (279, 4, 1, len(claims)), more=bytes(claims)))
    with LargePicture(path) as found, pytest.raises(UserError, match="a JPEG of 65535 x 65535 pixels"):
        found.rows(0, 1)


@pytest.mark.parametrize(("form", "compression"), [("WEBP", 50001), ("JPEG2000", 34712)])
def test_a_picture_larger_than_its_tile_is_not_decoded(
    tmp_path: Path, form: str, compression: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = io.BytesIO()
    Image.fromarray(smooth(65, 64)).save(whole, form)
    content, path = whole.getvalue(), tmp_path / "a.tif"
    changes = (259, 3, 1, compression), (262, 3, 1, 2), (277, 3, 1, 3), (273, 4, 1, 5096), (279, 4, 1, len(content))
    path.write_bytes(tiff(*changes, more=content))
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("it was decoded"))
    with LargePicture(path) as found, pytest.raises(UserError, match="a picture of 64 x 65 pixels of mode RGB"):
        found.rows(0, 1)


# Writing


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (200, 33)])
def test_a_png_is_what_pillow_reads(shape: tuple[int, int]) -> None:
    ids, colours = RANDOM.integers(0, 3, shape, np.uint8), smooth(*shape)
    colours[: shape[0] // 2] = RANDOM.integers(0, 256, colours[: shape[0] // 2].shape)
    palette = masks.palette(LABELS)
    for picture, how in ((ids, {"palette": palette}), (colours, {})):
        file = io.BytesIO()
        writer = PngWriter(file, *shape, **how)
        for top in range(0, shape[0], 11):
            writer.write(picture[top : top + 11])
        writer.close()
        found = Image.open(file)
        found.verify()
        found = Image.open(file)
        assert found.mode == ("P" if how else "RGB")
        np.testing.assert_array_equal(np.asarray(found), picture)
    expected = masks.indexed_mask(ids, LABELS)
    file = io.BytesIO()
    writer = PngWriter(file, *shape, palette=palette)
    writer.write(ids)
    writer.close()
    np.testing.assert_array_equal(np.asarray(Image.open(file).convert("RGB")), np.asarray(expected.convert("RGB")))


def test_a_png_wants_its_rows() -> None:
    writer = PngWriter(io.BytesIO(), 4, 5)
    for rows in (np.zeros((5, 5, 3), np.uint8), np.zeros((1, 5), np.uint8), np.zeros((1, 5, 3))):
        with pytest.raises(ValueError, match="does not fit"):
            writer.write(rows)
    writer.write(np.zeros((3, 5, 3), np.uint8))
    with pytest.raises(ValueError, match="1 rows are missing"):
        writer.close()


# Predicting


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write(tmp_path / "slide.tif", smooth(333, 470), tile=(48, 80), compression="zlib")


def joined(parts: Iterator[tuple[slice, np.ndarray]]) -> np.ndarray:
    return np.concatenate([logits for _, logits in parts])


@pytest.mark.parametrize(("size", "overlap"), [(64, 16), (64, 0), (100, 50), (512, 128)])
def test_tiles_from_a_file_are_those_of_the_array(
    tmp_path: Path, slide: Path, size: int, overlap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, model = read_image(slide), StandIn(size=size, overlap=overlap)
    expected = joined(tiled_logits(model.logits, picture, size, overlap))
    monkeypatch.setattr("segmodels.prediction.resize.BAND", 10_000)  # a row of tiles comes in parts
    with LargePicture(slide, cache=20_000) as large:
        np.testing.assert_array_equal(joined(tiled_logits(model.logits, large, size, overlap)), expected)
    mask = expected.argmax(-1).astype(np.uint8)
    told = Told()
    row = predict(model, slide, tmp_path / "out", ("png", "overlay", "colour"), reporter=told)
    assert [Path(file).name for file in row["files"]] == ["slide-mask.png", "slide-overlay.png", "slide-colour.png"]
    assert (row["width"], row["height"]) == (470, 333)
    assert row["shares"] == {label.name: (mask == place).mean() for place, label in enumerate(LABELS)}
    found, over, colours = (Image.open(file) for file in row["files"])
    np.testing.assert_array_equal(np.asarray(found), mask)
    np.testing.assert_array_equal(np.asarray(found.convert("RGB")), masks.palette(LABELS)[mask])
    np.testing.assert_array_equal(np.asarray(over), masks.overlay(picture, mask, LABELS))
    np.testing.assert_array_equal(np.asarray(colours), masks.palette(LABELS)[mask])
    rows = 1 + max(0, -(-(333 - size) // (size - overlap)))
    assert told.calls == [(done, rows, "predicting slide.tif") for done in range(1, rows + 1)]


def test_a_model_of_whole_pictures(tmp_path: Path, slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, model, told = read_image(slide), StandIn("resize", 96), Told()
    monkeypatch.setattr("segmodels.prediction.large.reduce._BLOCK", 20_000)
    with LargePicture(slide) as large:
        small = reduce_picture(large, 96, 96)
    assert np.abs(small.astype(int) - resize_image(picture, 96, 96)).max() <= 1
    expected = resize_logits(model.logits(small[None])[0], 333, 470).argmax(-1)
    row = predict(model, slide, tmp_path / "out", reporter=told)
    found = np.asarray(Image.open(row["files"][0]))
    assert (found == expected).mean() > 0.9999
    assert sum(row["shares"].values()) == pytest.approx(1)
    assert model.passes == 2
    assert {what for _, _, what in told.calls} == {"reading slide.tif", "predicting slide.tif"}
    assert told.calls[-1] == (333, 333, "predicting slide.tif")


@pytest.mark.parametrize("shape", [(300, 400, 64, 80), (90, 500, 128, 128), (7, 5, 31, 17), (1, 900, 10, 10)])
def test_a_picture_made_smaller_is_as_pillow_makes_it(shape: tuple[int, int, int, int]) -> None:
    height, width, rows, columns = shape
    picture = RANDOM.integers(0, 256, (height, width, 3), np.uint8)
    found = reduce_picture(picture, rows, columns)
    assert np.abs(found.astype(int) - resize_image(picture, rows, columns)).max() <= 1


@pytest.mark.parametrize("mode", ["tiles", "resize"])
@pytest.mark.parametrize("asked", [1, 3, 6])
def test_cancelled_leaves_nothing(
    tmp_path: Path, slide: Path, mode: str, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segmodels.prediction.resize.BAND", 50_000)
    monkeypatch.setattr(tiling, "BATCH_PIXELS", 64 * 64 * 4)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "slide-mask.png").write_bytes(b"from before")
    left = [asked]

    def stop() -> bool:
        left[0] -= 1
        return left[0] == 0

    with pytest.raises(Stopped, match="nothing of it was written"):
        predict(StandIn(mode), slide, tmp_path / "out", ("png", "overlay"), stop=stop)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["slide-mask.png"]
    assert (tmp_path / "out" / "slide-mask.png").read_bytes() == b"from before"


def test_a_segment_that_is_damaged_leaves_nothing(tmp_path: Path, slide: Path) -> None:
    content = bytearray(slide.read_bytes())
    with tifffile.TiffFile(slide) as file:
        start = file.pages[0].dataoffsets[-1]  # type: ignore[union-attr]
    content[start : start + 40] = bytes(40)
    slide.write_bytes(content)
    with pytest.raises(UserError, match="cut short or damaged in segment 41"):
        predict(StandIn(), slide, tmp_path / "out", ("png", "overlay"))
    assert list((tmp_path / "out").iterdir()) == []


def test_forms_that_need_the_whole_picture(tmp_path: Path, slide: Path) -> None:
    with pytest.raises(UserError, match=r"npz, geojson would need the whole picture in memory: choose of png, colour"):
        predict(StandIn(), slide, tmp_path / "out", ("png", "npz", "geojson"))
    assert not (tmp_path / "out").exists()


def test_the_endings_are_those_of_all_exports() -> None:
    export = pytest.importorskip("segmodels.prediction.export")
    assert {form: export.FORMATS[form].ending for form in FORMS} == FORMS


def test_a_row_of_tiles_that_would_not_fit(tmp_path: Path, slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmodels.prediction.large.predict.BAND_BYTES", 4 * 64 * 469 * 3)
    with pytest.raises(UserError, match="470 columns are too many for tiles of 64 pixels and 3 classes"):
        predict(StandIn(), slide, tmp_path / "out")


def test_views_are_averaged(tmp_path: Path, slide: Path) -> None:
    model = StandIn()
    predict(model, slide, tmp_path / "out")
    once, model.passes = model.passes, 0
    predict(model, slide, tmp_path / "out", tta="flips")
    assert model.passes == 2 * once
    model.passes, own = 0, model.spec.input.model_copy(update={"tta": "flips"})
    model.spec.input = own  # the model's own, where nobody asks
    predict(model, slide, tmp_path / "out")
    assert model.passes == 2 * once


# Memory

CHILD = """
    import json, sys, threading, time
    from pathlib import Path
    import cv2, imagecodecs
    from tests.test_large import StandIn, predict

    def anonymous():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

    cv2.setNumThreads(1)
    start, most, done = anonymous(), [0], threading.Event()

    def watch():
        while not done.wait(0.005):
            most[0] = max(most[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    try:
        row = predict(StandIn(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), Path(sys.argv[4]),
                      Path(sys.argv[5]), ("png", "overlay"))
    finally:
        done.set()
        watcher.join()
    print(json.dumps({"start": start, "peak": most[0], "seconds": time.perf_counter() - began, "row": row}))
"""


def in_a_child(mode: str, size: int, overlap: int, path: Path, out: Path) -> dict[str, Any]:
    """What predicting took in a process of its own: anonymous memory in bytes before and at most, seconds, the row."""
    command = [sys.executable, "-c", textwrap.dedent(CHILD), mode, str(size), str(overlap), str(path), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return json.loads(done.stdout.splitlines()[-1])


def square(path: Path, side: int, **how: Any) -> Path:
    """A TIFF made tile by tile, of a few tiles over and over."""
    some, across = [smooth(256, 256) for _ in range(5)], -(-side // 256)
    parts: Callable[[], Iterator[np.ndarray]] = lambda: (some[place % 5] for place in range(across**2))  # noqa: E731
    tifffile.imwrite(
        path, parts(), shape=(side, side, 3), dtype=np.uint8, tile=(256, 256), photometric="rgb", **how
    )  # fmt: skip
    return path


def check_square(found: dict[str, Any], path: Path, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with Image.open(found["row"]["files"][0]) as mask, Image.open(found["row"]["files"][1]) as overlay:
        assert mask.size == overlay.size == (side, side)
    assert (found["row"]["width"], found["row"]["height"]) == (side, side)
    assert sum(found["row"]["shares"].values()) == pytest.approx(1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("mode", "size", "overlap"), [("tiles", 256, 64), ("resize", 128, 0)])
def test_memory_is_that_of_a_row_of_tiles(
    tmp_path: Path, mode: str, size: int, overlap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = square(tmp_path / "a.tif", 6000)
    found = in_a_child(mode, size, overlap, path, tmp_path / "out")
    # The picture alone takes 108 MB and its logits 432: a row of tiles is 5 and 18, of segments the cache keeps 128.
    assert found["peak"] - found["start"] < 320e6
    check_square(found, path, 6000, monkeypatch)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("mode", "size", "overlap"), [("tiles", 512, 128), ("resize", 512, 0)])
def test_20000_by_20000_under_2_gb(
    tmp_path: Path, mode: str, size: int, overlap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = square(tmp_path / "a.tif", 20_000, compression="jpeg")
    assert is_large(path)
    found = in_a_child(mode, size, overlap, path, tmp_path / "out")
    print(found)
    assert found["peak"] < 2e9
    check_square(found, path, 20_000, monkeypatch)
