"""What of a split is shown, chosen by widgets whose values are in the page's address."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import streamlit as st

from segmodels.data.selection import Selection, orders, select
from segmodels.data.statistics import Statistics
from ui import cached
from ui.frame import plain
from ui.stored_predictions import Against, choose_model, predict_missing

#: Shorter sides that can be asked for, in pixels; 0 for any.
SIDES = (0, 128, 256, 512, 1024, 2048)


@dataclass(frozen=True)
class Chosen:
    """What the filters leave.

    Attributes:
        ids: of the pictures, in the order that was chosen.
        against: the model whose predictions stand beside the masks.
        disagreement: how far they are from the truth, by id, where there are any.
    """

    ids: list[str]
    against: Against | None = None
    disagreement: dict[str, float] = field(default_factory=dict)


def chosen_pictures(name: str, root: str | None, split: str, counts: Statistics) -> Chosen:
    """Draw the filters; returns what they leave."""
    dataset = cached.dataset(name, root)
    defects = _defects(name, root, split)
    classes = [label.name for label in dataset.classes]
    wanted = st.pills(
        "Only pictures with all of",
        classes,
        selection_mode="multi",
        format_func=plain,
        key="with",
        bind="query-params",
    )
    first, second, third, fourth = st.columns(4, vertical_alignment="bottom")
    with fourth:
        against = choose_model(dataset)
    order = first.selectbox("Order", orders(classes, predicted=against is not None), key="order", bind="query-params")
    side = second.selectbox(
        "Shorter side", SIDES, key="side", bind="query-params", format_func=lambda n: f"{n} px or more" if n else "any"
    )
    defect = third.selectbox(
        "Defect",
        [None, *sorted(defects)],
        key="defect",
        bind="query-params",
        format_func=lambda kind: f"{kind} ({len(defects.get(kind, ()))})" if kind else "with or without",
        help=None if defects else "The tab Check looks for them; nothing is known yet",
    )
    disagreement = predict_missing(against, dataset.samples(split)) if against else {}
    wish = Selection(tuple(wanted), defect, side, order)
    return Chosen(select(counts, wish, defects, disagreement), against, disagreement)


def open_picture(split: str, sample_id: str, defect: str | None = None) -> None:
    """Show one picture on the tab of pictures from the next rerun on; to be called by a widget when it is used.

    Args:
        split: the one that it is in.
        sample_id: its id.
        defect: a kind of finding that it has, to be shown among those alone.
    """
    st.session_state.update({"view": "Pictures", "split": split, "with": [], "side": 0, "defect": defect})
    st.query_params["picture"] = sample_id


def _defects(name: str, root: str | None, split: str) -> dict[str, set[str]]:
    """What the last check of the files found in this split: the ids of the samples by the kind of their finding."""
    report = cached.report(name, root, time.time() // 60)
    found: dict[str, set[str]] = {}
    for finding in report.findings if report else ():
        if finding.sample and finding.split == split:
            found.setdefault(finding.kind, set()).add(finding.sample)
    return found
