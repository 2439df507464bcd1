"""Where a new run may begin: recipes that have a name, a run that there is, a file."""

from __future__ import annotations

import streamlit as st

from segmodels.data.datasets import dataset_type
from segmodels.durations import duration
from segmodels.errors import UserError
from segmodels.named_recipes import NAMED_RECIPES, NamedRecipe, named_recipe
from segmodels.recipe import Recipe
from segmodels.training.recipe_times import times_here
from segmodels.training.runs import find_run, list_runs
from ui.form_start import begin_form_anew, begin_form_with
from ui.frame import plain

#: Recipes of well-known systems are many: they are chosen from a list, the others from cards.
CLASSIC = "classic-"


def recipe_start() -> None:
    """Draw the cards and the other ways; each fills the form."""
    said = st.session_state.get("form-said")
    with st.expander("Start from a recipe, a run or a file", icon=":material/menu_book:", expanded=not said):
        _cards()
        one, two, three = st.columns(3)
        with one:
            _classic()
        with two:
            _earlier()
        with three:
            _file()
    if said:
        note, away = st.columns([4, 1], vertical_alignment="center")
        note.caption(f":material/edit_note: {plain(said)}: change what you like below.")
        away.button("Begin anew", on_click=begin_form_anew, width="stretch")


def _cards() -> None:
    times = times_here()
    with st.container(horizontal=True, gap="small"):
        for name, row in NAMED_RECIPES.items():
            if name.startswith(CLASSIC):
                continue
            with st.container(border=True, width=164):
                st.markdown(f"**{plain(name)}**")
                st.caption(plain(_purpose(row)))
                measured = f"Measured: {row.measured}, two processor cores" if row.measured else None
                st.caption(f":material/timer: {plain(_time(row, times.get(name)))}", help=measured)
                st.button("Use it", key=f"use-{name}", on_click=_use, args=(name,), width="stretch")


def _purpose(row: NamedRecipe) -> str:
    data = dataset_type(row.fields["data"]).title
    return f"{row.purpose[0].upper()}{row.purpose[1:]}. On {data}."


def _time(row: NamedRecipe, here: float | None) -> str:
    if here is not None:
        return f"{duration(here)} on this computer"
    if row.seconds:
        return f"{duration(row.seconds)} on two processor cores"
    return "not trained here yet"


def _use(name: str) -> None:
    begin_form_with(named_recipe(name), f"From the recipe {name}")


def _classic() -> None:
    names = [name for name in NAMED_RECIPES if name.startswith(CLASSIC)]
    name = st.selectbox(
        "A well-known system's settings", names, index=None, placeholder="Choose", key="classic",
        help="The settings of five systems, with the figures that they published",
    )  # fmt: skip
    if name:
        row = NAMED_RECIPES[name]
        st.caption(plain(f"{_purpose(row)} Published: {row.published}, on {row.used}."))
        st.button("Use it", key="use-classic", on_click=_use, args=(name,))


def _earlier() -> None:
    ids = [run.id for run in list_runs()]
    name = st.selectbox(
        "A run that there is", ids, index=None, placeholder="Choose" if ids else "none yet", key="earlier"
    )
    if name and st.button("Use its recipe", key="use-earlier"):
        try:
            begin_form_with(find_run(name).recipe, f"From the run {name}")
        except UserError as error:
            st.error(plain(str(error)), icon=":material/error:")
        else:
            st.rerun()


def _file() -> None:
    st.file_uploader(
        "A recipe's file", type=["yaml", "yml", "json"], key="recipe-file", max_upload_size=1, on_change=_take_file
    )
    if problem := st.session_state.get("recipe-problem"):
        st.error(plain(problem), icon=":material/error:")


def _take_file() -> None:
    """Fill the form with what was given."""
    st.session_state.pop("recipe-problem", None)
    given = st.session_state["recipe-file"]
    if given is None:
        return
    try:
        recipe = Recipe.parse(given.getvalue().decode("utf-8", "replace"), given.name)
        begin_form_with(recipe, f"From the file {given.name}")
    except UserError as error:
        st.session_state["recipe-problem"] = str(error)
