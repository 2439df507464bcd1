"""What each class weighs in the loss, beside its share of the pixels."""

from __future__ import annotations

import numpy as np
import streamlit as st

from segmodels.data.class_weights import METHODS, suggested_weights
from segmodels.recipe import Recipe
from ui import cached
from ui.frame import in_place


def class_weights_view(recipe: Recipe) -> None:
    """An expander that counts the training pictures once it is opened."""
    expander = st.expander("Class weights", icon=":material/balance:", key="weights-open", on_change="rerun")
    if not expander.open:
        return
    with expander, in_place():
        labels = cached.dataset(recipe.data, recipe.root).classes
        counts = cached.statistics(recipe.data, recipe.root, "train")
        suggested = {method: suggested_weights(counts.pixels, method) for method in METHODS}
        own = suggested.get(str(recipe.class_weights), recipe.class_weights)
        weights = np.ones(len(labels)) if own is None else np.asarray(own, float)
        rows = [
            {
                "Class": label.name,
                "Share of the pixels": 100 * share,
                "Weight in this recipe": weight,
                **{f"By {method}": float(values[number]) for method, values in suggested.items()},
            }
            for number, (label, share, weight) in enumerate(
                zip(labels, counts.shares.tolist(), weights.tolist(), strict=False)
            )
        ]
        numbers = {name: st.column_config.NumberColumn(format="%.3f") for name in rows[0] if name != "Class"}
        numbers["Share of the pixels"] = st.column_config.NumberColumn(format="%.2f %%")
        st.dataframe(rows, hide_index=True, column_config=numbers, key="class-weights", alt="The weight of each class")
        st.caption(f"Counted over the whole training pictures of the {_split(recipe)}.")
        st.caption("They weigh the loss and never a score. A recipe takes a method by its name, or a number a class.")


def _split(recipe: Recipe) -> str:
    own = recipe.split_file or recipe.split_seed or recipe.limit
    return "data set's own split; the run counts those that it trains on" if own else "split"
