"""Own data as a person brings it: a zip of each form is uploaded, recognised, and trained on for one epoch."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from segmodels.data.datasets.own import FORMS
from tests.own_forms import write_form
from tests.served import Server, badge, no_traceback, number

pytestmark = pytest.mark.browser


def zipped(form: str, folder: Path) -> Path:
    """The data set in a form as somebody sends it: a zip of the folder."""
    written = write_form(form, folder / form)
    archive = folder / f"{form} set.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(written.rglob("*")):
            if path.is_file():
                packed.write(path, f"{form}/{path.relative_to(written)}")
    return archive


def upload(page: Page, server: Server, archive: Path) -> None:
    page.goto(f"{server.url}/Train?train-data=add")
    page.get_by_test_id("stFileUploaderDropzoneInput").last.set_input_files(archive)
    page.get_by_role("button", name="Add this data set").click()


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=re.compile(label)).click()
    page.get_by_role("option", name=option).click()


#: The others are read without a browser elsewhere.
QUICK = ["coco"]


@pytest.mark.parametrize(
    "forms", [QUICK, pytest.param([form for form in FORMS if form not in QUICK], marks=pytest.mark.slow)]
)
def test_a_zip_of_each_form_is_trained_on(forms: list[str], server: Server, page: Page, tmp_path: Path) -> None:
    for form in forms:
        row = FORMS[form]
        upload(page, server, zipped(form, tmp_path))
        expect(page.get_by_text(f"Read as {row.title}")).to_be_visible()
        page.get_by_text("The same as a command").click()
        expect(page.get_by_test_id("stCode").first).to_contain_text(f"--data own:{form}-set")
        choose(page, "Backbone", "its own encoder")  # whose weights are not downloaded
        expect(page.get_by_test_id("stCode").first).to_contain_text("--option width=16")
        number(page, "Image size", 32)
        number(page, "Epochs", 1)
        page.get_by_role("button", name="Start training").click()
        expect(page.get_by_text(re.compile(rf"\d+-{form}-set-unet · "))).to_be_visible()
        expect(badge(page)).to_contain_text("finished")
        no_traceback(page)
    assert len(server.runs()) == len(forms)
    for run in server.runs():
        assert [row["epoch"] for row in run.history()] == [1]
        assert (run.best / "model.weights.h5").is_file()


def test_a_hostile_zip_and_a_mixed_one(server: Server, page: Page, tmp_path: Path) -> None:
    climbing = tmp_path / "climbing.zip"
    with zipfile.ZipFile(climbing, "w") as packed:
        packed.writestr("../../outside.txt", "out")
    upload(page, server, climbing)
    expect(page.get_by_role("alert").filter(has_text="climbing.zip")).to_be_visible()
    no_traceback(page)
    assert not list(tmp_path.rglob("outside.txt"))

    mixed = write_form("masks", tmp_path / "mixed")
    for form in ("via", "labelme"):
        for path in write_form(form, tmp_path / form).iterdir():
            path.rename(mixed / path.name)
    archive = tmp_path / "mixed.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(mixed.rglob("*.*")):
            packed.write(path, path.relative_to(mixed))
    upload(page, server, archive)
    expect(page.get_by_text("Choose how it is read")).to_be_visible()
    expect(page.get_by_text("More than one form fits")).to_be_visible()
    choose(page, "Form", FORMS["masks"].title)
    expect(page.get_by_text(f"Read as {FORMS['masks'].title}")).to_be_visible()
    expect(page.get_by_role("button", name="Start training")).to_be_enabled()
    no_traceback(page)
