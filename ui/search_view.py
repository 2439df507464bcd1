"""Searches of hyper-parameters: one of them as it goes, its trials, and the form that starts another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from segmodels.conducted import ALIVE
from segmodels.errors import UserError
from segmodels.search.conduct import begin
from segmodels.search.search import DONE, Search, Trial
from segmodels.training.placed import Resources
from ui.frame import in_place, plain
from ui.run_view import BADGES
from ui.search_form import search_form
from ui.search_list import KEY, choose_search
from ui.search_place import choose_place
from ui.search_trials import trials_view

#: Seconds between two looks at a search that is at work.
LOOK = 2.0


def searches_view() -> None:
    """Draw the one that is chosen, and the form."""
    search = choose_search()
    if search is not None:
        with in_place():
            search_view(search)
    with st.expander("New search", icon=":material/add:", expanded=search is None), in_place():
        search_form()


def search_view(search: Search) -> None:
    """Draw it; while a process is at work the head looks again by itself, and draws the page when something is done."""
    trials, state = search.trials(), search.state
    how = search.space.how
    st.subheader(plain(search.title), anchor=False)
    data = str(search.space.recipe.get("data", "oxford-pets"))
    st.caption(plain(f"{how.method} · {len(trials)} trials · {data} · {how.metric}, {how.mode}"))
    moves = state in ALIVE or any(trial.state == "running" for trial in trials)
    st.fragment(_head, run_every=LOOK if moves else None)(search, _seen(state, trials))
    _actions(search, state, trials)
    trials_view(search, trials)


def _seen(state: str, trials: Sequence[Trial]) -> tuple[object, ...]:
    """What decides how the page is drawn."""
    return (state, *((trial.state, trial.epoch) for trial in trials))


def _head(search: Search, seen: tuple[object, ...]) -> None:
    if not search.path.is_dir():
        st.rerun()  # deleted meanwhile: the page says so
    status, trials = search.status(), search.trials()
    if _seen(status["state"], trials) != seen:
        st.rerun()  # the whole page
    icon, colour = BADGES.get(status["state"], (":material/hourglass_top:", "blue"))
    counts = {name: sum(trial.state == name for trial in trials) for name in (*DONE, "failed", "running")}
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none begun"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(status["state"], icon=icon, color=colour)  # type: ignore[arg-type]
        st.caption(f"{plain(search.id)} · {said}, of {len(trials)}")
    if status.get("error"):
        st.error(plain(str(status["error"])), icon=":material/error:")
    if status["state"] in ALIVE:
        st.progress(_share(trials), plain(str(status.get("phase") or "starting")))
    if (best := search.best(trials)) is not None:
        st.metric(f"Best {search.space.how.metric}", f"{best.value:.4f}", help=f"Of trial {best.number}")


def _share(trials: Sequence[Trial]) -> float:
    """How far the whole is."""
    done = 0.0
    for trial in trials:
        done += 1.0 if trial.state in (*DONE, "failed") else trial.epoch / max(1, trial.epochs)
    return min(1.0, done / max(1, len(trials)))


def _actions(search: Search, state: str, trials: Sequence[Trial]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"), in_place():
        if state in ALIVE:
            st.button(
                "Stop", icon=":material/pause:", on_click=_stop, args=(search,), key=f"search-stop-{search.id}",
                help="End it after this step and pause its runs; it can go on later",
            )  # fmt: skip
            return
        if any(trial.state not in DONE for trial in trials):
            with st.popover("Go on", icon=":material/play_arrow:", key=f"search-on-{search.id}"):
                st.caption("What is done stays; what failed is tried again.")
                on, resources = choose_place(f"search-again-{search.id}", search.on, search.resources)
                st.button(
                    "Go on with it", type="primary", on_click=_go_on, args=(search, on, resources),
                    key=f"search-on-with-{search.id}",
                )  # fmt: skip
        with st.popover("Delete", icon=":material/delete:", key=f"search-delete-{search.id}"):
            st.caption("The search and its table. Its runs stay, on the Train page.")
            st.button(
                "Yes, delete it", type="primary", on_click=_delete, args=(search,), key=f"search-delete-it-{search.id}"
            )


def _stop(search: Search) -> None:
    if _told(search.request_stop):
        st.toast("Stopping after this step; its runs are paused.")


def _go_on(search: Search, on: str, resources: Resources) -> None:
    def act() -> None:
        if (on, resources) != (search.on, search.resources):
            search.move(on, resources)
        begin(search)

    _told(act)


def _delete(search: Search) -> None:
    if _told(search.delete):
        st.session_state["search-deleted"] = search.title
        st.query_params.pop(KEY, None)


def _told(act: Callable[[], object]) -> bool:
    """What goes wrong in a callback, which cannot draw, is told at the top."""
    try:
        act()
    except UserError as error:
        st.session_state.setdefault("search-problems", []).append(str(error))
        return False
    return True
