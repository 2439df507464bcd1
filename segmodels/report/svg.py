"""A small writer of SVG: elements, never markup, so that no text of a file can become a part of the drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree

from segmodels.report.text import clean

Element = ElementTree.Element

#: Okabe and Ito's palette, whose colours stay apart for people who see few; black and yellow left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F")
#: Every chart's own sheet, so that it is readable alone too. Lines and words take the colour of the text around.
STYLE = (
    "svg.chart{color:#1b1f24;font:12px system-ui,sans-serif}svg.chart text{fill:currentColor}"
    "svg.chart .quiet{opacity:.72}svg.chart .grid{stroke:currentColor;opacity:.16}"
    "svg.chart .axis{stroke:currentColor;opacity:.6}svg.chart .over{fill:#fff}"
    "svg.chart .halo{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}"
    "@media (prefers-color-scheme:dark){svg.chart{color:#e6e8eb}svg.chart .halo{stroke:#14171a}"
    "svg.chart .series,svg.chart .key{filter:brightness(1.35)}}"
    "@media print{svg.chart{color:#000}}"
)


@dataclass(frozen=True)
class Svg:
    """A drawing. Only the modules of charts make one."""

    root: Element

    def __str__(self) -> str:
        return ElementTree.tostring(self.root, encoding="unicode")


def canvas(width: float, height: float, title: str) -> Element:
    """The root of a chart; it takes the width that there is, and its title is read aloud."""
    root = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "chart",
            "viewBox": f"0 0 {short(width)} {short(height)}",
            "role": "img",
            "aria-label": clean(title, 200),
        },
    )
    add(root, "style", STYLE)
    return root


def add(parent: Element, tag: str, text: str = "", /, **attributes: str | float) -> Element:
    """Append an element; `_` in an attribute's name stands for `-`, `class_` for `class`."""
    names = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    made = ElementTree.SubElement(
        parent, tag, {name: value if isinstance(value, str) else short(value) for name, value in names.items()}
    )
    if text:
        made.text = clean(text)
    return made


def label(parent: Element, text: str, x: float, y: float, *, most: int = 40, **attributes: str | float) -> Element:
    """Append words; where they are more than `most` characters they are cut, and shown whole to a pointer."""
    whole, cut = " ".join(clean(text).split()), " ".join(clean(text).split())
    if len(whole) > most:
        cut = whole[: most - 1] + "…"
    made = add(parent, "text", cut, x=x, y=y, **attributes)
    if cut != whole:
        add(made, "title", whole)
    return made


def short(value: float) -> str:
    """A coordinate, without the digits that nobody sees."""
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def ticks(low: float, high: float, most: int = 6, *, whole: bool = False) -> list[float]:
    """Round numbers within `low` to `high`, in steps of 1, 2 or 5 times a power of ten; with `whole` no fractions."""
    span = high - low
    if not math.isfinite(span) or span <= max(abs(low), abs(high)) * 1e-12:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def tick_text(value: float, step: float) -> str:
    """A tick's number with as many places as its step has."""
    if value and (abs(value) >= 1e6 or abs(step) < 1e-4):
        return f"{value:.3g}"
    places = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 4
    return f"{value:.{places}f}"
