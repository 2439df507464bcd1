"""Train: start a run, watch and steer every run there is, find one among hundreds."""

import streamlit as st

from segmodels.recipe import Recipe
from segmodels.training.runs import ALIVE, Run, list_runs
from ui import cached
from ui.augment_strip import augment_strip
from ui.class_weights_view import class_weights_view
from ui.cost_view import cost_view
from ui.finished_view import finished_view
from ui.frame import in_place, page, plain
from ui.hosted import started
from ui.launcher_choice import choose_launcher, start_run
from ui.links import linked_selectbox
from ui.queue_view import queue_view
from ui.recipe_form import recipe_form
from ui.recipe_start import recipe_start
from ui.run_view import run_view
from ui.runs_table import restore_run, runs_table, told_problems
from ui.summary_view import summary_view
from ui.train_links import ALL, NEW, WATCH, show_part, take_next

page("Train", ":material/model_training:", "Start a run and watch it learn. It goes on without this page.")


def new_run() -> None:
    """Where it begins, the form and what starts it, and beside it what the recipe means."""
    if not found:
        st.info(
            "No run yet. The form starts one: with its first values on toy\\-pets it takes a few minutes.",
            icon=":material/flag:",
        )
    recipe_start()
    form, view = st.columns([2, 3], gap="large")
    recipe: Recipe | None = None
    with form, in_place():
        recipe = recipe_form()
        place = choose_launcher("new")
        pressed = st.button(
            "Start training", type="primary", icon=":material/play_arrow:",
            disabled=recipe is None or place is None, width="stretch",
        )  # fmt: skip
        if pressed and recipe is not None and place is not None:
            show_part(WATCH, started(lambda: start_run(recipe, *place)))
            st.rerun()
    if recipe is not None:
        with view, in_place():  # here there is room to read it
            meaning(recipe)


def meaning(recipe: Recipe) -> None:
    finished_view(recipe)
    cost_view(recipe)
    classes = len(cached.dataset(recipe.data, recipe.root).classes)
    # By itself the batch is only known once it is measured.
    batch = recipe.batch_size if isinstance(recipe.batch_size, int) else 1
    summary_view(recipe.architecture, recipe.backbone, classes, recipe.image_size, recipe.options, batch)
    augment_strip(recipe.data, recipe.root, recipe.augment, recipe.image_size, sampling=recipe.sampling)
    class_weights_view(recipe)
    with st.expander("The same as a command", icon=":material/terminal:"):
        st.code(recipe.command(), language="bash", wrap_lines=True)
    with st.expander("The same as a file", icon=":material/description:"):
        st.code(recipe.yaml(), language="yaml")
        st.download_button(
            "recipe.yaml", recipe.yaml(), "recipe.yaml", "application/yaml", on_click="ignore", key="recipe-download",
            icon=":material/download:",
        )  # fmt: skip


def watch(runs: list[Run]) -> None:
    if not runs:
        st.info("No run yet: the tab New run starts one.", icon=":material/flag:")
        return
    queue_view()
    ids = [run.id for run in runs]
    at_work = next((run.id for run in runs if states[run.id] in ALIVE), None)
    # A state that will change is not named here: the box goes on showing what it showed first.
    titles = {run_id: run_id if state in ALIVE else f"{run_id} · {state}" for run_id, state in states.items()}
    picked = linked_selectbox("Run", ids, key="run", default=at_work, format_func=titles.__getitem__)
    run_view(runs[ids.index(picked)])


def undo() -> None:
    """The way back from the last deletion."""
    if gone := st.session_state.get("just-deleted"):
        said, back = st.columns([5, 1], vertical_alignment="center")
        said.success(f"{plain(gone)} is deleted.", icon=":material/delete:")
        back.button("Undo", icon=":material/undo:", on_click=restore_run, args=(gone,), width="stretch")


found = list_runs()
states = {run.id: run.state for run in found}
take_next()
if "part" not in st.session_state and "part" not in st.query_params:
    begins = "train-data" in st.query_params or not found
    st.session_state["part"] = NEW if begins and "run" not in st.query_params else WATCH
undo()
told_problems()
first, second, third = st.tabs([NEW, WATCH, ALL], key="part", on_change="rerun", bind="query-params")
if first.open:
    with first, in_place():
        new_run()
if second.open:
    with second, in_place():
        watch(found)
if third.open:
    with third, in_place():
        runs_table()
