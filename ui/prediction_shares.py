"""The share of each class as a small table of bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from ui.prediction_result import ignored

if TYPE_CHECKING:
    from segmodels.prediction.result import Result


def shares_view(result: Result, *, key: str) -> None:
    """Draw it, and below it how much is ignored."""
    st.dataframe(
        share_rows(result),
        hide_index=True,
        key=key,
        column_config={
            "Share": st.column_config.ProgressColumn("Share", format="percent", min_value=0.0, max_value=1.0),
        },
        alt="Share of each class",
    )
    if left := ignored(result):
        st.caption(f"Of the pixels that count; {100 * left:.1f} % are ignored.")


def share_rows(result: Result) -> list[dict[str, Any]]:
    """A row a class: its name, and its share of the pixels that are not ignored."""
    return [{"Class": name, "Share": share} for name, share in result.shares.items()]
