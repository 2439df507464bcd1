"""Predicting any picture: its size, its forms, several threads, and what a result offers."""

from __future__ import annotations

import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segmodels.data.datasets import dataset_type
from segmodels.errors import UserError
from segmodels.hub.checkpoint import SPEC
from segmodels.prediction import masks, tiling
from segmodels.prediction.predictor import Predictor, Result
from segmodels.prediction.resize import resize_logits
from segmodels.training.runs import Run

LABELS = dataset_type("toy-pets").classes
GREEN = np.array([90, 200, 30], np.uint8)


@pytest.fixture(scope="module")
def predictor(tiny_run: Run) -> Predictor:
    return Predictor(tiny_run.best)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (500, 3), (32, 32), (97, 131), (700, 500)])
def test_a_result_has_the_size_of_its_picture(predictor: Predictor, size: tuple[int, int]) -> None:
    result = predictor(picture(*size))
    assert result.mask.shape == size
    assert result.mask.dtype == np.uint8
    assert result.mask.max() < 3
    assert result.logits.shape == result.probabilities.shape == (*size, 3)
    assert result.probabilities.dtype == result.confidence.dtype == np.float32
    np.testing.assert_allclose(result.probabilities.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(result.probabilities.argmax(-1), result.mask)
    assert (result.confidence >= 1 / 3 - 1e-6).all()
    assert result.overlay().size == result.indexed().size == size[::-1]
    assert sum(result.shares.values()) == pytest.approx(1)
    assert list(result.shares) == ["pet", "background", "border"]


def test_the_input_contract_is_kept(predictor: Predictor) -> None:
    image = picture(60, 90)
    small = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR))
    logits = np.asarray(predictor.model(small[None], training=False))[0]
    np.testing.assert_allclose(predictor(image).logits, resize_logits(logits, 60, 90), atol=1e-5)


def test_every_form_of_a_picture_gives_the_same(predictor: Predictor, tmp_path: Path) -> None:
    image = picture(40, 50)
    Image.fromarray(image).save(tmp_path / "picture.png")
    data = (tmp_path / "picture.png").read_bytes()
    expected = predictor(image).logits
    forms = (tmp_path / "picture.png", str(tmp_path / "picture.png"), data, io.BytesIO(data), Image.fromarray(image))
    for form in forms:
        np.testing.assert_array_equal(predictor(form).logits, expected)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16"])
def test_a_pillow_image_is_seen_as_its_file_is(predictor: Predictor, mode: str) -> None:
    ramp = np.linspace(0, 255, 20 * 30).reshape(20, 30)
    if mode == "I;16":
        image = Image.fromarray((ramp * 257).astype(np.uint16))
    else:
        image = Image.fromarray(ramp.astype(np.uint8)).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(ramp.astype(np.uint8).T.reshape(20, 30).copy()))
    file = saved(image, "TIFF" if mode == "CMYK" else "PNG")
    np.testing.assert_array_equal(predictor(image).image, predictor(file).image)


def test_a_turned_photo_is_seen_upright(predictor: Predictor) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.fromarray(picture(20, 40)), "JPEG", exif=exif)
    assert predictor(data).mask.shape == (40, 20)
    assert predictor(Image.open(io.BytesIO(data))).mask.shape == (40, 20)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_of_another_form_are_refused(predictor: Predictor, wrong: np.ndarray) -> None:
    with pytest.raises(UserError, match="must be uint8"):
        predictor(wrong)


def test_what_is_no_picture_is_named(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cat\.jpg"):
        predictor(b"no picture", name="cat.jpg")
    with pytest.raises(UserError, match="no such file"):
        predictor(tmp_path / "gone.jpg")


def test_several_threads_take_turns(predictor: Predictor) -> None:
    images = [picture(20 + i, 30 + i) for i in range(16)]
    expected = [predictor(image).logits for image in images]
    with ThreadPoolExecutor(8) as pool:
        for result, logits in zip(pool.map(predictor, images), expected, strict=True):
            np.testing.assert_allclose(result.logits, logits, atol=1e-5)


def test_predicting_twice_gives_the_same(predictor: Predictor) -> None:
    image = picture(33, 44)
    np.testing.assert_array_equal(predictor(image).logits, predictor(image).logits)


@pytest.mark.parametrize("size", [(7, 9), (14, 18), (3, 5), (64, 48), (1, 1), (7, 30), (100, 9)])
def test_logits_are_resized_as_tensorflow_does(size: tuple[int, int]) -> None:
    tf = pytest.importorskip("tensorflow")
    logits = np.random.default_rng(0).normal(size=(7, 9, 4)).astype(np.float32)
    before = logits.copy()
    resized = resize_logits(logits, *size)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, np.asarray(tf.image.resize(logits, size, method="bilinear")), atol=1e-5)
    np.testing.assert_array_equal(logits, before)


def test_a_single_pixel_grows_to_one_value() -> None:
    assert set(resize_logits(np.full((1, 1, 1), 3, np.float32), 5, 9).ravel()) == {3}


def test_an_overlay_mixes_colour_and_picture() -> None:
    image = np.full((1, 4, 3), 100, np.uint8)
    mask = np.array([[0, 1, 2, 255]], np.uint8)
    every = range(len(LABELS))
    drawn = masks.overlay(image, mask, LABELS, opacity=0.25, shown=every)
    for place in every:
        expected = 100 * 0.75 + np.array(LABELS[place].rgb) * 0.25
        np.testing.assert_allclose(drawn[0, place], expected, atol=0.51)
    assert drawn[0, 3].tolist() == [100] * 3, "ignored pixels stay as in the picture"
    np.testing.assert_array_equal(masks.overlay(image, mask, LABELS, opacity=0, shown=every), image)
    assert masks.overlay(image, mask, LABELS, opacity=1, shown=every)[0, :3].tolist() == [list(x.rgb) for x in LABELS]
    by_default = masks.overlay(image, mask, LABELS, opacity=1)
    for place, label in enumerate(LABELS):
        assert by_default[0, place].tolist() == ([100] * 3 if label.name == "background" else list(label.rgb))
    some = masks.overlay(image, mask, LABELS, shown=[1])
    assert some[0, [0, 2, 3]].tolist() == [[100] * 3] * 3
    assert some[0, 1].tolist() != [100] * 3


def test_an_indexed_mask_stores_ids_and_shows_colours(tmp_path: Path) -> None:
    mask = np.array([[0, 1], [2, 255]], np.uint8)
    masks.write_indexed_mask(tmp_path / "mask.png", mask, LABELS)
    with Image.open(tmp_path / "mask.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored), mask)
        colours = np.asarray(stored.convert("RGB"))
    assert colours[0].tolist() == [list(LABELS[0].rgb), list(LABELS[1].rgb)]
    assert colours[1, 1].tolist() == [255] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([[[1000.0, -1000.0, 0.0]]], np.float32)
    result = Result(np.zeros((1, 1, 3), np.uint8), logits, LABELS)
    assert result.probabilities[0, 0].tolist() == [1, 0, 0]


def as_tiles(run: Run, folder: Path) -> Path:
    """The checkpoint of a run as a model of tiles of 32 pixels."""
    shutil.copytree(run.best, folder)
    document = json.loads((folder / SPEC).read_text())
    document["input"] = {"mode": "tiles", "size": 32, "overlap": 8}
    (folder / SPEC).write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize(("tta", "views"), [("none", 1), ("flips,turns", 8)])
def test_it_tells_how_far_it_is(
    tta: str, views: int, tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every pass of the network, of views and of tiles, once."""
    monkeypatch.setattr(tiling, "BATCH_PIXELS", 3 * 32 * 32)
    predictor = Predictor(as_tiles(tiny_run, tmp_path / "tiles"))
    asked: list[int] = []
    logits = predictor.logits
    monkeypatch.setattr(predictor, "logits", lambda images: asked.append(1) or logits(images))
    image, told = picture(100, 150), list[tuple[int, int]]()
    predictor(image, tta=tta, told=lambda *done: told.append(done))
    assert told == ([(number, views) for number in range(1, views + 1)] if views > 1 else [])
    assert len(asked) == views
    told.clear()
    asked.clear()
    result = predictor(image, tiled=True, tta=tta, told=lambda *done: told.append(done))
    assert told == asked == [], "tiles are predicted when they are asked for"
    mask = result.mask
    assert told == [(number, len(asked)) for number in range(1, len(asked) + 1)]
    assert len(asked) == views * 4 * 2, "four rows of six tiles, three at a time"
    told.clear()
    np.testing.assert_array_equal(result.logits.argmax(-1), mask)
    assert told == [], "who goes through them again has been told"


def test_who_is_told_may_end_it(tiny_run: Run, tmp_path: Path) -> None:
    predictor = Predictor(as_tiles(tiny_run, tmp_path / "tiles"))

    def told(done: int, of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predictor(picture(60, 60), tta="flips,turns", told=told)


def test_a_picture_of_any_size_goes_on_as_its_mirror_image(tiny_run: Run, tmp_path: Path) -> None:
    """Where the network would fill its sides up with black."""
    predictor = Predictor(as_tiles(tiny_run, tmp_path / "tiles"), engine="keras")
    multiple = predictor.spec.architecture.multiple
    assert multiple == 4, "a U-Net that goes down twice"
    for height, width in ((33, 46), (40, 48), (1, 9), (5, 98)):
        image = picture(height, width)
        filled = np.pad(image, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="reflect")
        expected = np.asarray(predictor.model(filled[None], training=False))[0, :height, :width]
        np.testing.assert_allclose(predictor(image).logits, expected, atol=1e-5)
