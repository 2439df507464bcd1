"""The report of a comparison: its figures are those on disk, nothing in it is markup, and what is gone is named."""

from __future__ import annotations

import json
import re
import shutil
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.differences import real_differences
from segmodels.evaluation.compare.table import comparison_table, protocol_line
from segmodels.evaluation.picture_counts import PictureCounts
from segmodels.evaluation.reports import COUNTS, DOCUMENT
from segmodels.report.comparison_pictures import most_disagreed
from segmodels.report.comparison_report import comparison_report
from segmodels.report.heat_chart import heat_chart
from segmodels.report.html_page import escape
from segmodels.report.interval_chart import Interval, interval_chart
from segmodels.report.scatter_chart import Point, scatter_chart
from segmodels.report.svg import PALETTE
from tests.made_comparison import made_comparison

NASTY = "<script>alert(1)</script>"
SVG = "{http://www.w3.org/2000/svg}"


class Markup(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.fixture
def comparison(home: Path) -> Comparison:
    """Four members, one of them failed, one a model that was there; with the masks."""
    return made_comparison(home, members=4, models=1, failed={(1, 0): "no memory | left"}, masks=True, pictures=16)


def test_figures_are_those_on_disk(comparison: Comparison) -> None:
    text = comparison_report(comparison, now=datetime(2026, 5, 17, 8, 30))
    assert escape(protocol_line(comparison)) in text
    table = comparison_table(comparison)
    for row in table.rows:
        for column in table.columns:
            shown = table.shown(row, column)
            if shown and column.group == "class":
                assert f"{row.name}, {column.key.removeprefix('iou: ')}: {row.values[column.key]:.4f}" in text
            elif shown:
                assert f">{shown[0]}<" in text
    assert "<td>failed: no memory | left</td>" in text
    found = real_differences(comparison.entries())
    assert found is not None
    boot = found.bootstrap
    place = boot.figures.index("mean_iou")
    for name, value, low, high in zip(
        boot.models, boot.values[:, place], boot.low[:, place], boot.high[:, place], strict=True
    ):
        assert f"{name}: {value:.4f}, 95 % interval {low:.4f} to {high:.4f}" in text
    for pair in boot.pairs("mean_iou"):
        for number in (pair.difference, pair.low, pair.high, pair.p_corrected):
            assert f'<data value="{number!r}">' in text
        assert f"<td>{pair.first}</td><td>{pair.second}</td>" in text
    for entry in comparison.entries():
        for row in entry.history:
            assert f"{entry.name}, epoch {row['epoch']}: {row['val_mean_iou']:.4f}" in text
        if entry.report:
            pixels = entry.report.document["confusion_matrix"][0][2]
            assert f"truth pet, prediction border: {pixels:,} pixels" in text
    assert "2026-05-17 08:30" in text
    assert "tensorflow 2.16.1" in text


def test_recipes_can_be_taken_from_it(comparison: Comparison) -> None:
    blocks = re.findall(r"<pre><code>(.*?)</code></pre>", comparison_report(comparison), re.DOTALL)
    recipes = [yaml.safe_load(block.replace("&#x27;", "'")) for block in blocks]
    assert len(recipes) == 4
    for recipe, member in zip(recipes[:3], comparison.members[:3], strict=True):
        assert recipe == member.recipe


def test_pictures_are_those_on_which_models_disagree_most(comparison: Comparison) -> None:
    entries = [entry for entry in comparison.entries() if entry.state == "evaluated"]
    accuracy = []
    for entry in entries:
        matrices = PictureCounts.load(entry.folder / COUNTS).confusion
        accuracy.append([np.trace(matrix) / matrix.sum() for matrix in matrices])
    apart = np.std(accuracy, axis=0)
    worst = np.argsort(-apart)[:4]
    found = most_disagreed(entries)
    assert [sample_id for sample_id, _ in found] == [f"test-{n:04d}" for n in worst]
    assert [value for _, value in found] == pytest.approx(apart[worst])
    text = comparison_report(comparison)
    assert re.findall(r"<h3>(test-\d+)</h3>", text) == [sample_id for sample_id, _ in found]
    assert text.count('src="data:image/jpeg;base64,') == 4 * (2 + 3)
    assert most_disagreed(entries[:1]) == []


def test_the_page_needs_nothing_and_runs_nothing(comparison: Comparison) -> None:
    markup = Markup(comparison_report(comparison))
    assert not markup.tags & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for name, value in markup.attributes:
        assert not name.startswith("on")
        assert name != "href"
        if name == "src":
            assert value.startswith("data:image/")


def test_names_and_reasons_do_not_become_markup(home: Path) -> None:
    names = [f"{NASTY}{n}" for n in range(3)]
    made = made_comparison(home, members=3, names=names, title=NASTY, failed={(2, 0): NASTY}, pictures=4, masks=True)
    document = json.loads((made.path / "results" / "0-0" / DOCUMENT).read_text())
    classes = [{**row, "name": f"{row['name']}{NASTY}"} for row in document["classes"]]
    for number in (0, 1):
        folder = made.path / "results" / f"{number}-0"
        change(folder / DOCUMENT, classes=classes)
        change(folder / "speed.json", engine=NASTY, device={"a": NASTY}, onnx_error=NASTY)
        change(folder / "training.json", device=NASTY, run=[NASTY])
        change(folder / "recipe.json", architecture=NASTY, **{NASTY: NASTY})
    change(made.path / "status.json", error=NASTY)
    text = comparison_report(made)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > 20
    assert f"{escape(names[0])}</td>" in text


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("masks", "4 of the masks of unet are not kept any more"),
        ("checkpoint.json", "4 of the masks of unet are not kept any more"),
        ("data", "the pictures cannot be shown"),
        (DOCUMENT, "Nothing is evaluated on the same pictures yet."),
        (COUNTS, "Nothing is evaluated on the same pictures yet."),
        ("speed.json", "What the models cost to use is not measured yet."),
        ("history.csv", "Confusion matrices"),
    ],
)
def test_what_is_gone_is_named_and_the_rest_is_shown(
    comparison: Comparison, home: Path, monkeypatch: pytest.MonkeyPatch, gone: str, said: str
) -> None:
    if gone == "masks":
        shutil.rmtree(home / "predictions")
    elif gone == "data":
        change(comparison.path / "comparison.json", data="/nowhere/at-all")
        comparison = Comparison(comparison.path)
    else:
        for path in comparison.path.glob(f"results/*/{gone}"):
            path.unlink()
    text = comparison_report(comparison)
    assert said in text
    for always in ("Figures", "Which differences are real", "Recipes", "What is missing, and why", "no memory | left"):
        assert always in text


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"classes": 3}', "\x00"])
def test_nothing_in_the_folder_is_in_its_way(comparison: Comparison, damage: str) -> None:
    for path in comparison.path.glob("results/0-0/*"):
        path.write_text(damage)
    text = comparison_report(comparison)
    assert "its report is damaged" in text
    assert text.count('src="data:image/jpeg;base64,') == 4 * (2 + 2)


def test_nothing_is_evaluated_yet(home: Path) -> None:
    made = made_comparison(home, members=2, waiting=[(0, 0), (1, 0)], state="running")
    text = comparison_report(made)
    assert "0 of 2 runs are evaluated." in text
    assert "Nothing is evaluated on the same pictures yet." in text
    assert text.count("<td>waiting</td>") == 2
    one = comparison_report(made_comparison(home, members=1, pictures=5))
    assert "95 % interval" in one
    assert "told apart" not in one


def drawn(svg: object) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg))


def test_intervals_stand_where_their_numbers_are() -> None:
    rows = [
        Interval("a", 0.5, 0.4, 0.6, "a"),
        Interval("b", 0.8, 0.7, 1.0, "b"),
        Interval("c", float("nan"), None, None),
    ]
    root = drawn(interval_chart(rows, title="t", along="x"))
    dots = [float(dot.get("cx", "")) for dot in root.iter(f"{SVG}circle")]
    whiskers = [line for line in root.iter(f"{SVG}line") if line.get("class") == "whisker"]
    ends = [(float(line.get("x1", "")), float(line.get("x2", ""))) for line in whiskers]
    unit = (dots[1] - dots[0]) / 0.3
    assert len(dots) == len(ends) == 2
    for dot, (first, last), row in zip(dots, ends, rows, strict=False):
        assert (dot - first) / unit == pytest.approx(row.value - row.low, abs=1e-3)  # type: ignore[operator]
        assert (last - dot) / unit == pytest.approx(row.high - row.value, abs=1e-3)  # type: ignore[operator]
    assert "no figures" in [text.text for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("logarithmic", [False, True])
def test_the_front_goes_through_what_is_best_for_its_cost(logarithmic: bool) -> None:
    last = 1e9 if logarithmic else 4e6
    points = [Point("small", 1e6, 0.5), Point("bad", 2e6, 0.4), Point("mid", 3e6, 0.7), Point("large", last, 0.9)]
    root = drawn(
        scatter_chart([*points, Point("gone", None, 0.9), Point("free", 0.0, None)], title="t", across="c", up="u")
    )
    groups = [group for group in root.iter(f"{SVG}g") if "point" in group.get("class", "")]
    assert [("front" in group.get("class", "")) for group in groups] == [True, False, True, True]
    places = [
        (float(dot.get("cx", "")), float(dot.get("cy", ""))) for group in groups for dot in group.iter(f"{SVG}circle")
    ]
    (path,) = [path.get("d") for path in root.iter(f"{SVG}path")]
    steps = [float(number) for number in re.findall(r"[\d.]+", path or "")]
    assert steps == pytest.approx([place for n in (0, 2, 3) for place in places[n]])
    ratio = (places[3][0] - places[0][0]) / (places[2][0] - places[0][0])
    assert ratio == pytest.approx(np.log10(1e3) / np.log10(3) if logarithmic else 1.5, rel=1e-3)
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert ("c (logarithmic)" in words) == logarithmic
    assert {"gone (no figures)", "free (no figures)"} <= set(words)


def test_cells_are_shaded_by_their_figures() -> None:
    root = drawn(heat_chart([[0.25, None], [1.0, 0.5]], ["one", NASTY], ["x", "y"], title="t"))
    cells = list(root.iter(f"{SVG}rect"))
    assert [cell.get("fill") for cell in cells] == [PALETTE[0]] * 4
    assert [float(cell.get("fill-opacity", "")) for cell in cells] == [0.25, 0.0, 1.0, 0.5]
    assert [cell.findtext(f"{SVG}text") for cell in root.iter(f"{SVG}g")] == ["0.250", "–", "1.000", "0.500"]
