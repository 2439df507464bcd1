"""Train: start a run, and watch every run there is."""

import streamlit as st

from segmodels.recipe import Recipe
from segmodels.training.launch import launch
from segmodels.training.runs import ALIVE, list_runs
from ui import cached
from ui.augment_strip import augment_strip
from ui.device_choice import choose_device
from ui.frame import in_place, page
from ui.links import linked_selectbox
from ui.recipe_form import recipe_form
from ui.run_view import run_view
from ui.summary_view import summary_view

page("Train", ":material/model_training:", "Start a run and watch it learn. It goes on without this page.")


def new_run() -> Recipe | None:
    """The form and what starts it; returns the recipe that it stands for."""
    st.subheader("New run")
    recipe = recipe_form()
    devices = choose_device()
    pressed = st.button(
        "Start training", type="primary", icon=":material/play_arrow:", disabled=recipe is None, width="stretch"
    )
    if recipe is not None:
        if pressed:
            started = launch(recipe, devices)
            st.session_state["run"] = started.id
            st.rerun()
        with st.expander("The same as a command", icon=":material/terminal:"):
            st.code(recipe.command(), language="bash", wrap_lines=True)
    return recipe


def network(recipe: Recipe) -> None:
    classes = len(cached.dataset(recipe.data, recipe.root).classes)
    summary_view(recipe.architecture, recipe.backbone, classes, recipe.image_size, recipe.options, recipe.batch_size)


def watch() -> None:
    runs = list_runs()
    if not runs:
        st.subheader("Runs")
        st.info(
            "No run yet. The form starts one: with its first values on toy\\-pets it takes a few minutes.",
            icon=":material/flag:",
        )
        return
    ids = [run.id for run in runs]
    states = {run.id: run.state for run in runs}
    at_work = next((run_id for run_id in ids if states[run_id] in ALIVE), None)
    # A state that will change is not named here: the box goes on showing what it showed first.
    titles = {run_id: run_id if state in ALIVE else f"{run_id} · {state}" for run_id, state in states.items()}
    picked = linked_selectbox("Run", ids, key="run", default=at_work, format_func=titles.__getitem__)
    run_view(runs[ids.index(picked)])


form, view = st.columns([1, 2], gap="large")
recipe: Recipe | None = None
with form, in_place():
    recipe = new_run()
with view, in_place():
    if recipe is not None:
        network(recipe)  # here there is room to read its drawing
        augment_strip(recipe.data, recipe.root, recipe.augment, recipe.image_size, sampling=recipe.sampling)
    watch()
