"""The pictures of a report by their scores: how these are spread, the worst and the best of them."""

from __future__ import annotations

import csv
import io

import numpy as np
import streamlit as st

from segmodels.evaluation.reports import Report
from ui.frame import in_place, plain
from ui.links import linked_selectbox
from ui.report_counts import counts_of, scores_of
from ui.report_pictures import Ranked, ReportPictures, ranked_view
from ui.score_charts import score_histogram

#: The name of the list in the address, and its two orders.
PLACE = "scores"
WORST, BEST = "worst first", "best first"
#: Pictures of a list.
MOST = 24
TITLES = {
    "pixel_accuracy": "Pixel accuracy", "mean_iou": "Mean IoU", "mean_dice": "Mean Dice",
    "instances: dice": "Dice of the foreground", "instances: aji": "AJI", "instances: aji_plus": "AJI+",
    "instances: pq": "PQ", "instances: dq": "DQ", "instances: sq": "SQ", "instances: f1": "F1 of the objects",
}  # fmt: skip


@st.fragment
def scores_view(report: Report, pictures: ReportPictures | None, key: str) -> None:
    """Draw the distribution of a score, and the pictures at one of its ends.

    Args:
        pictures: None where they cannot be read: then the distribution alone.
    """
    with in_place():
        scores = scores_of(report)
        ids = counts_of(report).ids
        left, right = st.columns(2, gap="small", vertical_alignment="bottom")
        with left:
            first = "mean_iou" if "instances: aji" not in scores else "instances: aji"
            name = linked_selectbox(
                "Score of each picture", list(scores), key=f"{key}-score", default=first, format_func=title
            )
        with right:
            order = st.segmented_control(
                "Order", [WORST, BEST], default=WORST, required=True, key=f"{key}-order", bind="query-params"
            )
        values = scores[name]
        st.plotly_chart(
            score_histogram(values, title(name)),
            key=f"{key}-histogram",
            config={"displayModeBar": False},
            alt=_said(values, title(name)),
        )
        if unscored := int(np.isnan(values).sum()):
            st.caption(f"{unscored:,} pictures have no score: nothing in them counts.")
        if pictures is not None:
            places = ranking(values, best=order == BEST)[:MOST]
            ranked_view(pictures, [Ranked(ids[place], f"{values[place]:.3f}") for place in places], PLACE)


def title(name: str) -> str:
    """What a score is called for people."""
    return TITLES.get(name, name)


def ranking(values: np.ndarray, *, best: bool) -> list[int]:
    """The numbers of the pictures in the order of their score, those of one score as they stand; without NaN."""
    order = np.argsort(-values if best else values, kind="stable")
    return [int(place) for place in order if not np.isnan(values[place])]


def scores_csv(ids: list[str], scores: dict[str, np.ndarray]) -> str:
    """A row a picture with its scores; empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", *scores])
    for number, sample_id in enumerate(ids):
        row = [values[number] for values in scores.values()]
        writer.writerow([sample_id, *("" if np.isnan(value) else f"{value:.6f}" for value in row)])
    return text.getvalue()


def _said(values: np.ndarray, name: str) -> str:
    there = values[~np.isnan(values)]
    if not len(there):
        return f"{plain(name)}: no picture has one"
    low, middle, high = np.quantile(there, [0, 0.5, 1])
    return f"{name} of {len(there)} pictures: from {low:.3f} to {high:.3f}, half of them above {middle:.3f}"
