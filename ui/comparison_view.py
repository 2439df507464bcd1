"""One comparison: how far it is, what steers it, and views of what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from segmodels.conducted import ALIVE
from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.conduct import begin
from segmodels.evaluation.compare.entries import Entry
from segmodels.evaluation.compare.table import protocol_line
from segmodels.files import whole
from segmodels.training.placed import Resources
from ui.comparison_cost import cost_view
from ui.comparison_curves import comparison_curves
from ui.comparison_differences import differences_view
from ui.comparison_pictures import pictures_view
from ui.comparison_recipes import recipes_view
from ui.comparison_reports import reports_view
from ui.comparison_table import classes_view, table_view
from ui.frame import in_place, plain
from ui.hosted import is_own
from ui.launcher_choice import choose_launcher
from ui.run_view import BADGES
from ui.train_links import run_name

#: Seconds between two looks at a comparison that is at work.
LOOK = 1.0
#: The runs that are linked.
MOST_LINKS = 60
#: The share of the training in what a run takes, before it is evaluated and timed.
TRAINING = 0.8

STATES = {
    "waiting": (":material/schedule:", "gray"),
    "training": (":material/model_training:", "blue"),
    "trained": (":material/done:", "blue"),
    "evaluated": (":material/check_circle:", "green"),
    "failed": (":material/error:", "red"),
}
_View = Callable[[Comparison, list[Entry]], None]
#: By the name that an address has.
VIEWS: dict[str, _View] = {
    "Table": table_view,
    "Differences": differences_view,
    "Pictures": pictures_view,
    "Curves": comparison_curves,
    "Cost": cost_view,
    "Classes": classes_view,
    "Reports": reports_view,
    "Recipes": recipes_view,
}


def comparison_view(comparison: Comparison) -> None:
    """Draw it; while a process is at work the head looks again by itself, and draws the page when something is done."""
    entries = comparison.entries()
    state = comparison.state
    st.subheader(plain(comparison.title), anchor=False)
    st.caption(plain(protocol_line(comparison, entries)))
    moves = state in ALIVE or any(entry.state == "training" for entry in entries)
    st.fragment(_head, run_every=LOOK if moves else None)(comparison, _seen(state, entries))
    _actions(comparison, state, entries)
    _runs(entries)
    if not any(entry.state in ("evaluated", "failed") for entry in entries):
        st.info("The table begins with the first model that is evaluated.", icon=":material/hourglass_top:")
        return
    if st.session_state.get("view", "Table") not in VIEWS:  # Browse has views too
        del st.session_state["view"]
    tabs = st.tabs(list(VIEWS), key="view", on_change="rerun", bind="query-params")
    for tab, view in zip(tabs, VIEWS.values(), strict=True):
        if tab.open:
            with tab, in_place():
                view(comparison, entries)


def _seen(state: str, entries: Sequence[Entry]) -> tuple[str, ...]:
    """What decides how the page is drawn."""
    return (state, *(entry.state for entry in entries))


def _head(comparison: Comparison, seen: tuple[str, ...]) -> None:
    if not comparison.path.is_dir():
        st.rerun()  # deleted meanwhile: the page says so
    status, entries = comparison.status(), comparison.entries()
    if _seen(status["state"], entries) != seen:
        st.rerun()  # the whole page
    icon, colour = BADGES.get(status["state"], (":material/hourglass_top:", "blue"))
    done = sum(entry.state == "evaluated" for entry in entries)
    failed = sum(entry.state == "failed" for entry in entries)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(status["state"], icon=icon, color=colour)  # type: ignore[arg-type]
        counted = f"{done} of {len(entries)} evaluated{f', {failed} failed' if failed else ''}"
        st.caption(f"{plain(comparison.id)} · {counted}")
    if status.get("error"):
        st.error(plain(str(status["error"])), icon=":material/error:")
    phase = ""
    if status["state"] in ALIVE:
        phase, part, total = str(status.get("phase") or "starting"), status.get("done"), status.get("total")
        shown = f" · {part} of {total}" if isinstance(part, int) and isinstance(total, int) and total else ""
        st.progress(_share(entries), plain(f"{phase}{shown}"))
    for entry in [each for each in entries if each.state == "training" and each.said not in phase][:8]:
        st.caption(f"{STATES['training'][0]} {plain(f'{_named(entry)}: {entry.said}')}")


def _share(entries: Sequence[Entry]) -> float:
    """How far the whole is; of each run the training is most."""
    weight = {"trained": TRAINING, "evaluated": 1.0, "failed": 1.0}
    done = 0.0
    for entry in entries:
        if entry.state == "training" and entry.run is not None:
            status = entry.run.status()
            epoch, epochs = status.get("epoch"), status.get("epochs")
            if isinstance(epoch, int) and isinstance(epochs, int) and epochs > 0:
                done += TRAINING * min(1.0, max(0, epoch) / epochs)
        done += weight.get(entry.state, 0.0)
    return min(1.0, done / max(1, len(entries)))


def _named(entry: Entry) -> str:
    return f"{entry.name} (seed {entry.seed + 1})" if entry.seed else entry.name


def _actions(comparison: Comparison, state: str, entries: Sequence[Entry]) -> None:
    if not is_own(comparison.id):
        return
    with st.container(horizontal=True, vertical_alignment="bottom"), in_place():
        if state in ALIVE:
            st.button(
                "Stop", icon=":material/pause:", on_click=_stop, args=(comparison,), key=f"stop-{comparison.id}",
                help="End it after this step and pause its runs; it can go on later",
            )  # fmt: skip
            return
        if state != "finished" or any(entry.state != "evaluated" for entry in entries):
            with st.popover("Go on", icon=":material/play_arrow:", key=f"go-on-{comparison.id}"):
                st.caption("What is done stays; what failed is tried again.")
                place = choose_launcher(f"go-on-{comparison.id}")
                st.button(
                    "Go on with it", type="primary", on_click=_go_on, args=(comparison, place),
                    key=f"go-on-with-{comparison.id}", disabled=place is None,
                )  # fmt: skip
        with st.popover("Delete", icon=":material/delete:", key=f"delete-{comparison.id}"):
            st.caption("The comparison and what was found. Its runs stay, on the Train page.")
            st.button(
                "Yes, delete it", type="primary", on_click=_delete, args=(comparison,), key=f"delete-it-{comparison.id}"
            )


def _stop(comparison: Comparison) -> None:
    if _told(comparison.request_stop):
        st.toast("Stopping after this step; its runs are paused.")


def _go_on(comparison: Comparison, place: tuple[str, Resources]) -> None:
    _told(lambda: begin(comparison, *place))


def _delete(comparison: Comparison) -> None:
    if _told(comparison.delete):
        st.session_state["comparison-deleted"] = comparison.title
        st.query_params.pop("comparison", None)


def _told(act: Callable[[], object]) -> bool:
    """What goes wrong in a callback, which cannot draw, is told at the top."""
    try:
        act()
    except UserError as error:
        st.session_state.setdefault("comparison-problems", []).append(str(error))
        return False
    return True


def _runs(entries: Sequence[Entry]) -> None:
    """Each run with the way to it, and what is on the way to no figure."""
    with st.expander(f"Models and runs ({len(entries)})", icon=":material/list:"):
        for entry in entries[:MOST_LINKS]:
            icon, colour = STATES.get(entry.state, (":material/help:", "gray"))
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.badge(entry.state, icon=icon, color=colour)  # type: ignore[arg-type]
                if entry.run is not None:
                    st.page_link(
                        "pages/2_Train.py", label=plain(_named(entry)), icon=":material/model_training:",
                        query_params={"run": run_name(entry.run), "part": "Watch"},
                    )  # fmt: skip
                else:
                    st.markdown(plain(_named(entry)))
                path = entry.checkpoint
                gone = " · its checkpoint was deleted" if path is not None and not whole(path).is_dir() else ""
                if entry.said or gone:
                    st.caption(plain(f"{entry.said}{gone}"))
        if len(entries) > MOST_LINKS:
            st.caption(f"and {len(entries) - MOST_LINKS} more, on the Train page")
