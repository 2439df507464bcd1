"""The Predict page in a browser: many pictures and their zip, one with its objects, on a desk and on a phone; twenty
people at once, what is left of those who go, and the file for ONNX Runtime."""

from __future__ import annotations

import io
import re
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from segmodels.data.images import read_mask
from segmodels.prediction.predictor import Predictor
from segmodels.training.runs import Run
from tests.served import PATIENCE, Server, no_traceback

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


def give(page: Page, *files: dict) -> None:
    """Upload files: those of a page that was opened anew, as its own are on the server."""
    page.locator("input[type=file]").first.set_input_files(list(files))


def shown(page: Page) -> None:
    page.locator("[data-viewer][data-ready]").first.wait_for(timeout=5 * PATIENCE)


def held(server: Server) -> int:
    """Megabytes that the server alone holds."""
    return psutil.Process(server.process.pid).memory_full_info().uss >> 20


def test_many_pictures_become_a_table_and_one_zip(
    served_model: str, tiny_run: Run, page: Page, browser: Browser, tmp_path: Path
) -> None:
    page.goto(f"{served_model}&engine=keras")
    files = [as_file(f"photo-{seed}.png", photo(seed, 60 + seed, 90)) for seed in (1, 2)]
    page.locator("input[type=file]").first.set_input_files([*files, as_file("broken.png", b"no picture")])
    expect(page.get_by_text("2 predicted, 1 failed")).to_be_visible()
    no_traceback(page)
    page.get_by_role("button", name="Make all as one zip").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="All as one zip (").click()
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


@pytest.mark.slow
def test_a_reload_ends_the_work_and_leaves_a_fresh_page(served_model: str, server: Server, page: Page) -> None:
    page.goto(f"{served_model}&engine=keras")
    give(page, *(as_file(f"photo-{seed}.png", photo(seed, 1200, 1600)) for seed in range(40)))
    expect(page.get_by_text(re.compile("photo-[2-9].png: [3-9] of 40"))).to_be_visible()
    page.reload()
    expect(page.get_by_text("Drop in pictures")).to_be_visible()
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    no_traceback(page)
    process = psutil.Process(server.process.pid)
    time.sleep(3)  # the picture in work is finished
    before = sum(process.cpu_times()[:2])
    time.sleep(3)
    assert sum(process.cpu_times()[:2]) - before < 1, "nobody is predicted for"
    give(page, as_file("one.png", photo(1, 60, 90)))
    expect(page.get_by_text("one.png: 90 x 60 pixels")).to_be_visible()


@pytest.mark.slow
def test_twenty_people_at_once_each_get_their_own_picture_and_its_share_of_time(
    served_model: str, server: Server, tiny_run: Run, browser: Browser
) -> None:
    predictor = Predictor(tiny_run.best, engine="keras")
    contexts: list[BrowserContext] = []
    pages: list[Page] = []

    def person(number: int) -> Page:
        contexts.append(browser.new_context(viewport={"width": 900, "height": 700}))
        pages.append(contexts[-1].new_page())
        pages[-1].set_default_timeout(5 * PATIENCE)
        pages[-1].goto(served_model)
        pages[-1].locator("input[type=file]").first.wait_for(state="attached")
        return pages[-1]

    def gives(number: int) -> bytes:
        content = photo(number, 700 + number, 900)
        give(pages[number], as_file(f"of-{number}.png", content))
        return content

    person(0)
    gives(0)  # the model is loaded
    shown(pages[0])
    pages[0].reload()
    pages[0].locator("input[type=file]").first.wait_for(state="attached")
    begun = time.monotonic()
    gives(0)
    shown(pages[0])
    alone = time.monotonic() - begun

    for number in range(1, 20):
        person(number)
    before, begun = held(server), time.monotonic()
    contents = {number: gives(number) for number in range(1, 20)}
    for number in contents:
        shown(pages[number])
    slowest = time.monotonic() - begun
    for number, content in contents.items():
        caption = pages[number].get_by_text(re.compile(r"of-\d+\.png: 900 x")).all_inner_texts()
        assert len(caption) == 1
        name, height, sure = re.findall(r"(of-\d+)\.png: 900 x (\d+) pixels, mean confidence (\d+) %", caption[0])[0]
        assert (name, int(height)) == (f"of-{number}", 700 + number)
        assert abs(int(sure) - 100 * predictor(content).confidence.mean()) <= 1
        no_traceback(pages[number])
    after = held(server)
    print(f"alone {alone:.1f} s, the slowest of twenty {slowest:.1f} s; the server {before} MB, then {after} MB")
    assert slowest < 2 * 20 * max(alone, 1.0)
    assert after - before < 20 * 40, "megabytes"
    for context in contexts:
        context.close()


@pytest.mark.slow
def test_what_was_predicted_is_let_go_with_the_tab(served_model: str, server: Server, browser: Browser) -> None:
    held_then = []
    for seed in range(3):
        context = browser.new_context(viewport={"width": 900, "height": 700})
        page = context.new_page()
        page.goto(f"{served_model}&engine=keras")
        give(page, as_file(f"large-{seed}.png", photo(seed, 3000, 4000)))
        shown(page)
        page.wait_for_timeout(1000)
        context.close()
        time.sleep(3)
        held_then.append(held(server))
    assert held_then[-1] - held_then[0] < 60, f"megabytes, of some 200 a tab: {held_then}"


@pytest.mark.slow
def test_the_file_for_onnx_is_made_beside_and_used_from_the_next_picture_on(
    served_model: str, server: Server, page: Page
) -> None:
    page.goto(f"{served_model}&from=examples&example=toy+pet+1")
    shown(page)
    assert not server.has_loaded("onnxruntime")
    told = page.get_by_text("is being made ready for ONNX Runtime")
    expect(told).to_be_visible()
    expect(told).to_have_count(0, timeout=2 * PATIENCE)
    assert len(list((server.home / "cache" / "onnx").glob("*/*.onnx"))) == 1
    page.get_by_text("toy pet 2").click()
    expect(page.get_by_text("test-0001").first).to_be_visible()
    shown(page)
    no_traceback(page)
    for _ in range(50):
        if server.has_loaded("onnxruntime"):
            return
        time.sleep(0.2)
    raise AssertionError("it predicts with Keras still")
