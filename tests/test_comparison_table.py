"""The table of a comparison, its files for others, what of it can be compared, and the Pareto front."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.differences import compared_scores, real_differences
from segmodels.evaluation.compare.entries import SPEED
from segmodels.evaluation.compare.pareto import pareto_front
from segmodels.evaluation.compare.table import Table, comparison_table, protocol_line
from segmodels.evaluation.compare.table_formats import to_csv, to_latex, to_markdown
from segmodels.evaluation.confusion import ConfusionMatrix
from segmodels.evaluation.picture_counts import PictureCounts
from segmodels.evaluation.reports import COUNTS, DOCUMENT
from tests.made_comparison import made_comparison

HOSTILE = ["a_b & 50%", "|", "=cmd()", r"{x}~^\$#", "[1] *b* `c` <b>", "-1+2\n@x", 'say "it", so']


@pytest.fixture
def seeds(home: Path) -> Comparison:
    """Three members of three seeds and a model that was there; one seed failed, one waits, one member is all failed."""
    lost = {(1, 1): "no memory\nleft", (2, 0): "killed", (2, 1): "killed", (2, 2): "NaN"}
    return made_comparison(home, members=4, seeds=3, models=1, failed=lost, waiting=[(0, 2)], pictures=12)


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_values_are_means_of_the_reports_and_their_spread(seeds: Comparison) -> None:
    table = comparison_table(seeds)
    paths = {
        "loss": ("loss",), "pixel_accuracy": ("pixel_accuracy",), "mean_iou": ("mean_iou",), "mse": ("mse",),
        "mean_dice": ("mean_dice",), "precision": ("precision",), "recall": ("recall",), "f1": ("f1",),
        "boundary_iou": ("boundary", "iou"), "boundary_f1": ("boundary", "f1"), "ece": ("calibration", "ece"),
        "iou: pet": ("classes", 0, "iou"), "iou: background": ("classes", 1, "iou"),
        "iou: border": ("classes", 2, "iou"),
    }  # fmt: skip
    for row in table.rows:
        files = sorted(seeds.path.glob(f"results/{row.member}-*/{DOCUMENT}"))
        assert row.seeds == len(files)
        for key, path in paths.items():
            found = []
            for file in files:
                value = json.loads(file.read_text())
                for step in path:
                    value = value[step]
                found.append(value)
            assert row.values[key] == (pytest.approx(np.mean(found)) if found else None)
            assert row.spread[key] == (pytest.approx(np.std(found, ddof=1)) if len(found) > 1 else None)
    assert [(row.name, row.seeds, row.state, row.said) for row in table.rows] == [
        ("unet", 2, "evaluated", "seed 2 waiting"),
        ("fpn on resnet50", 2, "evaluated", "seed 1 failed, no memory left"),
        ("deeplabv3+ on resnet50", 1, "evaluated", ""),
        ("linknet on resnet50", 0, "failed", "seeds 0 and 1 killed; seed 2 NaN"),
    ]
    assert not any(column.group == "instances" for column in table.columns)
    assert set(table.rows[3].values.values()) == {None}


def test_costs_are_in_the_units_of_their_titles(seeds: Comparison) -> None:
    table = comparison_table(seeds)
    row = table.rows[0]
    speed = json.loads((seeds.path / "results" / "0-0" / SPEED).read_text())
    assert row.values["parameters"] == speed["parameters"]
    assert row.values["checkpoint_megabytes"] == speed["checkpoint_bytes"] / 2**20
    assert row.values["keras_milliseconds"] == speed["keras_milliseconds"]
    assert row.spread["keras_milliseconds"] is None, "measured once"
    assert row.values["training_minutes"] == pytest.approx((100 + 101) / 2 / 60)
    assert row.spread["training_minutes"] == pytest.approx(statistics.stdev([100, 101]) / 60)
    assert row.values["images_per_second"] == 20.5
    assert table.rows[2].values["training_minutes"] is None, "it was not trained here"


def test_rows_are_sorted_and_what_cannot_be_read_is_said(home: Path) -> None:
    made = made_comparison(home, members=5, pictures=6)
    place = made.path / "results"
    change(place / "0-0" / DOCUMENT, mean_iou=0.1)
    (place / "1-0" / DOCUMENT).write_text("[]")
    change(place / "2-0" / DOCUMENT, boundary="?")
    change(place / "3-0" / DOCUMENT, loss=float("nan"), boundary={}, calibration={}, mse=float("nan"))
    (place / "3-0" / SPEED).write_text('{"error": "no memory"}')
    change(place / "4-0" / SPEED, onnx_error="no such layer", onnx_milliseconds=None)
    table = comparison_table(made)
    # By their mean IoU, and last the two whose reports lack what every report has.
    assert [row.member for row in table.rows] == [3, 4, 0, 1, 2]
    rows = {row.member: row for row in table.rows}
    assert rows[0].values["mean_iou"] == 0.1
    assert (rows[1].state, rows[1].seeds) == ("failed", 0)
    assert "damaged" in rows[1].said
    assert {rows[3].values[key] for key in ("loss", "boundary_iou", "ece", "mse")} == {None}
    assert rows[3].said == "not timed: no memory"
    assert rows[4].said == "no ONNX Runtime: no such layer"
    assert rows[4].values["onnx_milliseconds"] is None


def test_figures_of_objects_are_columns_where_all_have_them(home: Path) -> None:
    made = made_comparison(home, members=2, pictures=6, instances=True)
    table = comparison_table(made)
    keys = [column.key for column in table.columns if column.group == "instances"]
    assert keys == [f"instances: {name}" for name in ("dice", "aji", "aji_plus", "pq", "dq", "sq", "f1")]
    document = json.loads((made.path / "results" / "0-0" / DOCUMENT).read_text())
    assert table.rows[0].values["instances: pq"] == document["instances"]["pq"]
    change(made.path / "results" / "1-0" / DOCUMENT, instances=None)
    assert not any(column.group == "instances" for column in comparison_table(made).columns)


def test_nothing_is_evaluated_yet(home: Path) -> None:
    table = comparison_table(made_comparison(home, members=2, waiting=[(0, 0), (1, 0)]))
    assert [(row.name, row.seeds, row.state, row.said) for row in table.rows] == [
        ("unet", 0, "waiting", ""),
        ("fpn on resnet50", 0, "waiting", ""),
    ]
    assert real_differences([]) is None
    assert to_markdown(table).count("\n") == 4


def test_the_protocol_is_said(home: Path, seeds: Comparison) -> None:
    said = protocol_line(seeds)
    assert said == (
        "Evaluated on the test split of toy-pets (12 pictures), at each picture's own size. Trained all by one recipe "
        "but for the network, 3 seeds each. fpn on resnet50 and linknet on resnet50 differ from unet in backbone. "
        "deeplabv3+ on resnet50 was there already, and was trained by a recipe of its own."
    )
    fields = [{}, {"backbone": "mobilenetv2", "epochs": 9, "image_size": 96}, {"epochs": 9}]
    made = made_comparison(
        home, members=5, models=2, protocol="own", recipes=fields, waiting=[(n, 0) for n in range(5)]
    )
    said = protocol_line(made)
    assert "(40 pictures)" in said
    assert "Trained each by its own recipe, 1 seed each" in said
    assert "fpn on mobilenetv2 differs from unet in backbone, image_size and epochs." in said
    assert "linknet on resnet50 differs from unet in backbone and epochs." in said
    assert said.endswith(
        "deeplabv3+ on resnet50 and unet++ were there already, and were trained by recipes of their own."
    )


@pytest.fixture
def hostile(home: Path) -> Table:
    lost = {(6, 0): HOSTILE[0], (6, 1): HOSTILE[2]}
    return comparison_table(made_comparison(home, members=7, seeds=2, names=HOSTILE, pictures=6, failed=lost))


def test_csv_reads_back_as_it_is(hostile: Table) -> None:
    text = to_csv(hostile)
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert text.count("\r\n") == 8
    assert all(len(row) == len(head) for row in rows)
    for read, row in zip(rows, hostile.rows, strict=True):
        assert not read[0].startswith(("=", "+", "-", "@"))
        assert read[0].removeprefix("'") == row.name
        assert (read[0][0] == "'") == (row.name[0] in "=+-@")
        fields = dict(zip(head, read, strict=True))
        assert fields["seeds"] == str(row.seeds)
        assert fields["said"] == row.said
        for column in hostile.columns:
            for title, value in ((column.title, row.values), (f"{column.title} spread", row.spread)):
                expected = value[column.key]
                assert (float(fields[title]) if fields[title] else None) == expected, "in full"


def cells_of_markdown(line: str) -> list[str]:
    """As GitHub reads a row: pipes that no backslash is before end a cell."""
    inner = re.fullmatch(r"\| (.*) \|", line)
    assert inner
    parts = re.findall(r"(?:\\.|[^|\\])+", inner[1])
    entities = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}
    plain = [re.sub(r"&(?:lt|gt|amp);", lambda found: entities[found[0]], part.strip()) for part in parts]
    return [re.sub(r"\\(.)", r"\1", part) for part in plain]


def test_markdown_reads_back_as_it_is(hostile: Table) -> None:
    lines = to_markdown(hostile).splitlines()
    head = cells_of_markdown(lines[0])
    assert head == ["model", "seeds", *(column.title for column in hostile.columns), "remarks"]
    assert not re.search(r"(?<!\\)[*_`\[<](?![*\d])", re.sub(r"\*\*[\d.,]+\*\*", "", "".join(lines[2:])))
    for line, row in zip(lines[2:], hostile.rows, strict=True):
        name, number, *cells, _ = cells_of_markdown(line)
        assert (name, number) == (" ".join(row.name.split()), str(row.seeds))
        for cell, column in zip(cells, hostile.columns, strict=True):
            check_cell(hostile, row, column, cell.split(" ± "), bold=cell.startswith("**"), strip="*")


def check_cell(table: Table, row: Any, column: Any, parts: list[str], *, bold: bool, strip: str) -> None:
    """A cell has the digits of its column, and is bold where it is the best."""
    value, spread = row.values[column.key], row.spread[column.key]
    if value is None:
        assert parts in (["–"], ["--"])
        return
    shown = [format(each, column.format) for each in (value, spread) if each is not None]
    assert [part.strip(strip) for part in parts] == shown
    every = [other.values[column.key] for other in table.rows if other.values[column.key] is not None]
    best = max(every) if column.better == "higher" else min(every)
    assert bold == (shown[0] == format(best, column.format))


COMMANDS = {
    "textbackslash{}": "\\", "textasciitilde{}": "~", "textasciicircum{}": "^", "textless{}": "<",
    "textgreater{}": ">", "textbar{}": "|", **{letter: letter for letter in "&%$#_{}"},
}  # fmt: skip


def text_of_latex(source: str) -> str:
    """What LaTeX sets; fails for a letter that is a command where it stands alone."""
    found, place = "", 0
    while place < len(source):
        if source[place] == "\\":
            command = next(name for name in COMMANDS if source.startswith(name, place + 1))
            found, place = found + COMMANDS[command], place + 1 + len(command)
        elif quoted := re.match(r"\{([\[\]*])\}", source[place:]):
            found, place = found + quoted[1], place + 3
        else:
            assert source[place] not in "&%$#_{}~^[]*<>|", source[place:]
            found, place = found + source[place], place + 1
    return found


def test_latex_reads_back_as_it_is(hostile: Table) -> None:
    text = to_latex(hostile)
    begin, top, head, middle, *rows, bottom, end = text.splitlines()
    columns = len(hostile.columns)
    assert begin == rf"\begin{{tabular}}{{lr{'r' * columns}l}}"
    assert (top, middle, bottom, end) == (r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}")
    assert [text_of_latex(each) for each in re.split(r" (?<!\\)& ", head.removesuffix(r" \\"))][2] == "loss"
    for line, row in zip(rows, hostile.rows, strict=True):
        assert line.endswith(r" \\")
        name, number, *cells, remark = re.split(r" (?<!\\)& ", line.removesuffix(r" \\"))
        assert (text_of_latex(name), number) == (" ".join(row.name.split()), str(row.seeds))
        if not row.seeds:
            assert text_of_latex(remark) == f"failed: {row.said}"
        for cell, column in zip(cells, hostile.columns, strict=True):
            bold = re.match(r"\\textbf\{([\d.,]+)\}", cell)
            parts = cell.replace(bold[0], bold[1]) if bold else cell
            check_cell(hostile, row, column, parts.split(r" $\pm$ "), bold=bool(bold), strip="")


def test_pictures_are_aligned_by_their_ids(home: Path) -> None:
    made = made_comparison(home, members=3, seeds=2, pictures=10)
    entries = made.entries()
    path = entries[2].folder / COUNTS
    counts = PictureCounts.load(path)
    kept = [name for name in reversed(counts.ids) if name != "test-0003"]  # another order, and one is missing
    counts.of(kept).save(path)
    change(entries[2].folder / DOCUMENT, images=9, confusion_matrix=counts.of(kept).total.tolist())
    found = compared_scores(entries)
    assert found.ids == [f"test-{n:04d}" for n in range(10) if n != 3]
    assert (found.pictures_left_out, found.left_out) == (1, [])
    assert [score.name for score in found.scores] == ["unet", "fpn on resnet50", "linknet on resnet50"]
    np.testing.assert_array_equal(found.scores[1].confusion[0], counts.of(found.ids).confusion)
    assert found.scores[0].confusion.shape == (2, 9, 3, 3)
    differences = real_differences(entries, resamples=50)
    assert differences is not None
    assert differences.pictures == 9
    for row, score in zip(differences.bootstrap.values, found.scores, strict=True):
        ours = [ConfusionMatrix(3, run.sum(axis=0)).figures()["mean_iou"] for run in score.confusion]
        assert row[differences.bootstrap.figures.index("mean_iou")] == pytest.approx(np.mean(ours))


def test_what_cannot_be_compared_is_left_out_and_named(home: Path) -> None:
    made = made_comparison(home, members=5, pictures=8, failed={(4, 0): "boo"})
    entries = made.entries()
    document = json.loads((entries[1].folder / DOCUMENT).read_text())
    change(entries[1].folder / DOCUMENT, classes=[{**row, "name": f"x{row['name']}"} for row in document["classes"]])
    (entries[2].folder / COUNTS).write_bytes(b"nothing")
    counts = PictureCounts.load(entries[3].folder / COUNTS)
    other = PictureCounts(3)
    for name, matrix, outlines in zip(counts.ids, counts.confusion, counts.boundary, strict=True):
        other.add(name, matrix.T + 1, outlines, None)
    other.save(entries[3].folder / COUNTS)
    change(entries[3].folder / DOCUMENT, confusion_matrix=other.total.tolist())
    found = real_differences(entries, resamples=20)
    assert found is not None
    assert found.bootstrap.models == ["unet"]
    damaged, classes, truth = found.left_out
    assert classes.startswith("fpn on resnet50: its classes are xpet")
    assert damaged.startswith("linknet on resnet50: ")
    assert "damaged" in damaged
    assert truth.startswith("deeplabv3+ on resnet50: its truth is another than that of the others")


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_the_odd_one_is_left_out_not_the_others(home: Path, odd: int) -> None:
    """Such as a run that was trained with another split, and is tested on that."""
    made = made_comparison(home, members=3, pictures=4)
    entry = made.entries()[odd]
    counts = PictureCounts.load(entry.folder / COUNTS)
    ids, counts.ids = counts.ids, [f"other-{n}" for n in range(4)]
    counts.save(entry.folder / COUNTS)
    found = compared_scores(made.entries())
    assert found.ids == ids
    assert len(found.scores) == 2
    assert found.left_out == [
        f"{entry.name}: it was evaluated on other pictures than the others: those of the split that it was trained with"
    ]


numbers = st.one_of(st.none(), st.just(float("nan")), st.integers(0, 5).map(float), st.floats(-1e6, 1e6))


@given(st.lists(st.tuples(numbers, numbers), max_size=14))
def test_the_front_is_that_of_trying_all_pairs(points: list[tuple[float | None, float | None]]) -> None:
    costs, scores = [cost for cost, _ in points], [score for _, score in points]
    expected = []
    for cost, score in points:
        real = [(c, s) for c, s in points if c is not None and s is not None and c == c and s == s]
        mine = cost is not None and score is not None and cost == cost and score == score
        expected.append(mine and not any(c <= cost and s >= score and (c < cost or s > score) for c, s in real))  # type: ignore[operator]
    assert pareto_front(costs, scores) == expected
