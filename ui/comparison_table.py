"""The table of a comparison: found by name, in groups of columns, to take along; and the IoU of each class."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.entries import Entry
from segmodels.evaluation.compare.table import Column, Row, Table
from segmodels.evaluation.compare.table_formats import to_csv, to_latex, to_markdown
from segmodels.report.comparison_report import comparison_report
from ui.comparison_charts import class_chart
from ui.comparison_found import found_table
from ui.frame import plain

GROUPS = {"quality": "quality", "class": "classes", "instances": "objects", "cost": "cost"}
#: Behind the best of a column; seen on light and on dark.
BEST = "background-color: rgba(0, 158, 115, .28); font-weight: bold"


def table_view(comparison: Comparison, entries: Sequence[Entry]) -> None:
    """Draw it."""
    table = found_table(comparison, entries)
    there = [group for group in GROUPS if any(column.group == group for column in table.columns)]
    words, groups = st.columns([2, 3], vertical_alignment="bottom")
    text = words.text_input("Search", key="compare-search", placeholder="words of the name")
    chosen = groups.pills(
        "Columns", there, selection_mode="multi", default=[name for name in ("quality", "cost") if name in there],
        format_func=GROUPS.__getitem__, key=f"compare-groups-{'+'.join(there)}",
    )  # fmt: skip
    rows = named(table.rows, text or "")
    columns = [column for column in table.columns if column.group in chosen]
    if rows:
        st.dataframe(
            styled(table, rows, columns),
            hide_index=True,
            key=f"compare-table-{comparison.id}",
            placeholder="–",
            column_config={
                "Model": st.column_config.TextColumn(pinned=True, width="medium"),
                "Seeds": st.column_config.NumberColumn(width="small", help="Runs that are evaluated"),
            },
            alt=f"Figures of {len(rows)} models",
        )
        spread = " ± their standard deviation" if any(row.seeds > 1 for row in rows) else ""
        st.caption(f"Means over the seeds{spread}. The best of a column is marked. A click on a title sorts.")
    else:
        st.info("No model is called so.", icon=":material/filter_alt_off:")
    _remarks(table.rows)
    _downloads(comparison, table)


def named(rows: Sequence[Row], text: str) -> list[Row]:
    """Those whose names have all the words."""
    words = text.lower().split()
    return [row for row in rows if all(word in row.name.lower() for word in words)]


def styled(table: Table, rows: Sequence[Row], columns: Sequence[Column]) -> Styler:
    """The rows as numbers that sort, shown as text with their spread, the best of each column marked."""
    titles = [column.title for column in columns]
    frame = pd.DataFrame(
        {
            "Model": [row.name for row in rows],
            "Seeds": [row.seeds for row in rows],
            **({"State": [row.state for row in rows]} if any(not row.seeds for row in rows) else {}),
            **{
                column.title: np.array(
                    [np.nan if row.values[column.key] is None else row.values[column.key] for row in rows], float
                )
                for column in columns
            },
        }
    )
    style = frame.style.format({column.title: f"{{:{column.format}}}" for column in columns}, na_rep="–")
    marks = pd.DataFrame("", index=frame.index, columns=frame.columns)
    for place, row in enumerate(rows):
        for column in columns:
            if (shown := table.shown(row, column)) is None:
                continue
            if shown[0] == table.best(column):
                marks.loc[place, column.title] = BEST
            if shown[1]:
                style = style.format(_always(" ± ".join(shown)), subset=pd.IndexSlice[[place], [column.title]])
    return style.apply(lambda _: marks[titles], axis=None, subset=titles) if titles else style


def _always(text: str) -> Callable[[object], str]:
    return lambda _: text


def _remarks(rows: Sequence[Row]) -> None:
    """What is not as it should be, of each model in a line."""
    lines = [(row, row.said or row.state) for row in rows if row.said or not row.seeds]
    failed = [f"- **{plain(row.name)}**: {plain(said)}" for row, said in lines if row.state == "failed"]
    others = [f"- {plain(row.name)}: {plain(said)}" for row, said in lines if row.state != "failed"]
    if failed:
        st.error("\n".join(failed), icon=":material/error:")
    if others:
        st.caption("\n".join(others))


def _downloads(comparison: Comparison, table: Table) -> None:
    with st.container(horizontal=True):
        for label, ending, kind, made in (
            ("CSV", "csv", "text/csv", lambda: to_csv(table).encode()),
            ("Markdown", "md", "text/markdown", lambda: to_markdown(table).encode()),
            ("LaTeX", "tex", "application/x-tex", lambda: to_latex(table).encode()),
            ("Report (HTML)", "html", "text/html", lambda: comparison_report(comparison).encode()),
        ):
            st.download_button(
                label, made, f"{comparison.id}.{ending}", kind, key=f"compare-{ending}-{comparison.id}",
                on_click="ignore", icon=":material/download:",
            )  # fmt: skip


def classes_view(comparison: Comparison, entries: Sequence[Entry]) -> None:
    """A heat map of each class by each model."""
    table = found_table(comparison, entries)
    columns = [column for column in table.columns if column.group == "class"]
    rows = [row for row in table.rows if row.seeds]
    if not rows or not columns:
        st.info("The classes come with the first model that is evaluated.", icon=":material/hourglass_top:")
        return
    values = np.array([[row.values[column.key] for column in columns] for row in rows], float)
    names = [column.key.removeprefix("iou: ") for column in columns]
    hardest = int(np.argmin(np.where(np.isnan(values), np.inf, values).mean(axis=0)))
    st.caption(f"IoU of each class, means over the seeds. The hardest for all is {plain(names[hardest])}.")
    st.plotly_chart(
        class_chart([row.name for row in rows], names, values, key=comparison.id),
        key=f"compare-classes-{comparison.id}",
        config={"displaylogo": False},
        alt=f"IoU of {len(names)} classes by {len(rows)} models",
    )
