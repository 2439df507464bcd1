"""Pictures as people and cameras make them, and files that only claim to be pictures."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from segmodels.data.images import MAX_PIXELS, page_count, read_image, read_mask, resize_image, resize_mask
from segmodels.errors import UserError

RAMP = np.linspace(0, 255, 8 * 12).reshape(8, 12).astype(np.uint8)
RGB = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=-1)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, rows: bytes = b"") -> bytes:
    """A PNG by hand, whatever its header claims."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def message(source: Any, reader: Any = read_image, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        reader(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_rgb_is_read_as_it_is(tmp_path: Path, kind: str) -> None:
    Image.fromarray(RGB).save(tmp_path / "picture", kind)
    image = read_image(tmp_path / "picture")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, RGB)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_lossy_kinds_are_read(kind: str) -> None:
    image = read_image(saved(Image.new("RGB", (30, 20), (200, 40, 60)), kind))
    assert image.shape == (20, 30, 3)
    assert np.abs(image.astype(int) - [200, 40, 60]).max() < 12


def test_grey_has_three_equal_channels() -> None:
    np.testing.assert_array_equal(read_image(saved(Image.fromarray(RAMP), "PNG")), np.stack([RAMP] * 3, -1))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_laid_over_white(mode: str) -> None:
    image = Image.new(mode, (3, 1), (0, 255) if mode == "LA" else (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0) if mode == "LA" else (0, 0, 0, 0))
    image.putpixel((2, 0), (0, 128) if mode == "LA" else (0, 0, 0, 128))
    assert read_image(saved(image, "PNG"))[0].tolist() == [[0, 0, 0], [255, 255, 255], [127, 127, 127]]


def test_palette_colours_and_transparent_entry() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert read_image(saved(image, "PNG"))[0].tolist() == [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    assert read_image(saved(image, "PNG", transparency=1))[0].tolist() == [[10, 20, 30], [255] * 3, [70, 80, 90]]


def test_a_transparent_colour_of_an_rgb_picture_is_white() -> None:
    image = Image.new("RGB", (2, 1), (255, 0, 0))
    image.putpixel((1, 0), (0, 0, 255))
    assert read_image(saved(image, "PNG", transparency=(255, 0, 0)))[0].tolist() == [[255] * 3, [0, 0, 255]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_range(kind: str) -> None:
    values = np.array([[0, 257 * 100, 65535]], np.uint16)
    image = read_image(saved(Image.fromarray(values), kind))
    assert image[0].tolist() == [[0] * 3, [100] * 3, [255] * 3]


def test_floats_from_zero_to_one_are_no_black_picture() -> None:
    values = np.linspace(0, 1, 5, dtype=np.float32)[None]
    image = read_image(saved(Image.fromarray(values), "TIFF"))
    assert image[0, :, 0].tolist() == pytest.approx([0, 64, 128, 191, 255], abs=1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [-5.0, 70000.0])
def test_floats_of_one_value_are_read(value: float) -> None:
    image = read_image(saved(Image.fromarray(np.full((2, 3), value, np.float32)), "TIFF"))
    assert image.shape == (2, 3, 3)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_other_colour_spaces_become_rgb(mode: str) -> None:
    image = read_image(saved(Image.new(mode, (5, 4)), "TIFF"))
    assert image.shape == (4, 5, 3)


def test_cmyk_jpeg_keeps_its_colour() -> None:
    red = Image.new("RGB", (16, 16), (220, 30, 30)).convert("CMYK")
    image = read_image(saved(red, "JPEG", quality=95))
    assert np.abs(image.astype(int) - [220, 30, 30]).max() < 20


def test_one_bit_pictures_are_black_and_white() -> None:
    image = Image.fromarray(np.array([[True, False]]))
    assert read_image(saved(image, "PNG"))[0].tolist() == [[255] * 3, [0] * 3]


STORED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_turned_by_exif_becomes_upright(orientation: int, kind: str) -> None:
    upright = np.kron(np.array([[250, 10, 10], [10, 10, 120]], np.uint8), np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright))).convert("RGB")
    image = read_image(saved(stored, kind, exif=exif))
    assert image.shape == (32, 48, 3)
    assert np.abs(image[..., 0].astype(int) - upright).max() < 12


@pytest.mark.parametrize(("width", "height"), [(100_000, 100_000), (8001, 8000), (MAX_PIXELS + 1, 1)])
def test_bombs_are_refused_before_they_are_decoded(width: int, height: int) -> None:
    assert "64 megapixels" in message(png(width, height), name="bomb.png")


def test_the_limit_itself_is_no_bomb() -> None:
    assert "truncated or damaged" in message(png(8000, 8000), name="empty.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_truncated_pictures_say_so(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = saved(Image.fromarray(noise), kind)
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    text = message(tmp_path / "cut.jpg")
    assert "cut.jpg: the picture is truncated or damaged" in text


@pytest.mark.parametrize(
    "content",
    [b"", b"just a text", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", bytes(99)],
)
def test_what_is_no_picture_is_told_from_a_damaged_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cat.jpg").write_bytes(content)
    for source, name in ((tmp_path / "cat.jpg", None), (content, "cat.jpg"), (io.BytesIO(content), "cat.jpg")):
        text = message(source, name=name)
        assert "cat.jpg: not a picture of a known kind" in text
        assert "JPEG" in text


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    assert "no such file" in message(tmp_path / "gone.jpg")
    assert "a folder, not a picture" in message(tmp_path)


def test_the_content_counts_not_the_name(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "cat.jpg", "GIF")
    assert read_image(tmp_path / "cat.jpg").shape == RGB.shape


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_image(data)[0, 0].tolist() == [255, 0, 0]


def test_two_pictures_in_one_file_are_read_as_the_first() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert read_image(data)[0, 0, 0] > 240


def outcome(reader: Any, data: bytes) -> np.ndarray | None:
    """What is read, or None where it is refused; any other exception is a failure."""
    try:
        values = reader(data)
    except UserError:
        return None
    assert values.dtype == np.uint8
    assert values.size
    return values


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF"])
def test_damaged_bytes_never_raise_anything_else(kind: str) -> None:
    rng = np.random.default_rng(5)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if kind == "GIF" else {"exif": exif}
    whole = bytearray(saved(Image.fromarray(RGB), kind, **options))
    refused = 0
    for _ in range(250):
        data = bytearray(whole)
        for place in rng.integers(0, min(len(data), 400), rng.integers(1, 6)):
            data[place] = rng.integers(0, 256)
        for reader in (read_image, read_mask):
            refused += outcome(reader, bytes(data)) is None
    assert refused > 20


@pytest.mark.parametrize("mode", ["L", "P"])
def test_masks_are_read_as_stored(mode: str) -> None:
    ids = np.array([[0, 1, 2], [255, 7, 0]], np.uint8)
    image = Image.fromarray(ids)
    if mode == "P":
        image.putpalette([255, 0, 0] * 256)
    np.testing.assert_array_equal(read_mask(saved(image, "PNG")), ids)


def test_masks_of_few_bits_and_of_many() -> None:
    assert read_mask(saved(Image.fromarray(np.array([[True, False]])), "PNG")).tolist() == [[1, 0]]
    assert read_mask(saved(Image.fromarray(np.array([[0, 200]], np.uint16)), "PNG")).tolist() == [[0, 200]]
    palette = Image.fromarray(np.array([[0, 1, 3]], np.uint8))
    palette.putpalette([0, 0, 0] * 4)
    assert read_mask(saved(palette, "PNG", bits=2)).tolist() == [[0, 1, 3]]


def test_grey_masks_of_two_bits_are_read_as_stored() -> None:
    assert read_mask(png(4, 1, depth=2, rows=b"\x00\x1b")).tolist() == [[0, 1, 2, 3]]


def test_a_coloured_mask_is_refused() -> None:
    assert "one class id a pixel" in message(saved(Image.fromarray(RGB), "PNG"), read_mask, name="m.png")
    assert "over 255" in message(saved(Image.fromarray(np.array([[300]], np.uint16)), "PNG"), read_mask)


def test_masks_are_never_mixed_by_resizing() -> None:
    mask = np.random.default_rng(0).choice(np.array([0, 7, 255], np.uint8), (37, 53))
    for size in ((16, 16), (100, 80), (1, 1)):
        small = resize_mask(mask, *size)
        assert small.shape == size
        assert set(np.unique(small)) <= {0, 7, 255}


def test_pictures_are_resized_with_anti_aliasing() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize_image(stripes, 16, 16).astype(int) - 127)[:, 1:-1].max() < 5
    assert resize_image(stripes, 64, 64) is stripes


DAMAGED_EXIF = [b"Exif\x00\x00garbage", b"MM\x00*\xff\xff\xff\xff", b"II*\x00\x08\x00\x00\x00\xff\xff"]


@pytest.mark.parametrize("exif", DAMAGED_EXIF)
def test_damaged_exif_is_read_or_refused_in_one_line(exif: bytes) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3)).save(buffer, "PNG", exif=exif)
    said = ""
    try:
        read_image(buffer.getvalue())
    except UserError as error:
        said = str(error)
    assert said == "" or ("damaged" in said and "\n" not in said)


DEEP = np.random.default_rng(3).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
#: The upper byte, but rounded: 16 bits hold 65535, which is 257 times 255.
EIGHT = np.round(DEEP / 257).astype(np.uint8)


def tiff(*pictures: np.ndarray, subfiles: tuple[int, ...] = (), **options: Any) -> bytes:
    file = io.BytesIO()
    writing = {key: options.pop(key) for key in ("bigtiff", "byteorder") if key in options}
    with tifffile.TiffWriter(file, **writing) as writer:
        for picture, kind in itertools.zip_longest(pictures, subfiles, fillvalue=0):
            writer.write(picture, subfiletype=kind, metadata=None, **options)
    return file.getvalue()


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "how",
    [
        {}, {"compression": "lzw"}, {"compression": "zlib", "predictor": True}, {"compression": "packbits"},
        {"compression": "zstd"}, {"tile": (16, 16)}, {"rowsperstrip": 3}, {"bigtiff": True},
    ],
)  # fmt: skip
def test_sixteen_bit_colours_of_a_tiff_keep_their_range(how: dict[str, Any], byteorder: str) -> None:
    data = tiff(DEEP, photometric="rgb", byteorder=byteorder, **how)
    np.testing.assert_array_equal(read_image(data), EIGHT)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_sixteen_bit_colours_in_planes_are_put_together(compression: str | None) -> None:
    planes = np.ascontiguousarray(DEEP.transpose(2, 0, 1))
    data = tiff(planes, photometric="rgb", planarconfig="separate", compression=compression)
    np.testing.assert_array_equal(read_image(data), EIGHT)
    three = tiff(planes, photometric="minisblack", planarconfig="separate")  # as ImageJ saves three channels
    np.testing.assert_array_equal(read_image(three), EIGHT)


def test_sixteen_bit_colours_of_a_png_keep_their_range() -> None:
    np.testing.assert_array_equal(read_image(imagecodecs.png_encode(DEEP)), EIGHT)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_colours_with_transparency_are_laid_over_white(kind: str) -> None:
    alpha = np.random.default_rng(4).integers(0, 65536, (20, 30, 1), dtype=np.uint16)
    four = np.concatenate([DEEP, alpha], -1)
    data = imagecodecs.png_encode(four) if kind == "PNG" else tiff(four, photometric="rgb", extrasamples=["unassalpha"])
    expected = 255 - (255 - DEEP / 257) * (alpha / 65535)
    assert np.abs(read_image(data) - expected).max() < 1.5


def test_grey_with_transparency_of_sixteen_bits_is_laid_over_white() -> None:
    two = np.array([[[0, 65535], [0, 0], [25700, 65535]]], np.uint16)
    assert read_image(imagecodecs.png_encode(two))[0, :, 0].tolist() == [0, 255, 100]


def test_the_transparent_colour_of_a_sixteen_bit_png_is_white() -> None:
    data = imagecodecs.png_encode(np.array([[[257, 514, 65535], [257, 515, 65535]]], np.uint16))
    colour = b"tRNS" + struct.pack(">HHH", 257, 514, 65535)
    data = data[:33] + struct.pack(">I", 6) + colour + struct.pack(">I", zlib.crc32(colour)) + data[33:]
    assert read_image(data)[0].tolist() == [[255, 255, 255], [1, 2, 255]]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_small_numbers_in_sixteen_bits_stay_as_they_are(channels: int, kind: str) -> None:
    values = np.random.default_rng(5).integers(0, 256, (6, 5, channels), dtype=np.uint16).squeeze()
    data = imagecodecs.png_encode(values) if kind == "PNG" else tiff(values, photometric="rgb" if channels == 3 else 1)
    np.testing.assert_array_equal(read_image(data), values.reshape(6, 5, channels) + np.zeros(3, np.uint16))


@pytest.mark.parametrize("channels", [1, 3])
def test_twelve_bits_in_sixteen_are_scaled_as_sixteen(channels: int) -> None:
    """Nothing in the file says that only twelve are used, and two pictures of one camera stay alike."""
    values = np.random.default_rng(6).integers(0, 4096, (6, 5, channels), dtype=np.uint16).squeeze()
    expected = np.round(values.reshape(6, 5, channels) / 257) + np.zeros(3)
    np.testing.assert_array_equal(read_image(tiff(values, photometric="rgb" if channels == 3 else 1)), expected)
    np.testing.assert_array_equal(read_image(imagecodecs.png_encode(values)), expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_packed_twelve_bits_have_the_range_of_twelve(order: str, channels: int) -> None:
    values = np.linspace(0, 4095, 16 * channels).astype(int)
    packed = int("".join(f"{value:012b}" for value in values), 2).to_bytes(len(values) * 3 // 2, "big")
    entries = [(256, 16), (257, 1), (258, 12), (259, 1), (262, 2 if channels == 3 else 1), (273, 8), (277, channels),
               (278, 1), (279, len(packed))]  # fmt: skip
    directory = b"".join(struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    start = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(packed))
    data = start + packed + struct.pack(order + "H", len(entries)) + directory + bytes(4)
    expected = np.round(values / 4095 * 255).reshape(1, 16, channels) + np.zeros(3)
    np.testing.assert_array_equal(read_image(data), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_floats_are_spread_from_least_to_greatest(dtype: type, channels: int) -> None:
    values = np.random.default_rng(7).normal(3, 10, (6, 5, channels)).astype(dtype)
    data = tiff(values.squeeze(), photometric="rgb" if channels == 3 else "minisblack")
    exact = values.astype(np.float64)
    expected = np.round((exact - exact.min()) / (exact.max() - exact.min()) * 255)
    np.testing.assert_array_equal(read_image(data), expected + np.zeros(3))


@pytest.mark.filterwarnings("error")
def test_floats_without_bounds_are_read() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 2.0, 4.0]], np.float32)
    assert read_image(tiff(values))[0, :, 0].tolist() == [0, 0, 0, 128, 255]
    assert read_image(tiff(np.array([[-1.5e308, 0, 1.5e308]])))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_with_white_as_zero_is_turned(dtype: type) -> None:
    most = np.iinfo(dtype).max
    data = tiff(np.array([[0, most // 255 * 100, most]], dtype), photometric="miniswhite")
    assert read_image(data)[0, :, 0].tolist() == [255, 155, 0]


def test_sixteen_bit_cmyk_is_read_as_that_of_eight_bits() -> None:
    inks = np.random.default_rng(8).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    eight = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))
    np.testing.assert_array_equal(read_image(tiff(inks, photometric="separated")), eight)
    np.testing.assert_array_equal(read_image(tiff(inks.astype(np.uint16) * 257, photometric="separated")), eight)


def test_palette_of_a_gif_with_a_transparent_colour() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert read_image(saved(image, "GIF", transparency=1))[0].tolist() == [[10, 20, 30], [255] * 3, [70, 80, 90]]


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "PPM", "GIF"])
def test_one_bit_is_black_and_white_in_every_kind(kind: str) -> None:
    bits = np.random.default_rng(9).random((5, 11)) > 0.5
    expected = np.where(bits, 255, 0)[..., None] + np.zeros(3)
    np.testing.assert_array_equal(read_image(saved(Image.fromarray(bits), kind)), expected)
    if kind == "TIFF":
        np.testing.assert_array_equal(read_image(saved(Image.fromarray(bits), kind, compression="group4")), expected)


@pytest.mark.parametrize("orientation", STORED)
def test_deep_pictures_are_turned_upright(orientation: int) -> None:
    stored = np.ascontiguousarray(np.stack([STORED[orientation](DEEP[..., band]) for band in range(3)], -1))
    data = tiff(stored, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    np.testing.assert_array_equal(read_image(data), EIGHT)


def test_too_many_channels_are_told_from_damage() -> None:
    data = tiff(np.zeros((6, 5, 7), np.uint16), photometric="minisblack", planarconfig="contig")
    assert message(data, name="stack.tif") == "stack.tif: a picture of 7 channels: save one, or three as RGB"


@pytest.mark.parametrize(("kind", "number"), [("webp", 50001), ("jpeg2000", 34712)])
def test_a_compression_that_is_not_read_is_told_from_damage(
    kind: str, number: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((40, 50, 3), np.uint8), compression=kind, photometric="rgb")
    with pytest.raises(UserError, match=f"a TIFF with compression {number} is not read: save it with LZW or Deflate"):
        read_image(tmp_path / "a.tif")
    assert capfd.readouterr().err == "", "nor has libtiff anything to say"


def test_masks_of_sixteen_bits_are_not_scaled() -> None:
    values = np.array([[0, 200, 255]], np.uint16)
    assert read_mask(tiff(values)).tolist() == values.tolist()
    assert "one class id a pixel" in message(tiff(DEEP, photometric="rgb"), read_mask)


PAGES = [np.full((4, 6, 3), 50 * number, np.uint8) for number in range(5)]


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_pages_of_a_tiff_without_its_reduced_copies(bigtiff: bool, byteorder: str, compression: str | None) -> None:
    how = {"photometric": "rgb", "compression": compression}
    data = tiff(*PAGES, subfiles=(0, 1, 2, 1, 0), bigtiff=bigtiff, byteorder=byteorder, **how)
    assert page_count(data) == 3
    assert [int(read_image(data, page=page)[0, 0, 0]) for page in range(3)] == [0, 100, 200]
    for page in (3, 99, -1):
        text = message(data, name="stack.tif", page=page)
        assert text == f"stack.tif has no page {page}: there are 3, from 0 to 2"


def test_a_reduced_copy_before_the_picture_and_nothing_but_copies() -> None:
    assert read_image(tiff(*PAGES[1:3], subfiles=(1, 0), photometric="rgb"))[0, 0, 0] == 100
    copies = tiff(*PAGES[1:3], subfiles=(1, 1), photometric="rgb")
    assert page_count(copies) == 2
    assert read_image(copies, page=1)[0, 0, 0] == 100


@pytest.mark.parametrize("old", [False, True])
def test_masks_of_a_tiff_and_its_old_copies_are_no_pages(old: bool) -> None:
    data = tiff(*PAGES[:3], subfiles=(0, 1, 0), photometric="rgb")
    second = data.index(struct.pack("<HHII", 254, 4, 1, 1))
    entry = struct.pack("<HHIHH", 255, 3, 1, 2, 0) if old else struct.pack("<HHII", 254, 4, 1, 4)
    data = data[:second] + entry + data[second + 12 :]
    assert page_count(data) == 2
    assert read_image(data, page=1)[0, 0, 0] == 100


def test_deep_pages_and_pages_of_different_kinds(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(PAGES[1], photometric="rgb", metadata=None)
        writer.write(DEEP, photometric="rgb", metadata=None)
        writer.write(DEEP[..., 0], photometric="minisblack", metadata=None)
        writer.write(DEEP.astype(np.float32), photometric="rgb", metadata=None)
    assert page_count(path) == 4
    with path.open("rb") as file:
        for source in (path, path.read_bytes(), file):
            assert read_image(source, page=0)[0, 0, 0] == 50
            np.testing.assert_array_equal(read_image(source, page=1), EIGHT)
            np.testing.assert_array_equal(read_image(source, page=2), EIGHT[..., :1] + np.zeros(3, np.uint8))
            assert read_image(source, page=3).shape == DEEP.shape


def test_what_is_no_tiff_has_one_page(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert page_count(data) == page_count(b"") == page_count(b"II*\0") == 1
    assert message(data, name="a.gif", page=1) == "a.gif has no page 1: the only one is page 0"
    with pytest.raises(UserError, match="cannot be read"):
        page_count(tmp_path / "gone.tif")
