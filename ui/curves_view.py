"""The curves of a run, alone or over those of others, and how they are drawn."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import streamlit as st

from segmodels.errors import UserError
from segmodels.home import home
from segmodels.training.runs import ALIVE, Run, find_run
from ui import cached
from ui.curves import FIGURES, Drawn, curves, is_there, legend, said

#: The figures that are shown at first; of a training against a discriminator those too.
FIRST = ("loss", "accuracy", "mean IoU")
ADVERSARIAL = ("adversarial loss", "discriminator loss", "discriminator accuracy")
#: The most runs over each other.
MOST = 10


def curves_view(run: Run) -> None:
    """Draw what there is so far; meant for a fragment that looks again while the run goes."""
    status, history, steps = run.status(), run.history(), run.steps()
    if not steps and not history:
        if status["state"] in ALIVE and not status.get("waiting_for"):
            st.info("The curves begin with the first step; building the network takes some seconds.")
        return
    there = [name for name, figure in FIGURES.items() if is_there(figure, history) or is_there(figure, steps)]
    chosen, by_step, smoothing, log, beside = _choices(run, there, early=len(history) < 2)
    drawn = [_drawn(run, status, by_step)]
    for other in beside:
        drawn.append(_drawn(other, other.status(), by_step))
    if beside:
        st.html(legend(drawn))
        st.caption("Solid: validation. Dotted: training.")
    columns = 1 if len(chosen) == 1 else 2 if len(chosen) in (2, 4) else 3
    for start in range(0, len(chosen), columns):
        for column, name in zip(st.columns(columns), chosen[start : start + columns], strict=False):
            figure = FIGURES[name]
            column.plotly_chart(
                curves(figure, drawn, steps=by_step, smoothing=smoothing, log=log, key=f"{run.id}-{by_step}-{log}"),
                key=f"curve-{name}-{run.id}",
                config={"displaylogo": False},
                alt=said(figure, drawn),
            )


def _choices(run: Run, there: list[str], *, early: bool) -> tuple[list[str], bool, float, bool, list[Run]]:
    """What is drawn, by step or epoch, how smooth, on which axis, and the runs beside it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        along = st.segmented_control(
            "Along", ["epochs", "steps"], default="steps" if early else "epochs", required=True,
            key=f"along-{run.id}", label_visibility="collapsed",
        )  # fmt: skip
        by_step = along == "steps"
        with st.popover("Curves", icon=":material/tune:"):
            first = [name for name in (*FIRST, *ADVERSARIAL) if name in there]
            chosen = st.pills("Shown", there, selection_mode="multi", default=first, key=f"figures-{'+'.join(first)}")
            smoothing = st.slider(
                "Smoothing", 0.0, 0.99, 0.9 if by_step else 0.0, 0.01, key=f"smoothing-{by_step}",
                help="Of training: what a running mean keeps of itself at each point",
            )  # fmt: skip
            log = st.toggle("Logarithmic axis", key="log-axis", help="For losses and rates", bind="query-params")
            others = [run_id for run_id in cached.runs_with_epochs(home()) if run_id != run.id]
            beside = st.multiselect(
                "Over them", others, max_selections=MOST - 1, key="beside", placeholder="Other runs",
                bind="query-params",
            )  # fmt: skip
    found = []
    for name in beside:
        with suppress(UserError):  # it was deleted meanwhile
            found.append(find_run(name))
    return [name for name in there if name in chosen], by_step, smoothing, log, found


def _drawn(run: Run, status: dict[str, Any], by_step: bool) -> Drawn:
    steps = run.steps() if by_step else []
    per_epoch = status.get("steps_per_epoch")
    if not isinstance(per_epoch, int) or per_epoch < 1:
        per_epoch = max((row["step"] for row in steps if isinstance(row.get("step"), int)), default=1)
    best = (status.get("best") or {}).get("epoch")
    return Drawn(run.id, run.history(), steps, per_epoch, best if isinstance(best, int) else None)
