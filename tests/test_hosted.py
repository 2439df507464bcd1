"""The hosted mode: what turns it on, what it refuses, and what a visitor sees of it."""

from __future__ import annotations

import io
import os
import time
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

from segmodels import serve
from segmodels.errors import UserError
from segmodels.hosted import HOSTED, OPEN, check_pushing, check_training, limits
from segmodels.recipe import Recipe
from segmodels.training import launch as launching
from segmodels.training.changes import ask_for_change
from segmodels.training.launch import launch, relaunch
from segmodels.training.runs import Run, list_runs
from tests.stand_in import go, wait
from tests.test_app import opened, texts, widget
from ui.train_links import NEW

RECIPE = Recipe(data="toy-pets", image_size=32, limit=8, epochs=2, options={"width": 4, "depth": 2})


@pytest.fixture(autouse=True)
def _nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    st.cache_data.clear()
    st.cache_resource.clear()
    for name in [name for name in os.environ if name.startswith("SEGMODELS_HOSTED") or name == "SPACE_ID"]:
        monkeypatch.delenv(name)


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch, home: Path) -> pytest.MonkeyPatch:
    monkeypatch.setenv("SPACE_ID", "owner/segmodels")
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "hosted"),
    [
        ({}, False),
        ({"SPACE_ID": "owner/name"}, True),
        ({"SPACE_ID": ""}, False),
        ({"SEGMODELS_HOSTED": "on"}, True),
        ({"SEGMODELS_HOSTED": " TRUE "}, True),
        ({"SEGMODELS_HOSTED": "off"}, False),
        ({"SEGMODELS_HOSTED": "off", "SPACE_ID": "owner/name"}, False),
        ({"SEGMODELS_HOSTED": "", "SPACE_ID": "owner/name"}, True),
    ],
)
def test_what_turns_it_on(variables: dict[str, str], hosted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert limits() == (HOSTED if hosted else OPEN)


def test_on_ones_own_computer_nothing_is_limited() -> None:
    for field in fields(OPEN)[1:]:
        assert getattr(OPEN, field.name) in (True, None), field.name
        assert getattr(HOSTED, field.name) is not None, field.name
    assert (HOSTED.pushing, HOSTED.folders, HOSTED.own_data) == (False, False, False)


def test_every_limit_has_its_variable(space: pytest.MonkeyPatch) -> None:
    space.setenv("SEGMODELS_HOSTED_PUSHING", "yes")
    space.setenv("SEGMODELS_HOSTED_EPOCHS", "none")
    space.setenv("SEGMODELS_HOSTED_MINUTES", " 3 ")
    found = limits()
    assert (found.pushing, found.epochs, found.minutes, found.image_size) == (True, None, 3, HOSTED.image_size)
    for number, field in enumerate(fields(HOSTED)[1:], start=1):
        is_switch = isinstance(getattr(HOSTED, field.name), bool)
        space.setenv(f"SEGMODELS_HOSTED_{field.name.upper()}", "off" if is_switch else str(number))
        assert getattr(limits(), field.name) == (False if is_switch else number)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "perhaps"),
        ("_EPOCHS", "0"),
        ("_EPOCHS", "-1"),
        ("_EPOCHS", "many"),
        ("_EPOCHS", "9" * 30),
        ("_TRAINING", "1.0"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str, space: pytest.MonkeyPatch) -> None:
    space.setenv(f"SEGMODELS_HOSTED{name}", value)
    with pytest.raises(UserError, match=f"SEGMODELS_HOSTED{name}={value!r}"):
        limits()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epochs": 11}, "epochs=11"),
        ({"image_size": 160}, "image_size=160"),
        ({"batch_size": 17}, "batch_size=17"),
        ({"batch_size": "auto"}, "batch_size=auto"),
        ({"split_file": "/etc/passwd"}, "split_file"),
        ({"root": "/etc"}, "root"),
        ({"start_from": "/etc"}, "start_from"),
        ({"teachers": "/etc"}, "teachers"),
        ({"backbone": "mobilenetv2", "options": {}, "weights": "/etc/passwd"}, "weights"),
    ],
)
def test_a_recipe_over_the_budget_is_refused(changed: dict[str, Any], said: str, space: pytest.MonkeyPatch) -> None:
    recipe = Recipe(**{**RECIPE.model_dump(), "backbone_rate": None, "weights": None, **changed})
    with pytest.raises(UserError, match=f"hosted demo: .*{said}"):
        check_training(recipe)
    space.delenv("SPACE_ID")
    check_training(recipe)


def test_at_the_budget_a_recipe_is_taken(space: pytest.MonkeyPatch, home: Path) -> None:
    most = {"epochs": HOSTED.epochs, "image_size": HOSTED.image_size, "batch_size": HOSTED.batch_size, "limit": None}
    check_training(RECIPE.model_copy(update=most))


def test_what_lies_in_the_home_may_be_named(space: pytest.MonkeyPatch, home: Path) -> None:
    """A fork has the split of the run that it begins with."""
    split = home / "runs" / "first" / "split.json"
    with pytest.raises(UserError, match="no such file"):
        check_training(RECIPE.model_copy(update={"split_file": str(split)}))


def test_pictures_are_counted_as_they_are_trained(space: pytest.MonkeyPatch) -> None:
    space.setenv("SEGMODELS_HOSTED_PICTURES", "100")
    check_training(RECIPE.model_copy(update={"limit": 100}))
    for limit in (101, None):
        with pytest.raises(UserError, match="toy-pets has 240 training pictures: set limit to 100"):
            check_training(RECIPE.model_copy(update={"limit": limit}))


def test_training_can_be_off(space: pytest.MonkeyPatch) -> None:
    space.setenv("SEGMODELS_HOSTED_TRAINING", "off")
    with pytest.raises(UserError, match="nothing is trained here"):
        launch(RECIPE)
    assert list_runs() == []


def test_nothing_is_pushed_from_a_space(space: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="hosted demo: nothing is pushed"):
        check_pushing()
    space.setenv("SEGMODELS_HOSTED_PUSHING", "on")
    check_pushing()


def test_only_so_many_runs_train_or_wait(space: pytest.MonkeyPatch, stand_ins: None) -> None:
    runs = [launch(RECIPE) for _ in range(2)]
    with pytest.raises(UserError, match="2 runs train or wait already"):
        launch(RECIPE)
    assert len(list_runs()) == 2
    go(*runs)
    wait(lambda: all(run.state == "finished" for run in runs))
    last = launch(RECIPE)
    go(last)
    wait(lambda: last.state == "finished")


def test_more_epochs_are_no_way_around_the_budget(space: pytest.MonkeyPatch, home: Path) -> None:
    run = Run.create(RECIPE)
    run.write_status(state="stopped", epoch=1)
    ask_for_change(run, epochs=500)
    with pytest.raises(UserError, match="epochs=500 is over"):
        relaunch(run)
    assert run.state == "stopped"


def test_a_run_is_stopped_when_its_time_is_over(
    space: pytest.MonkeyPatch, stand_ins: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "LOOK", 0.05)
    monkeypatch.setattr("segmodels.hosted.HOSTED", launching.limits().__class__(hosted=True, minutes=1))
    began = time.monotonic()
    real = time.monotonic
    # A minute passes in a second.
    monkeypatch.setattr(launching.time, "monotonic", lambda: began + 60 * (real() - began))
    run = launch(RECIPE)
    monkeypatch.setattr("segmodels.hosted.HOSTED", HOSTED)
    stopped = real() + 30
    while run.state != "stopped" and real() < stopped:
        time.sleep(0.05)
    assert run.state == "stopped"
    assert not (run.path / "go").exists()


def test_an_upload_over_the_limit_is_refused_by_the_server_itself(space: pytest.MonkeyPatch) -> None:
    assert serve.server_variables()["STREAMLIT_SERVER_MAX_UPLOAD_SIZE"] == str(HOSTED.upload_megabytes)
    assert serve.server_variables()["STREAMLIT_SERVER_ENABLE_XSRF_PROTECTION"] == "false"
    space.setenv("SEGMODELS_HOSTED", "off")
    assert serve.server_variables() == {}


def test_a_page_says_what_is_limited(space: pytest.MonkeyPatch) -> None:
    line = (
        "Hosted demo: trainings of up to 10 epochs, 320 pictures, 128 px, 10 minutes; files of up to 50 MB; no pushing"
    )
    assert line in texts(opened("4_Predict"))
    space.setenv("SEGMODELS_HOSTED_TRAINING", "off")
    assert "Hosted demo: nothing is trained here" in texts(opened("4_Predict"))
    space.setenv("SEGMODELS_HOSTED_EPOCHS", "few")
    assert "SEGMODELS\\_HOSTED\\_EPOCHS" in texts(opened("4_Predict"))
    space.delenv("SPACE_ID")
    assert "Hosted" not in texts(opened("4_Predict"))


def test_the_form_begins_within_the_budget_and_counts_a_visit(space: pytest.MonkeyPatch, home: Path) -> None:
    begun: list[Recipe] = []
    space.setattr("ui.launcher_choice.launch", lambda recipe, devices: begun.append(recipe) or Run.create(recipe))
    app = opened("2_Train")
    assert not app.exception
    assert not app.error
    for label, most in (("Epochs", 10), ("Image size", 128), ("Batch size", 16)):
        box = widget(app.number_input, label)
        assert box.value <= most == box.max
    for _ in range(2):
        app = widget(app.button, "Start training").click().run()
        app.session_state["part-next"] = NEW
        app = app.run()
    app = widget(app.button, "Start training").click().run()
    assert not app.exception
    assert "2 runs a visit" in app.error[0].value
    assert len(begun) == 2
    check_training(begun[0])


def test_a_recipe_over_the_budget_cannot_be_started_from_the_page(space: pytest.MonkeyPatch) -> None:
    app = opened("2_Train")
    # Its generator needs pictures of 256 pixels, which are more than may be trained.
    app = widget(app.selectbox, "Architecture").set_value("pix2pix").run()
    assert not app.exception
    assert "image\\_size=256 is over what is trained" in app.error[0].value
    assert widget(app.button, "Start training").disabled


class Given(io.BytesIO):
    """A file as Streamlit hands it over."""

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__(content)
        self.name, self.file_id = name, name


def picture(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_pictures_are_counted_over_a_visit(space: pytest.MonkeyPatch) -> None:
    """Also those in archives; one that was there before costs nothing."""
    space.setenv("SEGMODELS_HOSTED_SESSION_PICTURES", "6")
    space.setenv("SEGMODELS_HOSTED_PICTURES_AT_ONCE", "5")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for number in range(4):
            packed.writestr(f"{number}.png", picture(number))
    files = [Given("a.zip", archive.getvalue()), *(Given(f"{name}.png", picture(ord(name))) for name in "bcdefg")]
    asked: dict[str, Any] = {}
    space.setattr(DeltaGenerator, "file_uploader", lambda *_, **terms: asked.update(terms) or st.session_state["given"])

    def page() -> None:
        import streamlit as st

        from ui.prediction_source import choose_pictures

        st.session_state["labels"] = [chosen.label for chosen in choose_pictures(None)]

    def labels(*given: Given) -> list[str]:
        app.session_state["given"] = list(given)
        app.run()
        assert not app.exception
        return app.session_state["labels"]

    app = AppTest.from_function(page)
    zipped = [f"{number}.png" for number in range(4)]
    assert labels(*files[:3]) == [*zipped, "b.png"]
    assert "the first 5 are predicted" in app.warning[0].value
    assert labels(files[1], files[2], files[3]) == ["b.png", "c.png"]
    assert "6 pictures a visit, 1 of these are left out" in app.warning[0].value
    assert labels(files[0]) == zipped
    assert not app.warning
    assert labels(*files[4:]) == []
    assert asked["max_upload_size"] == 50
    space.delenv("SPACE_ID")
    assert labels(*files[1:]) == [f"{name}.png" for name in "bcdefg"]
    assert asked["max_upload_size"] is None


def test_a_run_of_the_queue_keeps_its_limits_in_a_process_of_its_own(space: pytest.MonkeyPatch, python: Any) -> None:
    """As a comparison starts its runs."""
    code = (
        "from segmodels.recipe import Recipe; from segmodels.training.launch import launch\n"
        "try: launch(Recipe(data='toy-pets', epochs=50))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    said = python("-c", code).stdout
    assert said.startswith("UserError hosted demo: epochs=50 is over")
    assert list_runs() == []
