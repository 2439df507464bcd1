"""What becomes of a mask that somebody corrected in the viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st

from segmodels.data.corrections import at_full_size, save_correction
from segmodels.data.dataset import ClassLabel
from segmodels.hosted import limits
from ui import cached
from ui.frame import plain
from ui.viewer import Seen


def correcting() -> bool:
    """The switch that turns the tools on; visitors of a hosted app, where all would see what they save, have none."""
    if not limits().own_data:
        return False
    return st.toggle("Correct the mask", key="correct", help="Saved in a data set of your own; no file is changed")


def keep_corrected(
    seen: Seen,
    pair: Callable[[], tuple[np.ndarray, np.ndarray]],
    labels: Sequence[ClassLabel],
    *,
    data: str,
    name: str,
    split: str,
) -> None:
    """Save what a viewer reports as corrected, and say where it is now; nothing where it reports nothing.

    Args:
        seen: what `viewer` returned.
        pair: gives the picture, uint8 RGB `(height, width, 3)`, and its mask before, uint8 `(height, width)`.
        labels: the classes.
        data: the data set that the picture or its model is of.
        name: what the picture is called.
        split: the one in which it was.

    Raises:
        UserError: as `save_correction` does.
    """
    if seen.saved is not None:
        image, mask = pair()
        kept = save_correction(image, at_full_size(mask, seen.saved), labels, data=data, name=name, split=split)
        st.session_state["corrected"] = ((data, name), kept)
        cached.forget_data()
    of, kept = st.session_state.get("corrected", (None, ""))
    if of == (data, name):
        st.success(f"Kept in {plain(kept)}, a data set of your own.", icon=":material/check_circle:")
        st.page_link(
            "pages/2_Train.py", label="Train on it", icon=":material/model_training:", query_params={"train-data": kept}
        )
