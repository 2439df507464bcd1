"""By what each was trained, in what the recipes differ, on which machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st
import yaml

from segmodels.durations import duration
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.entries import Entry
from segmodels.training.recipe_difference import differences
from ui.comparison_found import entry_name
from ui.frame import plain


def recipes_view(comparison: Comparison, entries: Sequence[Entry]) -> None:
    """Draw it."""
    recipes = _recipes(comparison, entries)
    _differing(comparison, recipes)
    _machines(comparison, entries)
    if recipes:
        name = st.selectbox("Recipe of", list(recipes), key=f"compare-recipe-{comparison.id}")
        with st.expander(f"The recipe of {plain(name)}", icon=":material/receipt_long:"):
            st.code(yaml.safe_dump(recipes[name], sort_keys=False), language="yaml")


def _recipes(comparison: Comparison, entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """Of each member whose recipe is known: as it asks for it, else as its first run was trained; without the seed."""
    found: dict[str, dict[str, Any]] = {}
    for number, member in enumerate(comparison.members):
        trained = next((entry.recipe for entry in entries if entry.member == number and entry.recipe), {})
        if recipe := member.recipe or trained:
            found[member.name] = {name: value for name, value in recipe.items() if name != "seed"}
    return found


def differing_fields(recipes: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    """A row a field in which not all recipes are the same: its name, and its value by the name of the recipe."""
    (name, first), *others = recipes.items()
    found: dict[str, dict[str, str]] = {}
    for other, recipe in others:
        for each in differences(first, recipe):
            row = found.setdefault(each.field, {name: _text(each.one)})
            row[other] = _text(each.other)
    return [
        {"Field": field, **{name: row.get(name, next(iter(row.values()))) for name in recipes}}
        for field, row in found.items()
    ]


def _text(value: Any) -> str:
    return "–" if value is None else str(value)


def _differing(comparison: Comparison, recipes: dict[str, dict[str, Any]]) -> None:
    st.markdown("**In what the recipes differ**")
    unknown = [member.name for member in comparison.members if member.name not in recipes]
    rows = differing_fields(recipes) if len(recipes) > 1 else []
    if rows:
        st.dataframe(rows, hide_index=True, key=f"compare-differing-{comparison.id}", alt="Fields that differ")
    else:
        st.caption("In nothing." if len(recipes) > 1 else "There are no two recipes to compare.")
    if unknown:
        st.caption(f":material/info: The recipe is not known of {plain(', '.join(unknown))}.")


def _machines(comparison: Comparison, entries: Sequence[Entry]) -> None:
    st.markdown("**On what they were trained and timed**")
    rows = []
    for entry in entries:
        training, speed = entry.training, entry.speed
        seconds = training.get("seconds")
        if training or speed:
            rows.append(
                {
                    "Model": entry_name(entry, entries),
                    "Trained on": training.get("device") or "",
                    "With": training.get("backend") or "",
                    "Precision": training.get("precision") or "",
                    "Epochs": training.get("epochs"),
                    "Best epoch": training.get("best_epoch"),
                    "Took": duration(seconds) if isinstance(seconds, int | float) else "",
                    "Timed on": speed.get("device") or "",
                    "Engine": speed.get("engine") or "",
                    "Not timed": speed.get("error") or speed.get("onnx_error") or "",
                }
            )
    if rows and not any(row["Not timed"] for row in rows):
        rows = [{name: value for name, value in row.items() if name != "Not timed"} for row in rows]
    if rows:
        st.dataframe(rows, hide_index=True, key=f"compare-machines-{comparison.id}", alt="Devices and versions")
    else:
        st.caption("Nothing is known of that yet.")
