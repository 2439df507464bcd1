"""Charts of reports, drawn as SVG: figures along a training, and confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from segmodels.errors import UserError
from segmodels.report.svg import PALETTE, Element, Svg, add, canvas, label, short, tick_text, ticks
from segmodels.report.text import clean, figure, number

#: Side of the plot's frame in units of the drawing, and what is left around it.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460.0, 270.0, 54.0, 14.0, 34.0, 42.0
#: Each point has a dot up to so many; more than `DRAWN` are thinned out.
DOTS, DRAWN = 60, 1000
#: Dashes of one round through the palette each, so that many lines stay apart.
DASHES = (None, "6 3", "2 3", "8 3 2 3")
#: Characters of a name in the legend.
_NAME = 24
#: The most classes whose confusion matrix can be read.
MOST_CLASSES = 30

Role = Literal["training", "validation", "other"]


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        name: as the legend has it.
        x: where its values stand; a point whose place is no number is left out.
        y: its values; None, NaN and infinity are gaps.
        role: training is blue and dashed, validation vermilion and solid; the others take colours in turn.
        best: which of its points is marked.
    """

    name: str
    x: Sequence[float | None]
    y: Sequence[float | None]
    role: Role = "other"
    best: Literal["highest", "lowest"] | None = None


@dataclass(frozen=True)
class _Line:
    """A series as it is drawn: points with gaps (None) between, one of them the best."""

    name: str
    points: list[tuple[float, float | None]]
    best: tuple[float, float] | None
    colour: str
    dash: str | None

    @property
    def there(self) -> list[tuple[float, float]]:
        return [(x, y) for x, y in self.points if y is not None]


def line_chart(
    series: Sequence[Series], *, title: str, along: str = "epoch", from_zero: bool = False, width: float = WIDTH
) -> Svg:
    """Lines over the course of something.

    Args:
        series: the lines, in the order of the legend.
        title: what they show.
        along: what the horizontal axis counts.
        from_zero: whether the vertical axis begins at 0.
        width: of the drawing; letters stay as large, so it is for a chart that takes more of the page.
    """
    lines = [_line(one, index) for index, one in enumerate(series)]
    lines = [line for line in lines if line.there]
    named = lines if len(lines) > 1 else []  # a single one is what the title says
    wide = 46 + 7.2 * max((min(len(line.name), _NAME) for line in named), default=0)
    columns = max(1, int((width - LEFT) / wide))
    root = canvas(width, HEIGHT + 18 * -(-len(named) // columns), title)
    label(root, title, 0, 16, most=64, font_size=14, font_weight=600)
    if not lines:
        label(root, "no figures", width / 2, HEIGHT / 2, text_anchor="middle", class_="quiet")
        return Svg(root)
    places = [x for line in lines for x, _ in line.points]
    values = [y for line in lines for _, y in line.there] + ([0.0] if from_zero else [])
    across, up = _padded(min(places), max(places), 0.0), _padded(min(values), max(values), 0.06, from_zero)
    plot = _Plot(across, up, width - RIGHT)
    _axes(root, plot, along, whole=all(x == int(x) for x in places))
    for line in lines:
        _draw(root, plot, line, along)
    for index, line in enumerate(named):
        x, y = LEFT + (index % columns) * wide, HEIGHT + 4 + 18 * (index // columns)
        add(root, "path", d=f"M{short(x)} {short(y)}h24", **_stroke(line), class_="key")
        label(root, line.name, x + 30, y + 4, most=_NAME)
    return Svg(root)


def _line(series: Series, index: int) -> _Line:
    points = [(x, number(y)) for x, y in zip(map(number, series.x), series.y, strict=False) if x is not None]
    there = [(x, y) for x, y in points if y is not None]
    choose = {"highest": max, "lowest": min}.get(series.best or "")
    best = choose(there, key=lambda point: point[1]) if choose and there else None
    each = -(-len(points) // DRAWN)
    if each > 1:  # the last and the best are always drawn
        points = [p for n, p in enumerate(points) if n % each == 0 or n == len(points) - 1 or p == best]
    colour, dash = PALETTE[index % len(PALETTE)], DASHES[index // len(PALETTE) % len(DASHES)]
    if series.role != "other":
        colour, dash = {"training": (PALETTE[0], "5 3"), "validation": (PALETTE[1], None)}[series.role]
    return _Line(clean(series.name, 200), points, best, colour, dash)


@dataclass(frozen=True)
class _Plot:
    """Where values come to stand in the drawing."""

    across: tuple[float, float]
    up: tuple[float, float]
    right: float

    def x(self, value: float) -> float:
        low, high = self.across
        return LEFT + (value - low) / (high - low) * (self.right - LEFT)

    def y(self, value: float) -> float:
        low, high = self.up
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _padded(low: float, high: float, share: float, from_zero: bool = False) -> tuple[float, float]:
    """A range that is not empty, with some room around what lies in it."""
    if high - low <= max(abs(low), abs(high)) * 1e-9 or high - low < 1e-30:
        room = max(abs(high) * 0.1, 1e-6) if high else 0.5
        return low - room, high + room
    room = (high - low) * share
    return (low if from_zero and low == 0 else low - room), high + room


def _axes(root: Element, plot: _Plot, along: str, *, whole: bool) -> None:
    bottom, right = HEIGHT - BOTTOM, plot.right
    up = ticks(*plot.up)
    step = up[1] - up[0] if len(up) > 1 else 0.0
    for value in up:
        y = plot.y(value)
        add(root, "line", x1=LEFT, x2=right, y1=y, y2=y, class_="grid")
        label(root, tick_text(value, step), LEFT - 7, y + 4, text_anchor="end", class_="quiet")
    across = ticks(*plot.across, most=int(right / 48), whole=whole)
    step = across[1] - across[0] if len(across) > 1 else 1.0
    for value in across:
        x = plot.x(value)
        add(root, "line", x1=x, x2=x, y1=bottom, y2=bottom + 4, class_="axis")
        label(root, tick_text(value, step), x, bottom + 17, text_anchor="middle", class_="quiet")
    add(root, "line", x1=LEFT, x2=right, y1=bottom, y2=bottom, class_="axis")
    label(root, along, (LEFT + right) / 2, bottom + 33, text_anchor="middle", class_="quiet")


def _draw(root: Element, plot: _Plot, line: _Line, along: str) -> None:
    group = add(root, "g", class_="series")
    path, alone, pen = [], set(), False
    values = [y for _, y in line.points]
    for n, (x, y) in enumerate(line.points):
        if y is None:
            pen = False
            continue
        path.append(f"{'L' if pen else 'M'}{short(plot.x(x))} {short(plot.y(y))}")
        if not pen and (n + 1 == len(values) or values[n + 1] is None):
            alone.add(n)
        pen = True
    add(group, "path", d="".join(path), **_stroke(line), stroke_linejoin="round")
    for n, (x, y) in enumerate(line.points):
        if y is not None and (len(line.points) <= DOTS or n in alone):
            dot = add(group, "circle", cx=plot.x(x), cy=plot.y(y), r=2.4, fill=line.colour, class_="point")
            add(dot, "title", f"{line.name}, {along} {x:g}: {figure(y)}")
    if line.best:
        x, y = line.best
        ring = add(
            group, "circle", cx=plot.x(x), cy=plot.y(y), r=6, fill="none", stroke=line.colour, stroke_width=2,
            class_="best",
        )  # fmt: skip
        add(ring, "title", f"best of {line.name}, {along} {x:g}: {figure(y)}")
        # Beside the ring, on the side where there is room.
        left, low = plot.x(x) > plot.right * 0.6, plot.y(y) < TOP + 14
        label(
            group, figure(y), plot.x(x) + (-9 if left else 9), plot.y(y) + (14 if low else -8),
            text_anchor="end" if left else "start", font_weight=600, class_="halo",
        )  # fmt: skip


def _stroke(line: _Line) -> dict[str, str | float]:
    stroke: dict[str, str | float] = {"fill": "none", "stroke": line.colour, "stroke_width": 2}
    return {**stroke, "stroke_dasharray": line.dash} if line.dash else stroke


def matrix_chart(
    counts: Sequence[Sequence[int]],
    names: Sequence[str],
    *,
    normalise: Literal["truth", "prediction"] = "truth",
    title: str = "Confusion matrix",
) -> Svg:
    """A confusion matrix: a row a true class, a column a predicted one, cells shaded by their share in percent.

    Args:
        counts: pixels, `(classes, classes)`, of which there are `MOST_CLASSES` at most.
        names: of the classes.
        normalise: of what a cell is the share: of its row's truth (the diagonal is then the recall), or of its column's
            prediction (the precision).

    Raises:
        UserError: counts that are not as many as the names, or too many.
    """
    size = len(names)
    if len(counts) != size or any(len(row) != size for row in counts) or not 0 < size <= MOST_CLASSES:
        raise UserError(f"a confusion matrix needs a row and a column for each of 1 to {MOST_CLASSES} classes")
    side = max(30.0, min(64.0, 640.0 / size))
    letters = max(len(clean(name, 22)) for name in names)
    left, top = 34 + 6.8 * letters, 46 + 5.0 * letters
    root = canvas(max(360.0, left + side * size + 6 + 4.8 * letters), top + side * size + 10, title)
    label(root, title, 0, 16, most=80, font_size=14, font_weight=600)
    label(root, "truth ↓   prediction →", 0, 34, class_="quiet")
    totals = (
        [sum(row) for row in counts] if normalise == "truth" else [sum(column) for column in zip(*counts, strict=True)]
    )
    for row, name in enumerate(names):
        middle = top + side * (row + 0.5)
        label(root, name, left - 8, middle + 4, most=22, text_anchor="end")
        x, y = left + side * (row + 0.5), top - 8
        label(root, name, x, y, most=22, transform=f"rotate(-45 {short(x)} {short(y)})")
        for column, pixels in enumerate(counts[row]):
            total = totals[row if normalise == "truth" else column]
            _cell(
                root, left + side * column, top + side * row, side, pixels / total if total else None,
                f"truth {name}, prediction {names[column]}: {pixels:,} pixels", fine=size <= 12,
            )  # fmt: skip
    return Svg(root)


def _cell(root: Element, x: float, y: float, side: float, share: float | None, said: str, *, fine: bool) -> None:
    cell = add(root, "g", class_="cell")
    add(cell, "title", said)
    add(
        cell, "rect", x=x + 0.5, y=y + 0.5, width=side - 1, height=side - 1, rx=2, fill=PALETTE[0],
        fill_opacity=f"{share or 0:.3f}", stroke="currentColor", stroke_opacity=".18",
    )  # fmt: skip
    text = "–" if share is None else "0" if share == 0 else f"{100 * share:.1f}" if fine else f"{100 * share:.0f}"
    kind = "over" if share is not None and share > 0.85 else "quiet" if not share else "in"
    add(cell, "text", text, x=x + side / 2, y=y + side / 2 + 4, text_anchor="middle", class_=kind)
