"""Accuracy against cost, and which models are worth theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import streamlit as st

from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.entries import Entry
from segmodels.evaluation.compare.pareto import pareto_front
from segmodels.evaluation.compare.table import Column, Table
from ui.comparison_charts import Point, cost_chart
from ui.comparison_found import found_differences, found_table
from ui.frame import plain

#: From this ratio of the dearest to the cheapest on the axis is logarithmic at first.
WIDE = 20.0


def cost_view(comparison: Comparison, entries: Sequence[Entry]) -> None:
    """Draw it."""
    table = found_table(comparison, entries)
    costs = [column for column in table.columns if column.group == "cost" and column.better == "lower"]
    costs = [column for column in costs if any(row.values[column.key] is not None for row in table.rows)]
    scores = [column for column in table.columns if column.group != "cost"]
    if not costs or not any(row.seeds for row in table.rows):
        st.info("What the models cost is measured once all are evaluated.", icon=":material/hourglass_top:")
        return
    titles = {column.key: column.title for column in table.columns}
    left, right, axis = st.columns([3, 3, 2], vertical_alignment="bottom")
    cost_key = left.selectbox("Cost", [c.key for c in costs], key="compare-cost", format_func=titles.__getitem__)
    cost = table.column(cost_key)
    keys = [column.key for column in scores]
    score_key = right.selectbox(
        "Figure", keys, keys.index("mean_iou"), key=f"compare-score-{comparison.id}", format_func=titles.__getitem__
    )
    score = table.column(score_key)
    points = cost_points(table, cost, score, _intervals(entries, score))
    spent = [point.cost for point in points]
    wide = bool(spent) and min(spent) > 0 and max(spent) / min(spent) > WIDE
    log = axis.toggle("Logarithmic axis", wide, key=f"compare-cost-log-{cost.key}")
    if not points:
        st.info("No model has both.", icon=":material/block:")
        return
    higher = score.better == "higher"
    front = [point.name for point in sorted(points, key=lambda point: point.cost) if point.front]
    st.plotly_chart(
        cost_chart(points, cost.title, score.title, log=log and min(spent) > 0, higher=higher),
        key=f"compare-scatter-{comparison.id}",
        config={"displaylogo": False},
        alt=f"{score.title} against {cost.title}; on the Pareto front: {', '.join(front)}",
    )
    st.caption(
        f"On the Pareto front, where no other is better and costs no more: {plain(', '.join(front))}. "
        "The lines are 95 % intervals."
    )
    without = [row.name for row in table.rows if row.name not in {point.name for point in points}]
    if without:
        st.caption(f":material/info: Without one of the two: {plain(', '.join(without))}")


def cost_points(table: Table, cost: Column, score: Column, intervals: dict[str, tuple[float, float]]) -> list[Point]:
    """The models that have both, in the table's order, with whether each is on the Pareto front."""
    pairs = [(row.name, row.values[cost.key], row.values[score.key]) for row in table.rows]
    there = [(name, spent, value) for name, spent, value in pairs if spent is not None and value is not None]
    sign = 1 if score.better == "higher" else -1
    front = pareto_front([spent for _, spent, _ in there], [sign * value for _, _, value in there])
    nothing = (math.nan, math.nan)
    return [
        Point(name, value, *intervals.get(name, nothing), cost=spent, front=worth)
        for (name, spent, value), worth in zip(there, front, strict=True)
    ]


def _intervals(entries: Sequence[Entry], score: Column) -> dict[str, tuple[float, float]]:
    """By model; none of figures that are not resampled, or where the models cannot be compared."""
    with suppress(UserError):
        if (found := found_differences(entries)) and score.key in found.bootstrap.figures:
            return {name: (low, high) for name, _, low, high in found.bootstrap.intervals(score.key)}
    return {}
