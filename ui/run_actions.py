"""Steering a run: stop, pause, resume, change, clone, fork, delete."""

from __future__ import annotations

from typing import Any

import streamlit as st

from segmodels.errors import UserError
from segmodels.hosted import check_training
from segmodels.training.changes import ask_for_change, wanted_change
from segmodels.training.runs import ALIVE, RESUMABLE, Run
from segmodels.training.trash import delete
from ui.form_start import begin_form_with
from ui.frame import in_place, plain
from ui.hosted import is_own
from ui.launcher_choice import ask_run, resume_run
from ui.train_links import NEW, run_name, show_part


def run_actions(run: Run, status: dict[str, Any]) -> None:
    """Draw the buttons that make sense in the run's state."""
    state, own = status["state"], is_own(run.id)
    with st.container(horizontal=True), in_place():
        if not own:
            pass  # somebody else's: it can be looked at and begun with
        elif state in ALIVE and status.get("waiting_for"):
            _button("Leave the queue", "close", run, "stop", "Leaving the queue.", "Resume queues it again")
        elif state in ALIVE:
            said = "Stopping after this step; the best epoch is kept."
            _button("Stop", "stop", run, "stop", said, "End and keep the best epoch")
            _button("Pause", "pause", run, "pause", "Pausing after this step.", "Save all and free the device")
        elif _may_go_on(run, state) and st.button(
            "Resume", icon=":material/play_arrow:", key=f"resume-{run.id}", type="primary"
        ):
            resume_run(run)
            st.rerun()
        if own:
            _change(run, status)
        st.button(
            "Clone", icon=":material/content_copy:", key=f"clone-{run.id}", on_click=_clone, args=(run,),
            help="Its recipe in the form of a new run, to change what you like",
        )  # fmt: skip
        _fork(run)
        if own and (state not in ALIVE or status.get("waiting_for")):
            _delete(run)
        if run.has_best:
            st.page_link(
                "pages/4_Predict.py",
                label="Predict with its best epoch",
                icon=":material/draw:",
                query_params={"model": run.id},
            )
    if problem := st.session_state.pop("action-problem", None):
        st.error(plain(problem), icon=":material/error:")


def _may_go_on(run: Run, state: str) -> bool:
    return state in RESUMABLE or (state == "finished" and bool(wanted_change(run.path).get("epochs")))


def _button(label: str, icon: str, run: Run, request: str, said: str, help: str) -> None:
    if st.button(label, icon=f":material/{icon}:", key=f"{label}-{run.id}", help=help):
        ask_run(run, request)
        st.toast(said)


def _change(run: Run, status: dict[str, Any]) -> None:
    """Another learning rate or number of epochs, from the next step on."""
    try:
        now = run.recipe_now.model_copy(update=wanted_change(run.path))
    except UserError:  # said where the recipe is shown
        return
    with st.popover("Change", icon=":material/tune:", key=f"change-{run.id}"):
        st.caption(
            "Holds from the next step on; a schedule takes the course that it has with the new values."
            if status["state"] in ALIVE
            else "Holds once it is resumed. More epochs let a finished run go on."
        )
        rate = st.number_input(
            "Highest learning rate", 0.0, 10.0, now.learning_rate, step=1e-4, format="%g",
            key=f"new-rate-{run.id}-{now.learning_rate}",
        )  # fmt: skip
        epochs = st.number_input("Number of epochs", 1, 10_000, now.epochs, key=f"new-epochs-{run.id}-{now.epochs}")
        changed = {
            **({"learning_rate": rate} if rate != now.learning_rate else {}),
            **({"epochs": epochs} if epochs != now.epochs else {}),
        }
        st.button("Change it", key=f"change-it-{run.id}", disabled=not changed, on_click=_ask, args=(run, changed))


def _ask(run: Run, changed: dict[str, Any]) -> None:
    with _said():
        check_training(run.recipe_now.model_copy(update=changed))
        ask_for_change(run, **changed)
        words = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in changed.items())
        st.toast(f"Asked for {words}.")


def _clone(run: Run) -> None:
    with _said():
        begin_form_with(run.recipe_now, f"From the run {run.id}")
        show_part(NEW)


def _fork(run: Run) -> None:
    if not (kept := run.kept_epochs()):
        return
    best = (run.status().get("best") or {}).get("epoch")
    with st.popover("Fork", icon=":material/fork_right:", key=f"fork-{run.id}"):
        st.caption("A new run, under a recipe of its own, that begins with the weights of an epoch of this one.")
        epoch = st.selectbox(
            "Epoch",
            kept,
            index=kept.index(best) if best in kept else len(kept) - 1,
            format_func=lambda number: f"{number}, the best" if number == best else str(number),
            key=f"fork-epoch-{run.id}",
        )
        st.button("Fork it", key=f"fork-it-{run.id}", on_click=_fork_it, args=(run, epoch))


def _fork_it(run: Run, epoch: int) -> None:
    with _said():
        fields: dict[str, Any] = {"start_from": f"{run_name(run)}@{epoch}"}
        if run.split.is_file():  # what these weights have seen must not be validated on
            fields["split_file"] = str(run.split)
        recipe = run.recipe_now.model_copy(update=fields)
        begin_form_with(recipe, f"From epoch {epoch} of the run {run.id}, with its weights")
        show_part(NEW)


def _delete(run: Run) -> None:
    with st.popover("Delete", icon=":material/delete:", key=f"delete-{run.id}"):
        st.caption(f"{plain(run.id)} and all that it holds. It can be had back for a week, on the tab All runs.")
        st.button("Yes, delete it", key=f"delete-it-{run.id}", type="primary", on_click=_delete_it, args=(run,))


def _delete_it(run: Run) -> None:
    with _said():
        delete(run)
        st.session_state["just-deleted"] = run.id


class _said:
    """What goes wrong in a callback, which cannot draw, is told below the buttons."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if isinstance(error, UserError):
            st.session_state["action-problem"] = str(error)
        return isinstance(error, UserError)
