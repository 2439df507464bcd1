"""Augmentations in use: texts read or refused, one result from one seed in any thread, the loader, the app's strip."""

from __future__ import annotations

import dataclasses
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmodels.data import loader as loader_module
from segmodels.data.augment import OPERATIONS, PRESETS, parse_augmentation
from segmodels.data.augment.operation import MatrixOperation
from segmodels.data.augment.preview import preview
from segmodels.data.dataset import IGNORE, Sample
from segmodels.data.datasets import open_dataset
from segmodels.data.images import resize_image
from segmodels.data.loader import AHEAD, Loader
from segmodels.data.prepare import load_data
from segmodels.data.prepared import Prepared, PreparedPictures
from segmodels.errors import UserError
from segmodels.prediction.masks import foreground, overlay
from tests.own_forms import write_form
from tests.test_augment import VALUES, pictures, run
from ui.augment_strip import _strip


def texts() -> st.SearchStrategy[str]:
    """Any operations with any parameters that they allow."""

    def parameters(name: str) -> st.SearchStrategy[str]:
        chosen = {}
        for field in dataclasses.fields(OPERATIONS[name]):
            low, high = field.metadata["low"], field.metadata["high"]
            if isinstance(field.default, bool):
                chosen[field.name] = st.sampled_from(["true", "false"])
            elif isinstance(field.default, int):
                chosen[field.name] = st.integers(low, high).map(str)
            else:
                chosen[field.name] = st.floats(low, high).map(repr)
        return st.fixed_dictionaries({}, optional=chosen).map(
            lambda given: name + (f"({','.join(f'{k}={v}' for k, v in given.items())})" if given else "")
        )

    return st.lists(st.sampled_from(sorted(OPERATIONS)).flatmap(parameters), min_size=1, max_size=5).map("+".join)


@settings(max_examples=80, deadline=None)
@given(
    text=texts(), seed=st.integers(0, 99), height=st.integers(2, 24), width=st.integers(2, 24), any_way=st.booleans()
)
def test_whatever_is_done_masks_are_never_mixed(text: str, seed: int, height: int, width: int, any_way: bool) -> None:
    images, masks = pictures(3, height, width, seed)
    before = images.copy(), masks.copy()
    found = run(text, images, masks, seed, any_orientation=any_way)
    assert found[0].shape == images.shape
    assert found[1].shape == masks.shape
    assert found[0].dtype == found[1].dtype == np.uint8
    assert set(np.unique(found[1])) <= set(VALUES.tolist())
    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(masks, before[1])
    assert not np.shares_memory(found[0], images)
    again = run(text, images, masks, seed, any_orientation=any_way)
    np.testing.assert_array_equal(found[0], again[0])
    np.testing.assert_array_equal(found[1], again[1])


@settings(max_examples=80, deadline=None)
@given(text=texts())
def test_texts_mean_what_they_spell_out(text: str) -> None:
    parsed = parse_augmentation(text)
    assert parse_augmentation(parsed.spelled_out).operations == parsed.operations
    assert parse_augmentation(parsed.text) == parsed
    assert len(parsed.describe()) == len(parsed.operations)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_are_plain_lists_that_a_text_can_spell_out(name: str) -> None:
    parsed = parse_augmentation(name)
    assert parsed.operations == PRESETS[name]
    assert parse_augmentation(parsed.spelled_out).operations == PRESETS[name]
    images, masks = pictures()
    found = run(name, images, masks)
    assert np.array_equal(found[0], images) == (name == "none")


@pytest.mark.parametrize("name", [*PRESETS, "pets+elastic+cutout+mixup+cutmix"])
def test_threads_change_nothing(name: str) -> None:
    images, masks = pictures(4, 48, 48)
    alone = [run(name, images, masks, seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: run(name, images, masks, seed), range(12)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_sums_of_presets_and_operations() -> None:
    parsed = parse_augmentation(" light + cutmix( largest = 3e-1 , probability=1e+0 ) ")
    assert parsed.operations[:-1] == PRESETS["light"]
    assert parsed.text == "light+cutmix(largest=3e-1,probability=1e+0)"
    assert parsed.operations[-1] == OPERATIONS["cutmix"](largest=0.3, probability=1)  # type: ignore[call-arg]
    assert parse_augmentation("flip()").spelled_out == "flip"
    assert parse_augmentation("none").spelled_out == "none"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lite", ["unknown augmentation 'lite'", "did you mean 'light'", "cutmix"]),
        ("", ["write a preset"]),
        ("flip+", ["flip+rotate(degrees=15)+blur"]),
        ("flip+rotate(degrees=15", ["write a preset"]),
        ("flip)", ["write a preset"]),
        ("rotate(15)", ["rotate(15)", "name the parameter", "degrees="]),
        ("rotate(degree=15)", ["unknown parameter", "rotate", "did you mean 'degrees'"]),
        ("rotate(degrees=181)", ["rotate", "degrees=181", "at least 0 and at most 180"]),
        ("rotate(degrees=-1)", ["degrees=-1", "at least 0"]),
        ("rotate(degrees=nan)", ["degrees=nan", "a number"]),
        ("rotate(degrees=inf)", ["degrees=inf"]),
        ("rotate(degrees=many)", ["degrees='many'", "a number"]),
        ("rotate(degrees=)", ["degrees=''"]),
        ("rotate(degrees=true)", ["degrees=True", "a number"]),
        ("rotate(degrees=1,degrees=2)", ["degrees is given twice"]),
        ("rotate(probability=1.5)", ["probability=1.5", "at most 1"]),
        ("cutout(holes=2.5)", ["holes=2.5", "a whole number", "at least 1 and at most 64"]),
        ("elastic(cells=1000000)", ["cells=1000000", "at most 32"]),
        ("flip_vertical(always=1)", ["always=1", "true or false"]),
        ("light(smallest=0.5)", ["preset light has no parameters"]),
        ("+".join(["light"] * 20), ["more than 50 operations"]),
        ("flip+" * 1000, ["more than 2000 characters"]),
        ("(" * 1999, ["write a preset"]),
        ("flip(__class__=3)", ["unknown parameter"]),
        ("rotate(degrees=" + "9" * 1000 + ")", ["degrees=", "at most 180"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_with_a_text_is_said_in_one_line(text: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse_augmentation(text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    for word in words:
        assert word in message


def test_names_and_descriptions() -> None:
    assert parse_augmentation("rotate(degrees=15,probability=0.25)").describe() == [
        "turned by up to 15 degrees, 25 % of the pictures"
    ]
    for name, kind in OPERATIONS.items():
        assert kind.name == name
        assert name not in PRESETS
        assert list(kind.defaults())[-1] == "probability"
        assert kind().describe()
    assert all(issubclass(OPERATIONS[name], MatrixOperation) for name in ("rotate", "hue", "stain"))


# --- The loader


@pytest.fixture
def toys(home: Path) -> Prepared:
    return load_data("toy-nuclei", image_size=32, limit=24)


def loader_threads() -> int:
    return sum(thread.name.startswith("ahead") for thread in threading.enumerate())


def test_batches_are_the_same_from_any_number_of_threads(toys: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads in (1, 4):
        monkeypatch.setattr(loader_module, "THREADS", threads)
        found.append(list(Loader(toys, 4, seed=2, augment="histology+cutmix").epoch(5)))
    assert len(found[0]) == 6
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_no_more_batches_are_made_than_may_wait(toys: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = Loader(toys, 2, augment="light")
    made: list[int] = []
    inner = loader._batch

    def counted(order: np.ndarray, number: int, step: int) -> Any:
        made.append(step)
        return inner(order, number, step)

    monkeypatch.setattr(loader, "_batch", counted)
    batches = loader.epoch(0)
    for taken in range(1, 4):
        next(batches)
        time.sleep(0.1)
        assert sorted(made) == list(range(AHEAD + taken - 1))
    batches.close()  # type: ignore[attr-defined]
    assert loader_threads() == 0


def test_what_fails_is_raised_in_its_place(toys: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = Loader(toys, 4, augment="light")
    inner = loader._batch

    def fail(order: np.ndarray, number: int, step: int) -> Any:
        if step == 3:
            raise OSError("the disk is gone")
        return inner(order, number, step)

    monkeypatch.setattr(loader, "_batch", fail)
    batches = loader.epoch(0)
    assert len([next(batches) for _ in range(3)]) == 3
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert loader_threads() == 0


def test_an_unknown_augmentation_is_refused_at_once(toys: Prepared) -> None:
    with pytest.raises(UserError, match="did you mean 'light'"):
        Loader(toys, 4, augment="lighter")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say")
def test_anonymous_memory_is_flat(toys: Prepared, tmp_path: Path) -> None:
    """A set of 200 MB: of its pictures only those at work are in memory."""

    def anonymous() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("RssAnon"))

    for name, shape in (("images", (1024, 256, 256, 3)), ("masks", (1024, 256, 256))):
        np.lib.format.open_memmap(tmp_path / f"{name}.npy", "w+", np.uint8, shape).flush()
    index = {"ids": [str(number) for number in range(1024)], "skipped": []}
    data = PreparedPictures(tmp_path, toys.dataset, "train", 256, index, "")
    before = most = anonymous()
    for _ in Loader(data, 8, augment="light").epoch(0):
        most = max(most, anonymous())
    assert most - before < 80


# --- The strip


def test_versions_of_a_picture() -> None:
    images, masks = pictures(3)
    few = preview(images, masks, "light", count=2, seed=4, any_orientation=True)
    many = preview(images, masks, "light", count=5, seed=4, any_orientation=True)
    assert len(many) == 5
    for one, other in zip(few, many, strict=False):
        np.testing.assert_array_equal(one[0], other[0])
    assert len({image.tobytes() for image, _ in many}) == 5
    same = preview(images, masks, "none", any_orientation=False)
    assert len(same) == 6
    np.testing.assert_array_equal(same[3][0], images[0])
    np.testing.assert_array_equal(same[3][1], masks[0])


def test_versions_are_mixed_with_the_others() -> None:
    masks = np.broadcast_to(np.arange(3, dtype=np.uint8)[:, None, None], (3, 16, 16))
    images = np.repeat(masks[..., None], 3, axis=-1)
    found = preview(images, masks, "cutmix(probability=1)", count=20, any_orientation=False)
    assert {value for _, mask in found for value in np.unique(mask)} == {0, 1, 2}


def strip_page() -> None:
    import streamlit as st

    from ui.augment_strip import augment_strip

    augment_strip("toy-nuclei", None, st.session_state["text"], 64, sampling=st.session_state["sampling"])


def strip(text: str, sampling: str = "resize") -> AppTest:
    app = AppTest.from_function(strip_page, default_timeout=60)
    app.session_state["text"], app.session_state["sampling"] = text, sampling
    app.session_state["augment-open"] = True
    return app.run()


def test_the_app_shows_what_the_settings_do(home: Path) -> None:
    app = strip("light+cutmix")
    assert not app.exception
    assert len(app.get("image")) == 8
    assert "mirrored left to right" in app.markdown[0].value
    assert app.code[0].value.startswith("flip+flip_vertical+quarter_turn+zoom")
    app.button(key="augment-others").click().run()
    assert not app.exception
    assert app.session_state["augment-seed"] == 1
    assert len(strip("histology", "tiles").get("image")) == 8
    assert "Nothing" in strip("none").caption[0].value
    assert "did you mean" in strip("lite").error[0].value.replace("\\", "")


def test_versions_of_one_picture_are_of_that_one_as_it_is_now(home: Path, tmp_path: Path) -> None:
    folder = write_form("masks", tmp_path / "own")
    opened = open_dataset(str(folder))
    sample = opened.samples("train")[0]
    before = _of(folder, sample)
    assert len(before) == 8
    image, mask = opened.read(sample)
    (first,) = _pictures(before[:1])
    shown = overlay(image, mask, opened.classes, shown=[*foreground(opened.classes), IGNORE])
    assert np.abs(first.astype(int) - resize_image(shown, *first.shape[:2])).mean() < 6, "a JPEG, made smaller"
    assert sample.mask_path is not None
    Image.fromarray(np.zeros_like(mask)).save(sample.mask_path)
    assert _of(folder, sample)[0] != before[0]
    assert sample.image_path is not None
    sample.image_path.write_bytes(b"no picture")
    with pytest.raises(UserError, match=sample.image_path.name):
        _of(folder, sample)


def _of(folder: Path, sample: Sample) -> list[bytes]:
    dataset = open_dataset(str(folder))
    of = ("train", sample.id, dataset.state(sample))
    return _strip(str(folder), None, repr(dataset.reading()), "flip+cutmix", 64, "resize", 0, of)


def _pictures(files: list[bytes]) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(content))) for content in files]
