"""Figures with their intervals, one below the other: a dot, and a whisker from the low to the high end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segmodels.report.svg import PALETTE, Svg, add, canvas, label, tick_text, ticks
from segmodels.report.text import clean, figure, number

#: Units of the drawing: its width, a row's height, and what is left above and below the rows.
WIDTH, ROW, TOP, BOTTOM = 760.0, 26.0, 30.0, 38.0
#: Characters of a name, and of the letters behind it, that are shown.
_NAME, _LETTERS = 34, 8


@dataclass(frozen=True)
class Interval:
    """A row: a name, a value, the ends of its interval (None or NaN where there are none), and what comes after it."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    letters: str = ""


def interval_chart(intervals: Sequence[Interval], *, title: str, along: str, level: float = 0.95) -> Svg:
    """Draw intervals in the order in which they are given.

    Args:
        title: what they are.
        along: what the horizontal axis is.
        level: of the intervals.
    """
    left = 16 + 7.0 * max((min(len(clean(each.name)), _NAME) for each in intervals), default=0)
    right = WIDTH - 16 - 8.0 * max((min(len(each.letters), _LETTERS) for each in intervals), default=0)
    bottom = TOP + ROW * len(intervals)
    root = canvas(WIDTH, bottom + BOTTOM, title)
    label(root, title, 0, 16, most=100, font_size=14, font_weight=600)
    ends = [number(one) for each in intervals for one in (each.value, each.low, each.high)]
    there = [one for one in ends if one is not None]
    low, high = (min(there), max(there)) if there else (0.0, 1.0)
    room = (high - low) * 0.05 or 0.05
    low, high = low - room, high + room

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    marks = ticks(low, high, most=8)
    step = marks[1] - marks[0] if len(marks) > 1 else 0.0
    for value in marks:
        add(root, "line", x1=place(value), x2=place(value), y1=TOP, y2=bottom, class_="grid")
        label(root, tick_text(value, step), place(value), bottom + 16, text_anchor="middle", class_="quiet")
    label(root, along, (left + right) / 2, bottom + 32, text_anchor="middle", class_="quiet")
    for index, each in enumerate(intervals):
        y = TOP + ROW * (index + 0.5)
        label(root, each.name, left - 10, y + 4, most=_NAME, text_anchor="end")
        label(root, each.letters, right + 10, y + 4, most=_LETTERS, font_weight=600)
        found, first_end, last_end = number(each.value), number(each.low), number(each.high)
        if found is None:
            label(root, "no figures", left + 6, y + 4, class_="quiet")
            continue
        group = add(root, "g", class_="series")
        said = f"{clean(each.name, 200)}: {figure(found)}"
        if first_end is not None and last_end is not None:
            first, last = place(first_end), place(last_end)
            said += f", {100 * level:g} % interval {figure(first_end)} to {figure(last_end)}"
            add(group, "line", x1=first, x2=last, y1=y, y2=y, stroke=PALETTE[0], stroke_width=2, class_="whisker")
            for end in (first, last):
                add(group, "line", x1=end, x2=end, y1=y - 5, y2=y + 5, stroke=PALETTE[0], stroke_width=2)
        dot = add(group, "circle", cx=place(found), cy=y, r=4.5, fill=PALETTE[0], class_="point")
        add(dot, "title", said)
    return Svg(root)
