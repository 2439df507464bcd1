"""Tiles against brute force: where they lie, what is in them, and that they go together again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segmodels.data.dataset import ClassLabel, Dataset, Sample
from segmodels.data.loader import Loader, in_order
from segmodels.data.prepare import PreparedTiles, prepare
from segmodels.data.tiles import Tiles, Tiling, covered, foreground_shares, merge, tile_grid, window
from segmodels.errors import UserError

EDGES = ("pad", "shift", "drop")
sides = st.integers(1, 40)
grids = st.builds(
    lambda height, width, size, stride, edge: tile_grid(height, width, size, 1 + stride % size, edge),
    sides, sides, st.integers(1, 24), st.integers(0, 23), st.sampled_from(EDGES),
)  # fmt: skip


@pytest.mark.parametrize(("edge", "count"), [("drop", 36), ("shift", 49), ("pad", 49)])
def test_monuseg_in_patches(edge: Any, count: int) -> None:
    assert len(tile_grid(1000, 1000, 256, 144, edge)) == count


@pytest.mark.parametrize("edge", EDGES)
def test_aerial_in_patches(edge: Any) -> None:
    tiles = tile_grid(1024, 1024, 256, 256, edge)
    assert list(tiles) == [(top, left) for top in (0, 256, 512, 768) for left in (0, 256, 512, 768)]


def brute_starts(length: int, size: int, stride: int, edge: str) -> list[int]:
    starts = [0]
    while starts[-1] + size < length:
        if starts[-1] + stride + size <= length or edge == "pad":
            starts.append(starts[-1] + stride)
        elif edge == "shift":
            starts.append(length - size)
        else:
            break
    return starts


@settings(deadline=None, max_examples=200)
@given(sides, sides, st.integers(1, 24), st.integers(0, 23), st.sampled_from(EDGES))
def test_starts_are_those_of_a_walk(height: int, width: int, size: int, stride: int, edge: Any) -> None:
    stride = 1 + stride % size
    tiles = tile_grid(height, width, size, stride, edge)
    assert tiles.tops.tolist() == brute_starts(height, size, stride, edge)
    assert tiles.lefts.tolist() == brute_starts(width, size, stride, edge)
    assert len(list(tiles)) == len(tiles) == len(tiles.positions)


@settings(deadline=None, max_examples=200)
@given(grids, st.booleans(), st.booleans())
def test_cut_and_merged_is_as_it_was(tiles: Tiles, colour: bool, weighted: bool) -> None:
    shape = (tiles.height, tiles.width, *[3] * colour)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, shape, dtype=np.uint8)
    weight = rng.uniform(0.1, 1, (tiles.size, tiles.size)) if weighted else None
    back = merge(tiles.cut(picture), tiles, weight=weight)
    inside = covered(tiles)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back[inside], picture[inside])
    assert (back[~inside] == 0).all()
    seen = np.zeros((tiles.height, tiles.width), bool)
    for top, left in tiles:
        for y in range(top, min(top + tiles.size, tiles.height)):
            seen[y, left : left + tiles.size] = True
    np.testing.assert_array_equal(inside, seen)


@settings(deadline=None, max_examples=100)
@given(sides, sides, st.integers(1, 24), st.integers(0, 23), st.sampled_from(["pad", "shift"]))
def test_pad_and_shift_leave_no_pixel_out(height: int, width: int, size: int, stride: int, edge: Any) -> None:
    assert covered(tile_grid(height, width, size, 1 + stride % size, edge)).all()


def mirrored(place: int, length: int) -> int:
    """A walk to and fro between the first and the last."""
    if length == 1:
        return 0
    at, step = 0, 1 if place > 0 else -1
    way = 1
    for _ in range(abs(place)):
        if step < 0 and at == 0:
            way = 1
        if not 0 <= at + way < length:
            way = -way
        at += way
    return at


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(-12, 15), st.integers(-12, 15), st.integers(1, 20))
def test_a_window_goes_on_as_the_mirror_image(height: int, width: int, top: int, left: int, size: int) -> None:
    picture = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    shown, filled = window(picture, top, left, size), window(picture, top, left, size, fill=255)
    assert shown.shape == filled.shape == (size, size)
    for y in range(size):
        for x in range(size):
            assert shown[y, x] == picture[mirrored(top + y, height), mirrored(left + x, width)]
            inside = 0 <= top + y < height and 0 <= left + x < width
            assert filled[y, x] == (picture[top + y, left + x] if inside else 255)


def test_a_window_is_numpys_reflection() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    padded = np.pad(picture, [(9, 20), (9, 20), (0, 0)], mode="reflect")
    np.testing.assert_array_equal(window(picture, -9, -9, 25), padded[:25, :25])


@settings(deadline=None, max_examples=100)
@given(grids, st.sampled_from([0, 1, None]))
def test_foreground_shares_are_counted(tiles: Tiles, background: int | None) -> None:
    mask = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (tiles.height, tiles.width))
    shares = foreground_shares(mask, tiles, background)
    for share, part in zip(shares, tiles.cut(mask, fill=255), strict=True):
        assert share == pytest.approx(np.mean((part != 255) & (part != (255 if background is None else background))))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((10, 10, 4, 5, "shift"), "stride of 5 does not fit tiles of 4"),
        ((10, 10, 4, 0, "shift"), "choose one from 1 to 4"),
        ((0, 10, 4, 4, "shift"), "sides begin at 1"),
        ((10, 10, 4, 4, "shifts"), "did you mean 'shift'"),
    ],
)
def test_grids_that_cannot_be(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        tile_grid(*arguments)


class Slides(Dataset):
    """Pictures of several sizes, one of them smaller than a tile; the masks are a function of the pictures."""

    name = "slides: test"
    title = description = licence = source = "test"
    classes = (ClassLabel("background", "#000000"), ClassLabel("nucleus", "#FFFFFF"))
    shapes = ((70, 90), (20, 100), (64, 64), (10, 12))

    def listed(self, split: str) -> list[Sample]:
        assert self.root is not None
        stems = [path.stem.removesuffix("-image") for path in sorted(self.root.glob("*-image.png"))]
        files = [[self.root / f"{stem}-{kind}.png" for kind in ("image", "mask")] for stem in stems]
        return [Sample(path.stem, image_path=path, mask_path=mask) for path, mask in files]


@pytest.fixture
def slides(tmp_path: Path) -> Slides:
    root = tmp_path / "slides"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number, shape in enumerate(Slides.shapes):
        image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        image[:, : shape[1] // 2] //= 2  # the left half is background
        Image.fromarray(image).save(root / f"{number}-image.png")
        Image.fromarray((image[..., 0] >= 128).astype(np.uint8)).save(root / f"{number}-mask.png")
    return Slides(root)


def tiled(dataset: Dataset, split: str = "train", **tiling: Any) -> PreparedTiles:
    data = prepare(dataset, split, 32, tiling=Tiling(**{"size": 32, "stride": 32, **tiling}))
    assert isinstance(data, PreparedTiles)
    return data


@pytest.mark.parametrize("edge", EDGES)
def test_tiles_are_windows_into_pictures_that_are_stored_once(home: Path, slides: Slides, edge: Any) -> None:
    data = tiled(slides, stride=24, edge=edge)
    place = 0
    for number, sample in enumerate(slides.samples("train")):
        image, mask = slides.read(sample)
        tiles = tile_grid(*mask.shape, 32, 24, edge)
        count = len(tiles)
        images, masks = data.read(slice(place, place + count))
        np.testing.assert_array_equal(images, tiles.cut(image))
        np.testing.assert_array_equal(masks, tiles.cut(mask, fill=255))
        assert set(data.picture_of[place : place + count]) == {number}
        assert data.ids[place] == f"{sample.id}@0,0"
        np.testing.assert_array_equal(data.picture(number)[0], image)
        place += count
    assert len(data) == len(data.ids) == place
    (folder,) = (home / "prepared").iterdir()
    pixels = sum(height * width for height, width in Slides.shapes)
    assert (folder / "images.bin").stat().st_size == 3 * pixels
    assert (folder / "masks.bin").stat().st_size == pixels


def test_all_tilings_read_the_same_files(home: Path, slides: Slides, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tiled(slides)
    monkeypatch.setattr(Slides, "read", lambda *_: pytest.fail("decoded again"))
    assert len(tiled(slides, stride=8)) > len(first)
    assert len(list((home / "prepared").iterdir())) == 1


def test_tiles_with_little_in_them_are_left_out(home: Path, slides: Slides) -> None:
    every, some = tiled(slides), tiled(slides, foreground=0.3)
    shares = [np.mean(mask == 1) for mask in every.read(slice(None))[1]]
    assert 0 < len(some) == sum(share >= 0.3 for share in shares) < len(every)
    with pytest.raises(UserError, match="lower tile_foreground"):
        tiled(slides, foreground=0.99)


def test_what_cannot_be_read_is_in_no_tile(home: Path, slides: Slides) -> None:
    (slides.samples("train")[1].mask_path or Path()).unlink()
    data = tiled(slides)
    assert [row["id"] for row in data.skipped] == ["1-image"]
    assert data.pictures == ["0-image", "2-image", "3-image"]
    np.testing.assert_array_equal(data.picture(2)[0], slides.read(slides.samples("train")[3])[0])


def test_training_moves_tiles_within_their_pictures(home: Path, slides: Slides) -> None:
    data = tiled(slides, stride=16)
    indices = np.arange(len(data))
    offsets = []
    for seed in range(30):
        images, masks = data.read(indices, np.random.default_rng(seed))
        again, _ = data.read(indices, np.random.default_rng(seed))
        np.testing.assert_array_equal(images, again)
        known = masks != 255
        np.testing.assert_array_equal(masks[known], (images[..., 0] >= 128)[known])
        for index in np.flatnonzero(data.picture_of == 0):  # the picture of 70 x 90
            assert known[index].all(), "nothing is filled up where nothing has to be"
            picture = np.lib.stride_tricks.sliding_window_view(data.picture(0)[0][..., 0], (32, 32))
            ((top, left),) = np.argwhere((picture == images[index, ..., 0]).all(axis=(2, 3)))
            offsets.append(np.array([top, left]) - data.positions[index])
    assert np.abs(offsets).max() == 8
    assert len(np.unique(offsets, axis=0)) > 150


def test_batches_of_tiles_hang_on_seed_epoch_and_step_alone(home: Path, slides: Slides) -> None:
    data = tiled(slides, stride=16)
    loader = Loader(data, 4, seed=3, augment="light")
    first = list(loader.epoch(1))
    for (images, masks), (again, same) in zip(first[2:], loader.epoch(1, start=2), strict=True):
        np.testing.assert_array_equal(images, again)
        np.testing.assert_array_equal(masks, same)
    assert sum(real for _, _, real in in_order(data, 4)) == len(data)
