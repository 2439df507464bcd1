"""The Predict page in Streamlit's own test runner: one picture, several models, many pictures, and what is linked."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmodels.data.dataset import IGNORE
from segmodels.data.datasets import open_dataset
from segmodels.data.images import read_mask
from segmodels.errors import UserError
from segmodels.prediction.export.settings import Settings, objects
from segmodels.prediction.measure import measurements
from segmodels.prediction.pool import POOL
from segmodels.prediction.predictor import Predictor, Result
from segmodels.prediction.sources import uploaded_pictures
from segmodels.training.runs import Run
from segmodels.worker import Answer
from tests.test_app import encoded, opened, texts, widget
from ui import prediction_batch, prediction_download, prediction_many, prediction_prepare, prediction_result
from ui.prediction_download import FAILED, Wanted, stems, zip_of
from ui.prediction_objects import csv_of
from ui.viewer import Click, Seen

SHARE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(autouse=True)
def _nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    st.cache_data.clear()
    st.cache_resource.clear()
    monkeypatch.setattr(prediction_prepare, "_begun", {})
    monkeypatch.setattr(prediction_result, "is_wanted", lambda how: False)  # no processes, but where they are tested


@pytest.fixture(scope="module")
def models(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one model under the names a, b and c."""
    folder = tmp_path_factory.mktemp("models") / "home"
    for name in "abc":
        shutil.copytree(tiny_run.best, folder / name)
    return folder


@pytest.fixture
def home(models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGMODELS_HOME", str(models))
    return models


@pytest.fixture(scope="module")
def predictor(models: Path) -> Predictor:
    return Predictor(models / "a", engine="keras")


def toy(number: int) -> np.ndarray:
    dataset = open_dataset("toy-pets")
    return dataset.read_image(dataset.samples("test")[number])


def upload(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    app.file_uploader[0].set_value([(name, content, "image/png") for name, content in files])
    return app.run()


def photo(number: int) -> tuple[str, bytes]:
    return f"photo {number}.png", encoded(Image.fromarray(toy(number)))


def words(app: AppTest) -> str:
    return texts(app).replace("\\", "")


def message(app: AppTest, place: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings and the picture that a viewer was sent."""
    content = app.get("bidi_component")[place].proto.bytes
    length = int.from_bytes(content[:4], "little")
    rest = content[4 + length :]
    return json.loads(content[4 : 4 + length]), json.loads(rest[4 : 4 + int.from_bytes(rest[:4], "little")])


def table(app: AppTest, column: str) -> Any:
    """The table that has a column."""
    return next(frame.value for frame in app.dataframe if column in frame.value.columns)


def choose_row(app: AppTest, column: str, row: int) -> AppTest:
    """Choose a row of the table that has a column, as a browser does."""
    app.session_state[table_key(app, column)] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    return fine(app.run())


def table_key(app: AppTest, column: str) -> str:
    found = next(frame for frame in app.dataframe if column in frame.value.columns)
    return found.proto.id.split("-", 2)[2]


def address(app: AppTest) -> dict[str, str]:
    return {name: values if isinstance(values, str) else values[-1] for name, values in app.query_params.items()}


def shares(app: AppTest, place: int = 0) -> dict[str, float]:
    frames = [frame.value for frame in app.dataframe if list(frame.value.columns) == ["Class", "Share"]]
    return dict(zip(frames[place]["Class"], frames[place]["Share"], strict=True))


def fine(app: AppTest) -> AppTest:
    assert not app.exception
    assert not app.error
    return app


# One picture


def test_one_picture_has_the_shares_of_its_result_and_maps_as_layers(home: Path, predictor: Predictor) -> None:
    app = fine(upload(opened("4_Predict", model="a"), photo(0)))
    result = predictor(toy(0))
    assert shares(app) == pytest.approx(result.shares, abs=1e-6)
    assert "are ignored" not in words(app)
    assert f"mean confidence {100 * result.confidence.mean():.0f} %" in words(app)
    settings, picture = message(app)
    assert [layer["name"] for layer in picture["layers"]] == ["Prediction"]
    assert [heat["name"] for heat in picture["heats"]] == ["Confidence", "Entropy"]
    assert settings["focus"] is None
    assert address(app) == {"model": "a"}, "nothing of the picture"


def test_what_is_not_sure_is_ignored_and_the_other_shares_are_of_the_rest(home: Path, predictor: Predictor) -> None:
    app = fine(upload(opened("4_Predict", model="a"), photo(0)))
    result = predictor(toy(0))
    bound = round(float(np.median(result.confidence)), 2)
    app = fine(widget(app.slider, "Least confidence").set_value(bound).run())
    refined = result.refined(threshold=bound)
    left = float((refined.mask == IGNORE).mean())
    assert 0.3 < left < 0.7
    assert f"{100 * left:.1f} % are ignored" in words(app)
    assert shares(app) == pytest.approx(refined.shares, abs=1e-6)


def test_small_regions_and_holes_are_refined(home: Path, predictor: Predictor) -> None:
    app = fine(upload(opened("4_Predict", model="a"), photo(1)))
    result = predictor(toy(1))
    app = widget(app.number_input, "Smallest region (pixels)").set_value(400).run()
    app = fine(widget(app.number_input, "Largest hole (pixels)").set_value(50).run())
    refined = result.refined(smallest=400, largest_hole=50)
    assert refined.shares != result.shares
    assert shares(app) == pytest.approx(refined.shares, abs=1e-6)


def test_a_model_that_is_not_for_business_says_so(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "learnt from MoNuSeg, CC BY-NC-SA 4.0; not for commercial use"
    assert said not in words(opened("4_Predict", model="a"))
    monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path))
    tissue = Path(shutil.copytree(home / "a", tmp_path / "tissue")) / "segmodels.json"
    tissue.write_text(tissue.read_text().replace('"toy-pets"', '"monuseg"'))
    assert f"tissue: {said}" in words(opened("4_Predict", model="tissue"))


def test_the_page_begins_with_the_model_for_photos(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path))
    for name in ("nuclei", "zoo"):
        shutil.copytree(home / "a", tmp_path / name)
    assert opened("4_Predict").multiselect(key="models").value == ["nuclei"]
    shutil.copytree(home / "a", tmp_path / "pets")
    assert opened("4_Predict").multiselect(key="models").value == ["pets"]


def test_a_link_opens_an_example_with_all_that_was_chosen(home: Path, predictor: Predictor) -> None:
    link = {"from": "examples", "example": "cat", "threshold": "0.4", "tta": "flips", "engine": "keras"}
    app = fine(opened("4_Predict", model="b", **link))
    import skimage.data

    refined = predictor(skimage.data.chelsea(), tta="flips").refined(threshold=0.4)
    assert "cat.png: 451 x 300 pixels" in words(app)
    assert shares(app) == pytest.approx(refined.shares, abs=1e-4)
    assert address(app)["model"] == "b"
    assert address(app)["engine"] == "keras"


def test_a_models_own_views_can_be_left_out(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path))
    shutil.copytree(home / "a", tmp_path / "mirrored")
    document = json.loads((tmp_path / "mirrored" / "segmodels.json").read_text())
    document["input"]["tta"] = "flips"
    (tmp_path / "mirrored" / "segmodels.json").write_text(json.dumps(document))
    import skimage.data

    predictor, picture = Predictor(tmp_path / "mirrored"), skimage.data.chelsea()
    once, own = predictor(picture, tta="none").shares, predictor(picture).shares
    assert once != pytest.approx(own, abs=1e-4)
    app = fine(opened("4_Predict", model="mirrored", **{"from": "examples", "example": "cat", "engine": "keras"}))
    assert shares(app) == pytest.approx(own, abs=1e-4)
    pills = app.button_group(key="tta")
    fine(pills.set_value(["none"]).run())
    assert shares(app) == pytest.approx(once, abs=1e-4)
    fine(app.button_group(key="tta").set_value(["none", "flips"]).run())
    assert app.button_group(key="tta").value == ["flips"]
    fine(app.button_group(key="tta").set_value(["flips", "none"]).run())
    assert app.button_group(key="tta").value == ["none"]


@pytest.mark.parametrize("name", ["tissue", "toy pet 2", "toy nuclei 1"])
def test_every_example_is_there_without_a_network(name: str, home: Path) -> None:
    app = fine(opened("4_Predict", model="a", **{"from": "examples", "example": name}))
    layers = [layer["name"] for layer in message(app)[1]["layers"]]
    assert layers == ["Prediction", *(["Truth"] if name.startswith("toy pet") else [])], "truth of the same classes"


def test_a_link_opens_a_picture_of_a_data_set(home: Path, predictor: Predictor) -> None:
    link = {"from": "data set", "predict-data": "toy-nuclei", "predict-split": "validation"}
    app = fine(opened("4_Predict", model="a", picture="validation-0003", **link))
    dataset = open_dataset("toy-nuclei")
    sample = next(sample for sample in dataset.samples("validation") if sample.id == "validation-0003")
    assert shares(app) == pytest.approx(predictor(dataset.read_image(sample)).shares, abs=1e-6)
    app = fine(opened("4_Predict", model="a", picture="toy that is gone", **link))
    assert not app.get("bidi_component")


def test_the_camera_is_asked_for_only_where_it_was_chosen(home: Path) -> None:
    app = fine(opened("4_Predict", model="a"))
    assert not app.get("camera_input")
    assert len(fine(opened("4_Predict", model="a", **{"from": "camera"})).get("camera_input")) == 1


def test_a_file_of_several_pages_has_a_box_for_the_page(home: Path, predictor: Predictor) -> None:
    pages = [Image.fromarray(toy(number)).resize((90, 70)) for number in range(3)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    app = fine(upload(opened("4_Predict", model="a", **{"tiff-page": "2"}), ("stack.tif", buffer.getvalue())))
    box = widget(app.number_input, "Page, of 3")
    assert box.value == 2
    for number in (2, 3):
        app = fine(box.set_value(number).run())
        assert shares(app) == pytest.approx(predictor(np.asarray(pages[number - 1])).shares, abs=1e-6)
        assert address(app)["tiff-page"] == str(number)
        box = widget(app.number_input, "Page, of 3")
    app = fine(upload(app, photo(0)))
    assert "tiff-page" not in address(app)


def test_a_grey_picture_and_little_confidence_are_warned_of(home: Path) -> None:
    grey = Image.fromarray(toy(0)).convert("L")
    app = fine(upload(opened("4_Predict", model="a"), ("grey.png", encoded(grey))))
    assert any("grey, but the model was trained on colours" in warning.value for warning in app.warning)
    app = fine(upload(app, photo(0)))
    assert not any("grey" in warning.value for warning in app.warning)


# Objects


def measured(result: Result, micrometres: float | None = None) -> list[dict[str, Any]]:
    found = objects(result, Settings())
    return measurements(
        found, result.mask, result.image, result.labels, confidence=result.confidence, micrometres=micrometres
    )


def same(frame: Any, rows: list[dict[str, Any]]) -> None:
    assert list(frame.columns) == list(rows[0])
    for column in frame.columns:
        expected = [row[column] for row in rows]
        if isinstance(expected[0], float):
            np.testing.assert_allclose(frame[column], expected, **SHARE)
        else:
            assert frame[column].tolist() == expected


def test_the_objects_are_those_that_are_measured(home: Path, predictor: Predictor) -> None:
    app = fine(upload(opened("4_Predict", model="a"), photo(0)))
    assert not any("instance" in frame.value.columns for frame in app.dataframe)
    app = fine(widget(app.toggle, "Number the objects").set_value(True).run())
    result = predictor(toy(0))
    rows = measured(result)
    assert rows
    same(table(app, "instance"), rows)
    assert widget(app.metric, "Objects").value == str(len(rows))
    drawn = json.loads(app.get("plotly_chart")[0].proto.spec)["data"][0]
    assert drawn["x"] == [row["area"] for row in rows]
    app = fine(widget(app.number_input, "Pixel size (µm)").set_value(0.5).run())
    same(table(app, "instance"), measured(result, 0.5))
    assert table(app, "instance")["area_um2"].tolist() == [row["area"] / 4 for row in rows]
    assert message(app)[1]["micrometres"] == 0.5
    lines = csv_of(rows).decode().splitlines()
    assert len(lines) == len(rows) + 1
    assert lines[0] == ",".join(rows[0])


def test_a_row_has_a_frame_and_a_click_chooses_its_row(
    home: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = fine(upload(opened("4_Predict", model="a", numbered="true"), photo(0)))
    rows = measured(predictor(toy(0)))
    last = len(rows) - 1
    key = table_key(app, "instance")
    app = choose_row(app, "instance", last)
    box = {side: rows[last][name] for side, name in zip("xy", ("left", "top"), strict=True)}
    assert message(app)[0]["focus"] == {**box, "width": rows[last]["width"], "height": rows[last]["height"]}

    from ui import prediction_view

    draw, clicks = prediction_view.viewer, [Click(1, 1, {}, rows[0]["instance"])]

    def clicked(*arguments: Any, **terms: Any) -> Seen:
        draw(*arguments, **terms)
        return Seen(clicks.pop() if clicks else None)

    monkeypatch.setattr(prediction_view, "viewer", clicked)
    app = fine(app.run())
    assert app.session_state[key]["selection"]["rows"] == [0]
    assert message(app)[0]["focus"]["x"] == rows[0]["left"]
    clicks.append(Click(0, 0, {}, 0))  # where there is no object
    app = fine(app.run())
    assert app.session_state[key]["selection"]["rows"] == []
    assert message(app)[0]["focus"] is None


# Several models


def test_several_models_stand_side_by_side_and_one_that_is_broken_leaves_the_others(
    home: Path, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(home, tmp_path / "home")
    (folder / "c" / "model.weights.h5").write_bytes(b"\x89HDF" + b"0" * 1000)
    monkeypatch.setenv("SEGMODELS_HOME", str(folder))
    app = opened("4_Predict", model="b,c,a,gone")
    assert widget(app.multiselect, "Models").value == ["b", "c", "a"]
    app = upload(app, photo(2))
    assert not app.exception
    assert len(app.error) == 1
    assert "damaged" in app.error[0].value
    assert len(app.get("bidi_component")) == 2
    assert message(app, 0)[0]["link"] == message(app, 1)[0]["link"]
    expected = predictor(toy(2))
    for place in (0, 1):
        assert shares(app, place) == pytest.approx(expected.shares, abs=1e-6)
    assert address(app)["model"] == "b,c,a"
    app = widget(app.multiselect, "Models").set_value(["a"]).run()
    assert len(fine(app).get("bidi_component")) == 1
    app = widget(app.multiselect, "Models").set_value([]).run()
    assert "Choose a model" in words(fine(app))


def test_a_picture_that_memory_is_short_for_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("segmodels.prediction.predictor.Predictor.__call__", fails)
    app = upload(opened("4_Predict", model="a"), photo(0))
    assert not app.exception
    assert "not enough memory" in " ".join(each.value for each in app.error)
    app = upload(opened("4_Predict", model="a"), photo(0), photo(1))
    assert not app.exception
    assert "2 failed" in words(app)


def test_what_was_predicted_is_not_predicted_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    predict = prediction_result.predict

    def counted(model: Any, *arguments: Any) -> Result:
        asked.append(model.name)
        return predict(model, *arguments)

    monkeypatch.setattr(prediction_result, "predict", counted)
    app = fine(upload(opened("4_Predict", model="a"), photo(0)))
    app = fine(widget(app.slider, "Least confidence").set_value(0.5).run())
    app = fine(widget(app.multiselect, "Models").set_value(["a", "b"]).run())
    app = fine(widget(app.multiselect, "Models").set_value(["a"]).run())
    assert asked == ["a", "b"]
    fine(upload(app, photo(1)))
    assert asked == ["a", "b", "a"]


# Many pictures


def test_many_pictures_are_rows_and_one_that_fails_says_why(home: Path, predictor: Predictor) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("in/photo 2.png", photo(2)[1])
        archive.writestr("in/notes.txt", "no picture by its name")
    files = [photo(0), ("notes.jpg", b"no picture"), photo(1), ("more.zip", packed.getvalue())]
    app = fine(upload(opened("4_Predict", model="a"), *files))
    frame = table(app, "Picture")
    assert frame["Picture"].tolist() == ["photo 0.png", "notes.jpg", "photo 1.png", "photo 2.png"]
    assert "**3** predicted, 1 failed" in words(app)
    assert "notes.jpg: not a picture" in frame["Notes"][1]
    for row, number in ((0, 0), (2, 1), (3, 2)):
        result = predictor(toy(number))
        height, width = result.mask.shape
        assert frame["Size"][row] == f"{width} x {height}"
        assert frame["Confidence"][row] == pytest.approx(result.confidence.mean(), abs=1e-6)
        assert frame["Objects"][row] == len(measured(result))
        assert {name: frame[name][row] for name in result.shares} == pytest.approx(result.shares, abs=1e-6)
        assert frame[""][row].startswith("data:image/jpeg;base64,")
    assert address(app) == {"model": "a"}
    app = choose_row(app, "Picture", 3)
    assert message(app)[1]["name"] == "photo 2.png"
    assert shares(app) == pytest.approx(predictor(toy(2)).shares, abs=1e-6)


def test_an_interruption_loses_nothing_and_stop_holds(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    stops = [2]
    work = prediction_batch.work

    def interrupted(job: prediction_batch.Job, told: Callable[[float], None]) -> prediction_batch.Row:
        row = work(job, told)
        done.append(job.chosen.label)
        if stops and len(done) == stops[0]:
            stops.pop()
            st.stop()  # as what is clicked meanwhile ends it
        return row

    monkeypatch.setattr(prediction_many, "work", interrupted)
    files = [photo(number) for number in range(4)]
    app = fine(upload(opened("4_Predict", model="a"), *files))
    assert done == ["photo 0.png", "photo 1.png"]
    app = fine(widget(app.button, "Stop").click().run())
    assert len(done) == 2
    assert "Stopped: 2 of 4 predicted" in words(app)
    assert table(app, "Picture")["Picture"].tolist() == done
    app = fine(widget(app.button, "Go on").click().run())
    assert done == [name for name, _ in files]
    assert "**4** predicted" in words(app)
    assert not [button for button in app.button if button.label == "Stop"]
    fine(app.run())
    assert len(done) == 4


def test_zip_of_many_is_made_under_a_bar_that_can_be_stopped(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def interrupted(wanted: Any, forms: Any, told: Any) -> bytes:
        calls.append([each.name for each in wanted])
        told(0, wanted[0].name)
        if len(calls) == 1:
            st.stop()  # as whatever is clicked meanwhile
        return zip_of(wanted, forms, told=told)

    monkeypatch.setattr(prediction_download, "zip_of", interrupted)
    app = fine(upload(opened("4_Predict", model="a"), photo(0), photo(1)))
    assert not calls
    app = fine(widget(app.button, "Make all as one zip").click().run())
    assert calls == [["photo 0.png", "photo 1.png"]]
    app = fine(widget(app.button, "Stop").click().run())
    assert len(calls) == 1
    app = fine(widget(app.button, "Make all as one zip").click().run())
    assert len(calls) == 2
    assert not [button for button in app.button if button.label == "Stop"]
    (button,) = app.get("download_button")
    assert re.fullmatch(r"All as one zip \([\d.]+ MB\)", button.proto.label)
    fine(app.run())
    assert len(calls) == 2
    app = fine(widget(app.multiselect, "Forms").set_value(["png"]).run())
    assert widget(app.button, "Make all as one zip")


def test_many_pictures_through_two_models_are_a_row_each(home: Path) -> None:
    app = fine(upload(opened("4_Predict", model="a,b"), photo(0), photo(1)))
    frame = table(app, "Picture")
    assert frame["Model"].tolist() == ["a", "b"] * 2
    assert frame["Picture"].tolist() == ["photo 0.png"] * 2 + ["photo 1.png"] * 2


def test_rows_keep_no_maps(home: Path, predictor: Predictor) -> None:
    result = predictor(toy(0))
    row = prediction_batch.row_of(result)
    assert sum(len(value) for value in vars(row).values() if isinstance(value, str)) < 20_000
    assert not any(isinstance(value, np.ndarray) for value in vars(row).values())


# Files


def test_the_archive_reads_back_and_names_what_failed(predictor: Predictor) -> None:
    def failing() -> Result:
        raise UserError("one.png: the picture is truncated")

    wanted = [
        Wanted("", "folder/one.png", lambda: predictor(toy(0))),
        Wanted("", "one.jpg", lambda: predictor(toy(1))),
        Wanted("", "one.png", failing),
    ]
    with zipfile.ZipFile(io.BytesIO(zip_of(wanted, ["png", "npz", "csv"]))) as archive:
        names = ["one-mask.png", "one.npz", "one.csv", "one-2-mask.png", "one-2.npz", "one-2.csv", FAILED]
        assert archive.namelist() == names
        assert archive.read(FAILED).decode() == "one.png: one.png: the picture is truncated\n"
        for number, stem in enumerate(("one", "one-2")):
            result = predictor(toy(number))
            np.testing.assert_array_equal(read_mask(archive.read(f"{stem}-mask.png")), result.mask)
            arrays = np.load(io.BytesIO(archive.read(f"{stem}.npz")), allow_pickle=False)
            np.testing.assert_allclose(arrays["probabilities"], result.probabilities, atol=1e-6)
            lines = list(csv.DictReader(io.StringIO(archive.read(f"{stem}.csv").decode())))
            assert [int(line["area"]) for line in lines] == [row["area"] for row in measured(result)]


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a/b\\..\\c.tif", "c"), ("../..", "picture"), ("", "picture"), ("x<>:y.png", "x___y"), ("é 1.v2.png", "é 1.v2")],
)
def test_names_in_an_archive_lead_nowhere(name: str, stem: str) -> None:
    assert stems([Wanted("", name, lambda: None)]) == [stem]  # type: ignore[arg-type, return-value]


def test_names_in_an_archive_are_those_of_the_command_line_and_apart_in_each_folder(tmp_path: Path) -> None:
    names = ["a.png", "A.jpg", "b:c.tif", "a-2.png"]
    wanted = [Wanted(folder, name, lambda: None) for name in names for folder in ("x/", "y/")]  # type: ignore[arg-type, return-value]
    expected = [Path(source.name).stem for source in uploaded_pictures([(name, b"1") for name in names])]
    assert stems(wanted) == [stem for stem in expected for _ in range(2)]
    assert len(set(expected)) == len(names)


def packed(write: Callable[[zipfile.ZipFile], None]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        write(archive)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (packed(lambda archive: archive.writestr("bomb.png", bytes(300 << 20))), "as a bomb does"),
        (packed(lambda archive: archive.writestr("../out.png", b"1")), "outside the folder"),
        (packed(lambda archive: archive.writestr("notes.txt", b"1")), "holds no picture"),
        (packed(lambda archive: archive.writestr("a.png", bytes(1000)))[:-30], "not a whole archive"),
        (b"PK\x03\x04", "not a whole archive"),
    ],
    ids=["bomb", "outside", "nothing", "cut", "begun"],  # not by their content, which holds the time of day
)
def test_a_bad_archive_is_one_line_and_leaves_the_other_files(content: bytes, said: str, home: Path) -> None:
    app = upload(opened("4_Predict", model="a"), ("bad.zip", content), photo(0))
    assert not app.exception
    (error,) = app.error
    assert said in error.value.replace("\\", "")
    assert "\n" not in error.value
    assert len(app.get("bidi_component")) == 1


# Engines


class Maker:
    """Stands for the processes that make files: `asked` are the models, `answer` is how it is with all of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.answer = Answer("running", seconds=2.0)
        self.made: set[Path] = set()
        self._known: set[tuple[str, ...]] = set()
        monkeypatch.setattr(prediction_result, "is_wanted", prediction_prepare.is_wanted)
        monkeypatch.setattr("ui.prediction_prepare.device", lambda: type("Device", (), {"kind": "cpu"})())
        monkeypatch.setattr("ui.prediction_prepare.find_spec", lambda name: True)
        monkeypatch.setattr("ui.prediction_prepare.is_made", self.made.__contains__)
        monkeypatch.setattr("segmodels.worker.ask", self._ask)
        monkeypatch.setattr("segmodels.worker.is_asked", lambda kind, words, **_: tuple(words) in self._known)
        monkeypatch.setattr("segmodels.worker.cancel", lambda kind, words, **_: self._known.discard(tuple(words)))

    def _ask(self, kind: str, words: tuple[str, ...], **terms: Any) -> Answer:
        if tuple(words) not in self._known:
            self._known.add(tuple(words))
            self.asked.append(Path(words[1]).name)
        return self.answer


def test_the_file_for_onnx_is_begun_by_the_first_prediction_one_at_a_time(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = Maker(monkeypatch)
    app = fine(opened("4_Predict", model="a,b"))
    assert maker.asked == [], "nothing was predicted"
    app = fine(upload(app, photo(0)))
    assert maker.asked == ["a"]
    assert "a is being made ready for ONNX Runtime, which is faster here: 2 s" in words(app)
    app = fine(upload(app, photo(1)))
    assert maker.asked == ["a"], "one at a time"
    maker.answer = Answer("done", {})
    maker.made.add(home / "a")
    app = fine(upload(app, photo(2)))
    assert maker.asked == ["a", "b"]
    maker.made.add(home / "b")
    assert "ready for ONNX" not in words(fine(app.run()))


def test_a_file_for_onnx_that_cannot_be_made_is_told_and_not_tried_for_ever(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = Maker(monkeypatch)
    maker.answer = Answer("failed", error="no such operator")
    app = fine(upload(opened("4_Predict", model="a"), photo(0)))
    assert "a predicts with Keras, since ONNX Runtime cannot: no such operator" in words(app)
    app = fine(upload(app, photo(1)))
    assert maker.asked == ["a"]
    maker.answer = Answer("running")
    app = fine(widget(app.button, "Try again").click().run())
    assert maker.asked == ["a", "a"]
    assert "is being made ready" in words(app)


def test_a_file_that_is_made_meanwhile_leaves_what_is_in_sight(
    home: Path, models: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[str] = []
    get = POOL.get

    def noted(path: Path, engine: str) -> Predictor:
        engines.append(engine)
        return get(path, "keras")

    monkeypatch.setattr(POOL, "get", noted)
    made = []
    monkeypatch.setattr("segmodels.prediction.engines.onnx_engine.is_made", lambda path: bool(made))
    monkeypatch.setattr("segmodels.prediction.engines.suited", lambda path: "onnx" if made else "keras")
    app = fine(upload(opened("4_Predict", model="a", numbered="true"), photo(0)))
    app = choose_row(app, "instance", 0)
    made.append(True)
    app = fine(app.run())
    assert app.session_state[table_key(app, "instance")]["selection"]["rows"] == [0]
    fine(upload(app, photo(1)))
    assert engines == ["keras", "onnx"]


# Pictures seen in tiles


@pytest.fixture
def seen_in_tiles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every picture is seen in four bands; the last row of each that was predicted is noted."""
    bands: list[int] = []
    call = Predictor.__call__

    def tiled(self: Predictor, picture: Any, *, told: Any = None, **terms: Any) -> Result:
        result, first = call(self, picture, **terms), [told] if told else []
        logits, height = result.logits, result.image.shape[0]

        def scores() -> Any:
            for part in np.array_split(np.arange(height), 4):
                bands.append(int(part[-1]) + 1)
                for tell in first:
                    tell(int(part[-1]) + 1, height)
                yield slice(int(part[0]), int(part[-1]) + 1), logits[part[0] : part[-1] + 1]
            first.clear()

        return Result(result.image, scores, result.labels)

    monkeypatch.setattr(Predictor, "__call__", tiled)
    return bands


def interrupted_at(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next prediction ends once it is so far, as what is clicked meanwhile ends it."""
    predict, interrupting = prediction_result.predict, [True]

    def interrupted(*arguments: Any) -> Any:
        *before, told = arguments

        def tell(done: float) -> None:
            told(done)
            if interrupting and done > share:
                interrupting.pop()
                st.stop()

        return predict(*before, tell)

    monkeypatch.setattr(prediction_result, "predict", interrupted)


def test_a_picture_in_many_views_can_be_stopped(
    home: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    logits = Predictor.logits
    monkeypatch.setattr(Predictor, "logits", lambda self, images: seen.append(1) or logits(self, images))
    interrupted_at(0.4, monkeypatch)
    app = fine(upload(opened("4_Predict", model="a", numbered="true", tta=["flips", "turns"]), photo(0)))
    assert len(seen) == 4
    assert "50 %" in str(app.get("progress")[0].proto)
    app = fine(widget(app.button, "Stop").click().run())
    assert len(seen) == 4
    assert "Stopped" in words(app)
    app = fine(widget(app.button, "Go on").click().run())
    assert len(seen) == 12
    assert shares(app)


def test_a_picture_in_tiles_is_seen_once_and_can_be_stopped(
    home: Path, predictor: Predictor, seen_in_tiles: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = predictor(toy(0)).shares
    height = toy(0).shape[0]
    seen_in_tiles.clear()
    app = fine(upload(opened("4_Predict", model="a", numbered="true"), photo(0)))
    assert len(seen_in_tiles) == 4, "also for the entropy and the objects"
    assert shares(app) == pytest.approx(expected, abs=1e-6)
    assert not app.get("progress")

    interrupted_at(0.4, monkeypatch)
    seen_in_tiles.clear()
    app = fine(upload(app, photo(1)))
    assert seen_in_tiles[-1] < height
    assert "50 %" in str(app.get("progress")[0].proto)
    app = fine(widget(app.button, "Stop").click().run())
    assert len(seen_in_tiles) == 2
    assert "Stopped" in words(app)
    app = fine(widget(app.button, "Go on").click().run())
    assert len(seen_in_tiles) == 6
    assert shares(app)
