"""Every page in Streamlit's own test runner: its branches, and what it says when something is wrong."""

from __future__ import annotations

import io
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmodels import cli
from segmodels.cli_recipes import recipe_of
from segmodels.data.datasets import open_dataset
from segmodels.data.own_data import add_folder, own_names
from segmodels.device import Device, device
from segmodels.models.architectures import ARCHITECTURES, checked_options
from segmodels.recipe import Recipe
from segmodels.training import queue
from segmodels.training.runs import Run
from tests.own_forms import write_form
from ui.frame import plain

ROOT = Path(__file__).parents[1]


def opened(page: str = "", **query: str | list[str]) -> AppTest:
    """A page as a deep link opens it, drawn once."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    for key, value in query.items():
        app.query_params[key] = value
    if page:
        app.switch_page(f"pages/{page}.py")
    return app.run()


def texts(app: AppTest) -> str:
    """All that the page says in words."""
    kinds = (app.title, app.markdown, app.caption, app.info, app.warning, app.error, app.subheader)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def widget(kind, label: str):
    return next(element for element in kind if element.label == label)


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    """A test's data sets and models are its own."""
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def trained(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The app's home holds one finished run."""
    monkeypatch.setenv("SEGMODELS_HOME", str(tiny_run.path.parents[1]))
    return tiny_run


@pytest.fixture
def without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGMODELS_DATA", raising=False)


FIRST_WORDS = {
    "": "toy",
    "1_Browse": "240",
    "2_Train": "No run yet",
    "3_Compare": "runs to train",
    "4_Predict": "no trained model",
}


@pytest.mark.parametrize("page", list(FIRST_WORDS))
def test_on_a_fresh_machine_every_page_draws_and_says_where_to_begin(page: str, home: Path, without_data: None) -> None:
    app = opened(page)
    assert not app.exception
    assert not app.error
    said = texts(app)
    assert FIRST_WORDS[page] in said


def test_home_names_the_device_and_a_run_in_progress(home: Path) -> None:
    run = Run.create(Recipe(data="toy-pets"))
    with run.lock():
        run.write_status(state="running", epoch=3, epochs=20)
        app = opened()
        assert not app.exception
        assert f"Training runs on **{plain(str(device()))}**" in texts(app)
        assert "In progress" in texts(app)
    assert "In progress" not in texts(opened())


def test_browse_filters_by_class_and_turns_pages(home: Path) -> None:
    app = opened("1_Browse", data="toy-nuclei", split="validation")
    assert not app.exception
    assert "**40** of 40 validation" in texts(app)
    names = {label.name for label in open_dataset("toy-nuclei").classes}
    pills = widget(app.button_group, "Only pictures with all of")
    assert {option.content for option in pills.proto.options} == names
    app = pills.set_value(["nucleus"]).run()
    assert not app.exception
    assert "of 40 validation" in texts(app)


def test_browse_counts_what_the_filter_keeps(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures of which one has no pet: the filter on pet keeps the other."""
    root = tmp_path / "oxford-iiit-pet"
    write_pets(root, {"A_1": [1, 2, 3], "A_2": [2], "B_1": [1, 2, 3], "B_2": [1, 2, 3]})
    monkeypatch.setenv("SEGMODELS_DATA", str(tmp_path))
    app = opened("1_Browse", data="oxford-pets", split="test")
    assert not app.exception
    assert "**2** of 2 test" in texts(app)
    app = widget(app.button_group, "Only pictures with all of").set_value(["pet"]).run()
    assert "**1** of 2 test" in texts(app)


def test_browse_names_a_picture_that_cannot_be_used(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "oxford-iiit-pet"
    write_pets(root, {"A_1": [1, 2], "A_2": [1, 2], "A_3": [1, 2], "B_1": [1, 2], "B_2": [1, 2]})
    (root / "annotations" / "trimaps" / "A_2.png").unlink()
    cut = root / "images" / "A_3.jpg"
    cut.write_bytes(cut.read_bytes()[:900])
    monkeypatch.setenv("SEGMODELS_DATA", str(tmp_path))
    app = opened("1_Browse", data="oxford-pets", split="test")
    assert not app.exception
    assert "2 pictures cannot be used" in app.expander[-1].label
    said = texts(app)
    assert "image has no mask" in said
    assert "truncated" in said


def test_a_missing_data_set_says_what_to_do(home: Path, without_data: None) -> None:
    app = opened("1_Browse", data="oxford-pets")
    assert not app.exception
    assert "download" in app.warning[0].value
    assert any("811 MB" in button.label for button in app.button)
    app = app.text_input[0].set_value("/nowhere/at/all").run()
    assert not app.exception
    assert "nowhere" in app.warning[0].value


def test_the_form_says_what_is_wrong_and_starts_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.launcher_choice.launch", lambda *_: pytest.fail("started a wrong recipe"))
    app = opened("2_Train")
    assert not app.exception
    app = widget(app.number_input, "Width").set_value(9).run()
    app = widget(app.selectbox, "Norm").set_value("group").run()
    assert not app.exception
    assert "multiple of 8" in app.error[0].value
    assert widget(app.button, "Start training").disabled


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """The recipes that the page has started, of which no process is made."""
    recipes: list[Recipe] = []

    def launch(recipe: Recipe, devices: str | None) -> Run:
        recipes.append(recipe)
        return Run.create(recipe)

    monkeypatch.setattr("ui.launcher_choice.launch", launch)
    return recipes


def test_the_form_starts_the_recipe_it_shows(home: Path, started: list[Recipe]) -> None:
    app = opened("2_Train")
    app = widget(app.number_input, "Epochs").set_value(7).run()
    app = widget(app.number_input, "Width").set_value(8).run()
    shown = app.code[0].value
    app = widget(app.button, "Start training").click().run()
    assert not app.exception
    assert (started[0].epochs, started[0].options["width"], started[0].data) == (7, 8, "toy-pets")
    assert shown == started[0].command()
    # The box would go on showing a state that has changed: of a run at work it names none.
    assert widget(app.selectbox, "Run").options[0].endswith("-toy-pets-unet")


def test_the_form_offers_tiles(home: Path, started: list[Recipe]) -> None:
    app = opened("2_Train")
    assert widget(app.selectbox, "Sampling").value == "resize"
    assert not [element for element in app.number_input if element.label == "Tile stride"]
    app = widget(app.selectbox, "Sampling").set_value("tiles").run()
    stride = widget(app.number_input, "Tile stride")
    assert stride.value == widget(app.number_input, "Image size").value
    app = stride.set_value(64).run()
    shown = app.code[0].value
    app = widget(app.button, "Start training").click().run()
    assert not app.exception
    assert (started[0].sampling, started[0].tile_stride, started[0].tile_edge) == ("tiles", 64, "shift")
    assert shown == started[0].command()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_form_fits_every_architecture(
    architecture: str, home: Path, without_data: None, started: list[Recipe]
) -> None:
    """With its first values, and on another backbone: what is started is what the command says, and nothing is left
    over from the architecture and the options before."""
    app = opened("2_Train")
    app = widget(app.number_input, "Width").set_value(24).run()
    app = widget(app.selectbox, "Architecture").set_value(architecture).run()
    row = ARCHITECTURES[architecture]
    assert len(widget(app.selectbox, "Backbone").options) == len(row.backbones)
    said = texts(app)
    assert plain(row.strengths) in said
    assert plain(f"{row.gflops:.3g} GFLOPs") in said
    for backbone in (widget(app.selectbox, "Backbone").value, row.backbones[-1]):
        app = widget(app.selectbox, "Backbone").set_value(backbone).run()
        assert plain(row.note(backbone)) in texts(app)
        shown = app.code[0].value
        app = widget(app.button, "Start training").click().run()
        assert not app.exception
        assert not app.error
        recipe = started.pop()
        assert (recipe.architecture, recipe.backbone) == (architecture, backbone)
        assert shown == recipe.command()
        assert recipe_of(cli.parser().parse_args(shlex.split(shown)[3:])) == recipe
        defaults = checked_options(architecture, backbone, {}).model_dump(mode="json")
        assert all(value != defaults[key] for key, value in recipe.options.items())
        assert architecture == "unet" or 24 not in recipe.options.values()
        app.session_state["part-next"] = "New run"  # as a click on the tab
        app = app.run()
        assert widget(app.selectbox, "Architecture").value == architecture, "what was chosen is still there"


def test_a_choice_does_not_outlive_its_architecture(home: Path) -> None:
    def choose(label: str, value: str) -> str:
        nonlocal app
        app = widget(app.selectbox, label).set_value(value).run()
        assert not app.exception
        assert not app.error
        return app.code[0].value

    app = opened("2_Train")
    first = app.code[0].value
    choose("Architecture", "deeplabv3")
    voc = choose("Weights", "voc")
    assert "--weights voc" in voc
    assert not any(text.label == "ASPP rates" for text in app.text_input), "the weights leave no choice of them"
    assert "voc" not in choose("Backbone", "resnet50")
    assert "--image-size" not in choose("Architecture", "pix2pix"), "256 pixels, its default and the least it takes"
    assert choose("Architecture", "unet") == first
    assert "width" not in choose("Backbone", "resnet50")
    assert choose("Backbone", "none") == first


def test_options_are_drawn_where_they_have_a_choice(home: Path) -> None:
    app = opened("2_Train")
    app = widget(app.selectbox, "Architecture").set_value("unet++").run()
    assert not any(text.label == "Head" for text in app.text_input)
    app = widget(app.toggle, "Deep supervision").set_value(True).run()
    app = widget(app.text_input, "Head").set_value("2").run()
    assert "--option deep_supervision=true --option head=2" in app.code[0].value
    app = widget(app.text_input, "Head").set_value("").run()
    assert "head=" not in app.code[0].value
    app = widget(app.selectbox, "Architecture").set_value("deeplabv3+").run()
    app = widget(app.button_group, "Output stride").set_value(8).run()
    assert widget(app.text_input, "ASPP rates").value == "12, 24, 36", "of that stride"
    assert "aspp_rates" not in app.code[0].value
    app = widget(app.text_input, "ASPP rates").set_value("3 6").run()
    assert "--option output_stride=8 --option aspp_rates=3,6" in app.code[0].value


@pytest.mark.parametrize("typed", ["16, 32, many", "16,-3", "1.5, 2", "", "9" * 5000, "16"])
def test_a_wrong_list_of_numbers_is_one_line(typed: str, home: Path) -> None:
    app = opened("2_Train")
    app = widget(app.selectbox, "Architecture").set_value("unet++").run()
    app = widget(app.text_input, "Widths").set_value(typed).run()
    assert not app.exception
    assert len(app.error) == 1
    assert "widths" in app.error[0].value
    assert "\n" not in app.error[0].value
    assert widget(app.button, "Start training").disabled
    assert widget(app.selectbox, "Norm").value == "none", "the widgets below are still there"


def test_a_finished_run_is_shown_with_its_figures(trained: Run) -> None:
    app = opened("2_Train", run=trained.id)
    assert not app.exception
    best = max(trained.history(), key=lambda row: row["val_mean_iou"])
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Best mean IoU"] == f"{best['val_mean_iou']:.3f}"
    assert figures["Best epoch"] == str(best["epoch"])
    assert len(app.get("plotly_chart")) == 4, "three curves and the confusion matrix"
    assert len(app.get("bidi_component")) == 2, "the validation pictures, and one of them large"


def test_validation_pictures_that_are_damaged_are_named(trained: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(trained.path, trained.path.with_name("damaged"))))
    (run.path / "samples" / "0-truth.png").write_bytes(b"no picture")
    app = opened("2_Train", run=run.id)
    assert not app.exception
    assert "0-truth.png" in texts(app).replace("\\", "")
    (run.path / "samples" / "index.json").write_text('{"ids": 3}')
    app = opened("2_Train", run=run.id)
    assert not app.exception
    assert "is damaged: the pictures of this run cannot be shown" in texts(app).replace("\\", "")


def test_a_run_whose_process_died_is_shown_as_interrupted(home: Path) -> None:
    run = Run.create(Recipe(data="toy-pets"))
    run.write_status(state="running", epoch=2)
    app = opened("2_Train", run=run.id)
    assert not app.exception
    assert "interrupted" in texts(app)
    assert not any(button.label == "Stop" for button in app.button)


def test_a_run_that_waits_says_for_whom_and_can_leave_the_queue(home: Path) -> None:
    first, second = (Run.create(Recipe(data="toy-pets"), home / "runs" / name) for name in ("first", "second"))
    with first.lock(), queue.turn(first.path, ["cpu"], wanted=lambda: None, waits=lambda _: None):
        first.write_status(state="running", epoch=1)
        queue.join(second.path, ["cpu"], launched=True)
        second.write_status(place=1, waiting_for="first")
        labels = [link.proto.label for link in opened().get("page_link")]
        assert {"first: epoch 1 of 20", "second: waiting for first"} <= set(labels)
        app = opened("2_Train", run="second")
        assert not app.exception
        assert "Waiting for **first**" in texts(app)
        assert "A new run waits until second has ended" in texts(opened("2_Train", part="New run"))
        assert not any(button.label in ("Stop", "Pause") for button in app.button)
        app = widget(app.button, "Leave the queue").click().run()
        assert not app.exception
        assert second.take_request() == "stop"


def test_of_several_gpus_a_run_is_given_those_chosen(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [Device("gpu", f"Card {number}", 2**34, key=f"GPU-{number}", number=number) for number in range(3)]
    monkeypatch.setattr("ui.device_choice.known_devices", lambda: gpus)
    asked = []

    def launched(recipe: Recipe, devices: str | None) -> Run:
        asked.append(devices)
        return Run.create(recipe)

    monkeypatch.setattr("ui.launcher_choice.launch", launched)
    first = Run.create(Recipe(data="toy-pets"), home / "runs" / "first")
    with first.lock(), queue.turn(first.path, ["GPU-1"], wanted=lambda: None, waits=lambda _: None):
        app = opened("2_Train", part="New run")
        ways = widget(app.radio, "Devices")
        assert ways.options == ["The first that is free", "All together", "Some"]
        assert "A new run waits" not in texts(app)
        widget(app.button, "Start training").click().run()

        def chosen(way: str) -> AppTest:
            return widget(opened("2_Train", part="New run").radio, "Devices").set_value(way).run()

        app = chosen("All together")
        assert "A new run waits until first has ended" in texts(app)
        widget(app.button, "Start training").click().run()
        app = chosen("Some")
        box = widget(app.multiselect, "GPUs")
        assert box.options == ["0: Card 0, 16 GB", "1: Card 1, 16 GB", "2: Card 2, 16 GB"]
        app = box.set_value([1]).run()
        assert "A new run waits until first has ended" in texts(app)
        app = widget(app.multiselect, "GPUs").set_value([1, 2]).run()
        assert "A new run waits until first has ended" in texts(app), "it needs both"
        app = widget(app.multiselect, "GPUs").set_value([0, 2]).run()
        assert "A new run waits" not in texts(app)
        widget(app.button, "Start training").click().run()
    assert asked == [None, "all", "0,2"]


def test_predict_shows_mask_and_overlay_of_an_upload(trained: Run) -> None:
    app = opened("4_Predict", model=trained.id)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8))
    app = app.file_uploader[0].set_value(("photo.png", encoded(picture), "image/png")).run()
    assert not app.exception
    assert not app.error
    assert "90 x 60 pixels" in texts(app)
    (message,) = [element.proto.bytes for element in app.get("bidi_component")]
    assert b'"name": "Prediction"' in message
    assert b'"name": "photo.png"' in message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.jpg", b"this is no picture", "not a picture"),
        ("empty.png", b"", "not a picture"),
        ("cut.png", "cut", "truncated"),
        ("bomb.png", "bomb", "64 megapixels"),
    ],
)
def test_predict_refuses_what_is_no_picture_in_one_line(
    name: str, content: bytes | str, message: str, trained: Run
) -> None:
    if content == "cut":
        noise = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)
        content = encoded(Image.fromarray(noise))[:5000]
    if content == "bomb":
        content = encoded(Image.new("1", (8001, 8000)))
    app = opened("4_Predict", model=trained.id)
    app = app.file_uploader[0].set_value((name, content, "image/png")).run()
    assert not app.exception
    assert len(app.error) == 1
    assert message in app.error[0].value
    assert "\n" not in app.error[0].value


def test_predict_takes_a_test_picture_of_the_data_set(trained: Run) -> None:
    app = opened("4_Predict", model=trained.id)
    app = widget(app.selectbox, "… or one of its test pictures").select_index(3).run()
    assert not app.exception
    (message,) = [element.proto.bytes for element in app.get("bidi_component")]
    assert b'"name": "Prediction", "truth": false' in message
    assert b'"name": "Truth", "truth": true' in message


def test_a_damaged_checkpoint_is_one_line(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "home" / "broken"
    shutil.copytree(trained.best, folder)
    (folder / "model.weights.h5").write_bytes(b"\x89HDF" + b"0" * 1000)
    monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path / "home"))
    app = opened("4_Predict", model="broken")
    app = app.file_uploader[0].set_value(("p.png", encoded(Image.new("RGB", (40, 40))), "image/png")).run()
    assert not app.exception
    assert "damaged" in app.error[0].value


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_pets(root: Path, trimaps: dict[str, list[int]]) -> None:
    """A small set in the official layout: names starting with A are the test list, with B the trainval list."""
    (root / "images").mkdir(parents=True)
    (root / "annotations" / "trimaps").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name, values in trimaps.items():
        Image.fromarray(generator.integers(0, 255, (40, 60, 3), np.uint8)).save(root / "images" / f"{name}.jpg")
        trimap = generator.choice(np.array(values, np.uint8), (40, 60))
        Image.fromarray(trimap).save(root / "annotations" / "trimaps" / f"{name}.png")
    lists = {"test": [n for n in trimaps if n[0] == "A"], "trainval": [n for n in trimaps if n[0] == "B"]}
    for name, listed in lists.items():
        (root / "annotations" / f"{name}.txt").write_text("".join(f"{n} 1 1 1\n" for n in listed))


def test_a_checkpoint_without_weights_is_one_line(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(trained.best, tmp_path / "home" / "light"))
    (folder / "model.weights.h5").unlink()
    monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path / "home"))
    app = opened("4_Predict", model="light")
    app = app.file_uploader[0].set_value(("p.png", encoded(Image.new("RGB", (40, 40))), "image/png")).run()
    assert not app.exception
    assert "incomplete" in app.error[0].value


def test_a_run_stopped_before_its_first_save_can_be_started_again(home: Path) -> None:
    run = Run.create(Recipe(data="toy-pets"))
    run.write_status(state="stopped")
    app = opened("2_Train", run=run.id)
    assert not app.exception
    assert any(button.label == "Resume" for button in app.button)


@pytest.mark.parametrize("typed", ["~nobody-of-this-name/pets", "a" * 5000, "'/nowhere'"])
def test_a_strange_folder_is_one_line(typed: str, home: Path, without_data: None) -> None:
    app = opened("1_Browse", data="oxford-pets")
    app = app.text_input[0].set_value(typed).run()
    assert not app.exception
    assert len(app.warning) == 1


def test_a_data_set_whose_folder_is_gone_can_be_removed(home: Path, tmp_path: Path) -> None:
    folder = write_form("via", tmp_path / "cells")
    name = add_folder(folder, "cells")
    shutil.rmtree(folder)
    app = opened("1_Browse", data=name)
    assert "no such folder" in texts(app)
    (tmp_path / ".cells.0a1b2c3d.part").mkdir()  # as converting leaves it until it is done
    assert "is being written just now" in texts(opened("1_Browse", data=name))
    app = next(box for box in app.checkbox if "Remove this data set" in box.label).check().run()
    app = widget(app.button, "Remove").click().run()
    assert not app.exception
    assert own_names() == []
    assert "was added here" in texts(opened("1_Browse", data=name))
    assert "not here any more" in texts(opened("1_Browse", data="another-set"))


def test_a_record_of_an_unknown_form_is_read_by_what_it_is(home: Path, tmp_path: Path) -> None:
    name = add_folder(write_form("via", tmp_path / "cells"), "cells", form="of-tomorrow")
    app = opened("1_Browse", data=name)
    assert not app.exception
    assert [box.value for box in app.selectbox if box.label == "Form"] == ["via"]
    assert not app.error
    assert "cell in 10" in texts(app)


def test_a_form_that_does_not_fit_is_told(home: Path, tmp_path: Path) -> None:
    app = opened("1_Browse", data=add_folder(write_form("masks", tmp_path / "cells"), "cells", form="colours"))
    assert not app.exception
    assert "do not look like this form" in texts(app)


def test_folders_of_the_system_are_not_searched(home: Path) -> None:
    app = opened("1_Browse", data="add")
    app = widget(app.text_input, "Folder on this computer").set_value("/").run()
    assert "a folder of the system" in texts(app)
    app = widget(app.text_input, "Folder on this computer").set_value("slides").run()
    assert "write the whole path" in texts(app)
    assert not app.exception
