"""Where work goes: this machine, or a cluster, with what of it each run gets."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

from segmodels.home import home
from segmodels.hosted import limits
from segmodels.process import ask
from segmodels.recipe import Recipe
from segmodels.training.launch import launch, relaunch
from segmodels.training.launchers import LAUNCHERS
from segmodels.training.placed import LOCAL, Resources, placed
from segmodels.training.runs import Run
from ui.cluster_choice import choose_cluster
from ui.device_choice import choose_device

NAMES = {LOCAL: "This machine", "ray": "Ray cluster"}


def choose_launcher(key: str) -> tuple[str, Resources] | None:
    """Let the user choose where runs go; returns the launcher's name and what each run gets, or None where something
    is missing, which is said then.

    Args:
        key: of the widgets; each place on a page has its own.
    """
    on: str | None = LOCAL
    if not limits().hosted:
        on = st.segmented_control(
            "Where", list(LAUNCHERS), default=LOCAL, key=f"{key}-on", format_func=lambda name: NAMES.get(name, name),
            help="; ".join(f"{NAMES.get(name, name)}: {row.purpose}" for name, row in LAUNCHERS.items()),
        )  # fmt: skip
    on = on or LOCAL
    if said := LAUNCHERS[on].missing():
        st.info(said, icon=":material/extension_off:")
        return None
    if on == LOCAL:
        return on, Resources(choose_device())
    return on, choose_cluster(key, "run")


def start_run(recipe: Recipe, on: str, resources: Resources) -> str:
    """Start a run where it is to go; returns its id. `UserError` where that cannot be."""
    if on == LOCAL:
        return launch(recipe, resources.devices).id
    with st.spinner("Asking the cluster"), tempfile.TemporaryDirectory() as folder:
        recipe.save(path := Path(folder) / "recipe.json")
        return _verb("train", "--recipe", str(path), "--finished", "train", "--background", *resources.words(on))["run"]


def resume_run(run: Run) -> None:
    """Have a run go on here, once it is no more on a cluster; `UserError` where it still is."""
    if placed(run.path) is None:
        relaunch(run)
    else:
        _verb("runs", "resume", str(run.path))


def ask_run(run: Run, how: str) -> None:
    """Ask a run to stop or to pause, wherever it is."""
    if placed(run.path) is None or run.locked():
        run.request(how)
    else:
        _verb("runs", how, str(run.path))


def _verb(*words: str) -> dict[str, str]:
    """A verb in a process of its own: one that loses its cluster may end at any moment."""
    return ask(words, variables={"SEGMODELS_HOME": str(home())})
