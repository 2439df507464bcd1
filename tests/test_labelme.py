"""LabelMe's JSON: its own examples to the pixel, every kind of shape, pictures inside and outside, hostile files."""

from __future__ import annotations

import base64
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from segmodels.data.dataset import IGNORE, SPLITS
from segmodels.data.datasets.labelme import LabelMeFolder, read_shapes
from segmodels.data.datasets.own import open_own, recognise
from segmodels.errors import UserError
from tests.changed_documents import VALUES, mutated

pytestmark = pytest.mark.usefixtures("home")

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


def png(array: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def entry(label: Any = "cat", points: Any = ((2, 3), (10, 3), (10, 12), (2, 12)), **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": "polygon", "flags": {}, **more}


def write(path: Path, *shapes: Any, picture: bool = True, **more: Any) -> Path:
    """A JSON file with shapes, and its picture beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if picture:
        Image.fromarray(PICTURE).save(path.with_suffix(".png"))
    document = {
        "version": "5.0.1", "flags": {}, "shapes": list(shapes), "imagePath": f"{path.stem}.png", "imageData": None,
        "imageHeight": 20, "imageWidth": 30, **more,
    }  # fmt: skip
    path.write_text(json.dumps(document))
    return path


def all_of(dataset: LabelMeFolder) -> dict[str, Any]:
    return {sample.id: sample for split in SPLITS for sample in dataset.samples(split)}


def only(folder: Path) -> tuple[LabelMeFolder, Any]:
    dataset = LabelMeFolder(folder)
    (sample,) = all_of(dataset).values()
    return dataset, sample


def kinds(dataset: LabelMeFolder) -> list[str]:
    return [finding.kind for finding in dataset.inspect_files()]


@pytest.mark.parametrize(
    ("part", "rendered", "count"),
    [
        ("semantic_segmentation", "data_dataset_voc/SegmentationClass/{}.png", 2),
        ("video_annotation", "data_dataset_voc/SegmentationClassPNG/{}.png", 4),
        ("tutorial", "{}/label.png", 1),
    ],
)
def test_its_own_examples_to_the_pixel(part, rendered, count, data_folder):
    folder = data_folder / "polygons" / "labelme" / part
    assert "labelme" in recognise(folder)
    dataset = open_own(folder, form="labelme")
    samples = all_of(dataset)
    assert len(samples) == count
    for name, sample in samples.items():
        expected = np.array(Image.open(folder / rendered.format(name.rpartition("/")[2])))
        _, mask = dataset.read(sample)
        assert np.mean(mask == expected) >= 0.99999
        instances = dataset.read_instances(sample)
        shapes = [shape for shape in dataset.shapes(sample) if shape.label != "__ignore__"]
        assert set(np.unique(instances)) == set(range(len(shapes) + 1))
        assert np.array_equal(instances > 0, (mask > 0) & (mask != IGNORE))
    assert dataset.inspect_files() == []


def test_the_embedded_picture_of_the_tutorial(data_folder):
    dataset, sample = only(data_folder / "polygons" / "labelme" / "tutorial")
    expected = np.array(Image.open(data_folder / "polygons/labelme/tutorial/apc2016_obj3/img.png").convert("RGB"))
    assert sample.image_path is None
    assert np.abs(dataset.read_image(sample).astype(int) - expected).max() <= 2
    assert [label.name for label in dataset.classes] == [
        "background", "highland_6539_self_stick_notes", "kong_air_dog_squeakair_tennis_ball", "mead_index_cards",
        "shelf",
    ]  # fmt: skip


def test_classes_are_sorted_or_in_the_order_of_labels_txt(tmp_path):
    write(
        tmp_path / "a.json", entry("dog"), entry("_background_"), entry("cat"), entry("__ignore__"), entry("Background")
    )
    dataset, _ = only(tmp_path)
    assert [label.name for label in dataset.classes] == ["background", "cat", "dog"]
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nemu\ndog\n")
    dataset, _ = only(tmp_path)
    assert [label.name for label in dataset.classes] == ["background", "emu", "dog", "cat"]
    assert kinds(dataset) == ["unknown-label"]
    (tmp_path / "labels.txt").write_text("emu\ndog\ncat")
    dataset, _ = only(tmp_path)
    assert [label.name for label in dataset.classes] == ["background", "emu", "dog", "cat"]
    (tmp_path / "labels.txt").write_text("emu\nemu\n")
    dataset, _ = only(tmp_path)
    assert [label.name for label in dataset.classes] == ["background", "cat", "dog"]
    assert kinds(dataset) == ["label-file"]


def test_numbers_in_classes_json_go_before_all(tmp_path):
    write(tmp_path / "a.json", entry("cat"), entry("background", [[12, 3], [20, 3], [20, 9]]))
    classes = [{"id": 1, "name": "background"}, {"id": 0, "name": "sky", "color": "#010203"}, {"id": 2, "name": "cat"}]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": classes}))
    dataset, sample = only(tmp_path)
    assert [label.name for label in dataset.classes] == ["sky", "background", "cat"]
    assert dataset.classes[0].colour == "#010203"
    mask = dataset.read_mask(sample)
    assert (mask[0, 0], mask[5, 5], mask[4, 18]) == (0, 2, 1)


def test_the_fingerprint_knows_the_classes(tmp_path):
    write(tmp_path / "a.json", entry("cat"))
    dataset, sample = only(tmp_path)
    (tmp_path / "labels.txt").write_text("emu\ncat\n")
    again, same = only(tmp_path)
    assert dataset.fingerprint([sample]) != again.fingerprint([same])


def test_every_shape_type(tmp_path):
    bitmap = np.random.default_rng(1).random((6, 5)) > 0.4
    shapes = {
        "polygon": entry("a", shape_type="polygon"),
        "none": {"label": "a", "points": [[2, 3], [10, 3], [10, 12], [2, 12]]},
        "rectangle": entry("a", [[2, 3], [10, 12]], shape_type="rectangle"),
        "corners": entry("a", [[2, 3], [10, 3], [10, 12], [2, 12]], shape_type="rectangle"),
        "rotation": entry("a", shape_type="rotation"),
        "circle": entry("a", [[9, 9], [9, 12]], shape_type="circle"),
        "line": entry("a", [[9, 9], [19, 9]], shape_type="line"),
        "linestrip": entry("a", [[9, 9], [19, 9], [19, 15]], shape_type="linestrip"),
        "point": entry("a", [[9, 9]], shape_type="point"),
        "mask": entry("a", [[4, 3], [8, 8]], shape_type="mask", mask=png(bitmap)),
    }
    masks = {}
    for name, shape in shapes.items():
        write(tmp_path / name / "x.json", shape)
        dataset, sample = only(tmp_path / name)
        assert dataset.inspect(sample) == [], name
        masks[name] = dataset.read_mask(sample)
    box = np.zeros((20, 30), np.uint8)
    box[3:13, 2:11] = 1
    for name in ("polygon", "none", "rectangle", "corners", "rotation"):
        assert np.array_equal(masks[name], box), name
    expected = np.zeros((20, 30), bool)
    expected[3:9, 4:9] = bitmap
    assert np.array_equal(masks["mask"], expected)
    assert (masks["circle"][9].sum(), masks["point"][9].sum()) == (7, 11)
    assert masks["line"].any()
    assert (masks["linestrip"] >= masks["line"]).all()


def test_one_label_and_group_is_one_object(tmp_path):
    corners = [[[x, 2], [x + 3, 2], [x + 3, 8], [x, 8]] for x in (0, 6, 12, 18, 24)]
    groups = [("cat", 1), ("dog", 1), ("cat", 1), ("cat", None), ("cat", "1")]
    write(tmp_path / "a.json", *(entry(label, p, group_id=g) for (label, g), p in zip(groups, corners, strict=True)))
    dataset, sample = only(tmp_path)
    assert dataset.read_instances(sample)[5, [1, 7, 13, 19, 25]].tolist() == [1, 2, 1, 3, 4]


def test_pictures_by_name_embedded_and_beside(tmp_path):
    write(tmp_path / "json" / "a.json", entry(), picture=False, imagePath="..\\pictures\\a.png")
    write(tmp_path / "json" / "b.json", entry(), picture=False, imagePath="gone.png", imageData=png(PICTURE[:, ::-1]))
    write(tmp_path / "json" / "c.json", entry(), picture=False, imagePath="/home/someone/c.jpg")
    write(tmp_path / "json" / "d.json", entry(), picture=False, imagePath=None)
    write(tmp_path / "json" / "e.json", entry(), picture=False)
    (tmp_path / "pictures").mkdir()
    for name in ("a", "c", "d"):
        Image.fromarray(PICTURE).save(tmp_path / "pictures" / f"{name}.png")
    dataset = LabelMeFolder(tmp_path)
    samples = all_of(dataset)
    assert sorted(samples) == ["json/b", "pictures/a", "pictures/c", "pictures/d"]
    assert np.array_equal(dataset.read(samples["json/b"])[0], PICTURE[:, ::-1])
    assert all(np.array_equal(dataset.read(samples[f"pictures/{name}"])[0], PICTURE) for name in "acd")
    assert [(finding.kind, finding.where) for finding in dataset.inspect_files()] == [("no-picture", "json/e.json")]


def test_names_that_climb_out_are_refused(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "secret.png")
    write(tmp_path / "data" / "a.json", entry(), picture=False, imagePath="../../secret.png")
    write(tmp_path / "data" / "b.json", entry(), picture=False, imagePath=str(tmp_path / "secret.png"))
    write(tmp_path / "data" / "c.json", entry())
    dataset, sample = only(tmp_path / "data")
    assert sample.id == "c"
    assert kinds(dataset) == ["no-picture", "no-picture"]


def test_splits_by_folder_and_pictures_without_shapes(tmp_path):
    for name in ("train/a", "train/b", "val/a", "test/a"):
        write(tmp_path / f"{name}.json", *([entry()] if name != "train/b" else []))
    dataset = LabelMeFolder(tmp_path)
    assert {split: [sample.id for sample in dataset.samples(split)] for split in SPLITS} == {
        "train": ["train/a", "train/b"], "validation": ["val/a"], "test": ["test/a"]
    }  # fmt: skip
    assert not dataset.read_mask(all_of(dataset)["train/b"]).any()


def test_two_files_for_one_picture(tmp_path):
    write(tmp_path / "a.json", entry())
    write(tmp_path / "b.json", entry("dog"), picture=False, imagePath="a.png")
    dataset, _ = only(tmp_path)
    assert [label.name for label in dataset.classes] == ["background", "cat"]
    assert kinds(dataset) == ["double-annotation"]


def test_bad_shapes_are_left_out_and_told(tmp_path):
    bad = [
        entry(points=[[1, 2], [3, 4]]),
        entry(points=[[1, 2], [3, float("nan")], [5, 6]]),
        entry(points=[[1, 2], [3, 1e300], [5, 6]]),
        entry(points="everywhere"),
        entry(label=None),
        entry(label="x" * 500),
        entry(shape_type="spline"),
        entry(shape_type={}),
        entry(shape_type="mask", points=[[1, 2]], mask="%%%"),
        entry(shape_type="mask", points=[[1, 2]], mask=png(PICTURE)),
        entry(shape_type="mask", points=[[1, 2]]),
        7,
        None,
    ]
    path = write(tmp_path / "a.json", *bad, entry(), entry(points=[[50, 50], [90, 50], [90, 90]]), imageWidth=31)
    dataset, sample = only(tmp_path)
    shapes, problems = read_shapes(json.loads(path.read_text()))
    assert (len(shapes), len(problems)) == (2, len(bad))
    assert all("\n" not in problem for problem in problems)
    found = {finding.kind: finding.message for finding in dataset.inspect(sample)}
    assert sorted(found) == ["bad-shape", "outside", "size-mismatch"]
    assert found["bad-shape"] == "shape 1: a polygon of 2 points; it needs 3 or more, and 12 more"
    assert dataset.read_mask(sample).sum() == 90


def test_masks_may_not_have_too_many_pixels(monkeypatch):
    monkeypatch.setattr("segmodels.data.datasets.labelme.MAX_BITMAPS", 1000)
    shape = entry(shape_type="mask", points=[[0, 0]], mask=png(np.ones((20, 30), bool)))
    shapes, problems = read_shapes({"shapes": [shape] * 5})
    assert (len(shapes), len(problems)) == (2, 3)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 200_000, b"\xff\xfe{}", b'{"shapes": [1e999, ' + b"9" * 5000 + b"]}", b"null", b'"shapes"'],
)
def test_other_files_do_not_stop_the_rest(content, tmp_path):
    write(tmp_path / "a.json", entry())
    (tmp_path / "b.json").write_bytes(content)
    dataset, sample = only(tmp_path)
    assert dataset.read_mask(sample).sum() == 90
    assert set(kinds(dataset)) <= {"annotation"}


def test_a_file_that_changes_later_says_so(tmp_path):
    path = write(tmp_path / "a.json", entry())
    dataset, sample = only(tmp_path)
    path.write_text("{}")
    with pytest.raises(UserError, match=r"a\.json: no list of shapes"):
        dataset.read_mask(sample)
    assert dataset.inspect(sample) == []


def test_nothing_of_it_is_one_line(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json: not a valid JSON"):
        LabelMeFolder(tmp_path)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UserError, match="no picture with LabelMe"):
        LabelMeFolder(tmp_path)


@pytest.mark.parametrize("data", ["", "%%%", png(PICTURE)[:100], base64.b64encode(b"no picture").decode(), 7, ["x"]])
def test_an_embedded_picture_that_is_damaged(data, tmp_path):
    write(tmp_path / "a.json", entry(), picture=False, imageData=data)
    write(tmp_path / "b.json", entry())
    dataset = LabelMeFolder(tmp_path)
    samples = all_of(dataset)
    if "a" in samples:
        with pytest.raises(UserError, match=r"imageData") as caught:
            dataset.read(samples["a"])
        assert "\n" not in str(caught.value)
    assert dataset.read_mask(samples["b"]).sum() == 90


def test_more_than_255_labels(tmp_path):
    write(tmp_path / "a.json", *(entry(f"label {number}") for number in range(300)))
    with pytest.raises(UserError, match="more than the 255"):
        LabelMeFolder(tmp_path)


@given(st.lists(st.tuples(st.integers(0, 10**6), VALUES), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_read_or_refused(tmp_path, steps):
    path = tmp_path / "data" / "a.json"
    shapes = [entry(), entry("dog", [[1, 1], [5, 5]], shape_type="circle", group_id=1)]
    shapes.append(entry(shape_type="mask", points=[[1, 2], [30, 21]], mask=png(np.ones((20, 30), bool))))
    write(path, *shapes, imageData=png(PICTURE))
    path.write_text(json.dumps(mutated(json.loads(path.read_text()), steps)))
    recognise(tmp_path / "data")
    with contextlib.suppress(UserError):
        dataset = LabelMeFolder(tmp_path / "data")
        for sample in all_of(dataset).values():
            dataset.inspect(sample)
            dataset.read(sample)
