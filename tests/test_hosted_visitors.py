"""What a visitor of a hosted app may not do to what others made, with its owner's rights, or to its disk."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import streamlit as st

from segmodels.data.own_data import own_names
from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.members import model_members
from segmodels.hosted import check_pulling, check_training
from segmodels.hub.finished.outbox import queue_finished, waiting
from segmodels.hub.finished.sending import send_run
from segmodels.recipe import Recipe
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run
from tests.test_app import opened, texts, widget
from tests.test_app_models import put_pulled
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
    app.session_state[STARTED] = {"tiny"}
    assert steering <= labels(app.run())
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
    app = opened("3_Compare", **{"compare-part": "New"})
    assert not app.exception
    assert not [box for box in app.multiselect if box.label in ("Architectures", "Named recipes")]
    assert "none is trained for it" in texts(app)
    made = Comparison.create(model_members([str(home / "tiny")]), data="toy-pets", root=None, protocol="same")
    app = opened("3_Compare", comparison=made.id)
    assert not app.exception
    assert "Yes, delete it" not in labels(app)
    app.session_state[STARTED] = {made.id}
    assert "Yes, delete it" in labels(app.run())


def test_data_of_the_owner_stay_as_they_are(space: pytest.MonkeyPatch, home: Path, tmp_path: Path) -> None:
    from segmodels.data.own_data import add_folder
    from segmodels.prediction.masks import write_image

    for split in ("train", "val", "test"):
        for kind in ("images", "masks"):
            (tmp_path / "mine" / kind / split).mkdir(parents=True)
        for number in range(2):
            picture = (64 * [[[number] * 3] * 64], 64 * [[number] * 64])
            for kind, pixels in zip(("images", "masks"), picture, strict=True):
                import numpy as np

                write_image(tmp_path / "mine" / kind / split / f"{number}.png", np.array(pixels, np.uint8).squeeze())
    space.delenv("SPACE_ID")
    name = add_folder(tmp_path / "mine", "mine")
    boxes = [box.label for box in opened("1_Browse", data=name).checkbox]
    assert any("Remove this data set" in label for label in boxes)
    space.setenv("SPACE_ID", "owner/segmodels")
    app = opened("1_Browse", data=name)
    assert not app.exception
    assert not [box for box in app.checkbox if "Remove" in box.label]
    assert name in own_names()


def test_corrections_would_be_seen_by_all(space: pytest.MonkeyPatch, tiny_run: Run, home: Path) -> None:
    shutil.copytree(tiny_run.best, home / "tiny")
    link = {"model": "tiny", "from": "examples", "example": "cat", "engine": "keras"}
    assert not [toggle for toggle in opened("4_Predict", **link).toggle if toggle.label == "Correct the mask"]
    space.delenv("SPACE_ID")
    assert [toggle for toggle in opened("4_Predict", **link).toggle if toggle.label == "Correct the mask"]


def test_no_folder_is_opened_that_a_model_names(space: pytest.MonkeyPatch, tiny_run: Run, home: Path) -> None:
    folder = put_pulled(home, "stranger/model", tiny_run.best)
    spec = json.loads((folder / "segmodels.json").read_text())
    spec["recipe"]["data"] = "/data/patients"
    (folder / "segmodels.json").write_text(json.dumps(spec))
    opened_folders: list[str] = []
    space.setattr("segmodels.data.datasets.folder_dataset", lambda path, *_, **__: opened_folders.append(path),
                  raising=False)  # fmt: skip
    app = opened("4_Predict", model="hf://stranger/model")
    assert not app.exception
    assert "patients" not in texts(app)
    app = opened("3_Compare", **{"compare-part": "Evaluate", "evaluate-model": "hf://stranger/model"})
    assert not app.exception
    assert "Another checkpoint …" not in [str(each) for box in app.selectbox for each in box.options]
    assert opened_folders == []


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
