"""VGG Image Annotator: both versions and project files, every shape, the class among the attributes, hostile files."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from segmodels.data.dataset import IGNORE, SPLITS
from segmodels.data.datasets.own import open_own, recognise
from segmodels.data.datasets.via import ViaFolder
from segmodels.data.shapes import draw
from segmodels.data.via import class_attribute, read_via, region_shape
from segmodels.errors import UserError
from tests.changed_documents import VALUES, mutated

pytestmark = pytest.mark.usefixtures("home")

POLYGON = {"name": "polygon", "all_points_x": [2, 10, 10, 2], "all_points_y": [3, 3, 12, 12]}


def region(shape: Any = None, **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape or POLYGON, "region_attributes": attributes}


def write(path: Path, pictures: dict[str, Any], *, project: bool = False) -> Path:
    """A file of regions by picture, and the pictures beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document: Any = {}
    for name, regions in pictures.items():
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path.parent / name)
        document[f"{name}99"] = {"filename": name, "size": 99, "regions": regions, "file_attributes": {}}
    if project:
        settings = {"ui": {}, "core": {"filepath": {}}, "project": {"name": "x"}}
        document = {"_via_settings": settings, "_via_img_metadata": document, "_via_attributes": {"region": {}}}
    path.write_text(json.dumps(document))
    return path


def all_of(dataset: ViaFolder) -> dict[str, Any]:
    return {sample.id: sample for split in SPLITS for sample in dataset.samples(split)}


def only(folder: Path) -> tuple[ViaFolder, Any]:
    dataset = ViaFolder(folder)
    (sample,) = all_of(dataset).values()
    return dataset, sample


def test_the_kudzu_set(data_folder):
    folder = data_folder / "polygons" / "via-kudzu"
    assert list(recognise(folder)) == ["via"]
    dataset = open_own(folder)
    assert [label.name for label in dataset.classes] == ["background", "kudzu"]
    assert [len(dataset.samples(split)) for split in SPLITS] == [20, 13, 0]
    (finding,) = dataset.inspect_files()
    assert (finding.kind, finding.where) == ("no-class", "val/via_region_data.json")
    assert finding.message.startswith("334 regions have no")
    assert finding.action == "they are taken as 'kudzu', the only class"
    for split, count in (("train", 496), ("validation", 334)):
        assert sum(len(dataset.shapes(sample)) for sample in dataset.samples(split)) == count
        for sample in dataset.samples(split)[:4]:
            _, mask = dataset.read(sample)
            assert 0 < (mask == 1).mean() < 1
            assert dataset.read_instances(sample).max() <= len(dataset.shapes(sample))


def test_the_kudzu_masks_by_another_route(data_folder):
    folder = data_folder / "polygons" / "via-kudzu" / "val"
    dataset = ViaFolder(folder)
    document = json.loads((folder / "via_region_data.json").read_text())
    by_name = {entry["filename"]: entry for entry in document.values()}
    sample = all_of(dataset)["26"]
    image, mask = dataset.read(sample)
    expected = Image.new("L", image.shape[1::-1])
    for row in by_name["26.jpg"]["regions"]:
        shape = row["shape_attributes"]
        points = list(zip(shape["all_points_x"], shape["all_points_y"], strict=True))
        ImageDraw.Draw(expected).polygon(points, fill=1, outline=1)
    assert np.array_equal(mask, np.array(expected))


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("version", [1, 2])
def test_versions_and_projects(version, project, tmp_path):
    regions: Any = [region(kind="cat"), region({"name": "point", "cx": 20, "cy": 10}, kind="dog")]
    if version == 1:
        regions = {str(number): row for number, row in enumerate(regions)}
    write(tmp_path / "via.json", {"a.png": regions}, project=project)
    assert list(recognise(tmp_path)) == ["via"]
    dataset, sample = only(tmp_path)
    assert [label.name for label in dataset.classes] == ["background", "cat", "dog"]
    mask = dataset.read_mask(sample)
    assert (mask[5, 5], mask[10, 20]) == (1, 2)
    assert dataset.read_instances(sample)[5, 5] == 1


def drawn(shape: dict[str, Any]) -> np.ndarray:
    return draw([region_shape(region(shape), "cat")], {"cat": 1}, 60, 80)[0]


def test_every_shape():
    box = np.zeros((60, 80), np.uint8)
    box[3:13, 2:11] = 1
    assert np.array_equal(drawn(POLYGON), box)
    assert np.array_equal(drawn({"name": "rect", "x": 2, "y": 3, "width": 8, "height": 9}), box)
    y, x = np.mgrid[:60, :80]
    circle = drawn({"name": "circle", "cx": 40, "cy": 30, "r": 12})
    assert abs(int(circle.sum()) - np.pi * 12.5**2) < 20
    point = drawn({"name": "point", "cx": 40, "cy": 30})
    assert point.sum() < 122
    assert drawn({"name": "polyline", "all_points_x": [5, 70], "all_points_y": [30, 30]})[30, 6:70].all()
    for theta in (0, 0.5, -1.2):
        ellipse = drawn({"name": "ellipse", "cx": 40, "cy": 30, "rx": 25, "ry": 10, "theta": theta})
        along = (x - 40) * np.cos(theta) + (y - 30) * np.sin(theta)
        across = (y - 30) * np.cos(theta) - (x - 40) * np.sin(theta)
        assert ellipse[np.hypot(along / 24, across / 9) <= 1].all()
        assert not ellipse[np.hypot(along / 26.5, across / 11.5) > 1].any()
    assert np.array_equal(
        drawn({"name": "ellipse", "cx": 40, "cy": 30, "rx": 25, "ry": 10}),
        drawn({"name": "ellipse", "cx": 40, "cy": 30, "rx": 25, "ry": 10, "theta": 0}),
    )


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ([{"class": "a"}, {"class": "b"}] * 3, "class"),
        ([{"inseto": "k", "insect": "k"}] * 3, "inseto"),
        ([{"id": str(n), "tissue": "ab"[n % 2]} for n in range(9)], "tissue"),
        ([{"note": "x", "class": "ab"[n % 2]} for n in range(8)], "class"),
        ([{"note": "x" if n else "", "tissue": "ab"[n % 2]} for n in range(8)], "tissue"),
        ([{"id": "1"}, {"id": "2"}, {"id": "3"}], "id"),
        ([{"kind": {"cat": True, "dog": False}}, {"kind": {"cat": True}}], "kind"),
        ([{"kind": 3}] * 2, "kind"),
        ([{}, {"kind": ""}, {"kind": None}, {"kind": {}}], None),
        ([], None),
    ],
)
def test_the_class_among_the_attributes(attributes, expected):
    assert class_attribute([region(**row) for row in attributes]) == expected


def test_regions_without_a_class(tmp_path):
    other = {"name": "rect", "x": 15, "y": 3, "width": 5, "height": 5}
    write(tmp_path / "two" / "via.json", {"a.png": [region(kind="cat"), region(other)], "b.png": [region(kind="dog")]})
    dataset = ViaFolder(tmp_path / "two")
    (finding,) = dataset.inspect_files()
    assert (finding.kind, finding.action) == ("no-class", "those pixels are ignored")
    assert dataset.read_mask(all_of(dataset)["a"])[5, 17] == IGNORE
    write(tmp_path / "one" / "via.json", {"a.png": [region(kind="cat"), region(other)]})
    dataset, sample = only(tmp_path / "one")
    assert dataset.read_mask(sample)[5, 17] == 1
    write(tmp_path / "none" / "via.json", {"a.png": [region(), region(other)], "b.png": []})
    dataset = ViaFolder(tmp_path / "none")
    assert [label.name for label in dataset.classes] == ["background", "object"]
    assert dataset.read_mask(all_of(dataset)["a"])[5, 17] == 1
    assert not dataset.read_mask(all_of(dataset)["b"]).any()
    assert dataset.inspect_files() == []


def test_background_and_ignore_are_no_classes(tmp_path):
    other = {"name": "rect", "x": 4, "y": 5, "width": 3, "height": 3}
    write(tmp_path / "via.json", {"a.png": [region(kind="cat"), region(other, kind="background"), region(other)]})
    dataset, sample = only(tmp_path)
    assert [label.name for label in dataset.classes] == ["background", "cat"]
    assert dataset.read_mask(sample)[6, 5] == 1
    write(tmp_path / "via.json", {"a.png": [region(kind="cat"), region(other, kind="background")]})
    dataset, sample = only(tmp_path)
    assert dataset.read_mask(sample)[6, 5] == 0


def test_pictures_that_are_missing_twice_or_outside(tmp_path):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "secret.png")
    write(tmp_path / "data" / "a.json", {"a.png": [region()], "b.png": [region()]})
    write(tmp_path / "data" / "b.json", {"b.png": [region()], "c.png": [region()]})
    (tmp_path / "data" / "c.png").unlink()
    document = {"x": {"filename": "../secret.png", "regions": []}, "y": {"filename": "/etc/passwd", "regions": []}}
    document["z"] = {"filename": "https://example.org/d/a.png", "regions": [], "file_attributes": {}}
    (tmp_path / "data" / "c.json").write_text(json.dumps(document))
    dataset = ViaFolder(tmp_path / "data")
    assert sorted(all_of(dataset)) == ["a", "b"]
    assert [(finding.kind, finding.where) for finding in dataset.inspect_files()] == [
        ("no-picture", "b.json"), ("double-annotation", "b.json"),
        ("no-picture", "c.json"), ("double-annotation", "c.json"),
    ]  # fmt: skip


def test_bad_regions_are_left_out_and_told(tmp_path):
    huge, nan = 1e9, float("nan")
    bad = [
        region({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]}),
        region({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}),
        region({"name": "polygon", "all_points_x": [1, nan, 3], "all_points_y": [1, 2, 3]}),
        region({"name": "polygon"}),
        region({"name": "rect", "x": 1, "y": 2, "width": nan, "height": 3}),
        region({"name": "rect", "x": 1, "y": 2, "width": "wide", "height": 3}),
        region({"name": "circle", "cx": 1, "cy": 2, "r": huge}),
        region({"name": "ellipse", "cx": 1, "cy": 2, "rx": huge, "ry": 1}),
        region({"name": "ellipse", "cx": 1, "cy": 2, "rx": nan, "ry": 1}),
        region({"name": "point", "cx": 1}),
        region({"name": "star"}),
        {"region_attributes": {}},
        7,
    ]
    outside = region({"name": "rect", "x": 90, "y": 2, "width": 5, "height": 3})
    write(tmp_path / "via.json", {"a.png": [*bad, region(), outside]})
    dataset, sample = only(tmp_path)
    assert len(dataset.shapes(sample)) == 2
    found = {finding.kind: finding.message for finding in dataset.inspect(sample)}
    assert sorted(found) == ["bad-shape", "outside"]
    assert found["bad-shape"] == "a.png, region 1: a polygon of 2 points; it needs 3 or more, and 12 more"
    assert dataset.read_mask(sample).sum() == 90


@pytest.mark.parametrize("content", [b"", b"{", b'{"a":' * 100_000, b"\xff\xfe", b"[1, 2]", b'{"a": {"regions": 3}}'])
def test_other_files_do_not_stop_the_rest(content, tmp_path):
    write(tmp_path / "a.json", {"a.png": [region()]})
    (tmp_path / "b.json").write_bytes(content)
    dataset, sample = only(tmp_path)
    assert dataset.read_mask(sample).sum() == 90
    assert {finding.kind for finding in dataset.inspect_files()} <= {"annotation"}


def test_nothing_of_it_is_one_line(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json: not a valid JSON"):
        ViaFolder(tmp_path)
    (tmp_path / "a.json").write_text("{}")
    assert read_via(tmp_path / "a.json") is None
    with pytest.raises(UserError, match="no picture with VGG"):
        ViaFolder(tmp_path)


@given(st.lists(st.tuples(st.integers(0, 10**6), VALUES), min_size=1, max_size=4), st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_read_or_refused(tmp_path, steps, project):
    shapes = [
        POLYGON,
        {"name": "circle", "cx": 9, "cy": 9, "r": 4},
        {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 3},
        {"name": "ellipse", "cx": 9, "cy": 9, "rx": 4, "ry": 2, "theta": 1},
    ]
    regions = [region(shape, kind="cat", note={"a": True}) for shape in shapes]
    path = write(tmp_path / "data" / "via.json", {"a.png": regions}, project=project)
    path.write_text(json.dumps(mutated(json.loads(path.read_text()), steps)))
    recognise(tmp_path / "data")
    with contextlib.suppress(UserError):
        dataset = ViaFolder(tmp_path / "data")
        for sample in all_of(dataset).values():
            dataset.inspect(sample)
            dataset.read(sample)
