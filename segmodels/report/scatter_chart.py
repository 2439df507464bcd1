"""Accuracy against cost: a numbered dot a model, and the Pareto front through those that no other beats in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from segmodels.evaluation.compare.pareto import pareto_front
from segmodels.report.svg import PALETTE, Element, Svg, add, canvas, label, short, tick_text, ticks
from segmodels.report.text import clean, figure, number

#: Units of the drawing: the plot's frame, what is left around it, and a line of the legend.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, LINE = 460.0, 300.0, 54.0, 18.0, 34.0, 42.0, 18.0
#: The most expensive costs so many times the cheapest where the axis is of their logarithms.
WIDE = 20.0


@dataclass(frozen=True)
class Point:
    """A model: its name, what it costs (less is better) and its score (more is better)."""

    name: str
    cost: float | None
    score: float | None


def scatter_chart(points: Sequence[Point], *, title: str, across: str, up: str) -> Svg:
    """Draw points and the Pareto front; those without a cost or a score are in the legend alone.

    Where the costs differ by more than `WIDE` times the horizontal axis is logarithmic, and says so.

    Args:
        title: what is shown.
        across, up: what the axes are.
    """
    costs, scores = [number(point.cost) for point in points], [number(point.score) for point in points]
    there = [(x, y) for x, y in zip(costs, scores, strict=True) if x is not None and y is not None]
    front = pareto_front(costs, scores)
    root = canvas(WIDTH, HEIGHT + LINE * len(points) + 6, title)
    label(root, title, 0, 16, most=64, font_size=14, font_weight=600)
    if there:
        plot = _Plot.of(there)
        _axes(root, plot, across, up)
        on_front = zip(costs, scores, front, strict=True)
        best = sorted({(plot.x(x), plot.y(y)) for x, y, on in on_front if on and x is not None and y is not None})
        if len(best) > 1:
            steps = "".join(f"H{short(x)}V{short(y)}" for x, y in best[1:])
            path = f"M{short(best[0][0])} {short(best[0][1])}{steps}"
            add(root, "path", d=path, fill="none", stroke=PALETTE[1], stroke_dasharray="5 3", class_="front")
        for index, (point, cost, score, on) in enumerate(zip(points, costs, scores, front, strict=True)):
            if cost is not None and score is not None:
                group = add(root, "g", class_="point front" if on else "point")
                place = ", on the Pareto front" if on else ""
                add(group, "title", f"{clean(point.name, 200)}: {figure(score)} at {figure(cost)}{place}")
                _dot(group, index, plot.x(cost), plot.y(score), on)
    else:
        label(root, "no figures", WIDTH / 2, HEIGHT / 2, text_anchor="middle", class_="quiet")
    for index, (point, on) in enumerate(zip(points, front, strict=True)):
        y = HEIGHT + 6 + LINE * index
        _dot(root, index, 14, y, on)
        gone = "" if costs[index] is not None and scores[index] is not None else " (no figures)"
        label(root, f"{point.name}{gone}", 30, y + 4, most=60)
    return Svg(root)


@dataclass(frozen=True)
class _Plot:
    """Where costs and scores come to stand in the drawing; `across` is of logarithms where they are."""

    across: tuple[float, float]
    up: tuple[float, float]
    logarithmic: bool

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]]) -> _Plot:
        costs = [cost for cost, _ in points]
        logarithmic = min(costs) > 0 and max(costs) > WIDE * min(costs)
        scaled = [math.log10(cost) for cost in costs] if logarithmic else costs
        return cls(_padded(scaled), _padded([score for _, score in points]), logarithmic)

    def x(self, cost: float) -> float:
        (low, high), place = self.across, math.log10(cost) if self.logarithmic else cost
        return LEFT + (place - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, score: float) -> float:
        low, high = self.up
        return HEIGHT - BOTTOM - (score - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def ticks_across(self) -> list[float]:
        if not self.logarithmic:
            return ticks(*self.across, most=5)
        first, last = math.ceil(self.across[0]), math.floor(self.across[1])
        return [10.0**power for power in range(first, last + 1)]


def _axes(root: Element, plot: _Plot, across: str, up: str) -> None:
    rows, bottom = ticks(*plot.up), HEIGHT - BOTTOM
    step = rows[1] - rows[0] if len(rows) > 1 else 0.0
    for value in rows:
        add(root, "line", x1=LEFT, x2=WIDTH - RIGHT, y1=plot.y(value), y2=plot.y(value), class_="grid")
        label(root, tick_text(value, step), LEFT - 7, plot.y(value) + 4, text_anchor="end", class_="quiet")
    for value in plot.ticks_across():
        add(root, "line", x1=plot.x(value), x2=plot.x(value), y1=bottom, y2=bottom + 4, class_="axis")
        label(root, _cost(value), plot.x(value), bottom + 17, text_anchor="middle", class_="quiet")
    add(root, "line", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom, class_="axis")
    said = f"{across} (logarithmic)" if plot.logarithmic else across
    label(root, said, (LEFT + WIDTH - RIGHT) / 2, bottom + 33, most=60, text_anchor="middle", class_="quiet")
    label(root, up, 0, TOP - 2, class_="quiet")


def _cost(value: float) -> str:
    """A tick of costs: parameters are in millions."""
    return f"{value / 1e6:g} M" if abs(value) >= 1e6 else f"{value:,g}"


def _dot(parent: Element, index: int, x: float, y: float, on: bool) -> None:
    """A number in a circle, which is full where it is on the front."""
    colour = PALETTE[1] if on else PALETTE[0]
    add(parent, "circle", cx=x, cy=y, r=8, fill=colour, fill_opacity="1" if on else ".75")
    add(parent, "text", str(index + 1), x=x, y=y + 4, text_anchor="middle", font_size=10, class_="over")


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 0.5
    return low - room, high + room
