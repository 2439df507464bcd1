"""The table of a comparison: a row a member, with means over its seeds and what it costs. Loads no Keras."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.entries import Entry
from segmodels.evaluation.instances import FIGURES
from segmodels.report.text import number
from segmodels.training.recipe_difference import differences

Group = Literal["quality", "class", "instances", "cost"]

#: By this figure rows are sorted.
RANKED_BY = "mean_iou"


@dataclass(frozen=True)
class Column:
    """A figure of the table.

    Attributes:
        key: its name in `Row.values`; of quality the bootstrap's.
        title: its name for people, with the unit.
        group: what it is about.
        better: which end is the good one.
        format: how a value is shown, as `format` takes it.
        document: where a value stands: "report", "speed" or "training", with the names on the way to it.
        unit: what one of the unit is in that document's own.
    """

    key: str
    title: str
    group: Group
    better: Literal["higher", "lower"]
    format: str = ".3f"
    document: tuple[str, ...] = ()
    unit: float = 1.0


@dataclass(frozen=True)
class Row:
    """A member.

    Attributes:
        member: its number.
        name: of the member.
        seeds: how many of its runs are evaluated.
        values: by the key of each column, the mean over those; None where there is none.
        spread: standard deviation over them (with n - 1); None for fewer than two.
        state: "evaluated" where at least one run is, else how far the furthest is.
        said: what is not as it should be, in a line: which seeds failed and why, or how far they are.
    """

    member: int
    name: str
    seeds: int
    values: dict[str, float | None]
    spread: dict[str, float | None]
    state: str
    said: str


@dataclass(frozen=True)
class Table:
    """Rows, best first, those without figures last."""

    columns: list[Column]
    rows: list[Row]

    def column(self, key: str) -> Column:
        """`KeyError` for a column that there is not."""
        return {column.key: column for column in self.columns}[key]

    def shown(self, row: Row, column: Column) -> tuple[str, str] | None:
        """A value and its spread as text, the latter empty where there is none; None where there is no value."""
        value, spread = row.values.get(column.key), row.spread.get(column.key)
        if value is None:
            return None
        return format(value, column.format), "" if spread is None else format(spread, column.format)

    def best(self, column: Column) -> str | None:
        """How the best value of a column is shown; None where fewer than two rows have one."""
        values = [value for row in self.rows if (value := row.values.get(column.key)) is not None]
        if len(values) < 2:
            return None
        return format((max if column.better == "higher" else min)(values), column.format)


#: All columns but those of the classes.
COLUMNS = (
    Column("loss", "loss", "quality", "lower", document=("report", "loss")),
    Column("pixel_accuracy", "pixel accuracy", "quality", "higher", document=("report", "pixel_accuracy")),
    Column("mean_iou", "mean IoU", "quality", "higher", document=("report", "mean_iou")),
    Column("mean_dice", "mean Dice", "quality", "higher", document=("report", "mean_dice")),
    Column("precision", "precision", "quality", "higher", document=("report", "precision")),
    Column("recall", "recall", "quality", "higher", document=("report", "recall")),
    Column("f1", "F1", "quality", "higher", document=("report", "f1")),
    Column("mse", "MSE", "quality", "lower", ".4f", ("report", "mse")),
    Column("boundary_iou", "boundary IoU", "quality", "higher", document=("report", "boundary", "iou")),
    Column("boundary_f1", "boundary F1", "quality", "higher", document=("report", "boundary", "f1")),
    Column("ece", "ECE", "quality", "lower", ".4f", ("report", "calibration", "ece")),
    *(
        Column(f"instances: {name}", f"instances: {title}", "instances", "higher", ".3f", ("report", "instances", name))
        for name, title in zip(FIGURES, ("Dice", "AJI", "AJI+", "PQ", "DQ", "SQ", "F1"), strict=True)
    ),
    Column("parameters", "parameters", "cost", "lower", ",.0f", ("speed", "parameters")),
    Column("gflops", "GFLOPs", "cost", "lower", ",.2f", ("speed", "gflops")),
    Column("checkpoint_megabytes", "checkpoint, MB", "cost", "lower", ",.1f", ("speed", "checkpoint_bytes"), 2.0**20),
    Column("keras_milliseconds", "ms a picture, Keras", "cost", "lower", ",.1f", ("speed", "keras_milliseconds")),
    Column("onnx_milliseconds", "ms a picture, ONNX Runtime", "cost", "lower", ",.1f", ("speed", "onnx_milliseconds")),
    Column(
        "images_per_second", "training pictures/s", "cost", "higher", ",.1f", ("training", "images_per_second")
    ),
    Column("training_minutes", "training, min", "cost", "lower", ",.1f", ("training", "seconds"), 60.0),
    Column("memory_megabytes", "peak memory, MB", "cost", "lower", ",.0f", ("training", "peak_memory_bytes"), 2.0**20),
)  # fmt: skip


def comparison_table(comparison: Comparison, entries: Sequence[Entry] | None = None) -> Table:
    """The table as the results are now.

    Figures of objects are columns where all that are evaluated have them, classes where one of them knows the class.

    Args:
        entries: of the comparison, where they were read already.
    """
    entries = comparison.entries() if entries is None else entries
    found = [_Result.of(entry) for entry in entries]
    reports = [result.documents["report"] for result in found if result.evaluated]
    objects = bool(reports) and all(isinstance(report.get("instances"), dict) for report in reports)
    classes = dict.fromkeys(name for report in reports for name in _by_class(report))
    columns: list[Column] = []
    for column in COLUMNS:
        if column.group == "cost" and not any(other.group == "class" for other in columns):
            columns += [Column(f"iou: {name}", f"IoU {name}", "class", "higher") for name in classes]
        if objects or column.group != "instances":
            columns.append(column)
    rows = [
        _row(comparison, number, [result for result in found if result.entry.member == number], columns)
        for number in range(len(comparison.members))
    ]
    return Table(columns, sorted(rows, key=_rank))


def protocol_line(comparison: Comparison, entries: Sequence[Entry] | None = None) -> str:
    """What all were put through, in a few sentences: the data, the seeds, and by which recipes they were trained."""
    entries = comparison.entries() if entries is None else entries
    size = "at each picture's own size" if comparison.at == "native" else "at the size of each model"
    pictures = _pictures(comparison, entries)
    many = "" if pictures is None else f" ({pictures:,} picture{'s' if pictures != 1 else ''})"
    parts = [f"Evaluated on the {comparison.split} split of {comparison.data}{many}, {size}"]
    trained = [member for member in comparison.members if member.recipe is not None]
    seeds = sorted({len(member.runs) for member in trained})
    if trained:
        number = " to ".join(str(each) for each in dict.fromkeys((seeds[0], seeds[-1])))
        of = f"{number} seed{'s' if seeds != [1] else ''} each"
        how = "all by one recipe but for the network" if comparison.protocol == "same" else "each by its own recipe"
        parts.append(f"Trained {how}, {of}")
        parts += _unlike(trained[0].name, [(each.name, trained[0].recipe or {}, each.recipe or {}) for each in trained])
    if there := [member.name for member in comparison.members if member.recipe is None]:
        were = "was there already, and was trained by a recipe of its own"
        if len(there) > 1:
            were = "were there already, and were trained by recipes of their own"
        parts.append(f"{_listed(there) if trained else 'The models'} {were}")
    return ". ".join(parts) + "."


@dataclass(frozen=True)
class _Result:
    """What an entry's files hold, each read once."""

    entry: Entry
    documents: dict[str, dict[str, Any]]
    state: str
    said: str

    @classmethod
    def of(cls, entry: Entry) -> _Result:
        if entry.state != "evaluated":
            return cls(entry, {}, entry.state, entry.said)
        if (report := entry.report) is None:
            return cls(entry, {}, "failed", "its report is damaged: evaluate it again")
        speed = entry.speed
        documents = {"report": report.document, "speed": speed, "training": entry.training}
        others = entry.other_pictures
        said = [f"evaluated on {others} pictures of its own split, which are not the others'"] if others else []
        said += [
            f"{what}: {reason}"
            for what, reason in (("not timed", speed.get("error")), ("no ONNX Runtime", speed.get("onnx_error")))
            if reason
        ]
        return cls(entry, documents, "evaluated", "; ".join(said))

    @property
    def evaluated(self) -> bool:
        return self.state == "evaluated"

    def value(self, column: Column) -> float | None:
        if column.group == "class":
            return number(_by_class(self.documents["report"]).get(column.key.removeprefix("iou: ")))
        found: Any = self.documents
        for name in column.document:
            found = found.get(name) if isinstance(found, Mapping) else None
        value = number(found)
        return None if value is None else value / column.unit


def _by_class(report: Mapping[str, Any]) -> dict[str, Any]:
    return {row["name"]: row.get("iou") for row in report["classes"]}


def _row(comparison: Comparison, number: int, results: Sequence[_Result], columns: Sequence[Column]) -> Row:
    evaluated = [result for result in results if result.evaluated]
    values: dict[str, float | None] = {}
    spread: dict[str, float | None] = {}
    for column in columns:
        there = [value for result in evaluated if (value := result.value(column)) is not None]
        values[column.key] = statistics.fmean(there) if there else None
        spread[column.key] = statistics.stdev(there) if len(there) > 1 else None
    states = [result.state for result in results]
    furthest = ("evaluated", "training", "trained", "waiting", "failed")
    member = comparison.members[number]
    return Row(
        number, member.name, len(evaluated), values, spread,
        state=next((state for state in furthest if state in states), "waiting"),
        said=_said(results, first=int((member.recipe or {}).get("seed") or 0)),
    )  # fmt: skip


def _said(results: Sequence[_Result], first: int) -> str:
    """What is said of the runs, each line once, with the seeds that it is about."""
    if len(results) == 1:
        return " ".join(results[0].said.split())
    seeds: dict[str, list[int]] = {}
    mixed = len({result.state for result in results}) > 1
    for result in results:
        said = " ".join((result.said or ("" if result.evaluated else result.state)).split())
        if said:
            text = f"{result.state}, {said}" if mixed and result.state == "failed" else said
            seeds.setdefault(text, []).append(first + result.entry.seed)
    if len(seeds) == 1 and len(next(iter(seeds.values()))) == len(results):
        return next(iter(seeds))
    return "; ".join(f"seed{'s' if len(of) > 1 else ''} {_listed(map(str, of))} {text}" for text, of in seeds.items())


def _rank(row: Row) -> tuple[bool, bool, float, int]:
    figure = row.values[RANKED_BY]
    return not row.seeds, figure is None, -(figure or 0), row.member


def _pictures(comparison: Comparison, entries: Iterable[Entry]) -> int | None:
    """How many were evaluated, or are to be; None where the data set is gone."""
    for entry in entries:
        if entry.state == "evaluated" and (report := entry.report):
            return int(report.document["images"])
    try:
        return len(comparison.dataset().samples(comparison.split))
    except UserError:
        return None


def _unlike(first: str, members: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]]) -> list[str]:
    """In which fields members were trained otherwise than the first; those that differ alike are named together."""
    names: dict[tuple[str, ...], list[str]] = {}
    for name, one, other in members:
        fields = [difference.field for difference in differences(one, other)]
        if "architecture" in fields:  # what it is compared for, and options that only it has
            fields = [field for field in fields if field != "architecture" and not field.startswith("options")]
        if fields:
            names.setdefault(tuple(fields), []).append(name)
    return [
        f"{_listed(who)} differ{'s' if len(who) == 1 else ''} from {first} in {_listed(fields)}"
        for fields, who in names.items()
    ]


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
