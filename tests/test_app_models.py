"""The Models page in Streamlit's own test runner: what it says of models, strangers' among them, and the way to the Hub
and back with a token that stays nowhere."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmodels import worker
from segmodels.errors import UserError
from segmodels.files import read_json
from segmodels.hub.keras_file.labels import class_specs
from segmodels.hub.names import parse_model
from segmodels.hub.pulled import pulled_models
from segmodels.hub.release import release
from segmodels.training.runs import Run
from tests.hub_server import Hub, hub_in_environment, travelling
from tests.test_app import opened, texts, widget
from ui import models_glance
from ui.models import Model, usable_models
from ui.models_actions import delete_model, zip_of
from ui.models_export import exports, files_below, zip_below
from ui.models_glance import Figures, glance, preview, read_metrics, select
from ui.models_import import class_labels, free_folder
from ui.models_list import ORDERS
from ui.models_parts import unlinked
from ui.models_push import asked, hub_address
from ui.models_work import share_of

COMMIT = "ab12" * 10
TOKEN = "hf_secretSECRETsecret"
#: What a stranger's repository may hold.
EVIL = "**bold** [x](javascript:alert(1)) <script>alert(1)</script> ![t](http://evil.example/t.png) www.evil.example"


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()


def put_pulled(home: Path, name: str, source: Path, commit: str = COMMIT, revision: str = "main") -> Path:
    """A pulled model as `segmodels.hub.pull` leaves it."""
    base = home / "models" / name.replace("/", "--")
    folder = base / commit
    shutil.copytree(source, folder)
    note_files(folder, name)
    (base / "revisions.json").write_text(json.dumps({revision: commit}))
    return folder


def note_files(folder: Path, name: str) -> None:
    files = {
        str(path.relative_to(folder)): {
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in folder.rglob("*")
        if path.is_file() and path.name != "pulled.json"
    }
    record = {"format": 1, "name": name, "commit": folder.name, "pulled": 1.7e9, "files": files}
    (folder / "pulled.json").write_text(json.dumps(record))


@pytest.fixture
def models(home: Path, tiny_run: Run) -> Path:
    """A home with a model of each kind: pets, hf://someone/cells and the run tiny."""
    shutil.copytree(tiny_run.best, home / "pets")
    put_pulled(home, "someone/cells", tiny_run.best)
    shutil.copytree(tiny_run.path, home / "runs" / "tiny")
    return home


@pytest.fixture
def hostile(home: Path, tiny_run: Run) -> Path:
    """A pulled model whose every text and figure is out to do harm."""
    folder = put_pulled(home, "stranger/cells", tiny_run.best)
    spec = json.loads((folder / "segmodels.json").read_text())
    for number, label in enumerate(spec["classes"]):
        label["name"] = f"{number} {EVIL}"[:100]
    spec["recipe"] = {"data": EVIL, EVIL: [EVIL]}
    (folder / "segmodels.json").write_text(json.dumps(spec))
    rows = [
        {"name": EVIL, "iou": "0.5", "dice": 1e999, "precision": -1, "recall": True, "pixels": 1 << 70},
        3,
        {"name": 4},
    ]
    figures = {"epoch": EVIL, "validation": {"mean_iou": float("nan"), "f1": 0.5, EVIL: 0.25}, "classes": rows * 500}
    (folder / "metrics.json").write_text(json.dumps(figures))
    (folder / "history.csv").write_text(f'epoch,loss,val_loss,"{EVIL}"\n1,x,inf,\n2,nan,3,\n')
    (folder / "README.md").write_text(f"# {EVIL}\n\u202e{EVIL}\n")
    (folder / "previews" / "0.png").write_bytes(b"no picture")
    Image.new("1", (9000, 7000)).save(folder / "previews" / "1.png")
    note_files(folder, "stranger/cells")
    return folder


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with hub_in_environment(monkeypatch, tmp_path) as hub:
        yield hub


def words(app: AppTest) -> str:
    links = [element.proto.label for element in app.get("page_link")]
    return (
        "\n".join([texts(app), *links, *(element.value for element in app.header)])
        .replace("\\", "")
        .replace("\u200b", "")
    )


def fine(app: AppTest) -> AppTest:
    assert not app.exception
    assert not app.error
    return app


def until_done(app: AppTest, seconds: float = 120) -> AppTest:
    """Look again until no work is at hand."""
    end = time.monotonic() + seconds
    while any(button.label == "Stop" for button in app.button):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.5)
        app = app.run()
    assert not app.exception
    return app


def stored(app: AppTest) -> dict[str, Any]:
    """What the session holds."""
    return {key: app.session_state[key] for key in app.session_state}


def pushed(app: AppTest, label: str) -> AppTest:
    """The page after a button was pushed."""
    return widget(app.button, label).click().run()


def address_of(app: AppTest, label: str) -> str:
    return next(element.proto.query_string for element in app.get("page_link") if element.proto.label.endswith(label))


# The list


def test_every_model_has_a_card_with_the_figures_of_its_files(models: Path, tiny_run: Run) -> None:
    app = fine(opened("5_Models"))
    metrics = json.loads((tiny_run.best / "metrics.json").read_text())
    said = words(app)
    assert [each for each in said.splitlines() if each in ("**pets**", "**hf://someone/cells**", "**tiny**")] == [
        "**pets**", "**hf://someone/cells**", "**tiny**",
    ]  # fmt: skip
    assert said.count(f"mean IoU **{metrics['validation']['mean_iou']:.3f}**") == 3
    assert said.count("U-Net, trained on toy-pets") == 3
    assert "2023-11-14" in said, "when the pulled one was pulled"
    size = sum(map(len, travelling(tiny_run.best).values()))
    assert glance("pets", usable_models()["pets"]).size == size
    assert f"{size / 1000:.3g} kB" in said
    assert len(app.get("image")) == 3


def test_models_are_found_by_words_and_put_in_order(models: Path, tiny_run: Run) -> None:
    rows = [glance(name, model) for name, model in usable_models().items()]
    assert [row.name for row in select(rows, "BORDER u-net someone")] == ["hf://someone/cells"], "class, network, name"
    assert [row.name for row in select(rows, kinds=["run", "here"])] == ["pets", "tiny"]
    assert select(rows, data="camvid") == []
    metrics = json.loads((models / "pets" / "metrics.json").read_text())
    metrics["validation"]["mean_iou"] = 0.999
    (models / "pets" / "metrics.json").write_text(json.dumps(metrics))
    os.utime(models / "pets" / "model.weights.h5", (2e9, 2e9))
    rows = [glance(name, model) for name, model in usable_models().items()]
    order = {name: [row.name for row in (sorted(rows, key=key) if key else rows)] for name, key in ORDERS.items()}
    assert order["mean IoU"][0] == order["newest"][0] == "pets"
    assert order["newest"][-1] == "hf://someone/cells"
    assert order["name"] == ["hf://someone/cells", "pets", "tiny"]
    app = fine(opened("5_Models", **{"models-search": "someone"}))
    assert "1 of 3 models" in words(app)


def test_hundreds_of_models_are_drawn_within_a_second(home: Path, tiny_run: Run) -> None:
    for number in range(400):
        folder = home / f"model-{number:03d}"
        (folder / "previews").mkdir(parents=True)
        for name in ("segmodels.json", "metrics.json", "model.weights.h5", "previews/0.png"):
            os.link(tiny_run.best / name, folder / name)
    app = fine(opened("5_Models", **{"models-page": "2"}))
    assert "400 of 400 models" in words(app)
    assert "**model-012**" in words(app)
    began = time.perf_counter()
    fine(app.run())
    assert time.perf_counter() - began < 1.0
    assert len(app.get("image")) == 12


def test_without_any_model_the_page_says_how_to_get_one(home: Path) -> None:
    app = fine(opened("5_Models"))
    assert "Train one, which takes a few minutes on toy-pets" in words(app)
    app = fine(pushed(app, "Pull one"))
    assert widget(app.text_input, "Name").placeholder == "owner/name, or owner/name@revision"
    assert "no model yet that could be pushed" in words(fine(opened("5_Models", **{"models-part": "Push"})))


def test_chosen_models_are_compared_and_predict_side_by_side(models: Path) -> None:
    app = fine(opened("5_Models"))
    for place in (0, 1):
        app = app.checkbox[place].check().run()
    assert "2 chosen: pets, hf://someone/cells" in words(fine(app)).replace("**", "")
    assert address_of(app, "Predict with them") == "model=pets%2Chf%3A%2F%2Fsomeone%2Fcells"
    app = pushed(app, "Compare them")
    assert not app.exception
    chosen = next(each for each in app.multiselect if each.label == "Models that are there already")
    assert chosen.value == ["pets", "hf://someone/cells"]
    assert widget(app.multiselect, "Architectures").value == []
    assert "2 models" in words(app) or "compare" in words(app).casefold()


# One model


@pytest.mark.parametrize("name", ["pets", "hf://someone/cells", "tiny"])
def test_a_model_is_shown_with_what_its_files_say(name: str, models: Path, tiny_run: Run) -> None:
    app = fine(opened("5_Models", model=name))
    metrics = json.loads((tiny_run.best / "metrics.json").read_text())
    assert name in words(app)
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Mean IoU"] == f"{metrics['validation']['mean_iou']:.4f}"
    assert shown["Accuracy"] == f"{metrics['validation']['pixel_accuracy']:.4f}"
    table = next(frame.value for frame in app.dataframe if "Dice" in frame.value.columns)
    assert list(table["Class"]) == [row["name"] for row in metrics["classes"]]
    np.testing.assert_allclose(table["IoU"].astype(float), [row["iou"] for row in metrics["classes"]])
    files = next(frame.value for frame in app.dataframe if "File" in frame.value.columns)
    assert dict(zip(files["File"], files["Bytes"], strict=True)) == {
        path: len(content) for path, content in travelling(tiny_run.best).items()
    }
    with (tiny_run.best / "history.csv").open() as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    charts = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    (line,) = (trace["y"] for trace in charts[0]["data"] if trace["name"] == "validation")
    values = np.frombuffer(base64.b64decode(line["bdata"]), line["dtype"])
    np.testing.assert_allclose(values, losses, rtol=1e-5)
    assert any(f"Predictor({name!r})" in code.value for code in app.code)
    assert any(code.value.strip() == (tiny_run.best / "README.md").read_text().strip() for code in app.code)
    links = {element.proto.label: element.proto.query_string for element in app.get("page_link")}
    assert links["Predict with it"] == f"model={name.replace(':', '%3A').replace('/', '%2F')}"
    assert links["Evaluate it"].startswith("compare-part=Evaluate+a+model&evaluate-model=")
    assert ("Delete it with its run" in links) == (name == "tiny")


def test_links_of_the_page_open_what_they_name_on_the_other_pages(models: Path) -> None:
    name = "hf://someone/cells"
    app = fine(opened("4_Predict", model=name))
    assert app.multiselect[0].value == [name]
    app = opened("3_Compare", **{"compare-part": "Evaluate a model", "evaluate-model": name})
    assert widget(app.selectbox, "Model").value == name


@pytest.mark.parametrize("name", ["{home}/pets", "../pets", "/etc", "hf://someone/other", "pets/", ".", "tiny@1"])
def test_a_name_in_a_link_is_no_path(name: str, models: Path) -> None:
    app = fine(opened("5_Models", model=name.format(home=models)))
    assert "is not here, or not any more" in words(app)
    assert not app.metric


def test_a_strangers_texts_are_shown_as_they_are_written(hostile: Path) -> None:
    for query in ({}, {"model": "hf://stranger/cells"}):
        app = fine(opened("5_Models", **query))
        for element in (*app.markdown, *app.caption, *app.info, *app.warning, *app.header):
            bare = element.value.replace("\\<", "").replace("\\[", "").replace("\\!", "").replace("\\*", "")
            assert "<script" not in bare
            assert "[x" not in bare
            assert "http://evil" not in element.value.replace("\\", "")
            assert "www.evil" not in element.value.replace("\\", "")
        pages = [element.proto.body for element in app.get("html")]
        assert pages
        assert all("&lt;script" in page or "<script" not in page for page in pages)
        assert not any("<script" in page or "<img" in page or "href" in page for page in pages)
    card = next(code.value for code in app.code if "# **bold**" in code.value)
    assert card.strip() == f"# {EVIL}\n{EVIL}", "as it is, but for the letter that turns text round"
    assert {metric.label: metric.value for metric in app.metric} == {"F1": "0.5000"}
    table = next(frame.value for frame in app.dataframe if "Dice" in frame.value.columns)
    assert len(table) <= models_glance.MOST_CLASSES
    assert set(table["Class"]) == {EVIL[:100]}
    assert table.drop(columns="Class").isna().all(axis=None)


def test_pictures_that_are_none_or_huge_are_not_shown(hostile: Path) -> None:
    seen = glance("hf://stranger/cells", usable_models()["hf://stranger/cells"])
    assert seen.previews[:2] == ["previews/0.png", "previews/1.png"]
    assert [preview(seen, path) for path in seen.previews[:2]] == [None, None]
    with Image.open(io.BytesIO(preview(seen, seen.previews[2]) or b"")) as picture:
        assert picture.format == "JPEG"


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"validation": [], "classes": {}}',
        '{"validation": {"mean_iou": true}}',
        '{"test": {"mean_iou": 7}}',
        '{"test": [{"mean_iou": 0.5}]}',
        "",
    ],
)
def test_damaged_figures_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(text)
    found = read_metrics(tmp_path)
    assert found == Figures(None, "validation", {}, [])


def test_a_released_model_is_shown_by_its_test_figures_and_views(tiny_run: Run, home: Path) -> None:
    test = read_json(release(tiny_run.path, home / "given", tta="flips") / "metrics.json")["test"]
    app = fine(opened("5_Models", model="given"))
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Mean IoU"] == f"{test['mean_iou']:.4f}"
    assert shown["Accuracy"] == f"{test['pixel_accuracy']:.4f}"
    assert "on the test part of its data, at each picture's own size" in words(app)
    assert "It sees each in 2 views (flips)" in words(app)
    assert f"mean IoU **{test['mean_iou']:.3f}**" in words(fine(opened("5_Models")))


def test_a_damaged_model_is_named_and_can_be_deleted(models: Path) -> None:
    (models / "pets" / "segmodels.json").write_text('{"format": 9}')
    app = opened("5_Models")
    assert not app.exception
    assert "has format 9" in words(app)
    app = opened("5_Models", model="pets")
    assert "has format 9" in app.error[0].value.replace("\\", "")
    app = fine(pushed(app, "Yes, delete it"))
    assert not (models / "pets").exists()
    assert "2 of 2 models" in words(app)


def test_a_pulled_model_is_deleted_and_a_run_is_not(models: Path, tmp_path: Path) -> None:
    app = fine(pushed(opened("5_Models", model="hf://someone/cells"), "Yes, delete it"))
    assert not list(models.glob("models/*/*/segmodels.json"))
    assert "2 of 2 models" in words(app)
    there = usable_models()
    with pytest.raises(UserError, match="where it comes from"):
        delete_model(glance("tiny", there["tiny"]))
    outside = tmp_path / "outside"
    shutil.copytree(models / "pets", outside)
    (models / "link").symlink_to(outside)
    for model in (Model("outside", outside), usable_models()["link"]):
        with pytest.raises(UserError, match="where it comes from"):
            delete_model(glance("x", model))
    assert (outside / "segmodels.json").is_file()


def test_the_zip_holds_the_checkpoint_and_nothing_beside_it(models: Path, tiny_run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (models / "pets" / "notes.txt").write_text("mine")
    (models / "pets" / "previews" / "9.png").symlink_to(tmp_path / "secret")
    with zipfile.ZipFile(io.BytesIO(zip_of(glance("pets", usable_models()["pets"])))) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == travelling(tiny_run.best)


# The Hub


def kept_texts(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def test_a_private_model_is_pulled_with_a_token_that_stays_nowhere(
    home: Path, hub: Hub, tiny_run: Run, tmp_path: Path
) -> None:
    hub.commit("someone/cells", travelling(tiny_run.best), kind="model")
    hub.tokens, hub.private = {TOKEN: "read"}, {"models/someone/cells"}
    app = fine(opened("5_Models", **{"models-part": "Pull", "pull-name": "someone/cells"}))
    app = until_done(pushed(app, "Pull"))
    assert "no such model, or a private one" in app.error[0].value.replace("\\", "")
    assert not pulled_models()

    widget(app.text_input, "Token").set_value("hf_wrongWRONGwrong")
    app = until_done(pushed(app, "Pull"))
    assert "does not accept the token" in app.error[0].value
    widget(app.text_input, "Token").set_value(f"  {TOKEN} ")
    app = pushed(app, "Pull")
    assert widget(app.text_input, "Token").value == ""
    app = fine(until_done(app))
    (kept,) = pulled_models()
    assert "hf://someone/cells is here, at commit" in "\n".join(each.value for each in app.success).replace("\\", "")
    assert travelling(kept.path) == travelling(tiny_run.best)

    assert "pull-name" in stored(app)
    assert TOKEN not in repr(stored(app))
    assert TOKEN not in repr(vars(worker)) + repr([vars(job) for job in worker._jobs.values()])
    assert not [path for path, text in kept_texts(tmp_path) if TOKEN.encode() in text]
    assert TOKEN not in os.environ.values()
    app = fine(pushed(app, "Look at it"))
    assert [element.value for element in app.header] == ["hf\\://someone/cells"]


@pytest.mark.slow
def test_an_update_is_offered_and_taken_only_when_asked(home: Path, hub: Hub, tiny_run: Run) -> None:
    files = travelling(tiny_run.best)
    first = hub.commit("someone/cells", files, kind="model")
    put_pulled(home, "someone/cells", tiny_run.best, first)
    app = fine(opened("5_Models", model="hf://someone/cells"))
    assert not hub.requests, "nothing is asked by itself"
    app = fine(until_done(pushed(app, "Check for an update")))
    assert any("is the newest" in each.value for each in app.success)
    second = hub.commit("someone/cells", {**files, "README.md": b"# newer"}, kind="model")
    app = fine(until_done(pushed(app, "Check for an update")))
    assert any(f"Commit {second} is newer" in each.value for each in app.info)
    assert len(pulled_models()) == 1
    app = fine(until_done(pushed(app, "Pull it")))
    assert {each.commit for each in pulled_models()} == {first, second}
    app = fine(app.run())
    assert f"Commit {second}" in words(app), "the address names the branch, which is the new commit now"
    assert f"hf://someone/cells@{first}" in usable_models()


def test_a_model_is_pushed_to_a_new_private_name(models: Path, hub: Hub, tiny_run: Run) -> None:
    hub.tokens = {TOKEN: "write", "hf_readsREADSreads": "read"}
    app = fine(opened("5_Models", **{"models-part": "Push", "push-model": "tiny"}))
    widget(app.text_input, "Repository").set_value("someone/new")
    widget(app.text_input, "Message").set_value("--private of\nmine")
    widget(app.checkbox, "Private").check()
    widget(app.text_input, "Token").set_value("hf_readsREADSreads")
    app = until_done(pushed(app, "Push"))
    assert "right to write" in app.error[0].value
    widget(app.text_input, "Token").set_value(TOKEN)
    app = fine(until_done(pushed(app, "Push")))
    (push,) = hub.pushes
    assert push["name"] == "models/someone/new"
    assert push["lines"][0]["value"]["summary"] == "--private of mine"
    assert "models/someone/new" in hub.private
    assert hub.files("someone/new")["model.weights.h5"] == (tiny_run.best / "model.weights.h5").read_bytes()
    (link,) = app.get("link_button")
    assert link.proto.url == f"{hub.url}/someone/new"
    assert f"at commit {hub.head('someone/new')[:12]}" in app.success[0].value
    assert TOKEN not in repr(stored(app))


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"push-to": ""}, "write owner/name"),
        ({"push-to": "--help/x"}, "is no model of the Hub"),
        ({"push-to": "someone/cells@main"}, "names a revision"),
        ({"push-to": "a/b", "push-branch": "--force"}, "is no model of the Hub"),
        ({"push-to": "a/b", "push-model": "/etc"}, "not here any more"),
    ],
)
def test_what_cannot_be_pushed_is_a_line(form: dict[str, str], problem: str, models: Path) -> None:
    with pytest.raises(UserError, match=problem):
        asked({"push-model": "pets", **form})


def test_the_words_of_a_push_are_the_forms(models: Path) -> None:
    form = {"push-model": "hf://someone/cells", "push-to": " a/b ", "push-branch": "dev/x", "push-pull-request": True}
    place = str(usable_models()["hf://someone/cells"].path)
    assert asked(form).words == ("push", place, "a/b", "--revision", "dev/x", "--pull-request")


@pytest.mark.parametrize("endpoint", ["javascript:alert(1)//", "file:///etc", 'https://x/"onload=y', "https://a b"])
def test_only_web_addresses_are_linked(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert hub_address(parse_model("a/b")) is None
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:80/")
    assert hub_address(parse_model("a/b@dev"), "discussions/3") == "http://127.0.0.1:80/a/b/discussions/3"


def test_what_is_no_name_or_no_token_starts_nothing(home: Path, hub: Hub) -> None:
    app = opened("5_Models", **{"models-part": "Pull", "pull-name": "../../etc/passwd"})
    widget(app.text_input, "Token").set_value("two words")
    app = pushed(app, "Pull")
    assert len(app.error) == 1
    assert widget(app.text_input, "Token").value == ""
    assert "two words" not in words(app)
    app = opened("5_Models", **{"models-part": "Pull", "pull-name": "a/b"})
    widget(app.text_input, "Token").set_value("two words")
    app = pushed(app, "Pull")
    assert "is no token" in app.error[0].value
    assert not hub.requests


def test_a_repository_that_is_no_model_or_lists_without_end_is_a_line(home: Path, hub: Hub) -> None:
    hub.commit("a/notes", {"README.md": b"hello"}, kind="model")
    app = opened("5_Models", **{"models-part": "Pull", "pull-name": "a/notes"})
    app = until_done(pushed(app, "Pull"))
    assert "is no segmodels model" in app.error[0].value.replace("\\", "")
    hub.listed = [{"type": "file", "path": f"f{n}.bin", "size": 1, "oid": "0" * 40} for n in range(200_001)]
    app = until_done(pushed(app, "Pull"))
    assert "more than the 200,000 files allowed" in app.error[0].value.replace("\\", "")
    assert not pulled_models()


def test_a_slow_pull_is_stopped(home: Path, hub: Hub, tiny_run: Run) -> None:
    hub.commit("a/slow", travelling(tiny_run.best), kind="model")
    hub.seconds = 1.0
    app = pushed(opened("5_Models", **{"models-part": "Pull", "pull-name": "a/slow"}), "Pull")
    assert widget(app.button, "Stop")
    app = fine(pushed(app, "Stop"))
    assert all(button.label != "Stop" for button in app.button)
    assert not pulled_models()


@pytest.mark.slow
def test_a_model_is_exported_and_offered_with_its_sample(models: Path) -> None:
    app = fine(until_done(pushed(opened("5_Models", model="hf://someone/cells"), "Export")))
    (place,) = exports().iterdir()
    names = {path.name for path in files_below(place)}
    assert "hf-someone-cells.onnx" in names
    assert any("import onnxruntime" in code.value for code in app.code)
    with zipfile.ZipFile(io.BytesIO(zip_below(place))) as archive:
        assert set(archive.namelist()) == names
        session = onnxruntime.InferenceSession(archive.read("hf-someone-cells.onnx"))
    assert session.get_inputs()[0].shape[-1] == 3
    assert "hf-someone-cells.onnx" in [button.proto.label for button in app.get("download_button")]


@pytest.mark.slow
def test_a_keras_file_is_imported_and_its_upload_forgotten(home: Path, tmp_path: Path) -> None:
    from segmodels.backend import keras

    inputs = keras.Input((64, 64, 3))
    outputs = keras.layers.Conv2D(2, 1, activation="softmax")(keras.layers.Conv2D(4, 3, padding="same")(inputs))
    keras.Model(inputs, outputs).save(tmp_path / "My Cells.keras")
    app = fine(opened("5_Models", **{"models-part": "Import"}))
    app.file_uploader[0].set_value(("My Cells.keras", (tmp_path / "My Cells.keras").read_bytes(), "application/zip"))
    widget(app.text_area, "Classes").set_value("background #000000\ncell #00ff00")
    app = fine(until_done(pushed(app, "Import")))
    labels = [(label.name, label.colour) for label in glance("my-cells", usable_models()["my-cells"]).labels]
    assert labels == [("background", "#000000"), ("cell", "#00FF00")]
    assert not list((home / "cache" / "imports").iterdir())
    app = fine(pushed(app, "Look at it"))
    assert "my-cells" in words(app)
    assert "came without figures" in words(app)


# The process that has the token


def test_a_worker_tells_its_secrets_to_its_process_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import os, sys, json; t = os.environ['HF_TOKEN']; print('said', t, file=sys.stderr); "
        "print(json.dumps({'token': t, 'length': len(t)})); sys.exit(int(sys.argv[1]))"
    )

    def start(given: list[str], *, variables: dict[str, str], **streams: Any) -> subprocess.Popen:
        assert TOKEN not in " ".join(given)
        return subprocess.Popen([sys.executable, "-c", script, given[0]], env={**os.environ, **variables}, **streams)

    monkeypatch.setattr(worker, "start", start)
    for code, state in (("0", "done"), ("3", "failed")):
        while (
            answer := worker.ask("secret", [code], keep=code == "0", secrets={"HF_TOKEN": TOKEN})
        ).state == "running":
            time.sleep(0.05)
        assert answer.state == state
        assert TOKEN not in repr(answer)
        if code == "0":
            assert worker.ask("secret", ["0"]).document == {"token": "…", "length": len(TOKEN)}, (
                "kept, found without it"
            )
        else:
            assert answer.error == "said …"
            worker.cancel("secret", [code])
    assert not [path for path, text in kept_texts(home) if TOKEN.encode() in text]


@pytest.mark.parametrize(
    ("said", "share"),
    [
        ("downloading a/b: 12 of 30 MB", 0.4),
        ("checking: 1,000 of 2,000", 0.5),
        ("downloading a/b: done", None),
        ("x: 3 of 0", None),
        ("", None),
        ("x: 9 of 3 MB", 1.0),
    ],
)
def test_the_share_is_told_from_a_line(said: str, share: float | None) -> None:
    assert share_of(said) == share


# Imports, and the repository of finished runs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("background\n\n 1 pet, sitting \n", [("background", "#000000"), ("1 pet, sitting", None)]),
        ("sky #0000ff\nC # D  #00fF00", [("sky", "#0000ff"), ("C # D", "#00ff00")]),
    ],
)
def test_classes_are_read_from_lines_as_from_a_label_file(
    text: str, expected: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    (tmp_path / "classes.json").write_text(json.dumps(class_labels(text)))
    found = [(label.name, label.colour.lower()) for label in class_specs(2, tmp_path / "classes.json", None)]
    assert [
        (name, colour if wanted else None) for (name, colour), (_, wanted) in zip(found, expected, strict=True)
    ] == expected
    assert class_labels(" \n") == []
    with pytest.raises(UserError, match="every class a colour"):
        class_labels("a #112233\nb")


def test_an_import_never_goes_where_something_is(home: Path) -> None:
    assert free_folder("../../etc/Passwd").relative_to(home) == Path("etc-passwd")
    assert free_folder("runs") == home / "runs-model"
    (home / "pets").mkdir(parents=True)
    assert free_folder("Pets") == home / "pets-2"


def test_text_of_strangers_is_linked_nowhere() -> None:
    said = unlinked("see http://evil.example, www.evil.example, me@evil.example [a](b)")
    assert "http\\://" not in said
    assert "www.e" not in said
    assert "me@e" not in said
    assert said.replace("\u200b", "").replace("\\", "").startswith("see http://evil.example, www.evil.example, me@evil")


def test_the_repository_of_finished_runs_is_set_and_cleared(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from segmodels.hub.finished.settings import hub_repository

    monkeypatch.delenv("SEGMODELS_HUB", raising=False)
    app = fine(opened("5_Models", **{"models-part": "Push"}))
    assert "Nothing is sent." in words(app)
    widget(app.text_input, "Repository for finished runs").set_value("me/finished")
    app = fine(pushed(app, "Send them there"))
    assert hub_repository() == "me/finished"
    assert "Sent to **me/finished**" in words(app)
    app = fine(pushed(app, "Send nothing"))
    assert hub_repository() is None
    monkeypatch.setenv("SEGMODELS_HUB", "team/all")
    app = fine(opened("5_Models", **{"models-part": "Push"}))
    assert "Sent to **team/all**" in words(app)
    assert all(button.label != "Send them there" for button in app.button)


def test_hosted_demo_pushes_imports_and_deletes_nothing(
    home: Path, tiny_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_run.best, home / "pets")
    monkeypatch.setenv("SPACE_ID", "somebody/demo")
    app = opened("5_Models", **{"models-part": "Push"})
    assert "nothing is pushed from here" in app.error[0].value
    assert not [button for button in app.button if button.label == "Push"]
    app = fine(opened("5_Models", **{"models-part": "Import"}))
    assert "models are imported on a computer of your own" in words(app)
    app = fine(opened("5_Models", model="pets"))
    assert not [button for button in app.button if "delete" in button.label]
    monkeypatch.setenv("SPACE_ID", "")
    assert [button for button in fine(opened("5_Models", model="pets")).button if "delete" in button.label]


@pytest.mark.parametrize(
    ("file", "document"),
    [
        ("metrics.json", '{"test": {"mean_iou": 1' + "0" * 400 + "}}"),
        ("segmodels.json", "\\ud800"),
    ],
)
def test_one_odd_model_hides_no_other(models: Path, file: str, document: str) -> None:
    folder = models / "models" / "someone--cells" / COMMIT
    if file == "segmodels.json":
        spec = (folder / file).read_text()
        document = spec.replace('"toy-pets"', f'"{document}"')
        assert document != spec
    (folder / file).write_text(document)
    app = fine(opened("5_Models"))
    assert "pets" in words(app)


def test_a_recipe_of_many_levels_is_shown_as_far_as_it_goes(models: Path) -> None:
    path = models / "pets" / "segmodels.json"
    spec = json.loads(path.read_text())
    spec["recipe"]["note"] = json.loads("[" * 200 + "]" * 200)
    path.write_text(json.dumps(spec))
    fine(opened("5_Models", model="pets"))


def test_exports_are_offered_where_the_home_is_a_link(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ui import models_export

    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    monkeypatch.setattr(models_export, "home", lambda: tmp_path / "link")
    place = models_export.exports() / "ab12"
    place.mkdir(parents=True)
    (place / "tiny.onnx").write_bytes(b"onnx")
    said: list[str] = []
    monkeypatch.setattr(models_export.st, "warning", lambda text, **_: said.append(text))
    models_export._exported({"path": str((place / "tiny.onnx").resolve())}, "")
    assert said == []


def test_work_that_another_session_is_having_done_is_joined(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The second who asks the same waits with the first, and cannot end it."""
    from types import SimpleNamespace

    from ui import models_work

    begun: list[tuple[str, ...]] = []
    running: set[tuple[str, ...]] = set()

    def ask(kind: str, asked: tuple[str, ...], **_: Any) -> worker.Answer:
        if asked not in running:
            begun.append(asked)
            running.add(asked)
        return worker.Answer("running")

    monkeypatch.setattr(models_work.worker, "ask", ask)
    monkeypatch.setattr(models_work.worker, "is_asked", lambda kind, asked, **_: asked in running)
    monkeypatch.setattr(models_work.worker, "cancel", lambda kind, asked, **_: running.discard(asked))
    monkeypatch.setattr(models_work.worker, "count_at_work", lambda kind: len(running))
    sessions = [SimpleNamespace(session_state={}) for _ in range(2)]
    pull = models_work.work("pull", ("pull", "owner/name"), "Pulling")

    def act(session: int, does: Any, *given: Any) -> None:
        monkeypatch.setattr(models_work, "st", sessions[session])
        does(*given)

    act(0, models_work.begin, pull)
    act(1, models_work.begin, pull)
    assert len(begun) == 1
    act(1, models_work.leave, "pull")
    assert running == {pull.words}
    act(0, models_work.begin, pull)  # who began it may begin it anew
    assert len(begun) == 2
    act(1, models_work.begin, pull)
    act(0, models_work.leave, "pull")
    assert running == set()

    monkeypatch.setenv("SPACE_ID", "owner/name")
    monkeypatch.setenv("SEGMODELS_HOSTED_JOBS", "1")
    act(0, models_work.begin, pull)
    act(1, models_work.begin, pull)  # it is joined, and costs nothing
    with pytest.raises(UserError, match="hosted demo: 1 visitors pull or export already: try again in a minute"):
        act(1, models_work.begin, models_work.work("export", ("export", "pets"), "Exporting"))


def test_a_history_without_end_keeps_nobody_waiting(models: Path) -> None:
    history = models / "pets" / "history.csv"
    assert "How it became so" in words(fine(opened("5_Models", model="pets")))
    history.write_text(history.read_text() + "1\n" * 1_100_000)
    assert "Its history is too long to be drawn here." in words(fine(opened("5_Models", model="pets")))
