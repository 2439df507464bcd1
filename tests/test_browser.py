"""The app as a person uses it: a real server, a real trainer process, a real browser."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from segmodels.data.datasets import open_dataset
from segmodels.training.runs import Run

ROOT = Path(__file__).parents[1]
#: Longer than Playwright's own 5 seconds: TensorFlow takes some to load on two busy cores.
PATIENCE = 60_000

pytestmark = pytest.mark.browser


class Server:
    """`streamlit run app.py` on a free port, with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in ("SEGMODELS_DATA", "SEGMODELS_WEIGHTS_DIR")}
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
        self.process = subprocess.Popen(
            [*command, "--server.port", str(self.port), "--server.address", "127.0.0.1"],
            cwd=ROOT,
            env={**environment, "SEGMODELS_HOME": str(self.home)},
            stdout=subprocess.DEVNULL,
            stderr=(self.home.parent / "server.log").open("ab"),
        )
        for _ in range(300):
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2) as answer,
            ):
                if answer.status == 200:
                    return
            time.sleep(0.2)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def has_loaded(self, library: str) -> bool:
        return any(library in region.path for region in psutil.Process(self.process.pid).memory_maps())

    def runs(self) -> list[Run]:
        folder = self.home / "runs"
        return [Run(path) for path in sorted(folder.iterdir())] if folder.is_dir() else []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "home").mkdir()
    started = Server(tmp_path / "home")
    yield started
    started.kill()
    for run in started.runs():  # trainers outlive their server, as they should; but not a test
        pid = run.status().get("pid")
        with contextlib.suppress(psutil.NoSuchProcess, TypeError):
            process = psutil.Process(pid)
            if "segmodels" in process.cmdline():
                process.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert chromium, "the browser tests need Chromium: apt install chromium"
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    expect.set_options(timeout=PATIENCE)
    opened = browser.new_page(viewport={"width": 1400, "height": 1000})
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


def number(page: Page, label: str, value: int) -> None:
    field = page.get_by_role("spinbutton", name=label, exact=True)
    field.fill(str(value))
    field.press("Enter")
    # The command below the form shows what the server has understood.
    option = f"--{label.lower().replace(' ', '-')} {value}"
    expect(page.get_by_test_id("stCode").first).to_contain_text(option)


def start_run(page: Page, server: Server, epochs: int, limit: int) -> Run:
    page.goto(f"{server.url}/Train")
    page.get_by_text("The same as a command").click()
    page.get_by_text("More settings").click()
    number(page, "Image size", 64)
    number(page, "Limit", limit)
    number(page, "Epochs", epochs)
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    (run,) = server.runs()
    return run


def badge(page: Page) -> Locator:
    """The state of the run that is shown."""
    return page.locator(".stMarkdownBadge")


def no_traceback(page: Page) -> None:
    expect(page.get_by_test_id("stException")).to_have_count(0)


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
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    expect(badge(page)).to_contain_text("finished")
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    expect(page.get_by_alt_text(re.compile("epoch 3"))).to_have_count(4)
    no_traceback(page)
    assert [row["epoch"] for row in run.history()] == [1, 2, 3]
    assert not server.has_loaded("tensorflow"), "the server loads an engine only to predict"

    page.get_by_role("link", name="Predict with its best epoch").click()
    toy = open_dataset("toy-pets")
    photo = Image.fromarray(toy.read_image(toy.samples("test")[0])).resize((300, 200))
    photo.save(tmp_path / "my photo.png")
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(tmp_path / "my photo.png")
    expect(page.get_by_text("300 x 200 pixels")).to_be_visible()
    expect(page.get_by_alt_text(re.compile("The picture under its mask"))).to_be_visible()
    no_traceback(page)
    assert server.has_loaded("tensorflow")
    with page.expect_download() as download:
        page.get_by_role("button", name="Mask (class ids, PNG)").click()
    with Image.open(download.value.path()) as mask:
        assert mask.size == (300, 200)
        assert mask.mode == "P"
        assert set(mask.get_flattened_data()) <= {0, 1, 2}

    (tmp_path / "notes.jpg").write_text("no picture at all")
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(tmp_path / "notes.jpg")
    expect(page.get_by_role("alert")).to_contain_text("not a picture")
    no_traceback(page)


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
    expect(page.get_by_alt_text(re.compile(r", epoch \d+")).first).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(badge(page)).to_contain_text("stopped")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    no_traceback(page)
    assert run.state == "stopped"
    assert (run.best / "model.weights.h5").is_file()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (1400, "dark"), (390, "light")])
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
