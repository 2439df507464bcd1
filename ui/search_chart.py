"""The Plotly chart of a search: its trials as lines through all values, coloured by what they came to."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from segmodels.search.space import Choice, Domain, Range, value_text

#: From bad to good; seen on light and on dark, also by who cannot tell red from green.
SCALE = [[0, "#56B4E9"], [0.5, "#A98DA5"], [1, "#D55E00"]]
#: Fewer lines say nothing.
LEAST = 2
#: Letters of a choice that are written.
LETTERS = 18


def parallel_coordinates(
    fields: Mapping[str, Domain],
    rows: Sequence[tuple[Mapping[str, Any], float]],
    metric: str,
    *,
    higher: bool = True,
    key: str = "",
) -> go.Figure:
    """A line a trial and an axis a field, the metric last; brushing an axis leaves the lines that go through it.

    Args:
        fields: what is searched.
        rows: values and metric of each trial, finite; `LEAST` or more.
        metric: its name.
        higher: whether a higher metric is better.
        key: what the reader brushed stays while it is the same.
    """
    axes = [_axis(field, domain, [values.get(field) for values, _ in rows]) for field, domain in fields.items()]
    figures = [value for _, value in rows]
    low, high = min(figures), max(figures)
    axes.append({"label": html.escape(metric), "values": figures, "range": _spread(low, high)})
    figure = go.Figure(
        go.Parcoords(
            dimensions=axes,
            line={
                "color": figures,
                "colorscale": SCALE,
                "reversescale": not higher,
                "cmin": low,
                "cmax": high if high > low else low + 1e-9,
                "showscale": False,
            },
            rangefont={"size": 1, "color": "rgba(0,0,0,0)"},  # the ticks say it
            labelangle=-18,
            labelside="top",
            unselected={"line": {"opacity": 0.08}},
        )
    )
    figure.update_layout(height=400, margin={"l": 64, "r": 56, "t": 84, "b": 24}, uirevision=key)
    return figure


def _axis(field: str, domain: Domain, values: Sequence[Any]) -> dict[str, Any]:
    label = html.escape(field.removeprefix("options."))
    if isinstance(domain, Choice) and not _numbers(domain.values):
        known = {value_text(value): place for place, value in enumerate(domain.values)}
        # Other spellings of a value are what its recipe made of it.
        places = [known.setdefault(value_text(value), len(known)) for value in values]
        texts = [html.escape(text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…") for text in known]
        span = [-0.3, max(len(known) - 0.7, 0.7)]
        return {"label": label, "values": places, "range": span, "tickvals": list(range(len(known))), "ticktext": texts}
    if isinstance(domain, Range) and domain.kind == "log":
        low, high = math.log10(domain.low), math.log10(domain.high)
        ticks = [low, *[float(power) for power in range(math.floor(low) + 1, math.ceil(high))], high]
        return {
            "label": label,
            "values": [math.log10(value) for value in values],
            "range": [low, high],
            "tickvals": ticks,
            "ticktext": [f"{10**tick:.3g}" for tick in ticks],
        }
    ends = [float(end) for end in domain.ends]
    axis: dict[str, Any] = {"label": label, "values": values, "range": _spread(min(ends), max(ends))}
    if isinstance(domain, Choice):
        axis |= {"tickvals": ends, "ticktext": [f"{end:g}" for end in ends]}
    return axis


def _numbers(values: Sequence[Any]) -> bool:
    """Whether all are numbers, of which two are not the same."""
    there = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(there) == len(values)


def _spread(low: float, high: float) -> list[float]:
    """A range with a little room, also where all values are the same."""
    room = 0.04 * (high - low) or 0.05 * abs(high) or 0.05
    return [low - room, high + room]
