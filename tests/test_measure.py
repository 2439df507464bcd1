"""Measurements of objects against loops over their pixels, and against what discs and ellipses must have."""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segmodels.data.dataset import IGNORE, ClassLabel
from segmodels.errors import UserError
from segmodels.prediction.measure import COLUMNS, OPTIONAL, measurements, write_csv

LABELS = (ClassLabel("background", "#000000"), ClassLabel("nucleus", "#FF0000"), ClassLabel("border", "#00FF00"))


def ellipse(height: int, width: int, y: float, x: float, high: float, wide: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return ((rows - y) / high) ** 2 + ((columns - x) / wide) ** 2 <= 1


PLAIN = tuple(name for name in COLUMNS if name not in OPTIONAL)


def one(inside: np.ndarray, **given: Any) -> dict[str, float]:
    image = np.zeros((*inside.shape, 3), np.uint8)
    (row,) = measurements(inside.astype(np.int32), inside.astype(np.uint8), image, LABELS, **given)
    return row


@pytest.mark.parametrize("seed", range(5))
def test_against_a_loop_over_the_pixels(seed: int) -> None:
    generator = np.random.default_rng(seed)
    # Objects that touch, with parts, holes and gaps in their numbers.
    numbers = np.array([0, 3, 4, 900, 2_000_000_000], np.int32)
    coarse = generator.choice(numbers, (9, 7))
    instances = np.kron(coarse, np.ones((4, 5), np.int32)).astype(np.int32)
    instances[generator.random(instances.shape) < 0.1] = 0
    image = generator.integers(0, 256, (*instances.shape, 3)).astype(np.uint8)
    mask = generator.choice(np.array([0, 1, 2, IGNORE], np.uint8), instances.shape, p=[0.3, 0.2, 0.3, 0.2])
    confidence = generator.random(instances.shape).astype(np.float32)
    rows = measurements(instances, mask, image, LABELS, confidence=confidence, micrometres=0.25)
    assert [row["instance"] for row in rows] == sorted(set(instances.ravel().tolist()) - {0})
    for row in rows:
        pixels = np.argwhere(instances == row["instance"])
        ys, xs = pixels.T
        light = [float(image[y, x] @ [0.299, 0.587, 0.114]) for y, x in pixels]
        assert row["area"] == len(pixels)
        assert row["area_um2"] == pytest.approx(len(pixels) / 16, abs=1e-12)
        assert row["perimeter_um"] == pytest.approx(row["perimeter"] / 4, abs=1e-12)
        assert (row["x"], row["y"]) == pytest.approx((xs.mean(), ys.mean()), abs=1e-9)
        assert (row["left"], row["top"]) == (xs.min(), ys.min())
        assert (row["width"], row["height"]) == (np.ptp(xs) + 1, np.ptp(ys) + 1)
        # OpenCV's luminance is a whole number.
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        assert row["mean_intensity"] == pytest.approx(np.mean([grey[y, x] for y, x in pixels]), abs=1e-9)
        assert row["mean_intensity"] == pytest.approx(np.mean(light), abs=0.5)
        assert row["confidence"] == pytest.approx(np.mean([float(confidence[y, x]) for y, x in pixels]), abs=1e-9)
        low, high = np.linalg.eigvalsh(np.cov(pixels.T, bias=True))
        assert row["eccentricity"] == pytest.approx(math.sqrt(1 - low / high), abs=1e-6)
        assert row["class"] == "nucleus"  # whatever there is more of, background and border are no objects


@pytest.mark.parametrize(("high", "wide"), [(40, 40), (30.3, 30.3), (24, 48), (45, 20), (60, 12)])
def test_discs_and_ellipses(high: float, wide: float) -> None:
    row = one(ellipse(140, 150, 70.25, 75.5, high, wide))
    long, short = max(high, wide), min(high, wide)
    h = ((long - short) / (long + short)) ** 2
    around = math.pi * (long + short) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))  # Ramanujan 1914
    assert row["area"] == pytest.approx(math.pi * high * wide, rel=0.005)
    assert row["perimeter"] == pytest.approx(around, rel=0.05)
    if long == short:
        assert row["eccentricity"] < 0.1
    else:
        assert row["eccentricity"] == pytest.approx(math.sqrt(1 - (short / long) ** 2), abs=0.003)
    assert (row["x"], row["y"]) == pytest.approx((75.5, 70.25), abs=0.15)


def test_one_pixel_and_a_line() -> None:
    inside = np.zeros((5, 9), bool)
    inside[2, 3] = True
    row = one(inside, micrometres=2.0)
    assert row == {
        "instance": 1, "class": "nucleus", "area": 1, "area_um2": 4.0, "perimeter": 0.0, "perimeter_um": 0.0,
        "eccentricity": 0.0, "mean_intensity": 0.0, "x": 3.0, "y": 2.0, "left": 3, "top": 2, "width": 1, "height": 1,
    }  # fmt: skip
    inside[2, 1:8] = True
    row = one(inside)
    assert row["eccentricity"] == 1.0
    assert tuple(row) == PLAIN
    row = one(inside, micrometres=2.0, confidence=np.ones((5, 9)))
    assert tuple(row) == COLUMNS


def test_classes_of_objects() -> None:
    instances = np.repeat(np.arange(1, 6), 10).reshape(5, 10)
    mask = np.array(
        [[1] * 10, [2] * 9 + [1], [0] * 9 + [2], [0] * 3 + [IGNORE] * 7, [IGNORE] * 10], np.uint8
    )  # fmt: skip
    rows = measurements(instances, mask, np.zeros((5, 10, 3), np.uint8), LABELS)
    assert [row["class"] for row in rows] == ["nucleus", "nucleus", "border", "background", ""]
    things = (ClassLabel("cat", "#000000"), ClassLabel("dog", "#FF0000"), ClassLabel("cow", "#00FF00"))
    rows = measurements(instances, mask, np.zeros((5, 10, 3), np.uint8), things)
    assert [row["class"] for row in rows] == ["dog", "cow", "cat", "cat", ""]


def test_no_objects_and_no_size(tmp_path: Path) -> None:
    nothing = np.zeros((4, 6), np.int32)
    image = np.zeros((4, 6, 3), np.uint8)
    assert measurements(nothing, nothing.astype(np.uint8), image, LABELS) == []
    write_csv(tmp_path / "none.csv", [])
    assert (tmp_path / "none.csv").read_text() == ",".join(PLAIN) + "\n"
    write_csv(tmp_path / "none.csv", [], OPTIONAL)
    assert (tmp_path / "none.csv").read_text() == ",".join(COLUMNS) + "\n"
    for size in (0, -1.0, math.nan, math.inf):
        with pytest.raises(UserError, match="give its side in micrometres"):
            measurements(nothing, nothing.astype(np.uint8), image, LABELS, micrometres=size)


def test_csv_reads_back(tmp_path: Path) -> None:
    instances = np.zeros((60, 60), np.int32)
    for number, (y, x) in enumerate([(15, 15), (15, 44), (40, 30)], start=1):
        instances[ellipse(60, 60, y, x, 12, 9)] = number
    labels = (LABELS[0], ClassLabel('Zelle, "rund" ä', "#FF0000"))
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3)).astype(np.uint8)
    rows = measurements(instances, (instances > 0).astype(np.uint8), image, labels, micrometres=0.5)
    write_csv(tmp_path / "table" / "cells.csv", rows)
    with (tmp_path / "table" / "cells.csv").open(encoding="utf-8", newline="") as file:
        again = list(csv.DictReader(file))
    assert [list(row) for row in again] == [list(row) for row in rows]
    for row, written in zip(rows, again, strict=True):
        assert written["class"] == 'Zelle, "rund" ä'
        for name in set(row) - {"class"}:
            assert float(written[name]) == pytest.approx(row[name], abs=6e-5)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file or lies below one"):
        write_csv(tmp_path / "file" / "cells.csv", rows)


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@SUM(A1)", "\t=1", "a=1"])
def test_a_class_is_no_formula(tmp_path: Path, name: str) -> None:
    instances = np.ones((4, 4), np.int32)
    labels = (LABELS[0], ClassLabel(name, "#FF0000"))
    rows = measurements(instances, instances.astype(np.uint8), np.zeros((4, 4, 3), np.uint8), labels)
    write_csv(tmp_path / "a.csv", rows)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["class"] == (name if name == "a=1" else f"'{name}")
    assert rows[0]["class"] == name


def test_two_thousand_nuclei_within_seconds() -> None:
    instances = np.zeros((1000, 1000), np.int32)
    disc = ellipse(21, 21, 10, 10, 10, 8)
    for number in range(2025):
        y, x = divmod(number, 45)
        instances[y * 22 : y * 22 + 21, x * 22 : x * 22 + 21][disc] = number + 1
    image = np.full((1000, 1000, 3), 7, np.uint8)
    mask = (instances > 0).astype(np.uint8)
    measurements(instances[:50, :50], mask[:50, :50], image[:50, :50], LABELS)  # scikit-image is imported
    began = time.perf_counter()
    rows = measurements(instances, mask, image, LABELS)
    assert time.perf_counter() - began < 4  # 0.9 s on an idle core
    assert {row["area"] for row in rows} == {int(disc.sum())}
    assert len(rows) == 2025
