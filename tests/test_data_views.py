"""The figures of a data set and the check of its files, as the Browse page shows them."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from segmodels.data.class_weights import suggested_weights
from segmodels.data.datasets import open_dataset
from segmodels.data.datasets.toy_pets import ToyPets
from segmodels.data.disk import Stopped
from segmodels.data.statistics import class_statistics
from segmodels.data.verify import verify
from segmodels.errors import UserError
from tests.small_pets import write_small_pets
from ui import verify_view

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()


def opened(view: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    for key, value in {"view": view, **query}.items():
        app.query_params[key] = value
    app.switch_page("pages/1_Browse.py")
    app.run()
    assert not app.exception
    assert not app.error
    return app


def button(app: AppTest, label: str):
    return next(element for element in app.button if element.label == label)


def until(app: AppTest, label: str) -> AppTest:
    """Look again until a button of this name is there."""
    for _ in range(200):
        if any(element.label == label for element in app.button):
            return app
        time.sleep(0.05)
        app = app.run()
        assert not app.exception
    raise AssertionError(f"no button {label}: {[element.label for element in app.button]}")


def test_a_check_runs_beside_the_page_and_ends_in_a_table(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_small_pets(tmp_path / "data" / "oxford-iiit-pet")
    monkeypatch.setenv("SEGMODELS_DATA", str(root.parent))
    (root / "images" / "Xyz_0.jpg").write_bytes(b"")
    app = opened("Check", data="oxford-pets")
    assert not app.dataframe
    app = until(button(app, "Check every file").click().run(), "Check again")
    table = app.dataframe[0].value
    report = verify(open_dataset("oxford-pets"))
    assert table["Kind"].tolist() == [finding.kind for finding in report.findings] == ["unlisted"] * 2 + ["truncated"]
    assert table["File"].tolist()[-1] == "Xyz_0.jpg"
    assert "**2** of 3 in test" in "".join(element.value for element in app.markdown)

    pills = next(element for element in app.button_group if element.label == "Only")
    app = pills.set_value(["truncated"]).run()
    assert app.dataframe[0].value["Kind"].tolist() == ["truncated"]

    # Kept: another visit shows it at once.
    st.cache_resource.clear()
    assert len(opened("Check", data="oxford-pets").dataframe[0].value) == 3


def test_a_row_opens_its_picture(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is chosen by hand: a test cannot click into Streamlit's table."""
    root = write_small_pets(tmp_path / "data" / "oxford-iiit-pet")
    monkeypatch.setenv("SEGMODELS_DATA", str(root.parent))
    dataset = open_dataset("oxford-pets")
    sample = dataset.samples("test")[1]
    assert sample.image_path is not None
    sample.image_path.write_bytes(b"")
    findings = verify(dataset).findings
    (row,) = [number for number, finding in enumerate(findings) if finding.sample == sample.id]
    chosen = SimpleNamespace(selection=SimpleNamespace(rows=[row]))
    monkeypatch.setattr(verify_view.st, "dataframe", lambda *_, **__: chosen)
    app = opened("Check", data="oxford-pets", split="train", side="512")
    app = button(app, f"Open {sample.id}".replace("_", r"\_")).click().run()
    assert not app.exception
    assert app.query_params["picture"] == sample.id
    assert f"**{sample.id}**, 1 of 1".replace("_", r"\_") in "".join(element.value for element in app.markdown)
    assert "truncated" in app.error[0].value or "not a picture" in app.error[0].value


def test_a_check_can_be_stopped(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(dataset, *, progress, stop, again):
        while not stop():
            progress(1, 10, "checking pictures")
            time.sleep(0.01)
        raise Stopped("stopped")

    monkeypatch.setattr(verify_view, "verify", slow)
    app = opened("Check", data="toy-pets")
    app = until(button(app, "Check every file").click().run(), "Stop")
    app = until(button(app, "Stop").click().run(), "Check every file")
    assert not app.error
    assert not app.dataframe


def test_a_check_that_fails_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(dataset, **_):
        raise UserError("no space left on the disk")

    monkeypatch.setattr(verify_view, "verify", broken)
    app = opened("Check", data="toy-pets")
    app = button(app, "Check every file").click().run()
    for _ in range(100):
        if app.error:
            break
        time.sleep(0.05)
        app = app.run()
    assert "no space left" in app.error[0].value


def test_statistics_show_the_weights_of_each_method(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyPets, "sizes", {"train": 12, "validation": 4, "test": 4})
    app = opened("Statistics", data="toy-pets")
    figures = class_statistics(open_dataset("toy-pets"), "train")
    table = app.dataframe[0].value
    for method in ("inverse frequency", "median frequency", "effective number"):
        assert table[method.capitalize()].tolist() == pytest.approx(suggested_weights(figures.pixels, method).tolist())
    expected = ",".join(f"{weight:.4g}" for weight in suggested_weights(figures.pixels, "median frequency"))
    assert app.code[0].value == f"--class-weights {expected}"
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Pictures"] == "12"


def test_findings_as_csv_are_quoted() -> None:
    rows = [{"File": 'a,"b".png', "What": "two\nlines"}]
    assert verify_view._csv(rows) == 'File,What\r\n"a,""b"".png","two\nlines"\r\n'
    assert verify_view._csv([]) == "\r\n"
