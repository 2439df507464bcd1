"""What a new comparison comes to: who is in it, how many runs that makes, and about how long they take."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from segmodels.durations import duration
from segmodels.evaluation.compare.entries import Member
from segmodels.named_recipes import named_recipe
from segmodels.training.recipe_times import times_here
from ui.frame import plain


def runs_to_make(members: Sequence[Member]) -> None:
    """Who is compared, how many runs that makes and, where that is known, how long they take."""
    trained = [member for member in members if member.recipe is not None]
    runs = sum(len(member.runs) for member in trained)
    if not members:
        st.info("Choose at least one architecture, recipe or model.", icon=":material/touch_app:")
        return
    there = len(members) - len(trained)
    parts = [f"**{runs}** {'run' if runs == 1 else 'runs'} to train"] if runs else []
    parts += [f"**{there}** {'model that is' if there == 1 else 'models that are'} there"] if there else []
    st.markdown(" and ".join(parts))
    lines = []
    for member in members:
        times = f" x {len(member.runs)}" if len(member.runs) > 1 else ""
        lines.append(f"- {plain(member.name)}{times}")
    st.markdown("\n".join(lines))
    if known := _seconds(trained):
        seconds, of = known
        of_them = "" if of == runs else f" for {of} of them"
        st.caption(f":material/timer: About {duration(seconds)} of training{of_them}, by what they took here before.")


def _seconds(members: Sequence[Member]) -> tuple[float, int] | None:
    """How long the runs of those take that were trained here before, exactly so, and how many runs that is."""
    times = times_here()
    documents = {name: named_recipe(name).model_dump(mode="json") for name in times}
    found = [
        (times[name] * len(member.runs), len(member.runs))
        for member in members
        for name, document in documents.items()
        if member.recipe == {**document, **{key: (member.recipe or {}).get(key) for key in ("data", "root")}}
    ]
    return (sum(seconds for seconds, _ in found), sum(runs for _, runs in found)) if found else None
