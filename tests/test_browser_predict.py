"""The Predict page in a browser: many pictures and their zip, one with its objects, on a desk and on a phone."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from segmodels.data.images import read_mask
from segmodels.prediction.predictor import Predictor
from segmodels.training.runs import Run
from tests.served import Server, no_traceback

pytestmark = pytest.mark.browser


def photo(seed: int, height: int, width: int) -> bytes:
    blobs = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(blobs).resize((width, height), Image.Resampling.BICUBIC).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def as_file(name: str, content: bytes) -> dict:
    return {"name": name, "mimeType": "image/png", "buffer": content}


@pytest.fixture
def served_model(server: Server, tiny_run: Run) -> str:
    shutil.copytree(tiny_run.path, server.home / "runs" / "tiny")
    return f"{server.url}/Predict?model=tiny"


def test_many_pictures_become_a_table_and_one_zip(
    served_model: str, tiny_run: Run, page: Page, browser: Browser, tmp_path: Path
) -> None:
    page.goto(served_model)
    files = [as_file(f"photo-{seed}.png", photo(seed, 60 + seed, 90)) for seed in (1, 2)]
    page.locator("input[type=file]").first.set_input_files([*files, as_file("broken.png", b"no picture")])
    expect(page.get_by_text("2 predicted, 1 failed")).to_be_visible()
    no_traceback(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="All as one zip").click()
    download.value.save_as(tmp_path / "all.zip")
    predictor = Predictor(tiny_run.best, engine="keras")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        for seed in (1, 2):
            mask = read_mask(archive.read(f"photo-{seed}-mask.png"))
            np.testing.assert_array_equal(mask, predictor(photo(seed, 60 + seed, 90)).mask)

    phone = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    phone.set_default_timeout(60_000)
    phone.goto(f"{served_model}&from=examples&example=toy+pet+1")
    viewer = phone.locator("[data-viewer][data-ready]")
    viewer.wait_for()
    expect(viewer.get_by_role("group", name="Legend of Prediction")).to_contain_text("pet")
    viewer.get_by_label("Show").first.select_option("Confidence")
    phone.get_by_text("Number the objects").click()
    expect(phone.get_by_text("Objects", exact=True).first).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390, "nothing is wider than the phone"
    no_traceback(phone)
    phone.close()
