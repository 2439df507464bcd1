"""The app as a person uses it: a real server, a real trainer process, a real browser."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from segmodels.data.datasets import open_dataset
from segmodels.training.runs import Run
from tests.served import PATIENCE, Server, badge, no_traceback, number

pytestmark = pytest.mark.browser


def start_run(page: Page, server: Server, epochs: int, limit: int) -> Run:
    page.goto(f"{server.url}/Train")
    page.get_by_text("The same as a command").click()
    page.get_by_text("More settings").click()
    number(page, "Image size", 64)
    number(page, "Limit", limit)
    number(page, "Epochs", epochs)
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url(re.compile("run="))  # Streamlit has a button named Stop of its own while a page is at work
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    (run,) = server.runs()
    return run


def test_a_newcomer_trains_on_toy_pets_reloads_and_gets_a_mask(server: Server, page: Page, tmp_path: Path) -> None:
    page.goto(server.url)
    expect(page.get_by_role("heading", name="segmodels")).to_be_visible()
    expect(page.get_by_text("Training runs on")).to_be_visible()
    expect(page.get_by_alt_text(re.compile("toy-pets with its mask")).first).to_be_visible()

    page.get_by_role("link", name="Look at the pictures").click()
    expect(page.get_by_alt_text(re.compile("train-0003 with its mask: .*pet"))).to_be_visible()
    page.get_by_test_id("stButtonGroup").first.get_by_text("validation").click()
    expect(page.get_by_alt_text(re.compile("validation-0003 with its mask"))).to_be_visible()
    no_traceback(page)

    run = start_run(page, server, epochs=3, limit=160)
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    page.reload()  # a new session, which finds the run by its address
    expect(page.get_by_text(run.id).first).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(4)
    expect(badge(page)).to_contain_text("finished")
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    the_validation_pictures_follow_the_epochs(page)
    no_traceback(page)
    assert [row["epoch"] for row in run.history()] == [1, 2, 3]
    assert not server.has_loaded("tensorflow"), "the server loads an engine only to predict"

    page.get_by_role("link", name="Predict with its best epoch").click()
    toy = open_dataset("toy-pets")
    photo = Image.fromarray(toy.read_image(toy.samples("test")[0])).resize((300, 200))
    photo.save(tmp_path / "my photo.png")
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(tmp_path / "my photo.png")
    expect(page.get_by_text("300 x 200 pixels")).to_be_visible()
    viewer = page.locator("[data-viewer][data-ready]")
    expect(viewer.get_by_role("group", name="Legend of Prediction")).to_contain_text("background")
    expect(viewer.locator(".spoken").first).to_contain_text("my photo.png, 300 by 200 pixels. Prediction: ")
    no_traceback(page)
    assert server.has_loaded("tensorflow")
    with page.expect_download() as download:
        page.get_by_role("button", name="Mask (class ids, PNG)").click()
    with Image.open(download.value.path()) as mask:
        assert mask.size == (300, 200)
        assert mask.mode == "P"
        assert set(mask.get_flattened_data()) <= {0, 1, 2}

    the_worst_predicted_pictures_come_first(page, server, run)

    page.goto(f"{server.url}/Predict?model={run.id}")
    (tmp_path / "notes.jpg").write_text("no picture at all")
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(tmp_path / "notes.jpg")
    expect(page.get_by_role("alert")).to_contain_text("not a picture")
    no_traceback(page)


def the_validation_pictures_follow_the_epochs(page: Page) -> None:
    expect(page.get_by_alt_text(re.compile("after epoch 3"))).to_have_count(4)
    viewer = page.locator("[data-viewer][data-ready]")
    expect(viewer.get_by_role("group", name="Legend of Truth")).to_be_visible()
    expect(viewer.get_by_role("group", name="Legend of Prediction")).to_be_visible()
    last = page.locator("[data-grid] .tile").last
    last.click()
    expect(viewer.locator(".spoken").first).to_contain_text(last.inner_text())
    page.get_by_role("slider", name="After epoch").press("ArrowLeft")
    expect(page.get_by_alt_text(re.compile("after epoch 2"))).to_have_count(4)


def the_worst_predicted_pictures_come_first(page: Page, server: Server, run: Run) -> None:
    browse = f"{server.url}/Browse?data=toy-pets&split=validation&against={run.id}"
    page.goto(browse)
    page.get_by_role("button", name=re.compile(r"Predict \d+ pictures")).click()
    expect(page.get_by_text("of a picture not as in its mask")).to_be_visible()
    page.goto(f"{browse}&order=least as predicted first")
    captions = page.locator("[data-grid] .caption")
    expect(captions.first).to_contain_text("not as predicted")
    shares = [int(re.findall(r"(\d+) % not as predicted", text)[0]) for text in captions.all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]
    page.locator("[data-grid] .tile").first.click()
    viewer = page.locator("[data-viewer][data-ready]")
    viewer.get_by_label("Show", exact=True).select_option(label=f"Errors of {run.id}")
    expect(viewer.get_by_role("group", name="Legend of Errors")).to_contain_text("wrong")
    no_traceback(page)


@pytest.mark.slow  # the journey of test_browser_train goes the same way, and further
def test_a_killed_server_loses_nothing_and_stop_keeps_the_best(server: Server, page: Page) -> None:
    run = start_run(page, server, epochs=200, limit=64)
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    server.kill()
    rows = len(run.steps())
    for _ in range(200):
        if len(run.steps()) > rows + 5:
            break
        time.sleep(0.2)
    assert len(run.steps()) > rows + 5, "the trainer ended with its server"

    server.start()
    page.goto(f"{server.url}/Train?run={run.id}")
    expect(page.get_by_alt_text(re.compile(r"after epoch \d+")).first).to_be_visible()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(badge(page)).to_contain_text("stopped")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    no_traceback(page)
    assert run.state == "stopped"
    assert (run.best / "model.weights.h5").is_file()


def test_a_picture_is_opened_from_the_grid_and_its_mask_corrected(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/Browse?data=toy-pets&with=pet&page=2")
    expect(page.locator("[data-grid] .caption").first).to_have_text("train-0024")
    page.get_by_role("button", name="Page 1", exact=True).click()
    page.locator("[data-grid]").get_by_role("button", name="train-0002").click()
    viewer = page.locator("[data-viewer][data-ready]")
    expect(viewer.get_by_role("group", name="Legend of Truth")).to_contain_text("pet")
    assert all(part in page.url for part in ("with=pet", "picture=train-0002"))
    assert "page=" not in page.url
    page.get_by_text("Correct the mask").click()
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    viewer.get_by_role("button", name="Polygon").click()
    viewer.locator("canvas").scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # it has moved to make room for the tools
    box = viewer.locator("canvas").bounding_box()
    assert box
    left = box["x"] + (box["width"] - box["height"]) / 2  # the picture is square, the canvas is not
    for x, y in ((0.02, 0.02), (0.5, 0.02), (0.5, 0.5), (0.02, 0.5)):
        page.mouse.click(left + x * box["height"], box["y"] + y * box["height"])
    page.keyboard.press("Enter")
    viewer.get_by_role("button", name="Save the mask").click()
    expect(page.get_by_text("Kept in own:corrected-toy-pets")).to_be_visible()
    no_traceback(page)
    (path,) = (server.home / "data" / "own" / "corrected-toy-pets" / "train" / "masks").iterdir()
    toy = open_dataset("toy-pets")
    truth = toy.read_mask(toy.samples("train")[2])
    height, width = truth.shape
    with Image.open(path) as kept:
        found = np.asarray(kept)
    assert (found[6 : height // 2 - 2, 6 : width // 2 - 2] == 0).all(), "a quarter is pet, the first class"
    np.testing.assert_array_equal(found[height // 2 + 2 :], truth[height // 2 + 2 :])
    page.get_by_role("link", name="Train on it").last.click()
    expect(page.get_by_role("button", name="Start training")).to_be_visible()
    expect(page.get_by_test_id("stCode").first).to_contain_text("--data own:corrected-toy-pets")
    no_traceback(page)


@pytest.mark.parametrize(
    ("width", "scheme"), [pytest.param(1400, "light", marks=pytest.mark.slow), (1400, "dark"), (390, "light")]
)
def test_no_page_is_wider_than_the_window(server: Server, browser: Browser, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    for path in ("", "Browse", "Train", "Predict"):
        opened.goto(f"{server.url}/{path}")
        expect(opened.get_by_role("heading", level=1)).to_be_visible(timeout=PATIENCE)
        opened.wait_for_timeout(1500)
        no_traceback(opened)
        assert opened.evaluate("document.documentElement.scrollWidth") <= width, path or "home"
    assert not errors
    context.close()
