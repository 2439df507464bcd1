"""A comparison in words and as one document, for a terminal and for programs."""

from __future__ import annotations

import math
from typing import Any

from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.differences import Differences
from segmodels.evaluation.compare.groups import groups
from segmodels.evaluation.compare.table import Table, protocol_line
from segmodels.terminal import table

#: The columns that fit into a terminal, and the figure by which models are told apart there.
SHOWN = (
    "pixel_accuracy",
    "mean_iou",
    "mean_dice",
    "f1",
    "instances: aji",
    "parameters",
    "gflops",
    "keras_milliseconds",
)
FIGURE = "mean_iou"


def comparison_document(comparison: Comparison, rows: Table, found: Differences | None) -> dict[str, Any]:
    """All of a comparison: its protocol, a row a member, and which differences are real (None where not asked for)."""
    return {
        "comparison": comparison.id,
        "path": str(comparison.path),
        "title": comparison.title,
        "state": comparison.state,
        "data": comparison.data,
        "split": comparison.split,
        "at": comparison.at,
        "protocol": comparison.protocol,
        "members": [
            {
                "name": row.name,
                "seeds": row.seeds,
                "state": row.state,
                "said": row.said,
                "values": row.values,
                "spread": row.spread,
            }
            for row in rows.rows
        ],
        "differences": _differences(found) if found else None,
    }


def _differences(found: Differences) -> dict[str, Any]:
    boot = found.bootstrap
    return {
        "pictures": found.pictures,
        "left_out": found.left_out,
        "intervals": {figure: [interval._asdict() for interval in boot.intervals(figure)] for figure in boot.figures},
        "pairs": {figure: [vars(pair) for pair in boot.pairs(figure)] for figure in boot.figures},
    }


def comparison_text(comparison: Comparison, rows: Table, found: Differences | None) -> str:
    """The table, what failed and why, and which models can be told apart."""
    titles = {column.key: column.title for column in rows.columns}
    there = [key for key in SHOWN if key in titles and any(row.values.get(key) is not None for row in rows.rows)]
    lines = [
        {
            "model": row.name,
            "seeds": row.seeds,
            **{titles[key]: _cell(row.values.get(key), row.spread.get(key)) for key in there},
        }
        for row in rows.rows
    ]
    parts = [f"{comparison.title} ({comparison.id}): {comparison.state}", protocol_line(comparison)]
    parts.append(table(lines, ["model", "seeds", *(titles[key] for key in there)]))
    if said := [f"{row.name}: {row.state}, {row.said}" for row in rows.rows if row.said]:
        parts.append("\n".join(said))
    if found is not None and len(found.bootstrap.models) > 1:
        parts.append(_told_apart(found))
    return "\n\n".join(parts)


def _told_apart(found: Differences) -> str:
    boot = found.bootstrap
    found_between = sorted(boot.intervals(FIGURE), key=lambda interval: -interval.value)
    different = {(pair.first, pair.second) for pair in boot.pairs(FIGURE) if pair.different}
    together = groups([each.name for each in found_between], [each.value for each in found_between], different)
    alike = "\n".join(f"  {', '.join(names)}" for names in together)
    columns = ["model", "mean IoU", "95 % from", "to"]
    shown = table([dict(zip(columns, each, strict=True)) for each in found_between], columns)
    return f"{shown}\n\nmodels that {found.pictures} pictures cannot tell apart, best first:\n{alike}"


def _cell(value: float | None, spread: float | None) -> str | float | None:
    if value is None or not math.isfinite(value):
        return None
    if value >= 1000:
        return f"{value:,.0f}"
    return value if spread is None else f"{value:.4f} ± {spread:.4f}"
