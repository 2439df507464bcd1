"""A network as a drawing: its stages as boxes, what leads from one to the next as lines."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go

from ui.figures import compact

#: Okabe and Ito's palette; the parts also differ by where they stand, and the skips by their dashes.
COLOURS = {"encoder": "#0072B2", "decoder": "#E69F00", "head": "#009E73"}
FLOW = {"color": "rgba(128,128,128,.9)", "width": 1.5}
SKIP = {"color": "#CC79A7", "width": 1.5, "dash": "dot"}


def architecture_drawing(summary: dict[str, Any]) -> go.Figure:
    """A stage is a box: the lower the smaller its map, the taller the larger its map, the wider the more channels.

    Stages stand in the column of the longest way that leads to them, so that a U-Net is a U and UNet++ a triangle.
    Branches side by side that are alike, as those of a pyramid, are one box.
    """
    size = summary["padded_size"]
    stages, edges = _joined(summary["stages"], summary["edges"])
    for stage in stages.values():  # rows are halvings of the picture: 0 its own size, -1 half of it
        stage["row"] = math.log2(max(1, stage["height"]) / size)
    places = _places(stages, edges)
    figure = go.Figure()
    top = _lines(figure, stages, places, edges)
    for part, colour in COLOURS.items():
        shown = [stage for stage in stages.values() if stage["part"] == part]
        figure.add_bar(
            x=[places[stage["name"]] for stage in shown],
            y=[_height(stage) for stage in shown],
            base=[stage["row"] - _height(stage) / 2 for stage in shown],
            width=[_width(stage) for stage in shown],
            name=part,
            marker={"color": colour, "line": {"width": 0}, "cornerradius": 2},
            customdata=[
                [stage["title"], _size(stage), compact(stage["parameters"]), compact(stage["multiply_adds"])]
                for stage in shown
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<br>%{customdata[2]} parameters<br>"
            "%{customdata[3]} multiply-adds<extra></extra>",
            zorder=2,
        )
    _labels(figure, stages, places)
    _frame(figure, stages, places, size, top)
    return figure


def said(summary: dict[str, Any]) -> str:
    """The drawing in words."""
    path = ", ".join(f"{stage['name']} {_size(stage)}" for stage in summary["stages"])
    skips = [f"{edge['from']} to {edge['to']}" for edge in summary["edges"] if edge["kind"] == "skip"]
    return f"Stages of the network: {path}. Skip connections: {', '.join(skips) or 'none'}."


def _joined(
    listed: list[dict[str, Any]], edges: list[dict[str, str]]
) -> tuple[dict[str, dict[str, Any]], list[dict[str, str]]]:
    """The stages by name with branches that are alike made one, and the edges between what is left."""
    stages: dict[str, dict[str, Any]] = {}
    alike: dict[Any, str] = {}
    stands: dict[str, str] = {}
    for stage in listed:
        name = stage["name"]
        sources = frozenset(edge["from"] for edge in edges if edge["to"] == name)
        targets = frozenset(edge["to"] for edge in edges if edge["from"] == name)
        stands[name] = alike.setdefault((sources, targets, stage["height"], stage["channels"]), name)
        if (first := stages.get(stands[name])) is None:
            stages[name] = {**stage, "title": name, "branches": 1}
        else:
            first["title"] += f", {name}"
            first["branches"] += 1
            first["parameters"] += stage["parameters"]
            first["multiply_adds"] += stage["multiply_adds"]
    kept = {(stands[edge["from"]], stands[edge["to"]], edge["kind"]) for edge in edges}
    return stages, [{"from": source, "to": target, "kind": kind} for source, target, kind in sorted(kept)]


def _places(stages: dict[str, Any], edges: list[dict[str, str]]) -> dict[str, int]:
    """The column of each stage; of two in one place, the later one stands further right."""
    before: dict[str, list[str]] = {name: [] for name in stages}
    for edge in edges:
        before[edge["to"]].append(edge["from"])
    columns: dict[str, int] = {}
    taken: set[tuple[int, int]] = set()
    for name, stage in stages.items():
        column = max((columns[source] + 1 for source in before[name] if source in columns), default=0)
        while (column, round(stage["row"])) in taken:
            column += 1
        columns[name] = column
        taken.add((column, round(stage["row"])))
    return columns


def _height(stage: dict[str, Any]) -> float:
    return max(0.3, 0.8 + 0.08 * stage["row"])


def _width(stage: dict[str, Any]) -> float:
    return min(0.9, 0.16 + 0.07 * math.log2(max(1, stage["channels"])))


def _size(stage: dict[str, Any]) -> str:
    return f"{stage['height']} x {stage['width']} x {stage['channels']}"


def _lines(figure: go.Figure, stages: dict[str, Any], places: dict[str, int], edges: list[dict[str, str]]) -> float:
    """One trace for each kind; returns how high they reach. A line is bent over the boxes that stand in its way."""
    filled = {(round(stage["row"]), places[name]) for name, stage in stages.items()}
    top = 0.0
    for kind, line in (("flow", FLOW), ("skip", SKIP)):
        xs: list[float | None] = []
        ys: list[float | None] = []
        for edge in (edge for edge in edges if edge["kind"] == kind):
            x0, x1 = places[edge["from"]], places[edge["to"]]
            y0, y1 = stages[edge["from"]]["row"], stages[edge["to"]]["row"]
            hidden = y0 == y1 and any((round(y0), column) in filled for column in range(x0 + 1, x1))
            lift = 0.5 + 0.06 * (x1 - x0) if hidden else 0.0
            for share in (step / 16 for step in range(17)):
                xs.append(x0 + share * (x1 - x0))
                ys.append(y0 + share * (y1 - y0) + 4 * lift * share * (1 - share))
            top = max(top, y0 + lift)
            xs.append(None)
            ys.append(None)
        if xs:
            figure.add_scatter(
                x=xs, y=ys, mode="lines", line=line, name=kind, hoverinfo="skip", zorder=1, showlegend=kind == "skip"
            )
    return top


def _labels(figure: go.Figure, stages: dict[str, Any], places: dict[str, int]) -> None:
    """The channels above each box; below it where the label of the box to its left would run into it, unless another
    box is there."""
    filled = {(places[name], round(stage["row"])) for name, stage in stages.items()}
    above: dict[tuple[int, int], str] = {}
    xs, ys, texts, sides = [], [], [], []
    for name, stage in sorted(stages.items(), key=lambda item: places[item[0]]):
        text = f"{stage['branches']}x{stage['channels']}" if stage["branches"] > 1 else str(stage["channels"])
        column, row = places[name], round(stage["row"])
        left = above.get((column - 1, row), "")
        high = not left or len(left) + len(text) <= 5 or (column, row - 1) in filled
        if high:
            above[column, row] = text
        xs.append(column)
        ys.append(stage["row"] + (_height(stage) / 2 if high else -_height(stage) / 2))
        texts.append(text)
        sides.append("top center" if high else "bottom center")
    figure.add_scatter(
        x=xs, y=ys, text=texts, textposition=sides, mode="text", textfont={"size": 10}, hoverinfo="skip",
        showlegend=False, cliponaxis=False, zorder=3,
    )  # fmt: skip


def _frame(figure: go.Figure, stages: dict[str, Any], places: dict[str, int], size: int, top: float) -> None:
    rows = sorted({round(stage["row"]) for stage in stages.values()})
    high = max(rows[-1] + 0.85, top + 0.1)
    figure.update_layout(
        barmode="overlay",
        height=round(50 + 44 * (high - rows[0] + 0.8)),
        margin={"l": 0, "r": 4, "t": 8, "b": 0},
        xaxis={"visible": False, "range": [-0.6, max(places.values()) + 0.6], "fixedrange": True},
        yaxis={
            "tickmode": "array",
            "tickvals": rows,
            "ticktext": [f"{round(size * 2.0**row)} px" for row in rows],
            "range": [rows[0] - 0.8, high],
            "fixedrange": True,
            "showgrid": True,
            "zeroline": False,
        },
        legend={
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "x": 0,
            "itemclick": False,
            "font": {"size": 11},
            "entrywidth": 48,
        },
        hovermode="closest",
        dragmode=False,
    )
