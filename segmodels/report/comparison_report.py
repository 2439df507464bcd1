"""A comparison as one HTML file: which model is better, how sure that is, what each costs, and all to do it again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from segmodels import __version__
from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.differences import Differences, real_differences
from segmodels.evaluation.compare.entries import Entry
from segmodels.evaluation.compare.groups import LETTERS, groups, letters
from segmodels.evaluation.compare.table import RANKED_BY, Table, comparison_table, protocol_line
from segmodels.report.charts import MOST_CLASSES, WIDTH, Series, line_chart, matrix_chart
from segmodels.report.comparison_pictures import compared_pictures
from segmodels.report.heat_chart import heat_chart
from segmodels.report.html_page import Page
from segmodels.report.interval_chart import Interval, interval_chart
from segmodels.report.run_curves import FEW
from segmodels.report.scatter_chart import Point, scatter_chart
from segmodels.report.text import NOTHING, clean, moment, number
from segmodels.training.run_files import dump_yaml

#: Rows of the table of pairs that are shown.
PAIRS = 300
#: What accuracy is drawn against.
COSTS = ("parameters", "gflops", "keras_milliseconds", "onnx_milliseconds")
#: Curves of one chart whose best points are marked: the numbers of more lie over each other.
MARKED = 3
#: Columns of `metrics.csv` that are drawn, with their titles and the good end.
CURVES: tuple[tuple[str, str, Literal["highest", "lowest"]], ...] = (
    ("val_mean_iou", "Mean IoU, validation", "highest"),
    ("val_loss", "Loss, validation", "lowest"),
)


def comparison_report(comparison: Comparison, *, now: datetime | None = None) -> str:
    """The report of a comparison as the text of one HTML file, which needs nothing else.

    Args:
        comparison: any: finished, at work, or with parts that are gone; what is missing is named in the report.
        now: the time that the report gives as its own; the present one where left out.
    """
    entries = comparison.entries()
    table = comparison_table(comparison, entries)
    shown = _best_first(table, entries)
    page = Page(comparison.title)
    _head(page, comparison, entries)
    _table(page, table)
    _differences(page, entries)
    _classes(page, table)
    _costs(page, table)
    _curves(page, entries)
    _pictures(page, comparison, shown)
    _confusion(page, shown)
    _recipes(page, comparison, entries)
    _environment(page, entries)
    _failures(page, table)
    made = now or datetime.now()
    page.paragraph(
        f"Made by segmodels {__version__} on {made:%Y-%m-%d %H:%M} from comparison {comparison.id}.", quiet=True
    )
    return str(page)


def _best_first(table: Table, entries: Sequence[Entry]) -> list[Entry]:
    """The first evaluated run of each member, in the order of the table."""
    firsts: dict[int, Entry] = {}
    for entry in entries:
        if entry.state == "evaluated" and entry.report is not None:
            firsts.setdefault(entry.member, entry)
    return [firsts[row.member] for row in table.rows if row.member in firsts]


def _head(page: Page, comparison: Comparison, entries: Sequence[Entry]) -> None:
    status = comparison.status()
    page.tags([comparison.id, clean(status["state"], 40), f"begun {moment(comparison.created)}"])
    page.paragraph(protocol_line(comparison, entries))
    if error := status.get("error"):
        page.note(clean(error))
    evaluated = sum(entry.state == "evaluated" for entry in entries)
    if evaluated < len(entries):
        page.note(f"{evaluated} of {len(entries)} runs are evaluated.")


def _table(page: Page, table: Table) -> None:
    page.heading("Figures")
    for title, wanted in (("Quality", ("quality", "instances")), ("Cost", ("cost",))):
        columns = [column for column in table.columns if column.group in wanted]
        columns = [each for each in columns if any(row.values[each.key] is not None for row in table.rows)]
        if not columns and title == "Cost":
            continue
        rows: list[list[Any]] = []
        for row in table.rows:
            cells: list[Any] = [row.name, f"{row.state}: {row.said}" if row.said else row.state, row.seeds]
            for column in columns:
                value, spread = table.shown(row, column) or (NOTHING, "")
                cells.append(f"{value}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{spread}" if spread else value)
            rows.append(cells)
        names = ["model", "state", "seeds", *(column.title for column in columns)]
        page.table(names, rows, caption=f"{title}: means over the seeds ± standard deviation")


def _differences(page: Page, entries: Sequence[Entry]) -> None:
    page.heading("Which differences are real")
    try:
        found = real_differences(entries)
    except UserError as error:
        page.note(f"The models cannot be held against each other: {error}")
        return
    if found is None:
        page.paragraph("Nothing is evaluated on the same pictures yet.", quiet=True)
        return
    if found.left_out:
        page.note("Left out:\n" + "\n".join(found.left_out))
    if found.pictures_left_out:
        page.note(f"{found.pictures_left_out:,} pictures that only some were evaluated on are left out.")
    boot = found.bootstrap
    found_between, pairs = boot.intervals(RANKED_BY), boot.pairs(RANKED_BY)
    values = [interval.value for interval in found_between]
    different = [(pair.first, pair.second) for pair in pairs if pair.different]
    behind = letters(boot.models, values, different) if len(boot.models) > 1 else {}
    found_between.sort(key=lambda each: -each.value if each.value == each.value else 1)
    intervals = [Interval(*interval, behind.get(interval.name, "")) for interval in found_between]
    title = f"Mean IoU with its {100 * boot.level:g} % interval, {found.pictures:,} pictures"
    caption = "Models that share a letter cannot be told apart." if behind else ""
    page.figures(
        [interval_chart(intervals, title=title, along="mean IoU", level=boot.level)], across=1, caption=caption
    )
    if len(boot.models) > 1:
        _pairs(page, found)
        page.paragraph(f"Models that {found.pictures:,} pictures cannot tell apart, best first:")
        together = groups(boot.models, values, different)
        named = [f"{LETTERS[n % len(LETTERS)]}{n // len(LETTERS) or ''}" for n in range(len(together))]
        page.table(["group", "models"], [[of, ", ".join(names)] for of, names in zip(named, together, strict=True)])


def _pairs(page: Page, found: Differences) -> None:
    pairs, level = found.bootstrap.pairs(RANKED_BY), found.bootstrap.level
    rows = [
        [
            pair.first, pair.second, number(pair.difference), number(pair.low), number(pair.high),
            number(pair.p_corrected), "yes" if pair.different else "no",
        ]
        for pair in sorted(pairs, key=lambda pair: -abs(pair.difference))
    ]  # fmt: skip
    more = f"; {len(rows) - PAIRS:,} more pairs with smaller differences" if len(rows) > PAIRS else ""
    page.table(
        ["first", "second", "difference", f"{100 * level:g} % from", "to", "p, corrected", "told apart"],
        rows[:PAIRS],
        caption="First minus second in mean IoU: a paired bootstrap over the pictures, 10,000 resamples, p-values "
        f"corrected for the number of pairs (Holm){more}",
    )


def _classes(page: Page, table: Table) -> None:
    columns = [column for column in table.columns if column.group == "class"]
    rows = [row for row in table.rows if row.seeds]
    if not columns or not rows:
        return
    page.heading("By class")
    names = [column.key.removeprefix("iou: ") for column in columns]
    if len(names) <= MOST_CLASSES:
        values = [[row.values[column.key] for column in columns] for row in rows]
        page.figures([heat_chart(values, [row.name for row in rows], names, title="IoU by model and class")], across=1)
    else:
        cells = [[name, *(row.values[column.key] for row in rows)] for name, column in zip(names, columns, strict=True)]
        page.table(["class", *(row.name for row in rows)], cells, caption="IoU by class and model")


def _costs(page: Page, table: Table) -> None:
    rows = [row for row in table.rows if row.seeds]
    drawings = []
    for key in COSTS:
        points = [Point(row.name, row.values[key], row.values[RANKED_BY]) for row in rows]
        if any(point.cost is not None for point in points):
            title = table.column(key).title
            drawings.append(scatter_chart(points, title=f"Mean IoU against {title}", across=title, up="mean IoU"))
    if drawings:
        page.heading("Accuracy against cost")
        page.figures(drawings)
        page.paragraph(
            "Dashed: the Pareto front. No other model is both cheaper and better than one on it. Times are of one "
            "picture, on the devices that are named below.",
            quiet=True,
        )
    elif rows:
        page.paragraph("What the models cost to use is not measured yet.", quiet=True)


def _curves(page: Page, entries: Sequence[Entry]) -> None:
    histories = [(entry, entry.history) for entry in entries]
    drawings, across = [], 2 if len(histories) <= FEW else 1
    for column, title, best in CURVES:
        there = [(entry, rows) for entry, rows in histories if any(number(row.get(column)) is not None for row in rows)]
        marked = best if len(there) <= MARKED else None
        lines = [
            Series(
                _name(entry, entries),
                [row.get("epoch") for row in rows],
                [row.get(column) for row in rows],
                best=marked,
            )
            for entry, rows in there
        ]
        if lines:
            drawings.append(line_chart(lines, title=title, from_zero=column == "val_loss", width=WIDTH * (3 - across)))
    if drawings:
        page.heading("Curves")
        page.figures(drawings, across=across)


def _name(entry: Entry, entries: Sequence[Entry]) -> str:
    """Of an entry, with its run where its member has several."""
    several = sum(other.member == entry.member for other in entries) > 1
    return f"{entry.name}, run {entry.seed + 1}" if several else entry.name


def _pictures(page: Page, comparison: Comparison, shown: Sequence[Entry]) -> None:
    if len(shown) < 2:
        return
    page.heading("Pictures on which the models disagree most")
    found = compared_pictures(comparison, shown)
    if found.missing:
        page.note("\n".join(found.missing))
    if found.rows:
        page.legend([(label.name, label.colour) for label in found.labels])
    for sample_id, apart, drawn in found.rows:
        page.heading(sample_id, level=3)
        page.paragraph(f"Standard deviation of the pixel accuracy between the models: {apart:.4f}", quiet=True)
        page.pictures(
            [(data, f"{name} of {clean(sample_id, 100)}{'' if data else ': missing'}", name) for name, data in drawn],
            across=4,
        )


def _confusion(page: Page, shown: Sequence[Entry]) -> None:
    drawings, size = [], 0
    for entry in shown:
        document = entry.report.document if entry.report else {"classes": []}
        names = [row["name"] for row in document["classes"]]
        if 0 < len(names) <= MOST_CLASSES:
            drawings.append(matrix_chart(document["confusion_matrix"], names, title=clean(entry.name, 80)))
            size = max(size, len(names))
    if drawings:
        page.heading("Confusion matrices")
        page.figures(drawings, across=1 if size > FEW else 2, caption="Percent of each true class.")
    elif shown:
        page.heading("Confusion matrices")
        page.paragraph(f"They can be read for up to {MOST_CLASSES} classes.", quiet=True)


def _recipes(page: Page, comparison: Comparison, entries: Sequence[Entry]) -> None:
    page.heading("Recipes")
    for number_of, member in enumerate(comparison.members):
        of = [entry for entry in entries if entry.member == number_of]
        recipe = next((found for entry in of if (found := entry.recipe)), None) or member.recipe
        page.heading(member.name, level=3)
        if member.model is not None:
            page.paragraph(f"A model that was there already: {member.model}", quiet=True)
        page.code(dump_yaml(recipe)) if recipe else page.paragraph("Its recipe is not known.", quiet=True)


def _environment(page: Page, entries: Sequence[Entry]) -> None:
    rows: list[list[Any]] = []
    for entry in entries:
        training, speed = entry.training, entry.speed
        if training or speed:
            said = [training.get(name) for name in ("run", "device", "backend", "precision")]
            said += [speed.get(name) for name in ("device", "engine", "threads")]
            rows.append([_name(entry, entries), *(NOTHING if each is None else clean(each, 200) for each in said)])
    if rows:
        page.heading("Versions and devices")
        page.table(["model", "run", "trained on", "by", "precision", "timed on", "by", "threads"], rows)


def _failures(page: Page, table: Table) -> None:
    if rows := [[row.name, row.state, row.said] for row in table.rows if row.said]:
        page.heading("What is missing, and why")
        page.table(["model", "state", "reason"], rows)
