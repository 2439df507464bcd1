"""QuPath's GeoJSON: classes, colours, holes and parts, what has no class or no area, and hostile files."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from segmodels.data.dataset import IGNORE, SPLITS, Sample
from segmodels.data.datasets.own import open_own
from segmodels.data.datasets.qupath import QuPathFolder
from segmodels.errors import UserError
from tests.changed_documents import changed, places
from tests.own_forms import CLASSES, pictures, write_form

pytestmark = pytest.mark.usefixtures("home")


def samples(data: QuPathFolder) -> dict[str, Sample]:
    return {sample.id: sample for split in SPLITS for sample in data.samples(split)}


def ring(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def feature(coordinates: Any, label: Any = None, kind: str = "Polygon", **properties: Any) -> dict[str, Any]:
    said = {"objectType": "annotation", **properties}
    if label is not None:
        said["classification"] = {"name": label} if isinstance(label, str) else label
    return {
        "type": "Feature",
        "id": "PathAnnotationObject",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": said,
    }


def write(folder: Path, document: Any, name: str = "a", suffix: str = ".geojson") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30)).save(folder / f"{name}.png")
    if isinstance(document, list):
        document = {"type": "FeatureCollection", "features": document}
    (folder / f"{name}{suffix}").write_text(json.dumps(document))
    return folder


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    root = write_form("qupath", tmp_path / "set")
    assert QuPathFolder.recognise(root) == (
        "GeoJSON with pictures of the same names: sample-00.geojson, sample-01.geojson, sample-02.geojson"
    )
    data = open_own(root, form="qupath")
    assert isinstance(data, QuPathFolder)
    assert [label.name for label in data.classes] == ["background", "cell", "gland"]
    assert [label.rgb for label in data.classes[1:]] == list(CLASSES.values())
    for name, _, _, mask in pictures():
        assert np.array_equal(data.read(samples(data)[name])[1], mask)


def test_holes_keep_what_is_beneath_and_parts_are_one_object(tmp_path: Path) -> None:
    root = write(
        tmp_path / "set",
        [
            feature([ring(0, 0, 20, 20)], "low"),
            feature([ring(2, 2, 18, 18), ring(5, 5, 15, 15)], "high"),
            feature([[ring(25, 0, 30, 5)], [ring(25, 10, 30, 15), ring(27, 12, 28, 13)]], "low", "MultiPolygon"),
            feature([[*ring(0, 25, 3, 28)[:-1]]], "high"),
            feature([[[x, y, 0] for x, y in ring(10, 25, 13, 28)]], "high"),
        ],
    )
    data = QuPathFolder(root)
    assert [label.name for label in data.classes] == ["background", "high", "low"]
    expected, objects = np.zeros((30, 40), int), np.zeros((30, 40), int)
    expected[:21, :21], objects[:21, :21] = 2, 1
    wall = np.zeros((30, 40), bool)
    wall[2:19, 2:19] = True
    wall[6:15, 6:15] = False  # the hole's own outline belongs to the wall
    expected[wall], objects[wall] = 1, 2
    expected[:6, 25:31] = expected[10:16, 25:31] = 2
    objects[:6, 25:31] = objects[10:16, 25:31] = 3
    expected[25:29, :4] = expected[25:29, 10:14] = 1
    objects[25:29, :4], objects[25:29, 10:14] = 4, 5
    mask, instances = data.read(samples(data)["a"])[1], data.read_instances(samples(data)["a"])
    assert np.array_equal(mask, expected)
    assert np.array_equal(instances, objects)
    assert data.inspect(samples(data)["a"]) == []


@pytest.mark.parametrize("shape", ["collection", "list", "feature", "geometry"])
def test_every_outermost_form(tmp_path: Path, shape: str) -> None:
    one = feature([ring(2, 2, 9, 9)], "cell")
    documents = {"feature": one, "geometry": one["geometry"], "collection": [one]}
    root = write(tmp_path / "set", documents.get(shape), suffix=".json")
    if shape == "list":
        (root / "a.json").write_text(json.dumps([one]))
    data = QuPathFolder(root)
    assert [label.name for label in data.classes] == ["background", "object" if shape == "geometry" else "cell"]
    assert data.read(samples(data)["a"])[1].sum() == 64


@pytest.mark.parametrize(
    ("properties", "name", "colour"),
    [
        ({"classification": {"name": "Tumor", "color": [200, 0, 0]}}, "Tumor", "#C80000"),
        ({"classification": {"name": "Tumor", "colorRGB": -3670016}}, "Tumor", "#C80000"),
        ({"classification": {"names": ["Tumor", "Positive"]}}, "Tumor: Positive", "#E69F00"),
        ({"classification": "Tumor"}, "Tumor", "#E69F00"),
        ({"classificationNames": ["Tumor", "Positive"]}, "Tumor: Positive", "#E69F00"),
        ({"name": "Tumor"}, "Tumor", "#E69F00"),
        ({"name": "Annotation 1", "objectType": "annotation"}, "object", "#E69F00"),
        ({"classification": {"name": "Tumor", "color": [256, 0, 0]}}, "Tumor", "#E69F00"),
        ({"classification": {"name": "Tumor", "colorRGB": 10**20}}, "Tumor", "#E69F00"),
        (None, "object", "#E69F00"),
    ],
)
def test_classes_and_colours(tmp_path: Path, properties: Any, name: str, colour: str) -> None:
    one = {**feature([ring(2, 2, 9, 9)]), "properties": properties}
    data = QuPathFolder(write(tmp_path / "set", [one]))
    assert [(label.name, label.colour) for label in data.classes[1:]] == [(name, colour)]
    assert data.read(samples(data)["a"])[1].sum() == 64


def test_ignored_framed_and_unclassified_objects(tmp_path: Path) -> None:
    features = [
        feature([ring(0, 0, 39, 29)], "Region*"),
        feature([ring(2, 2, 9, 9)], "cell"),
        feature([ring(12, 2, 19, 9)], "Ignore*"),
        feature([ring(22, 2, 29, 9)], name="mine"),
    ]
    data = QuPathFolder(write(tmp_path / "one", features))
    mask = data.read(samples(data)["a"])[1]
    assert [label.name for label in data.classes] == ["background", "cell"]
    assert [mask[5, x] for x in (0, 5, 15, 25)] == [0, 1, IGNORE, 1]
    assert data.read_instances(samples(data)["a"]).max() == 2
    data = QuPathFolder(write(tmp_path / "two", [*features, feature([ring(32, 2, 38, 9)], "gland")]))
    mask = data.read(samples(data)["a"])[1]
    assert [mask[5, x] for x in (0, 5, 15, 25, 35)] == [0, 1, IGNORE, IGNORE, 2]
    (finding,) = data.inspect(samples(data)["a"])
    assert (finding.kind, finding.message) == ("unclassified", "1 of 4 objects have no class")


def test_pictures_in_folders_of_their_own_and_splits(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for split in ("train", "test"):
        for part in ("images", "masks"):
            (root / split / part).mkdir(parents=True)
            Image.new("RGB", (40, 30)).save(root / split / part / "a.png")
        (root / split / "annotations").mkdir()
        document = {"type": "FeatureCollection", "features": [feature([ring(2, 2, 9, 9)], "cell")]}
        (root / split / "annotations" / "a.geojson").write_text(json.dumps(document))
    (root / "slide.ome.tif").write_bytes((root / "test" / "images" / "a.png").read_bytes())
    (root / "slide.geojson").write_text(json.dumps(document))
    data = QuPathFolder(root)
    assert sorted(samples(data)) == ["slide.ome", "test/images/a", "train/images/a"]
    assert [sample.id for sample in data.samples("test")] == ["test/images/a"]


def test_defects_are_told_and_the_rest_is_read(tmp_path: Path) -> None:
    root = write(
        tmp_path / "set",
        [
            feature([ring(2, 2, 9, 9)], "cell"),
            feature([5, 5], "cell", "Point"),
            feature([[5, 5], [6, 6]], "cell", "LineString"),
            feature([ring(1, 1, 3, 3)[:2]], "cell"),
            feature([[[1, 1], [float("nan"), 2], [3, 3]]], "cell"),
            feature([], "cell"),
            feature({}, "cell", "MultiPolygon"),
            feature([[1, 2], [3, 4], [5, 6]], "cell"),
            {"type": "Feature", "geometry": None, "properties": {}},
            {"type": "Feature"},
            None,
            "text",
            feature([ring(100, 100, 120, 120)], "cell"),
            feature([ring(30, 20, 50, 25)], "cell"),
        ],
    )
    write(root, {"type": "FeatureCollection", "features": 5}, name="b")
    (root / "c.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    (root / "d.geojson").write_text("{}")
    data = QuPathFolder(root)
    assert {(finding.kind, finding.where) for finding in data.inspect_files()} == {
        ("no-picture", "c.geojson"), ("annotation", "b.geojson"),
    }  # fmt: skip
    assert {finding.kind: finding.message for finding in data.inspect(samples(data)["a"])} == {
        "bad-shape": "feature 2: a 'Point' has no area, and 10 more",
        "outside": "1 of 3 shapes lie outside of the picture of 40x30",
        "over-the-edge": "1 of 3 shapes run over the edge (20.0 to 50.0)",
    }
    mask = data.read(samples(data)["a"])[1]
    assert mask[2:10, 2:10].all()
    assert mask[20:26, 30:].all()
    assert mask.sum() == 64 + 60
    with pytest.raises(UserError, match=r"b\.geojson: no GeoJSON with features"):
        data.read(samples(data)["b"])
    assert data.inspect(samples(data)["b"]) == []


def test_nothing_of_the_form(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text('{"shapes": [], "imagePath": "a.png"}')
    assert QuPathFolder.recognise(tmp_path) is None
    with pytest.raises(UserError, match="no picture with QuPath GeoJSON"):
        QuPathFolder(tmp_path)


def test_classes_are_read_once(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "set", [feature([ring(2, 2, 9, 9)], "cell")])
    before = QuPathFolder(root)
    with monkeypatch.context() as patch:
        patch.setattr("segmodels.data.datasets.qupath._classes", lambda path: pytest.fail("read again"))
        assert QuPathFolder(root).classes == before.classes
    write(root, [feature([ring(2, 2, 9, 9)], "another")])
    assert QuPathFolder(root).classes != before.classes
    for kept in (home / "cache" / "classes").iterdir():
        kept.write_text("[")
    assert QuPathFolder(root).classes[1].name == "another"


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 7, 10**30, 1e300, float("nan"), 2.5])
    | st.sampled_from(["", "cell", "Polygon", "MultiPolygon", "Point", "\ud800", "\n", "Ignore*", "Region*"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["type", "name", "names", "color", "coordinates"]), inner, max_size=4)
    ),
    max_leaves=12,
)
GOOD: dict[str, Any] = {
    "type": "FeatureCollection",
    "features": [
        feature([ring(2, 2, 20, 20), ring(5, 5, 9, 9)], {"name": "cell", "color": [1, 2, 3]}),
        feature([[ring(2, 2, 9, 9)], [ring(12, 2, 19, 9)]], {"names": ["a", "b"], "colorRGB": -1}, "MultiPolygon"),
    ],
}


@given(st.lists(st.tuples(st.sampled_from(places(GOOD)[1:]), junk), max_size=3))
@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_files_are_read_or_a_user_error(tmp_path: Path, changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    document = changed(GOOD, changes)
    (tmp_path / "a.geojson").write_text(json.dumps(document))
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    with contextlib.suppress(UserError):
        data = QuPathFolder(tmp_path)
        for sample in samples(data).values():
            data.inspect(sample)
            data.read(sample)
            data.read_instances(sample)
