"""What a visitor of a hosted app may not do to what others made, with its owner's rights, or to its disk."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import streamlit as st

from segmodels.data.own_data import add_folder, own_names
from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.members import model_members
from segmodels.evaluation.evaluated_data import evaluated_recipe
from segmodels.hosted import check_pulling, check_training
from segmodels.hub.finished.outbox import queue_finished, waiting
from segmodels.hub.finished.sending import send_run
from segmodels.prediction.masks import write_image
from segmodels.recipe import Recipe
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run
from tests.test_app import opened, texts, widget
from tests.test_app_models import note_files, put_pulled
from ui.compare_links import EVALUATE, NEW
from ui.hosted import STARTED
from ui.models_work import taken_token

RECIPE = Recipe(data="toy-pets", image_size=32, limit=8, epochs=2, options={"width": 4, "depth": 2})


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch, home: Path) -> pytest.MonkeyPatch:
    monkeypatch.setenv("SPACE_ID", "owner/segmodels")
    return monkeypatch


def labels(app: object) -> set[str]:
    return {button.label for button in app.button}  # type: ignore[attr-defined]


def test_a_run_is_steered_by_whoever_started_it(space: pytest.MonkeyPatch, tiny_run: Run, home: Path) -> None:
    shutil.copytree(tiny_run.path, home / "runs" / "tiny")
    steering = {"Yes, delete it", "Change it"}
    app = opened("2_Train", part="Watch", run="tiny")
    assert not app.exception
    assert not labels(app) & steering
    assert "Clone" in labels(app)
    assert widget(app.text_area, "Note").disabled
    app.session_state[STARTED] = {"tiny"}
    assert steering <= labels(app.run())
    assert not widget(app.text_area, "Note").disabled
    del app.session_state[STARTED]
    assert not labels(app.run()) & steering
    space.delenv("SPACE_ID")
    assert steering <= labels(app.run())


def test_a_change_is_no_way_around_the_budget(space: pytest.MonkeyPatch, tiny_run: Run, home: Path) -> None:
    run = Run(Path(shutil.copytree(tiny_run.path, home / "runs" / "tiny")))
    app = opened("2_Train", part="Watch", run="tiny")
    app.session_state[STARTED] = {"tiny"}
    app = app.run()
    app = widget(app.number_input, "Number of epochs").set_value(500).run()
    app = widget(app.button, "Change it").click().run()
    assert "epochs=500 is over what is trained here" in app.error[0].value
    assert not (run.path / "change.json").exists()


def test_a_comparison_trains_nothing_and_is_its_starters(space: pytest.MonkeyPatch, tiny_run: Run, home: Path) -> None:
    shutil.copytree(tiny_run.best, home / "tiny")
    app = opened("3_Compare", **{"compare-part": NEW})
    assert not app.exception
    assert not [box for box in app.multiselect if box.label in ("Architectures", "Named recipes")]
    assert "Protocol" not in [group.label for group in app.button_group]
    assert "none is trained for it" in texts(app)
    made = Comparison.create(model_members([str(home / "tiny")]), data="toy-pets", root=None, protocol="same")
    app = opened("3_Compare", comparison=made.id)
    assert not app.exception
    assert "Yes, delete it" not in labels(app)
    app.session_state[STARTED] = {made.id}
    assert "Yes, delete it" in labels(app.run())


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder of labelled pictures on the server."""
    for split in ("train", "val", "test"):
        for kind in ("images", "masks"):
            (tmp_path / "mine" / kind / split).mkdir(parents=True)
        for number in range(2):
            for kind, shape in (("images", (64, 64, 3)), ("masks", (64, 64))):
                write_image(tmp_path / "mine" / kind / split / f"{number}.png", np.full(shape, number, np.uint8))
    return tmp_path / "mine"


def test_data_of_the_owner_stay_as_they_are(space: pytest.MonkeyPatch, home: Path, mine: Path) -> None:
    name = add_folder(mine, "mine")
    app = opened("1_Browse", data=name)
    assert not app.exception
    assert not [box for box in app.checkbox if "Remove" in box.label]
    assert name in own_names()
    space.delenv("SPACE_ID")
    assert any("Remove this data set" in box.label for box in opened("1_Browse", data=name).checkbox)


def test_corrections_would_be_seen_by_all(space: pytest.MonkeyPatch, tiny_run: Run, home: Path) -> None:
    shutil.copytree(tiny_run.best, home / "tiny")
    link = {"model": "tiny", "from": "examples", "example": "cat", "engine": "keras"}
    assert not [toggle for toggle in opened("4_Predict", **link).toggle if toggle.label == "Correct the mask"]
    space.delenv("SPACE_ID")
    assert [toggle for toggle in opened("4_Predict", **link).toggle if toggle.label == "Correct the mask"]


def test_no_folder_is_opened_that_a_model_names(
    space: pytest.MonkeyPatch, tiny_run: Run, home: Path, mine: Path
) -> None:
    folder = put_pulled(home, "stranger/model", tiny_run.best)
    spec = json.loads((folder / "segmodels.json").read_text())
    offered = "… or one of its test pictures"
    for data, is_offered in ((add_folder(mine, "mine"), True), (str(mine), False)):
        (folder / "segmodels.json").write_text(json.dumps({**spec, "recipe": {**spec["recipe"], "data": data}}))
        note_files(folder, "stranger/model")
        app = opened("4_Predict", model="hf://stranger/model")
        assert not app.exception
        assert (offered in [box.label for box in app.selectbox]) == is_offered
    with pytest.raises(UserError, match=r"says that it was trained on '.*mine': name the data set to use"):
        evaluated_recipe(folder, json.loads((folder / "segmodels.json").read_text())["recipe"], None, None)
    app = opened("3_Compare", **{"compare-part": EVALUATE, "evaluate-model": "hf://stranger/model"})
    assert not app.exception
    assert "Another checkpoint …" not in [str(each) for box in app.selectbox for each in box.options]
    space.delenv("SPACE_ID")
    app = opened("3_Compare", **{"compare-part": EVALUATE, "evaluate-model": "hf://stranger/model"})
    assert "Another checkpoint …" in [str(each) for box in app.selectbox for each in box.options]


def test_visitors_have_no_token_but_their_own(space: pytest.MonkeyPatch) -> None:
    space.setattr("ui.models_work.st", SimpleNamespace(session_state={"pull-token": ""}))
    assert taken_token("pull") == {"HF_TOKEN": "", "HF_TOKEN_PATH": os.devnull}
    space.setattr("ui.models_work.st", SimpleNamespace(session_state={"pull-token": "hf_12345678"}))
    assert taken_token("pull") == {"HF_TOKEN": "hf_12345678"}
    space.delenv("SPACE_ID")
    space.setattr("ui.models_work.st", SimpleNamespace(session_state={"pull-token": ""}))
    assert taken_token("pull") == {}


def test_a_variable_without_a_token_hides_the_owners(space: pytest.MonkeyPatch, tmp_path: Path, python: object) -> None:
    """As the process of a visitor's pull has it, against huggingface_hub itself."""
    (tmp_path / "token").write_text("hf_ownersOWNERS")
    code = "from huggingface_hub import get_token; print(get_token())"
    owners = {"HF_TOKEN_PATH": str(tmp_path / "token"), "HF_TOKEN": ""}
    assert python("-c", code, **owners).stdout.strip() == "hf_ownersOWNERS"  # type: ignore[operator]
    assert python("-c", code, **{**owners, **taken_token("pull")}).stdout.strip() == "None"  # type: ignore[operator]


def test_a_recipe_begins_with_no_model_that_is_not_here(space: pytest.MonkeyPatch, tiny_run: Run, home: Path) -> None:
    recipe = RECIPE.model_copy(update={"start_from": "hf://owner/private"})
    with pytest.raises(UserError, match="hf://owner/private is not here yet: pull it on the Models page first"):
        check_training(recipe)
    put_pulled(home, "owner/private", tiny_run.best)
    check_training(recipe)


def test_what_visitors_trained_is_not_sent(space: pytest.MonkeyPatch, tiny_run: Run) -> None:
    space.setenv("SEGMODELS_HUB", "owner/finished")
    space.setenv("HF_TOKEN", "hf_12345678")
    queue_finished(tiny_run, Reporter())
    assert waiting() == []
    with pytest.raises(UserError, match="hosted demo: nothing is pushed"):
        send_run(tiny_run, "owner/finished", "ab12", {})


def test_pulled_models_are_bounded_in_size_and_number(space: pytest.MonkeyPatch, tiny_run: Run, home: Path) -> None:
    check_pulling(500_000_000)
    with pytest.raises(UserError, match="it has 501 MB, and models of up to 500 MB are pulled here"):
        check_pulling(501_000_000)
    space.setenv("SEGMODELS_HOSTED_PULLED_MODELS", "1")
    check_pulling(1)
    put_pulled(home, "someone/first", tiny_run.best)
    with pytest.raises(UserError, match="1 models of the Hub are kept here"):
        check_pulling(1)
    space.delenv("SPACE_ID")
    check_pulling(4 << 30)
