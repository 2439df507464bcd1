"""A real server and a real browser for the tests that use the app as a person does."""

from __future__ import annotations

import contextlib
import os
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
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from segmodels.training.runs import Run

ROOT = Path(__file__).parents[1]
#: Longer than Playwright's own 5 seconds: TensorFlow takes some to load on two busy cores.
PATIENCE = 60_000


class Server:
    """`streamlit run app.py`, or another script, on a free port, with a home of its own."""

    def __init__(self, home: Path, script: str = "app.py") -> None:
        self.home, self.script = home, script
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in ("SEGMODELS_DATA", "SEGMODELS_WEIGHTS_DIR")}
        command = [sys.executable, "-m", "streamlit", "run", self.script, "--server.headless", "true"]
        self.process = subprocess.Popen(
            [*command, "--server.port", str(self.port), "--server.address", "127.0.0.1"],
            cwd=ROOT,
            env={**environment, "SEGMODELS_HOME": str(self.home), "PYTHONPATH": str(ROOT)},
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
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The app; a test names another script by `indirect` parameters."""
    (tmp_path / "home").mkdir()
    started = Server(tmp_path / "home", *([request.param] if hasattr(request, "param") else []))
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


def badge(page: Page) -> Locator:
    """The state of the run that is shown."""
    return page.locator(".stMarkdownBadge")


def no_traceback(page: Page) -> None:
    expect(page.get_by_test_id("stException")).to_have_count(0)
