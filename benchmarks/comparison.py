"""The Compare page in headless Chromium, with 8 models of 500 pictures of 500x375: drawn, from its address with a new
session (aim: 2 s), a view of it from the click, and another picture of six models side by side, from the key to the
drawn pictures (aim: 0.3 s). And the bootstrap: 10,000 resamples of the 500 pictures (aim: 2 s).
"""

from __future__ import annotations

import os
import re
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.served import chromium, server
from segmodels.data.own_data import add_folder
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.differences import real_differences
from tests.made_comparison import made_comparison

MODELS, PICTURES, TURNS = 8, 500, 12
#: Asked with every frame: how many viewers show a picture, another one than before where `before` is given.
READY = """before => {
    const found = [];
    const look = (root) => {
        found.push(...root.querySelectorAll("[data-viewer][data-ready]"));
        for (const element of root.querySelectorAll("*")) if (element.shadowRoot) look(element.shadowRoot);
    };
    look(document);
    const names = found.map((viewer) => viewer.dataset.ready);
    const others = names.every((name) => !before || !before.includes(name));
    return others && found.length >= (before ? before.length : 1) ? names : false;
}"""


def main() -> None:
    print("| | median | slowest |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as home:
        os.environ["SEGMODELS_HOME"] = home
        data = add_folder(_write_pictures(Path(home) / "pictures"), "pictures")
        made = made_comparison(Path(home), data=data, members=MODELS, pictures=PICTURES, masks=True)
        _bootstrap(made)
        with server(home) as (url, _), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.set_default_timeout(60_000)
            _pages(page, f"{url}/Compare?comparison={made.id}")
            browser.close()


def _bootstrap(made: Comparison) -> None:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        found = real_differences(made.entries())
        assert found is not None
        found.bootstrap.pairs("mean_iou")
        seconds.append(time.perf_counter() - began)
    print(f"| bootstrap of {MODELS} models x {PICTURES} pictures, 10,000 resamples | {_spread(seconds)} |", flush=True)


def _pages(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_test_id("stDataFrame").first.wait_for()
    for view, mark in (("Table", "stDataFrame"), ("Differences", "stPlotlyChart"), ("Cost", "stPlotlyChart")):
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            page.goto(f"{url}&view={view}", wait_until="commit")
            page.wait_for_function(f"document.querySelector('[role=tabpanel] [data-testid={mark}]')")
            seconds.append(time.perf_counter() - began)
        print(f"| the page with its view {view}, session new | {_spread(seconds)} |", flush=True)
    page.goto(f"{url}&view=Pictures")
    page.wait_for_function(READY, arg=None)
    page.wait_for_timeout(3000)
    handle = page.get_by_role("slider", name=re.compile("picture", re.IGNORECASE)).first
    handle.focus()
    seconds = []
    for _ in range(TURNS):
        before = page.evaluate(READY, None)
        began = time.perf_counter()
        page.keyboard.press("ArrowRight")
        page.wait_for_function(READY, arg=before)
        seconds.append(time.perf_counter() - began)
        page.wait_for_timeout(500)
    print(f"| another picture, all models side by side | {_spread(seconds)} |", flush=True)


def _write_pictures(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    for split, number in (("train", 4), ("val", 4), ("test", PICTURES)):
        for part in ("images", "masks"):
            (folder / split / part).mkdir(parents=True)
        for place in range(number):
            image = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
            mask = Image.fromarray(generator.integers(0, 3, (4, 5), dtype=np.uint8))
            image.resize((500, 375)).save(folder / split / "images" / f"{split}{place:04d}.jpg")
            mask.resize((500, 375), Image.Resampling.NEAREST).save(folder / split / "masks" / f"{split}{place:04d}.png")
    return folder


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s | {max(seconds):.2f} s"


if __name__ == "__main__":
    main()
