"""Exports: every form reads back to the mask it was written from, by the importers of data sets of one's own."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from segmodels.data.dataset import IGNORE, SPLITS, ClassLabel
from segmodels.data.datasets import open_dataset
from segmodels.data.datasets.own import open_own
from segmodels.data.images import read_image
from segmodels.data.regions import regions
from segmodels.errors import UserError
from segmodels.prediction.export import FORMATS, Settings, write_forms
from segmodels.prediction.export.edges import outlines
from segmodels.prediction.masks import palette
from segmodels.prediction.measure import measurements
from segmodels.prediction.postprocess import Components, DistanceWatershed
from segmodels.prediction.result import Result

pytestmark = pytest.mark.usefixtures("home")

LABELS = (
    ClassLabel("background", "#101820"), ClassLabel("zebra", "#C80000"), ClassLabel("ant", "#00C800"),
    ClassLabel("mole", "#0000C8"),
)  # fmt: skip
THINGS = (ClassLabel("sky", "#3060C0"), *LABELS[1:])


def result_of(mask: np.ndarray, labels: tuple[ClassLabel, ...], image: np.ndarray | None = None) -> Result:
    """A result with this mask; what is ignored in it is not sure."""
    if image is None:
        image = np.random.default_rng(1).integers(0, 256, (*mask.shape, 3)).astype(np.uint8)
    logits = np.where(mask[..., None] == np.arange(len(labels)), 4.0, 0.0).astype(np.float32)
    result = Result(image, logits, labels).refined(threshold=0.6)
    assert np.array_equal(result.mask, mask)
    return result


def random_map(seed: int, values: Sequence[int]) -> np.ndarray:
    """Blocks that touch, with single pixels of anything on them, diagonals and rings around holes."""
    generator = np.random.default_rng(seed)
    height, width = generator.integers(1, 50, 2)
    size = int(generator.integers(1, 9))
    coarse = generator.choice(np.array(values, np.uint8), (height // size + 1, width // size + 1))
    mask = np.kron(coarse, np.ones((size, size), np.uint8))[:height, :width]
    single = generator.random(mask.shape) < generator.choice([0, 0.1, 0.5])
    mask[single] = generator.choice(np.array(values, np.uint8), int(single.sum()))
    pen = ImageDraw.Draw(picture := Image.fromarray(mask))
    for _ in range(3):
        x, y = generator.integers(0, 40, 2).tolist()
        pen.ellipse([x, y, x + 15, y + 11], outline=int(generator.choice(values)), width=2)
        pen.line([x, y, *generator.integers(0, 40, 2).tolist()], fill=int(generator.choice(values)))
    return np.array(picture)


def nuclei() -> tuple[np.ndarray, np.ndarray, tuple[ClassLabel, ...]]:
    data = open_dataset("toy-nuclei")
    image, mask = data.read(data.samples("train")[0])
    return image, mask, tuple(data.classes)


def read_back(folder: Path, form: str, labels: Sequence[ClassLabel]) -> tuple[np.ndarray, np.ndarray]:
    """The picture and the mask of the only sample in a folder, in the ids of `labels`: formats sort classes by name."""
    data = open_own(folder, form=form)
    assert not data.inspect_files()
    (sample,) = (sample for split in SPLITS for sample in data.samples(split))
    assert "bad-shape" not in {finding.kind for finding in data.inspect(sample)}
    image, mask = data.read(sample)
    names = [label.name for label in labels]
    ids = np.full(256, IGNORE)
    for number in np.unique(mask[mask != IGNORE]).tolist():
        ids[number] = names.index(data.classes[number].name)
    return image, ids[mask]


def comes_back(result: Result, folder: Path, settings: Settings | None = None) -> None:
    """Assert that every form of a result reads back to its mask."""
    labels = result.labels
    for form, reader in (("geojson", "qupath"), ("coco", "coco")):
        write_forms(result, folder / form, "cells", [form], name="pictures.zip/inner/cells.png", settings=settings)
        Image.fromarray(result.image).save(folder / form / "cells.png")
        image, mask = read_back(folder / form, reader, labels)
        assert np.array_equal(image, result.image)
        assert np.array_equal(mask, result.mask), form
    write_forms(result, folder / "labelme", "cells", ["labelme"], name="cells.tif", settings=settings)
    image, mask = read_back(folder / "labelme", "labelme", labels)
    assert np.array_equal(image, result.image)
    assert np.array_equal(mask, result.mask)
    for form, reader in (("png", "masks"), ("colour", "colours")):
        (folder / form / "images").mkdir(parents=True)
        Image.fromarray(result.image).save(folder / form / "images" / "cells.png")
        (path,) = write_forms(result, folder / form / "masks", "cells", [form], name="cells.png")
        path.rename(path.with_name("cells.png"))
        rows: list[dict[str, Any]] = [
            {"id": number, "name": label.name, "color": label.colour} for number, label in enumerate(labels)
        ]
        rows.append({"id": IGNORE, "name": "__ignore__", "color": "#FFFFFF"})
        (folder / form / "classes.json").write_text(json.dumps({"classes": rows}))
        assert np.array_equal(read_back(folder / form, reader, labels)[1], result.mask), form
    (path,) = write_forms(result, folder, "cells", ["npz"], name="cells.png")
    with np.load(path, allow_pickle=False) as arrays:
        assert np.array_equal(arrays["mask"], result.mask)
        assert arrays["probabilities"].dtype == np.float32
        assert np.array_equal(arrays["probabilities"], result.probabilities)


@pytest.mark.parametrize("seed", range(12))
def test_random_maps_come_back(seed: int, tmp_path: Path) -> None:
    values = [(0, 1, 2, 3, IGNORE), (0, 1, IGNORE), (1, 2), (0, 3)][seed % 4]
    comes_back(result_of(random_map(seed, values), LABELS), tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_classes_without_a_background_come_back(seed: int, tmp_path: Path) -> None:
    comes_back(result_of(random_map(seed, (0, 1, 2, 3, IGNORE)), THINGS), tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_objects_that_are_not_those_of_the_mask(seed: int, tmp_path: Path) -> None:
    """Objects of several classes, in parts, over background and what is ignored, with gaps in their numbers."""
    mask = random_map(seed, (0, 1, 2, IGNORE))
    numbers = np.array([0, 2, 7, 40], np.int32)
    instances = np.kron(np.random.default_rng(seed).choice(numbers, (10, 10)), np.ones((5, 5), np.int32))
    instances = instances[: mask.shape[0], : mask.shape[1]]
    comes_back(result_of(mask, LABELS), tmp_path, Settings(instances=instances))


@pytest.mark.parametrize(
    "mask", [np.zeros((5, 6)), np.full((5, 6), IGNORE), np.ones((5, 6)), np.eye(7), np.ones((1, 1))]
)
def test_plain_maps_come_back(mask: np.ndarray, tmp_path: Path) -> None:
    comes_back(result_of(mask.astype(np.uint8), LABELS), tmp_path)


@pytest.mark.parametrize("threshold", [0.0, 0.9])
def test_nuclei_come_back(threshold: float, tmp_path: Path) -> None:
    image, mask, labels = nuclei()
    assert [label.name for label in labels] == ["background", "nucleus", "border"]
    noise = np.random.default_rng(0).normal(0, 1.2, (*mask.shape, 3))
    logits = (np.where(mask[..., None] == np.arange(3), 4.0, 0.0) + noise).astype(np.float32)
    result = Result(image, logits, labels).refined(threshold=threshold, smallest=12, largest_hole=5)
    assert (result.mask == IGNORE).any() == bool(threshold)
    comes_back(result, tmp_path)


def test_features_are_the_objects_with_what_was_measured(tmp_path: Path) -> None:
    image, mask, labels = nuclei()
    result = result_of(mask, labels, image)
    settings = Settings(micrometres=0.5)
    path, table = write_forms(result, tmp_path, "a", ["geojson", "csv"], name="a.png", settings=settings)
    document = json.loads(path.read_text())
    assert document["type"] == "FeatureCollection"
    instances = result.instances()
    rows = measurements(instances, mask, image, labels, confidence=result.confidence, micrometres=0.5)
    found = [one for one in document["features"] if one["properties"]["objectType"] == "detection"]
    assert len(found) == len(rows) == instances.max() > 5
    for feature, row in zip(found, rows, strict=True):
        assert feature["type"] == "Feature"
        properties = feature["properties"]
        assert properties["classification"] == {"name": "nucleus", "color": list(labels[1].rgb)}
        assert properties["measurements"] == pytest.approx(
            {name: row[name] for name in (
                "instance", "area", "area_um2", "perimeter", "perimeter_um", "eccentricity", "mean_intensity",
                "confidence",
            )}, abs=6e-5,
        )  # fmt: skip
        inside = (instances == row["instance"]) & (mask != 0)
        assert np.array_equal(by_middles(feature["geometry"], *mask.shape), inside)
    others = {one["properties"]["classification"]["name"] for one in document["features"][len(found) :]}
    assert "border" in others
    with table.open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [int(row["area"]) for row in written] == [row["area"] for row in rows]
    assert [float(row["area_um2"]) for row in written] == [row["area"] / 4 for row in rows]
    with pytest.raises(UserError, match="micrometres"):
        Settings(micrometres=0)


def by_middles(geometry: dict[str, Any], height: int, width: int) -> np.ndarray:
    """The pixels whose middle is inside, as QuPath fills them: an odd number of sides lies to the left of it."""
    parts = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    inside = np.zeros((height, width), bool)
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    for ring in (ring for rings in parts for ring in rings):
        assert ring[0] == ring[-1]
        for (x0, y0), (x1, y1) in itertools.pairwise(ring):
            assert (x0 == x1) != (y0 == y1)
            if x0 == x1:
                inside ^= ((rows > min(y0, y1)) & (rows < max(y0, y1)))[:, None] & (columns > x0)
    return inside


def area(ring: np.ndarray) -> float:
    """By the shoelace formula: positive for one that runs clockwise as a picture is seen."""
    x, y = ring.T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


@pytest.mark.parametrize("seed", range(20))
def test_outlines_are_the_regions(seed: int) -> None:
    values = random_map(seed, (0, 1, 2))
    pieces, _ = regions(values)
    found = outlines(values, 0)
    expected = [pieces == piece for piece in np.unique(pieces) if values[pieces == piece][0] != 0]
    assert len(found) == len(expected)
    drawn = set()
    for value, rings in found:
        inside = by_middles(
            {"type": "Polygon", "coordinates": [[*r.tolist(), r[0].tolist()] for r in rings]}, *values.shape
        )
        assert (values[inside] == value).all()
        drawn.add(inside.tobytes())
        # One turns each way, as RFC 7946 asks for, and no corner is there twice: polygons do not touch themselves.
        assert [area(ring) > 0 for ring in rings] == [True] + [False] * (len(rings) - 1)
        corners = np.concatenate(rings)
        assert len(np.unique(corners, axis=0)) == len(corners)
        # A hundredth of a pixel is lost along every side, and won or lost at every corner.
        assert abs(sum(map(area, rings)) - inside.sum()) <= 0.01 * sum(
            float(np.abs(np.diff(ring, axis=0, append=ring[:1])).sum()) for ring in rings
        ) + 0.001 * len(corners)
    assert drawn == {one.tobytes() for one in expected}


def test_outlines_do_not_touch_where_pixels_meet_at_a_corner() -> None:
    ((_, (ring,)), (_, (other,))) = outlines(np.eye(2, dtype=np.uint8), 0)
    assert ring.tolist() == [[0.01, 0.01], [0.99, 0.01], [0.99, 0.99], [0.01, 0.99]]
    assert other.tolist() == [[1.01, 1.01], [1.99, 1.01], [1.99, 1.99], [1.01, 1.99]]
    assert outlines(np.zeros((3, 4), np.uint8), 0) == []


def test_annotations_where_objects_just_hang_together(tmp_path: Path) -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[2:12, 2:12], mask[15:25, 5:15], mask[20:22, 30:32] = 1, 2, 3
    mask[5:7, 5:7] = 0
    result = result_of(mask, LABELS)

    def kinds(settings: Settings) -> list[tuple[str, str, int, bool]]:
        (path,) = write_forms(result, tmp_path, "a", ["geojson"], name="a.png", settings=settings)
        return [
            (
                one["properties"]["objectType"], one["properties"]["classification"]["name"],
                len(one["geometry"]["coordinates"]), "measurements" in one["properties"],
            )
            for one in json.loads(path.read_text())["features"]
        ]  # fmt: skip

    # The hole is one of the object's that was closed, but not one of the mask.
    assert kinds(Settings()) == [
        ("annotation", "zebra", 2, True), ("annotation", "ant", 1, True), ("annotation", "mole", 1, False),
    ]  # fmt: skip
    assert kinds(Settings(method=Components(things=("ant",)))) == [
        ("annotation", "ant", 1, True), ("annotation", "zebra", 2, False), ("annotation", "mole", 1, False),
    ]  # fmt: skip
    cells = (LABELS[0], ClassLabel("nucleus", "#FF0000"))
    result = result_of((mask == 1).astype(np.uint8), cells)
    assert kinds(Settings()) == kinds(Settings(method=DistanceWatershed())) == [("detection", "nucleus", 2, True)]


def test_objects_that_the_mask_has_lost_are_left_out(tmp_path: Path) -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[2:12, 2:12], mask[15:25, 5:15] = 1, 2
    logits = np.where(mask[..., None] == np.arange(4), 4.0, 0.0).astype(np.float32)
    logits[2:12, 2:12] /= 4
    result = Result(np.zeros((30, 40, 3), np.uint8), logits, LABELS).refined(threshold=0.6)
    assert result.instances().max() == 2
    table, path, coco = write_forms(result, tmp_path, "a", ["csv", "geojson", "coco"], name="a.png")
    with table.open() as file:
        assert [(row["instance"], row["class"]) for row in csv.DictReader(file)] == [("2", "ant")]
    features = json.loads(path.read_text())["features"]
    assert [one["properties"]["classification"]["name"] for one in features] == ["ant", "Ignore*"]
    annotations = json.loads(coco.read_text())["annotations"]
    assert sorted((one["category_id"], one["area"]) for one in annotations) == [(2, 100), (IGNORE, 100)]


def test_names_that_formats_keep_for_themselves(tmp_path: Path) -> None:
    labels = (LABELS[0], *(ClassLabel(name, "#C80000") for name in ("Ignore*", "Region*", "a  b\n")))
    mask = np.repeat(np.arange(4, dtype=np.uint8), 12).reshape(4, 12)
    result = result_of(mask, labels)
    shown = (LABELS[0], *(ClassLabel(name, "#C80000") for name in ("Ignore* class", "Region* class", "a b")))
    write_forms(result, tmp_path, "cells", ["geojson"], name="cells.png")
    Image.fromarray(result.image).save(tmp_path / "cells.png")
    assert np.array_equal(read_back(tmp_path, "qupath", shown)[1], mask)


def test_pictures_of_a_result(tmp_path: Path) -> None:
    mask = random_map(0, (0, 1, 2, IGNORE))
    result = result_of(mask, LABELS)
    png, colour, overlay = write_forms(result, tmp_path, "x", ["png", "colour", "overlay", "png"], name="x.jpg")
    assert [path.name for path in (png, colour, overlay)] == ["x-mask.png", "x-colour.png", "x-overlay.png"]
    with Image.open(png) as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.array(picture), mask)
    with Image.open(colour) as picture:
        assert np.array_equal(np.array(picture), palette(LABELS)[mask])
    assert np.array_equal(read_image(overlay), np.array(result.overlay()))


def test_objects_are_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = result_of(random_map(3, (0, 1, 2)), LABELS)
    asked = []
    found = Result.instances
    monkeypatch.setattr(Result, "instances", lambda self, method=None: asked.append(method) or found(self, method))
    written = write_forms(result, tmp_path, "a.b", list(FORMATS), name="a.b.png")
    assert asked == [None]
    assert sorted(path.name for path in written) == sorted(
        ["a.b-mask.png", "a.b-colour.png", "a.b-overlay.png", "a.b.npz", "a.b.geojson", "a.b-coco.json", "a.b.json",
         "a.b.png", "a.b.csv"]
    )  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written}
    write_forms(result, tmp_path, "b", ["png", "npz"], name="b.png")
    assert len(asked) == 1


def test_another_picture_is_never_overwritten(tmp_path: Path) -> None:
    result = result_of(random_map(5, (0, 1)), LABELS)
    first = write_forms(result, tmp_path, "a", ["labelme"], name="a.png")
    before = (tmp_path / "a.png").stat()
    assert write_forms(result, tmp_path, "a", ["labelme"], name="a.png") == first
    assert (tmp_path / "a.png").stat().st_mtime_ns == before.st_mtime_ns
    other = result_of(result.mask, LABELS, 255 - result.image)
    text = (tmp_path / "a.json").read_text()
    for content in (None, b"no picture"):
        if content:
            (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(UserError, match=r"a\.png is there already and another picture: choose another folder"):
            write_forms(other, tmp_path, "a", ["labelme"], name="a.png")
    assert (tmp_path / "a.json").read_text() == text


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    result = result_of(random_map(5, (0, 1)), LABELS)
    with pytest.raises(UserError, match="unknown format 'geojsn': did you mean 'geojson'"):
        write_forms(result, tmp_path, "a", ["png", "geojsn"], name="a.png")
    (tmp_path / "file").write_text("")
    for form in FORMATS:
        with pytest.raises(UserError, match="is a file or lies below one: name a folder"):
            write_forms(result, tmp_path / "file", "a", [form], name="a.png")
    assert {path.name for path in tmp_path.iterdir()} == {"file"}
