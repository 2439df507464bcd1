"""A table of figures between 0 and 1 whose cells are shaded by them."""

from __future__ import annotations

from collections.abc import Sequence

from segmodels.report.svg import PALETTE, Svg, add, canvas, label, short
from segmodels.report.text import NOTHING, clean, figure, number

#: Characters of a name, and the height of a row in units of the drawing.
_NAME, _ROW = 30, 28.0


def heat_chart(
    values: Sequence[Sequence[float | None]], rows: Sequence[str], columns: Sequence[str], *, title: str
) -> Svg:
    """Draw figures by row and column: `values[row][column]`, 0 to 1; None or NaN where there is none."""
    side = max(36.0, min(84.0, 640.0 / max(1, len(columns))))
    left = 14 + 7.0 * max((min(len(clean(name)), _NAME) for name in rows), default=0)
    slant = 5.0 * max((min(len(clean(name)), _NAME) for name in columns), default=0)
    top = 40 + slant
    root = canvas(max(760.0, left + side * len(columns) + slant + 6), top + _ROW * len(rows) + 8, title)
    label(root, title, 0, 16, most=90, font_size=14, font_weight=600)
    for place, name in enumerate(columns):
        x, y = left + side * (place + 0.5), top - 8
        label(root, name, x, y, most=_NAME, transform=f"rotate(-45 {short(x)} {short(y)})")
    for line, (name, figures) in enumerate(zip(rows, values, strict=True)):
        y = top + _ROW * line
        label(root, name, left - 8, y + _ROW / 2 + 4, most=_NAME, text_anchor="end")
        for place, (of, value) in enumerate(zip(columns, figures, strict=True)):
            found = number(value)
            cell = add(root, "g", class_="cell")
            add(cell, "title", f"{clean(name, 200)}, {clean(of, 200)}: {figure(found)}")
            add(
                cell, "rect", x=left + side * place + 0.5, y=y + 0.5, width=side - 1, height=_ROW - 1, rx=2,
                fill=PALETTE[0], fill_opacity=f"{min(1.0, max(0.0, found or 0)):.3f}", stroke="currentColor",
                stroke_opacity=".18",
            )  # fmt: skip
            kind = "quiet" if found is None else "over" if found > 0.6 else "in"
            text = NOTHING if found is None else f"{found:.3f}"
            add(
                cell, "text", text, x=left + side * (place + 0.5), y=y + _ROW / 2 + 4, text_anchor="middle", class_=kind
            )
    return Svg(root)
