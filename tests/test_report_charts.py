"""The charts and the page that reports are made of: what is drawn, and that no text becomes markup."""

from __future__ import annotations

import base64
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmodels.data.images import encoded
from segmodels.errors import UserError
from segmodels.report.charts import DRAWN, MOST_CLASSES, Series, line_chart, matrix_chart
from segmodels.report.html_page import Page
from segmodels.report.svg import PALETTE, Svg, ticks
from segmodels.report.text import clean, duration, energy, figure, moment

NASTY = "<script>alert(1)</script>\"'&amp;\x00\x1b[31m\ud800\u202e]]>-->"
NAME = "{http://www.w3.org/2000/svg}"


def drawn(svg: Svg) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg))


def of_class(root: ElementTree.Element, tag: str, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter(NAME + tag) if name in element.get("class", "").split()]


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(NAME + "text")]


def paths(root: ElementTree.Element) -> list[str]:
    return [group.find(NAME + "path").get("d", "") for group in of_class(root, "g", "series")]  # type: ignore[union-attr]


def test_a_line_has_its_points_its_gaps_and_its_best() -> None:
    train = Series("training", [1, 2, 3, 4, 5], [0.5, 0.4, 0.3, 0.2, 0.1], "training")
    val = Series("validation", [1, 2, 3, 4, 5], [0.6, None, 0.3, math.nan, 0.4], "validation", "lowest")
    root = drawn(line_chart([train, val], title="Loss"))
    assert len(of_class(root, "circle", "point")) == 5 + 3
    assert [path.count("M") for path in paths(root)] == [1, 3]  # a gap ends a line
    first, second = of_class(root, "g", "series")
    lines = [group.find(NAME + "path") for group in (first, second)]
    assert [line.get("stroke") for line in lines] == ["#0072B2", "#D55E00"]  # type: ignore[union-attr]
    assert [line.get("stroke-dasharray") for line in lines] == ["5 3", None]  # type: ignore[union-attr]
    (best,) = of_class(root, "circle", "best")
    assert best.find(NAME + "title").text == "best of validation, epoch 3: 0.3000"  # type: ignore[union-attr]
    middle = of_class(root, "circle", "point")[6]
    assert (best.get("cx"), best.get("cy")) == (middle.get("cx"), middle.get("cy"))
    assert {"Loss", "epoch", "training", "validation", "1", "5"} <= set(texts(root))


def test_points_stand_where_their_values_are() -> None:
    root = drawn(line_chart([Series("x", [0, 1, 2, 4], [0.0, 1.0, 2.0, 4.0])], title="x"))
    at = [(float(dot.get("cx", "")), float(dot.get("cy", ""))) for dot in of_class(root, "circle", "point")]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(at)]
    assert slopes == pytest.approx([slopes[0]] * 3, rel=0.01)
    assert slopes[0] < 0  # up is less
    assert at[3][0] - at[2][0] == pytest.approx(2 * (at[1][0] - at[0][0]), abs=0.02)


def test_a_long_course_is_thinned_and_keeps_its_best_and_its_end() -> None:
    values = [1.0 - n / 20_000 for n in range(9999)]
    values[1234] = -3.0
    root = drawn(line_chart([Series("x", list(range(9999)), values, best="lowest")], title="x"))
    (path,) = paths(root)
    assert DRAWN - 100 <= len(re.findall("[ML]", path)) <= DRAWN + 2
    assert "best of x, epoch 1234: -3.0000" in str(
        line_chart([Series("x", range(9999), values, best="lowest")], title="")
    )
    assert path.endswith("L446 " + path.rpartition(" ")[2])


def test_many_lines_are_told_apart() -> None:
    series = [Series(f"class {n}", [1, 2], [n, n + 1]) for n in range(len(PALETTE) * 4)]
    root = drawn(line_chart(series, title="x"))
    looks = {(path.get("stroke"), path.get("stroke-dasharray")) for path in of_class(root, "path", "key")}
    assert len(looks) == len(series)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [None, None],
        [0.0],
        [3.0, 3.0],
        [1e308, -1e308],
        [5e-324, 0.0],
        [10**400, 1],
        [1e99, -1e99],
        [1e16, 1e16 + 2],
    ],
)
def test_no_value_is_in_the_way(values: list[Any]) -> None:
    text = str(line_chart([Series("x", range(len(values)), values, best="highest")], title="x", from_zero=True))
    ElementTree.fromstring(text)
    assert "nan" not in text
    assert "inf" not in text


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.floats() | st.none() | st.integers(), st.floats() | st.none() | st.integers()), max_size=8),
    st.text(max_size=30),
)
def test_any_series_gives_a_drawing(points: list[tuple[Any, Any]], name: str) -> None:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    root = drawn(line_chart([Series(name, xs, ys), Series("b", [1, 2], [1, 2])], title=name, along=name))
    for dot in of_class(root, "circle", "point"):
        assert 0 <= float(dot.get("cx", "nan")) <= 500
        assert 0 <= float(dot.get("cy", "nan")) <= 300


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e99, 1e99), st.floats(-1e99, 1e99))
def test_ticks_are_few_round_and_within(a: float, b: float) -> None:
    low, high = sorted((a, b))
    found = ticks(low, high)
    room = 1e-6 * (high - low) + 1e-9 * abs(high)
    assert 1 <= len(found) <= 8
    assert all(low - room <= tick <= high + room for tick in found)


def test_ticks_of_a_usual_range() -> None:
    assert ticks(0.0, 1.0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(1, 3, whole=True) == [1, 2, 3]


def test_a_matrix_has_shares_of_the_truth_or_of_the_prediction() -> None:
    counts = [[6, 2, 0], [1, 3, 0], [0, 0, 0]]
    root = drawn(matrix_chart(counts, ["a", "b", "c"]))
    cells = of_class(root, "g", "cell")
    shown = [cell.find(NAME + "text").text for cell in cells]  # type: ignore[union-attr]
    assert shown == ["75.0", "25.0", "0", "25.0", "75.0", "0", "–", "–", "–"]
    opacity = [float(cell.find(NAME + "rect").get("fill-opacity", "")) for cell in cells]  # type: ignore[union-attr]
    assert opacity == [0.75, 0.25, 0, 0.25, 0.75, 0, 0, 0, 0]
    assert cells[1].find(NAME + "title").text == "truth a, prediction b: 2 pixels"  # type: ignore[union-attr]
    said = drawn(matrix_chart(counts, ["a", "b", "c"], normalise="prediction"))
    shown = [cell.find(NAME + "text").text for cell in of_class(said, "g", "cell")]  # type: ignore[union-attr]
    assert shown == ["85.7", "40.0", "–", "14.3", "60.0", "–", "0", "0", "–"]


def test_a_matrix_takes_thirty_classes_and_no_nonsense() -> None:
    counts = np.arange(MOST_CLASSES**2).reshape(MOST_CLASSES, -1).tolist()
    root = drawn(matrix_chart(counts, [f"class {n}" for n in range(MOST_CLASSES)]))
    assert len(of_class(root, "g", "cell")) == MOST_CLASSES**2
    for wrong, names in (([[1]], []), ([[1, 2]], ["a"]), ([], []), ([[0] * 31] * 31, ["x"] * 31)):
        with pytest.raises(UserError, match="confusion matrix"):
            matrix_chart(wrong, names)


class Tags(HTMLParser):
    """Every element and attribute of a page as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_text_of_a_page_is_escaped() -> None:
    jpeg = encoded(np.zeros((4, 4, 3), np.uint8), "JPEG")
    page = Page(NASTY)
    page.heading(NASTY)
    page.paragraph(NASTY)
    page.note(NASTY)
    page.tags([NASTY])
    page.tiles([(NASTY, NASTY)])
    page.facts([(NASTY, NASTY)])
    page.table([NASTY], [[NASTY]], caption=NASTY)
    page.code(NASTY)
    page.legend([(NASTY, "#ff0000"), ("bad", 'red;"><script>'), ("bad", "#12345")])
    page.figures([line_chart([Series(NASTY, [1], [1]), Series(NASTY, [1], [2])], title=NASTY, along=NASTY)])
    page.figures([matrix_chart([[1]], [NASTY])], caption=NASTY)
    page.pictures([(jpeg, NASTY, NASTY), (None, NASTY, "")])
    text = str(page)
    text.encode("utf-8")
    seen = Tags(text)
    assert "script" not in seen.tags
    assert not [name for name, _ in seen.attributes if name.startswith("on") or name == "href"]
    assert seen.text.count("alert(1)") >= 17
    assert not re.search("[\x00-\x08\x0b-\x1f\ud800\u202e]", text)
    assert text.count('style="background:') == 1
    assert [value for name, value in seen.attributes if name == "src"] == [
        f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    ]
    outside = re.sub(r'xmlns="[^"]*"', "", text)
    assert "http://" not in outside
    assert "https://" not in outside


def test_a_page_takes_pictures_only() -> None:
    with pytest.raises(UserError, match="PNG or JPEG"):
        Page("x").pictures([(b"<svg onload=alert(1)>", "x", "")])


def test_numbers_of_a_table_are_kept_whole() -> None:
    page = Page("x")
    page.table(["a", "b"], [["name", 0.123456789], ["other", None]])
    assert '<td class="number"><data value="0.123456789">0.1235</data></td>' in str(page)
    assert str(page).count('class="number"') == 3


def test_words_for_numbers() -> None:
    assert [figure(x) for x in (0.5, 12_345, 1e-5, 4321.0, None, "x", math.nan, True, 10**400)] == [
        "0.5000", "12,345", "1e-05", "4321", "–", "–", "–", "–", "–",
    ]  # fmt: skip
    assert [duration(x) for x in (2.06, 75, 7504, -1, "x")] == ["2 s", "1 min 15 s", "2 h 5 min", "–", "–"]
    assert energy(7200) == "2.00 Wh (7.2 kJ)"
    assert energy(None) == energy("x") == "not known"
    assert moment(1795734495.3) == "2026-11-26 23:08 UTC"
    assert moment(1e99) == moment({}) == "–"
    assert clean("a\x00b\u202ec\r\nd") == "a\ufffdb\ufffdc\nd"
    assert clean("abcdef", 4) == "abc…"
