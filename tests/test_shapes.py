"""Drawing: every kind of shape, their order, holes and objects; LabelMe's own pictures are the oracle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segmodels.data.dataset import IGNORE
from segmodels.data.shapes import FARTHEST, POINTS, Shape, draw, points_of
from segmodels.errors import UserError

IDS = {"cat": 1, "dog": 2, "ground": 0, "void": IGNORE}


def shape(label: str, points: list, kind: str = "polygon", **more: object) -> Shape:
    return Shape(label, np.asarray(points, np.float64), kind, **more)


def mask_of(*shapes: Shape, height: int = 20, width: int = 30) -> np.ndarray:
    return draw(shapes, IDS, height, width)[0]


def box(x0: int, y0: int, x1: int, y1: int, value: int = 1) -> np.ndarray:
    """A mask of 20x30 with a box, both corners in it."""
    mask = np.zeros((20, 30), np.uint8)
    mask[max(y0, 0) : max(y1 + 1, 0), max(x0, 0) : max(x1 + 1, 0)] = value
    return mask


def test_nothing_drawn_is_background():
    mask, instances = draw([], IDS, 4, 6)
    assert (mask.dtype, mask.shape, instances.dtype, instances.shape) == (np.uint8, (4, 6), np.int32, (4, 6))
    assert not mask.any()
    assert not instances.any()
    assert (draw([], IDS, 4, 6, background=7)[0] == 7).all()


@pytest.mark.parametrize("kind", ["polygon", "rectangle"])
@pytest.mark.parametrize("corners", [(3, 4, 10, 12), (-5, -5, 4, 6), (20, 10, 99, 99), (0, 0, 29, 19), (40, 3, 50, 9)])
def test_the_outline_belongs_to_a_box_and_the_picture_clips_it(kind, corners):
    x0, y0, x1, y1 = corners
    points = [(x0, y0), (x1, y1)] if kind == "rectangle" else [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    assert np.array_equal(mask_of(shape("cat", points, kind)), box(*corners))


def test_a_rectangle_may_be_given_from_any_corner():
    for points in ([(10, 12), (3, 4)], [(3, 12), (10, 4)]):
        assert np.array_equal(mask_of(shape("cat", points, "rectangle")), box(3, 4, 10, 12))


@given(st.lists(st.tuples(st.integers(-8, 38), st.integers(-8, 28)), min_size=3, max_size=9))
@settings(max_examples=200, deadline=None)
def test_polygons_hold_what_is_inside_and_nothing_further_off(points):
    mask = mask_of(shape("cat", points))
    y, x = np.mgrid[:20, :30]
    ends = np.asarray(points, np.float64)
    inside = np.zeros((20, 30), bool)
    distance = np.full((20, 30), np.inf)
    for (x0, y0), (x1, y1) in zip(ends, np.roll(ends, -1, axis=0), strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            crosses = ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        inside ^= crosses
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length if length else 0 * x, 0, 1)
        distance = np.minimum(distance, np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)))
    assert mask[inside & (distance >= 1)].all()
    assert not mask[~inside & (distance >= 1)].any()


@pytest.mark.parametrize("radius", [1.0, 3.0, 6.5, 40.0])
def test_circles(radius):
    mask = mask_of(shape("cat", [(14, 9), (14 + radius, 9)], "circle"))
    y, x = np.mgrid[:20, :30]
    distance = np.hypot(x - 14, y - 9)
    assert mask[distance <= radius - 0.5].all()
    assert not mask[distance >= radius + 1].any()


def test_points_and_lines_have_labelmes_widths():
    point = mask_of(shape("cat", [(14, 9)], "point"))
    assert (point[9].sum(), point[:, 14].sum()) == (11, 11)
    line = mask_of(shape("cat", [(5, 10), (25, 10)], "line"))
    assert set(line[:, 6:25].sum(axis=0)) <= {10, 11}
    strip = mask_of(shape("cat", [(5, 5), (25, 5), (25, 15)], "linestrip"))
    assert strip[5, 10]
    assert strip[12, 25]
    assert not strip[15, 10]


@pytest.mark.parametrize("corner", [(3, 4), (-2, -1), (27, 18), (50, 3), (-9, 2)])
def test_bitmaps_lie_where_their_corner_is(corner):
    bitmap = np.random.default_rng(0).random((5, 6)) > 0.5
    expected = np.zeros((60, 90), np.uint8)
    expected[20 + corner[1] : 25 + corner[1], 30 + corner[0] : 36 + corner[0]] = bitmap
    mask = mask_of(shape("cat", [corner], "bitmap", bitmap=bitmap))
    assert np.array_equal(mask, expected[20:40, 30:60])


def test_a_hole_keeps_what_was_drawn_before():
    ring = shape("cat", [(2, 2), (20, 2), (20, 16), (2, 16)], holes=(np.array([(6, 6), (14, 6), (14, 12), (6, 12)]),))
    mask = mask_of(shape("dog", [(0, 0), (9, 19)], "rectangle"), ring)
    assert mask[9, 8] == 2
    assert mask[9, 11] == 0
    # The rim of the hole is the shape's.
    assert mask[6, 6:15].tolist() == [1] * 9
    assert np.array_equal(mask == 1, (box(2, 2, 20, 16) - box(7, 7, 13, 11)) == 1)


def test_holes_of_shapes_over_the_edge():
    ring = shape("cat", [(-9, -9), (15, -9), (15, 15), (-9, 15)], holes=(np.array([(-9, 2), (8, 2), (8, 8), (-9, 8)]),))
    assert np.array_equal(mask_of(ring), box(-9, -9, 15, 15) - box(-8, 3, 7, 7))
    away = shape("cat", [(60, 60), (90, 60), (90, 90)], holes=(np.array([(70, 62), (80, 62), (80, 70)]),))
    assert not mask_of(away).any()


def test_later_shapes_cover_earlier_ones():
    cat, dog = shape("cat", [(2, 2), (12, 12)], "rectangle"), shape("dog", [(8, 8), (18, 18)], "rectangle")
    assert np.array_equal(mask_of(cat, dog), np.where(box(8, 8, 18, 18), 2, box(2, 2, 12, 12)))
    assert np.array_equal(mask_of(dog, cat), np.where(box(2, 2, 12, 12), 1, box(8, 8, 18, 18, 2)))
    void = shape("void", [(0, 0), (5, 19)], "rectangle")
    assert (mask_of(cat, void)[:, :6] == IGNORE).all()
    ground = shape("ground", [(4, 4), (6, 6)], "rectangle")
    assert np.array_equal(mask_of(cat, ground), box(2, 2, 12, 12) - box(4, 4, 6, 6))


def test_labels_without_an_id_are_not_drawn():
    assert not mask_of(shape("emu", [(2, 2), (12, 12)], "rectangle")).any()


def test_objects_are_numbered_in_order_and_shapes_of_one_share_a_number():
    shapes = [
        shape("cat", [(0, 0), (4, 4)], "rectangle", instance=9),
        shape("void", [(0, 10), (29, 12)], "rectangle"),
        shape("dog", [(10, 0), (14, 4)], "rectangle"),
        shape("cat", [(20, 0), (24, 4)], "rectangle", instance=9),
        shape("cat", [(20, 15), (24, 19)], "rectangle", instance=3),
        shape("ground", [(22, 0), (24, 4)], "rectangle"),
    ]
    mask, instances = draw(shapes, IDS, 20, 30)
    assert [instances[2, x] for x in (2, 12, 21, 23)] == [1, 2, 1, 0]
    assert instances[17, 22] == 3
    assert instances[11, 5] == 0
    assert np.array_equal(instances > 0, (mask > 0) & (mask != IGNORE))


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([[1, 2], [3, 4]], "polygon", "of 2 points"),
        ([], "polygon", "points of x and y"),
        ([[1, 2]], "line", "of 1 points"),
        ([[1, 2], [3, 4], [5, 6]], "circle", "of 3 points"),
        ([[1, 2], [3, float("nan")], [5, 6]], "polygon", "no number"),
        ([[1, 2], [3, float("inf")], [5, 6]], "polygon", "no number"),
        ([[1, 2], [3, 2 * FARTHEST], [5, 6]], "polygon", "far outside"),
        ([[-900_000, 0], [900_000, 0]], "circle", "radius"),
        ([[1, 2, 3]] * 3, "polygon", "x and y"),
        ([[1, 2], [3], [4, 5]], "polygon", "x and y"),
        ([1, 2, 3, 4, 5, 6], "polygon", "x and y"),
        ([["a", "b"]] * 3, "polygon", "x and y"),
        ([[{}, None]] * 3, "polygon", "x and y"),
        ([[10**400, 1]] * 3, "polygon", "x and y"),
        ("[[1, 2]]", "polygon", "x and y"),
        (None, "point", "x and y"),
        ({"x": 1}, "point", "x and y"),
    ],
)
def test_bad_points(values, kind, message):
    with pytest.raises(UserError, match=message) as caught:
        points_of(values, kind)
    assert "\n" not in str(caught.value)


junk = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.integers(), st.lists, max_leaves=8
)


@given(junk, st.sampled_from(sorted(POINTS)))
@settings(max_examples=200, deadline=None)
def test_points_from_anything_are_points_or_a_user_error(values, kind):
    try:
        points = points_of(values, kind)
    except UserError:
        return
    assert points.dtype == np.float64
    assert np.isfinite(points).all()


def test_the_furthest_points_are_drawn_in_no_time():
    far = np.random.default_rng(0).uniform(-FARTHEST, FARTHEST, (100, 2)).tolist()
    shapes = [
        shape("cat", points_of(far)),
        shape("cat", points_of(far[:50], "linestrip"), "linestrip"),
        shape("cat", points_of([[0, 0], [FARTHEST, FARTHEST]], "rectangle"), "rectangle"),
        shape("cat", points_of([[0, 0], [99_000, 0]], "circle"), "circle"),
    ]
    assert mask_of(*shapes).any()


@pytest.mark.parametrize(
    ("name", "rendered", "names"),
    [
        (
            f"semantic_segmentation/data_annotated/2011_00000{number}.json",
            f"semantic_segmentation/data_dataset_voc/SegmentationClass/2011_00000{number}.png",
            "semantic_segmentation/data_dataset_voc/class_names.txt",
        )
        for number in (3, 6)
    ]
    + [
        (
            f"video_annotation/data_annotated/0000010{number}.json",
            f"video_annotation/data_dataset_voc/SegmentationClassPNG/0000010{number}.png",
            "video_annotation/labels.txt",
        )
        for number in range(4)
    ]
    + [("tutorial/apc2016_obj3.json", "tutorial/apc2016_obj3/label.png", "tutorial/apc2016_obj3/label_names.txt")],
)
def test_labelmes_own_pictures(name, rendered, names, data_folder):
    folder: Path = data_folder / "polygons" / "labelme"
    document = json.loads((folder / name).read_text())
    labels = [line for line in (folder / names).read_text().split("\n") if line not in ("", "__ignore__")]
    ids = {"__ignore__": IGNORE, **{label: number for number, label in enumerate(labels)}}
    expected = np.array(Image.open(folder / rendered))
    shapes = [Shape(row["label"], points_of(row["points"])) for row in document["shapes"]]
    mask, _ = draw(shapes, ids, *expected.shape)
    assert np.mean(mask == expected) >= 0.99999
