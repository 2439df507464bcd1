"""Searches on the Compare page in Streamlit's own test runner: the form, what steers one, and what is drawn of it."""

from __future__ import annotations

import base64
import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from segmodels.recipe import Recipe
from segmodels.search.search import Search, list_searches
from segmodels.search.space import Space
from segmodels.training.placed import Resources
from segmodels.training.runs import Run
from tests.test_app import opened, texts, widget
from ui import search_form, search_view
from ui.search_chart import parallel_coordinates
from ui.search_form import EXAMPLE

SPACE: dict[str, Any] = {
    "search": {"method": "random", "trials": 6, "seed": 3},
    "recipe": {"data": "toy-pets", "epochs": 4, "options": {"depth": 3}},
    "space": {
        "learning_rate": {"log": [1e-4, 1e-2]},
        "loss": ["dice", "cross_entropy"],
        "batch_size": [4, 8],
        "ema": [None, 0.9],
        "options.width": [4, 8],
    },
}


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The searches that a process was asked to conduct; none is started."""
    found: list[str] = []

    def begin(search: Search) -> None:
        found.append(search.id)
        search.write_status(state="starting", phase="starting")

    monkeypatch.setattr(search_form, "begin", begin)
    monkeypatch.setattr(search_view, "begin", begin)
    return found


def made_search(states: list[str], name: str = "mine", space: dict[str, Any] | None = None) -> Search:
    """A search as if it had been conducted: each trial in a state, its figures drawn."""
    search = Search.create(Space.of(space or SPACE), name=name, resources=Resources(cpus=1))
    rng = np.random.default_rng(1)
    for number, state in enumerate(states, 1):
        if state == "waiting":
            continue
        run = Run.create(search.recipe_of(number), search.run_path(number))
        epochs = {"finished": 4, "failed": 0}.get(state, 2)
        if epochs:
            with (run.path / "metrics.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["epoch", "val_mean_iou", "val_loss", "seconds"])
                writer.writerows([epoch, rng.uniform(0.2, 0.9), 1.0, 1.0] for epoch in range(1, epochs + 1))
        run.write_status(
            state={"pruned": "stopped"}.get(state, state), epoch=epochs, error="it broke" * (state == "failed")
        )
        if state in ("finished", "pruned", "failed"):
            search.keep(number, state, {"pruned": "after epoch 2 of 4", "failed": "it <b>broke</b>"}.get(state, ""))
    search.write_status(state="finished" if "waiting" not in states else "stopped", phase="")
    return search


def page(**query: str) -> AppTest:
    return opened("3_Compare", **{"compare-part": "Searches", **query})


def words(app: AppTest) -> str:
    return texts(app).replace("\\", "")


def drawn(app: AppTest) -> dict[str, Any]:
    return json.loads(app.get("plotly_chart")[0].proto.spec)["data"][0]


def numbers(value: Any) -> list[float]:
    """Numbers of a chart, packed or not."""
    if isinstance(value, dict):
        return np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"]).tolist()
    return list(value)


def test_a_fresh_home_opens_the_form_with_an_example_that_can_be_started(home: Path, begun: list[str]) -> None:
    app = page()
    assert not app.exception
    assert not app.error
    assert "No search yet" in texts(app)
    space = Space.parse(EXAMPLE)
    assert f"**{len(space.trials())}** runs to train" in texts(app)
    app = widget(app.text_input, "Name").set_value("First *one*").run()
    app = widget(app.number_input, "Processors a trial").set_value(1).run()
    app = widget(app.button, "Start the search").click().run()
    assert not app.exception
    (search,) = list_searches()
    assert begun == [search.id]
    assert (search.title, search.on, search.resources.cpus) == ("First *one*", "local", 1)
    assert search.space.document == space.document
    assert search.values == space.trials()
    assert app.query_params["search-id"] in (search.id, [search.id])
    assert "First *one*" in words(app)
    assert "drawn side by side once two of them have been validated" in texts(app)


def test_what_is_wrong_in_a_space_is_said_as_it_stands(home: Path, begun: list[str]) -> None:
    app = page()
    app = widget(app.text_area, "Space").set_value("space: {learning_rate: [0.1, 100]}").run()
    assert not app.exception
    (error,) = app.error
    assert "must be a number, greater than 0 and at most 10" in error.value.replace("\\", "")
    assert not [button for button in app.button if button.label == "Start the search"]
    app = widget(app.text_area, "Space").set_value("").run()
    assert "hold names and their values" in words(app)
    assert begun == []


def test_without_ray_a_line_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_form, "missing_ray", lambda: "Ray is not installed: pip install it")
    app = page()
    assert not app.exception
    assert "A search needs Ray. Ray is not installed: pip install it." in words(app)
    assert not app.text_area


def test_trials_are_a_table_the_best_first_and_lines_with_their_values(home: Path) -> None:
    search = made_search(["finished", "pruned", "failed", "finished", "paused", "waiting"])
    app = page()
    assert not app.exception
    trials = search.trials()
    assert [trial.state for trial in trials] == ["finished", "pruned", "failed", "finished", "paused", "waiting"]
    with_figure = [trial for trial in trials if trial.value is not None]
    figures = [trial.value or 0.0 for trial in with_figure]
    table = app.dataframe[0].value
    values = table["val_mean_iou"].tolist()
    assert [v for v in values if not math.isnan(v)] == sorted(figures, reverse=True)
    assert table["Trial"].tolist()[0] == max(with_figure, key=lambda trial: trial.value or 0).number
    row = table.set_index("Trial").loc[2]
    assert (row["State"], row["Epochs"], row["Run"]) == ("pruned", "2 of 4", f"{search.id}-trial-002")
    assert row["learning_rate"] == search.values[1]["learning_rate"]
    # The lines: each axis has the value of each trial that has a figure.
    chart = drawn(app)
    axes = {axis["label"]: axis for axis in chart["dimensions"]}
    assert list(axes) == ["learning_rate", "loss", "batch_size", "ema", "width", "val_mean_iou"]
    np.testing.assert_allclose(numbers(axes["val_mean_iou"]["values"]), figures)
    np.testing.assert_allclose(numbers(chart["line"]["color"]), figures)
    np.testing.assert_allclose(
        numbers(axes["learning_rate"]["values"]), [math.log10(t.values["learning_rate"]) for t in with_figure]
    )
    for label, field, texts_of in (("loss", "loss", str), ("ema", "ema", lambda v: "none" if v is None else str(v))):
        shown = [axes[label]["ticktext"][int(place)] for place in numbers(axes[label]["values"])]
        assert shown == [texts_of(trial.values[field]) for trial in with_figure]
    assert numbers(axes["width"]["values"]) == [trial.values["options.width"] for trial in with_figure]
    # What failed is said with its reason, which is no HTML.
    assert "- trial 3: it <b>broke</b>" in words(app)
    assert "it \\<b\\>broke" in app.error[0].value


def test_a_trial_leads_to_its_run_and_begins_another(home: Path) -> None:
    search = made_search(["finished", "finished", "waiting", "waiting", "waiting", "waiting"])
    app = page()
    best = search.best(search.trials())
    assert best is not None
    box = widget(app.selectbox, "Trial")
    assert box.value == best.number
    other = 3 - best.number
    app = box.set_value(other).run()
    links = app.get("page_link")
    assert any(f"{search.id}-trial-{other:03d}" in str(link.proto) for link in links)
    app = widget(app.button, "Begin a run with its recipe").click().run()
    assert not app.exception
    assert app.title[0].value == "Train"
    recipe: Recipe = search.recipe_of(other)
    assert app.session_state["form-start"]["learning_rate"] == recipe.learning_rate
    assert f"From trial {other} of the search mine" in words(app)


def test_one_is_stopped_gone_on_with_and_deleted(home: Path, begun: list[str]) -> None:
    search = made_search(["finished", "waiting", "waiting", "waiting", "waiting", "waiting"])
    app = page()
    assert widget(app.number_input, "Processors a trial").value == 1, "as it had before"
    app = widget(app.button_group, "On").set_value("ray").run()
    app = widget(app.text_input, "Address").set_value("head:6379").run()
    app = widget(app.button, "Go on with it").click().run()
    assert not app.exception
    assert begun == [search.id]
    (moved,) = list_searches()
    assert (moved.on, moved.resources) == ("ray", Resources(address="head:6379", cpus=1))
    assert not [button for button in app.button if button.label in ("Go on with it", "Yes, delete it")]
    app = widget(app.button, "Stop").click().run()
    assert not app.exception
    assert search.take_request()
    search.write_status(state="stopped", phase="stopped")
    app = page()
    app = widget(app.button, "Yes, delete it").click().run()
    assert not app.exception
    assert "mine is deleted" in "".join(element.value for element in app.success)
    assert not search.path.exists()
    assert search.run_path(1).is_dir(), "its runs stay"


def test_what_is_gone_or_damaged_is_said(home: Path) -> None:
    search = made_search(["finished", "finished", "pruned", "waiting", "waiting", "waiting"])
    app = page(**{"search-id": "gone"})
    assert "There is no search gone any more" in words(app)
    # Runs that were deleted, or are no longer readable, leave their figures.
    shutil.rmtree(search.run_path(1))
    (search.run_path(2) / "metrics.csv").write_bytes(b"epoch,val_mean_iou\nx,y\n\x00")
    (search.record_path(3)).write_text("{")
    app = page()
    assert not app.exception
    assert [trial.state for trial in search.trials()][:3] == ["finished", "finished", "stopped"]
    assert search.trial(1).value is not None
    assert search.trial(1).run is None


def test_an_axis_holds_what_is_all_the_same_and_names_that_are_long() -> None:
    space = Space.of(
        {"space": {"batch_size": [4], "augment": ["light", "flip+rotate(degrees=15)+brightness(amount=0.2)"]}}
    )
    rows = [({"batch_size": 4, "augment": "light"}, 0.5), ({"batch_size": 4, "augment": "<b>other</b>"}, 0.5)]
    axes = parallel_coordinates(space.fields, rows, "val_loss", higher=False).to_dict()["data"][0]
    batch, augment, metric = axes["dimensions"]
    assert batch["range"][0] < 4 < batch["range"][1]
    assert metric["range"][0] < 0.5 < metric["range"][1]
    assert axes["line"]["reversescale"]
    assert list(augment["values"]) == [0, 2]
    assert all(len(text) <= 40 and "<" not in text for text in augment["ticktext"])
