"""The Train page in Streamlit's own test runner: where a run begins, how it is steered, and what is on record of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from segmodels.named_recipes import NAMED_RECIPES, named_recipe
from segmodels.recipe import Recipe
from segmodels.training.changes import wanted_change
from segmodels.training.notes import read_notes, write_notes
from segmodels.training.queue import join, waiting_paths
from segmodels.training.runs import Run, list_runs
from segmodels.training.trash import deleted
from tests.own_forms import write_form
from tests.test_app import opened, texts, widget
from ui.field_widgets import title
from ui.recipe_form import GROUPS, ONLY_WHERE

#: Fields with widgets above "More settings", or of the choice of data.
ABOVE = {
    "data", "root", "form", "architecture", "backbone", "weights", "options", "image_size", "batch_size", "epochs",
    "learning_rate",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def own(tiny_run: Run, home: Path) -> Run:
    """A finished run of one's own, in a home that holds no other."""
    return Run(shutil.copytree(tiny_run.path, home / "runs" / "own"))


def command(app: AppTest) -> str:
    return next(block.value for block in app.code if block.value.startswith("python -m segmodels train"))


def test_runs_of_one_name_are_moved_each_for_itself(own: Run, tmp_path: Path) -> None:
    """Also where no page shows them."""
    runs = [Run.create(Recipe(data="toy-pets"), tmp_path / folder / "own") for folder in ("one", "two")]
    own.write_status(state="queued")
    for run in (*runs, own):
        join(run.path, ["cpu"], launched=True)
    app = opened("2_Train", run="own")
    next(button for button in app.button if button.key == f"earlier-{runs[1].path}").click().run()
    assert not app.exception
    assert waiting_paths() == [runs[1].path, runs[0].path, own.path]
    next(button for button in app.button if button.key == f"earlier-{own.path}").click().run()
    assert waiting_paths() == [runs[1].path, own.path, runs[0].path]


def labels(app: AppTest) -> set[str]:
    kinds = (app.number_input, app.selectbox, app.text_input, app.toggle, app.button_group)
    return {element.label for kind in kinds for element in kind}


def test_every_field_of_a_recipe_has_its_place() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) | ABOVE == set(Recipe.model_fields)
    assert set(ONLY_WHERE) <= set(grouped)


@pytest.mark.parametrize(
    ("choice", "fields"),
    [
        (("Sampling", "tiles"), ["tile_stride", "tile_edge", "tile_foreground"]),
        (("Schedule", "plateau"), ["plateau_patience", "plateau_factor"]),
        (("Backbone", "mobilenetv2"), ["backbone_rate", "layer_decay", "norm_momentum", "freeze_epochs"]),
        (("Architecture", "pix2pix"), ["discriminator_every", "discriminator_rate"]),
    ],
)
def test_fields_are_drawn_where_they_change_something(home: Path, choice: tuple[str, str], fields: list[str]) -> None:
    app = opened("2_Train")
    assert not labels(app) & {title(field) for field in fields}
    app = widget(app.selectbox, choice[0]).set_value(choice[1]).run()
    assert not app.exception
    assert {title(field) for field in fields} <= labels(app)
    app = widget(app.selectbox, "Schedule").set_value("one_cycle").run()
    assert "Warm up epochs" not in labels(app)
    assert not app.error


def test_what_is_left_out_stays_out_and_what_is_typed_is_in(home: Path) -> None:
    app = opened("2_Train")
    assert "--batch-size" not in command(app), "8 is the default"
    app = widget(app.number_input, "Batch size").set_value(None).run()
    assert "--batch-size auto" in command(app)
    app = widget(app.number_input, "EMA").set_value(0.95).run()
    app = widget(app.number_input, "Clip norm").set_value(1.5).run()
    app = widget(app.toggle, "Deterministic").set_value(True).run()
    assert not app.error
    assert all(words in command(app) for words in ("--ema 0.95", "--clip-norm 1.5", "--deterministic true"))
    app = widget(app.number_input, "EMA").set_value(None).run()
    assert "--ema" not in command(app)


@pytest.mark.parametrize(
    "name", ["pets-quick", "nuclei-best", "camvid", "classic-aerial-pix2pix", "classic-pets-fcn-mobilenetv2"]
)
def test_the_form_takes_a_named_recipe_whole(home: Path, data_folder: Path, name: str) -> None:
    app = opened("2_Train")
    app = widget(app.number_input, "Epochs").set_value(99).run()
    if name.startswith("classic"):
        app = widget(app.selectbox, "A well-known system's settings").set_value(name).run()
        assert NAMED_RECIPES[name].published.split(",")[0] in texts(app).replace("\\", "")
        app = app.button(key="use-classic").click().run()
    else:
        app = app.button(key=f"use-{name}").click().run()
    assert not app.exception
    assert not app.error
    assert f"From the recipe {name}" in texts(app).replace("\\", "")
    assert command(app) == named_recipe(name).command()
    app = widget(app.number_input, "Epochs").set_value(13).run()
    assert "--epochs 13" in command(app)
    app = widget(app.button, "Begin anew").click().run()
    assert "From the recipe" not in texts(app).replace("\\", "")


def test_a_run_is_cloned_and_forked_into_the_form(own: Run) -> None:
    app = opened("2_Train", run=own.id)
    app = widget(app.button, "Clone").click().run()
    assert not app.exception
    assert command(app) == own.recipe.command()
    app = opened("2_Train", run=own.id)
    app = widget(app.selectbox, "Epoch").set_value(3).run()
    app = widget(app.button, "Fork it").click().run()
    assert not app.exception
    assert "--start-from own@3" in command(app)
    assert widget(app.button, "Start training").disabled is False


def test_a_change_is_asked_for_and_a_finished_run_goes_on(own: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    going_on: list[str] = []
    monkeypatch.setattr("ui.launcher_choice.relaunch", lambda run: going_on.append(run.id))
    app = opened("2_Train", run=own.id)
    assert not any(button.label == "Resume" for button in app.button)
    assert widget(app.button, "Change it").disabled
    app = widget(app.number_input, "Number of epochs").set_value(3).run()
    app = widget(app.button, "Change it").click().run()
    assert "ask for more than 5" in texts(app)
    app = widget(app.number_input, "Number of epochs").set_value(8).run()
    app = widget(app.button, "Change it").click().run()
    assert not app.exception
    assert wanted_change(own.path) == {"epochs": 8}
    widget(app.button, "Resume").click().run()
    assert going_on == ["own"]


def test_a_deleted_run_can_be_had_back(own: Run) -> None:
    app = opened("2_Train", run=own.id)
    app = widget(app.button, "Yes, delete it").click().run()
    assert not app.exception
    assert list_runs() == []
    assert [entry.id for entry in deleted()] == ["own"]
    app = widget(app.button, "Undo").click().run()
    assert not app.exception
    assert [run.id for run in list_runs()] == ["own"]
    assert deleted() == []


def test_notes_and_tags_are_kept(own: Run) -> None:
    app = opened("2_Train", run=own.id)
    app = widget(app.text_area, "Note").set_value("the <b>first</b> one").run()
    app = widget(app.multiselect, "Tags").set_value(["good"]).run()
    assert not app.exception
    notes = read_notes(own)
    assert (notes.note, notes.tags) == ("the <b>first</b> one", ("good",))


def test_a_box_of_notes_writes_what_it_shows_and_nothing_else(own: Run) -> None:
    app = opened("2_Train", run=own.id)
    write_notes(own, note="from another browser", tags=["theirs"])
    app = widget(app.multiselect, "Tags").set_value(["mine"]).run()
    assert not app.exception
    assert (read_notes(own).note, read_notes(own).tags) == ("from another browser", ("mine",))
    assert widget(app.text_area, "Note").value == "from another browser"


@pytest.mark.parametrize(
    "fields",
    [
        {"architecture": "segnet", "norm_momentum": 0.5, "options": {"width": 8}},
        {
            "batch_size": "auto",
            "ema": 0.9,
            "class_weights": (1.0, 2.0, 0.5),
            "layer_decay": 0.5,
            "backbone": "mobilenetv2",
        },
        {"sampling": "tiles", "image_size": 64, "tile_stride": 32, "schedule": "plateau", "plateau_patience": 2},
        {"loss": "focal(gamma=3)+0.5*dice", "augment": "flip+rotate(degrees=20)", "optimizer": "adamw", "seed": 7},
    ],
)
def test_a_clone_is_the_recipe_to_the_last_field(home: Path, fields: dict[str, Any]) -> None:
    recipe = Recipe(**{"data": "toy-pets", **fields})
    Run.create(recipe, home / "runs" / "one").write_status(state="stopped")
    app = widget(opened("2_Train", run="one").button, "Clone").click().run()
    assert not app.exception
    assert not app.error
    assert command(app) == recipe.command()


def test_a_clone_keeps_a_folder_of_data_that_is_in_no_list(home: Path, tmp_path: Path) -> None:
    folder = write_form("masks", tmp_path / "cells")
    Run.create(Recipe(data=str(folder), form="masks"), home / "runs" / "one").write_status(state="stopped")
    app = widget(opened("2_Train", run="one").button, "Clone").click().run()
    assert not app.exception
    assert f"--data {folder} --form masks" in command(app)
    app = widget(app.selectbox, "Data set").set_value("toy-pets").run()
    assert "which is not chosen above" in texts(app)
    assert "--form" not in command(app)


def test_two_recipes_are_compared(own: Run) -> None:
    Run.create(
        Recipe(**{**own.recipe.model_dump(), "epochs": 9, "options": {"width": 8, "depth": 3}}),
        own.path.with_name("two"),
    )
    app = opened("2_Train", run=own.id)
    app = widget(app.selectbox, "Another run").set_value("two").run()
    assert not app.exception
    rows = next(frame.value for frame in app.dataframe if "Field" in frame.value)
    assert {row["Field"]: (row["own"], row["two"]) for _, row in rows.iterrows()} == {
        "options.width": ("4", "8"), "epochs": ("5", "9"),
    }  # fmt: skip


def test_runs_are_found_among_many(own: Run) -> None:
    for number in range(30):
        made = Run.create(Recipe(data="toy-nuclei", architecture="linknet", backbone="mobilenetv2"))
        made.write_status(state="stopped", epoch=number)
        if number == 7:
            write_notes(made, note="the lucky one", tags=["keep"])
    app = opened("2_Train", part="All runs")
    assert not app.exception
    assert "31 of 31 runs" in texts(app)
    app = widget(app.text_input, "Search").set_value("LUCKY linknet").run()
    assert "1 of 31 runs" in texts(app)
    assert app.dataframe[0].value["Tags"].tolist() == [["keep"]]
    app = widget(app.text_input, "Search").set_value("").run()
    app = widget(app.multiselect, "State").set_value(["finished"]).run()
    assert app.dataframe[0].value["Run"].tolist() == ["own"]


DAMAGES: dict[str, tuple[str, Any]] = {
    "a status of wrong types": (
        "status.json",
        {"state": "paused", "best": 3, "epoch": "x", "epochs": None, "seconds_left": "x", "images_per_second": "fast"},
    ),
    "a status that is a list": ("status.json", [1, 2]),
    "a recipe of a newer version": ("recipe.json", {"data": "toy-pets", "of_tomorrow": 1}),
    "a recipe that is no JSON": ("recipe.json", "{"),
    "figures that are none": (
        "metrics.csv",
        "epoch,val_mean_iou,val_pixel_accuracy,loss\nx,y,z,\n1,0.5,,nan\n2,inf,1\n",
    ),
    "a confusion of other classes": ("confusion.csv", "epoch,0-0\n5,x\n"),
    "changes that are none": ("changes.json", {"learning_rate": 1}),
    "notes that are none": ("notes.json", [3]),
    "no weights": ("best", None),
    "no samples": ("samples", None),
    "no recipe": ("recipe.json", None),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_run_is_shown_as_far_as_it_goes(own: Run, what: str) -> None:
    name, content = DAMAGES[what]
    path = own.path / name
    if content is None:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    Run.create(Recipe(data="toy-pets"), own.path.with_name("whole")).write_status(state="stopped")
    for query in ({"run": own.id}, {"part": "All runs"}, {"part": "New run"}):
        app = opened("2_Train", **query)
        assert not app.exception, query
        assert all("\n" not in error.value for error in app.error)
