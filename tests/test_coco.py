"""COCO on real files and on ones of one's own, with the defects that such files have, and hostile ones."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from segmodels.data.dataset import SPLITS, Sample
from segmodels.data.datasets.coco import CocoFolder
from segmodels.data.datasets.own import open_own
from segmodels.data.rle import encode
from segmodels.errors import UserError
from tests.changed_documents import changed, places
from tests.own_forms import HEIGHT, WIDTH, pictures, write_form


def samples(data: CocoFolder) -> dict[str, Sample]:
    return {sample.id: sample for split in SPLITS for sample in data.samples(split)}


def test_real_polygons_are_drawn_in_file_order(data_folder: Path) -> None:
    """Against Pillow's fill and outline of each polygon of the file, one after another."""
    root = data_folder / "polygons" / "coco-dried-fruit"
    assert CocoFolder.recognise(root) == "COCO JSON: trainval.json"
    assert CocoFolder.recognise(data_folder / "polygons" / "labelme") is None
    assert CocoFolder.recognise(data_folder / "polygons" / "via-kudzu") is None
    data = CocoFolder(root)
    assert [label.name for label in data.classes] == ["background", "date", "fig", "hazelnut"]
    assert {split: len(data.samples(split)) for split in SPLITS} == {"train": 12, "validation": 2, "test": 1}
    assert data.inspect_files() == []
    document = json.loads((root / "trainval.json").read_text())
    assert len(samples(data)) == len(document["images"]) == 15
    total = 0
    for image in document["images"]:
        sample = samples(data)[f"images/{Path(image['file_name']).stem}"]
        expected, objects = Image.new("L", (800, 600)), Image.new("I", (800, 600))
        mine = [entry for entry in document["annotations"] if entry["image_id"] == image["id"]]
        for number, entry in enumerate(mine, start=1):
            points = list(zip(entry["segmentation"][0][::2], entry["segmentation"][0][1::2], strict=True))
            for canvas, value in ((expected, entry["category_id"]), (objects, number)):
                ImageDraw.Draw(canvas).polygon(points, fill=value, outline=value)
        assert np.array_equal(data.read(sample)[1], np.asarray(expected))
        assert np.array_equal(data.read_instances(sample), np.asarray(objects))
        total += len(mine)
    assert total == 140


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    data = open_own(write_form("coco", tmp_path / "set"), form="coco")
    assert isinstance(data, CocoFolder)
    for name, _, _, mask in pictures():
        assert np.array_equal(data.read(samples(data)[f"images/{name}"])[1], mask)


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(rows - y, columns - x) < radius


CATEGORIES = [{"id": 7, "name": "b", "supercategory": "z"}, {"id": 2, "name": "a"}]


def write(
    path: Path,
    annotations: list[Any],
    *,
    names: tuple[str, ...] = ("one.png",),
    folder: Path | None = None,
    categories: Any = CATEGORIES,
) -> Path:
    """Write a COCO file and its pictures, in its own folder unless another is given; returns the file's folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        place = (folder or path.parent) / name
        if re.fullmatch(r"[A-Za-z0-9_/.]+\.(png|jpg)", name) and ".." not in name and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (WIDTH, HEIGHT)).save(place)
    images = [{"id": n, "file_name": name, "height": HEIGHT, "width": WIDTH} for n, name in enumerate(names)]
    full = [
        {"id": n, "image_id": 0, "category_id": 2, **entry} if isinstance(entry, dict) else entry
        for n, entry in enumerate(annotations)
    ]
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": full}))
    return path.parent


def test_both_kinds_of_run_lengths_crowds_and_rings(tmp_path: Path) -> None:
    big, small, crowd = disc(20, 20, 15), disc(25, 22, 6), disc(50, 30, 12)
    flat = crowd.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(changes, prepend=0, append=flat.size).tolist()
    rings = [[40, 0, 45, 0, 45, 5, 40, 5], [50, 0, 55, 0, 55, 5, 50, 5]]
    root = write(
        tmp_path / "set" / "annotations.json",
        [
            {"segmentation": encode(big)},
            {"segmentation": encode(small), "category_id": 7},
            {"segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}, "iscrowd": 1},
            {"segmentation": rings, "category_id": 7.0},
            {"segmentation": encode(np.zeros((HEIGHT, WIDTH), bool))},
            {"segmentation": [0, 40, 5, 40, 5, 45, 0, 45]},
        ],
    )
    data = CocoFolder(root)
    assert [label.name for label in data.classes] == ["background", "a", "b"]
    sample = samples(data)["one"]
    expected, objects = np.zeros((HEIGHT, WIDTH), int), np.zeros((HEIGHT, WIDTH), int)
    for mask, value, number in ((big, 1, 1), (small, 2, 2), (crowd, 1, 3)):
        expected[mask], objects[mask] = value, number
    for columns in (slice(40, 46), slice(50, 56)):
        expected[:6, columns], objects[:6, columns] = 2, 4
    expected[40:46, :6], objects[40:46, :6] = 1, 5
    assert np.array_equal(data.read(sample)[1], expected)
    assert np.array_equal(data.read_instances(sample), objects)
    assert data.inspect(sample) == []


def test_splits_by_file_name_and_folder(tmp_path: Path) -> None:
    official = tmp_path / "official"
    for split in ("train", "val"):
        write(
            official / "annotations" / f"instances_{split}2017.json",
            [],
            names=("0.png", "1.png"),
            folder=official / f"{split}2017",
        )
    (official / "annotations" / "captions_train2017.json").write_text('{"images": [], "annotations": []}')
    data = CocoFolder(official)
    assert [sample.id for sample in data.samples("train")] == ["train2017/0", "train2017/1"]
    assert [sample.id for sample in data.samples("validation")] == ["val2017/0", "val2017/1"]
    assert data.inspect_files() == []

    roboflow = tmp_path / "roboflow"
    project = {"id": 0, "name": "fruit", "supercategory": "none"}
    categories = [project, {"id": 1, "name": "fig", "supercategory": "fruit"}]
    for split in ("train", "valid", "test"):
        names = tuple(f"{split}{n // 2}_jpg.rf.{n:032x}.jpg" for n in range(4))
        write(roboflow / split / "_annotations.coco.json", [{"category_id": 1}], names=names, categories=categories)
    data = CocoFolder(roboflow)
    assert {split: len(data.samples(split)) for split in SPLITS} == {"train": 4, "validation": 4, "test": 4}
    assert [label.name for label in data.classes] == ["background", "fig"]
    assert {sample.source for sample in data.samples("train")} == {"train0_jpg", "train1_jpg"}


def test_defects_are_told_and_the_rest_is_read(tmp_path: Path) -> None:
    square = [[2, 2, 9, 2, 9, 9, 2, 9]]
    root = write(
        tmp_path / "set" / "all.json",
        [
            {"segmentation": square},
            {"segmentation": [[1, 1, 2, 2]]},
            {"segmentation": [[1, 1, 2, float("nan"), 3, 3]]},
            {"segmentation": [[1, 1, 2, 2, 3]]},
            {"segmentation": [["x", 1, 2, 2, 3, 3]]},
            {"segmentation": [[1e300, 1, 2, 2, 3, 3]]},
            {"segmentation": []},
            {"segmentation": "hello"},
            {"segmentation": {"size": [5, 5], "counts": [25]}},
            {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [25]}},
            {"segmentation": square, "category_id": 99},
            {"segmentation": square, "category_id": None},
            {"segmentation": [[500, 500, 510, 500, 510, 510]]},
            {"segmentation": [[-3, 20, 9, 20, 9, 30]]},
            {"segmentation": square, "image_id": 55},
            {"segmentation": square, "image_id": True},
            17,
        ],
        names=("one.png", "missing\u00e9.png", "../../escape\u00e9.png", "two.png", "sub/one.png"),
        categories=[*CATEGORIES, {"id": 2, "name": "again"}, {"id": 3}, {"id": 4, "name": ""}, 5, {"name": "x"}],
    )
    document = json.loads((root / "all.json").read_text())
    document["images"] += [{"id": 3, "file_name": "twice.png"}, {"id": 9}, {"file_name": "a.png"}, None]
    document["images"] += [{"id": "x", "file_name": "two.png", "height": 3, "width": "4"}]
    (root / "all.json").write_text(json.dumps(document))
    data = CocoFolder(root)
    assert [label.name for label in data.classes] == ["background", "a", "b"]
    told = {finding.kind: finding.message for finding in data.inspect_files()}
    assert told == {
        "picture": "two pictures have the id 3, and 3 more like it",
        "category": "two categories have the id 2, and 4 more like it",
        "unknown-picture": "the annotation 14 is of no picture in the file, and 2 more like it",
        "no-picture": r"the picture 'missing\xe9.png' is not there, and 1 more like it",
        "listed-twice": "two.png is in all.json already",
    }
    assert set(samples(data)) == {"one", "two", "sub/one"}
    found = {finding.kind: finding.message for finding in data.inspect(samples(data)["one"])}
    assert found == {
        "bad-shape": "annotation 1: a polygon of 2 points; it needs 3 or more, and 10 more",
        "outside": f"1 of 3 shapes lie outside of the picture of {WIDTH}x{HEIGHT}",
        "over-the-edge": "1 of 3 shapes run over the edge (-3.0 to 30.0)",
    }
    mask = data.read(samples(data)["one"])[1]
    assert mask[2:10, 2:10].all()
    assert mask[21, 4] == 1
    assert not data.read(samples(data)["two"])[1].any()


def test_another_size_than_said_is_told(tmp_path: Path) -> None:
    root = write(tmp_path / "set" / "a.json", [])
    Image.new("RGB", (30, 20)).save(root / "one.png")
    data = CocoFolder(root)
    (finding,) = data.inspect(samples(data)["one"])
    assert finding.message == f"the picture is 30x20 but is said to be {WIDTH}x{HEIGHT}"
    assert data.read(samples(data)["one"])[1].shape == (20, 30)
    (root / "one.png").write_bytes(b"no picture")
    assert data.inspect(samples(data)["one"]) == []
    with pytest.raises(UserError, match=r"one\.png"):
        data.read(samples(data)["one"])


@pytest.mark.parametrize(
    "name", ["../secret.png", "../../secret.png", "sub/../../secret.png", "..\\secret.png", "", " ", "x\0.png", "."]
)
def test_names_that_climb_out_are_refused(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "secret.png")
    root = write(tmp_path / "set" / "a.json", [], names=("one.png", name))
    data = CocoFolder(root)
    assert set(samples(data)) == {"one"}
    assert [finding.kind for finding in data.inspect_files()] in (["no-picture"], ["picture"])


@pytest.mark.parametrize(
    "name", ["C:\\data\\pets\\one.png", "/home/anna/one.png", "http://example.com/one.png", "pets/one.png", "ONE.PNG"]
)
def test_paths_of_other_machines_go_by_their_file_name(tmp_path: Path, name: str) -> None:
    root = write(tmp_path / "set" / "labels" / "a.json", [], names=("one.png",), folder=tmp_path / "set" / "images")
    root.joinpath("a.json").write_text(root.joinpath("a.json").read_text().replace("one.png", json.dumps(name)[1:-1]))
    assert set(samples(CocoFolder(tmp_path / "set"))) == {"images/one"}


def test_a_name_of_several_pictures(tmp_path: Path) -> None:
    root = write(tmp_path / "set" / "a.json", [], names=("one.png",), folder=tmp_path / "set" / "x")
    write(root / "a.json", [], names=("one.png",), folder=tmp_path / "set" / "y")
    with pytest.raises(UserError, match="have the same name: it is not clear which is meant"):
        CocoFolder(root)
    # The rest of the path, or the split, tells them apart.
    write(root / "a.json", [], names=("y/one.png",))
    assert set(samples(CocoFolder(root))) == {"y/one"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [], "annotations": []}', "no list of categories"),
        ('{"images": {}, "annotations": [], "categories": []}', "no list of images"),
        ('{"images": [], "annotations": 3, "categories": []}', "no list of annotations"),
        ('{"images": [], "annotations": [], "categories": []', "not a valid JSON file"),
        ('{"images": [], "annotations": ' + "[" * 100_000, "not a valid JSON file"),
    ],
)
def test_files_that_are_no_coco(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        CocoFolder(tmp_path)
    assert "a.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_large_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "set" / "a.json", [])
    monkeypatch.setattr("segmodels.data.coco.LARGEST", 100)
    with pytest.raises(UserError, match="more than the 100 allowed"):
        CocoFolder(root)


def test_labels_change_the_fingerprint(tmp_path: Path) -> None:
    root = write(tmp_path / "set" / "a.json", [{"segmentation": [[2, 2, 9, 2, 9, 9]]}])
    before = CocoFolder(root)
    write(root / "b.json", [], names=("two.png",), categories=[{"id": 1, "name": "c"}])
    after = CocoFolder(root)
    assert len(after.classes) == 4
    one = samples(before)["one"]
    assert before.fingerprint([one]) != after.fingerprint([one])


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 80)
    | st.sampled_from([10**30, 1e300, float("nan"), -0.5, 2.5])
    | st.sampled_from(["", "one.png", "a", "size", "\ud800", "\n", "06", "../x"]),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.sampled_from(["size", "counts", "id", "name", "file_name"]), inner, max_size=4)
    ),
    max_leaves=12,
)
GOOD: dict[str, Any] = {
    "images": [{"id": 0, "file_name": "one.png", "height": HEIGHT, "width": WIDTH}],
    "categories": [{"id": 2, "name": "a", "supercategory": "b"}, {"id": 3, "name": "b"}],
    "annotations": [
        {"id": 1, "image_id": 0, "category_id": 2, "segmentation": [[1, 1, 9, 1, 9, 9]], "iscrowd": 0},
        {"id": 2, "image_id": 0, "category_id": 3, "segmentation": {"size": [HEIGHT, WIDTH], "counts": "5\\"}},
    ],
}


@given(st.lists(st.tuples(st.sampled_from(places(GOOD)[1:]), junk), max_size=3))
@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_files_are_read_or_a_user_error(tmp_path: Path, changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    document = changed(GOOD, changes)
    (tmp_path / "a.json").write_text(json.dumps(document))
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "one.png")
    with contextlib.suppress(UserError):
        data = CocoFolder(tmp_path)
        json.dumps([label.name for label in data.classes], ensure_ascii=False).encode()
        for sample in samples(data).values():
            data.inspect(sample)
            data.read(sample)
            data.read_instances(sample)


def test_an_outline_that_would_take_minutes_to_draw_is_left_out(tmp_path: Path) -> None:
    zigzag = np.random.default_rng(0).uniform(0, 400, 200_000).round().tolist()
    root = write(tmp_path / "set" / "a.json", [{"segmentation": [zigzag]}, {"segmentation": [[2, 2, 9, 2, 9, 9]]}])
    data = CocoFolder(root)
    (finding,) = data.inspect(samples(data)["one"])
    assert "a polygon of 100,000 points whose outline is longer than any picture needs" in finding.message
    assert data.read_instances(samples(data)["one"]).max() == 1
