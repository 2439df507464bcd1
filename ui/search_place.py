"""Where a search goes: a Ray of this machine alone, or a cluster, and what of it each trial gets."""

from __future__ import annotations

import streamlit as st

from segmodels.training.placed import LOCAL, Resources
from ui.cluster_choice import choose_cluster

PLACES = {LOCAL: "this machine", "ray": "a Ray cluster"}


def choose_place(key: str, on: str = LOCAL, before: Resources | None = None) -> tuple[str, Resources]:
    """Widgets for it.

    Args:
        key: of the widgets; each place on a page has its own.
        on, before: what they begin with.
    """
    chosen = st.segmented_control(
        "On", list(PLACES), default=on if on in PLACES else LOCAL, required=True, key=f"{key}-on",
        format_func=PLACES.__getitem__,
    )  # fmt: skip
    return chosen or LOCAL, choose_cluster(key, "trial", before, own=chosen != "ray")
