"""The mask viewer and the grid of Browse in headless Chromium, which draws on the processor.

Frames: while opacity or a class changes with every frame, of a 1000x1000 mask with 300 objects; aim: a median of at
most 17 ms, which is each frame of a screen. Opening: from the click to the drawn picture, 4000x3000; aim: 1.5 s.

Grid: a folder of 10,000 pictures whose figures and first thumbnails are there: a page of them from its address, and the
next one from the click; aims: 1 s and 0.3 s. Memory of the server over 200 turns to pages that were not seen before.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.served import chromium, server
from segmodels.data.own_data import add_folder

PICTURES, TURNS, FRAMES = 10_000, 200, 120
#: Milliseconds between frames while something is changed in each.
CHANGING = """async (root, [frames, kind]) => {
    const slider = root.querySelector("input[type=range][aria-label=Opacity]");
    const times = [];
    let last = null;
    for (let frame = 0; frame < frames; frame++) {
        if (kind === "opacity") {
            slider.value = frame % 100;
            slider.dispatchEvent(new Event("input"));
        } else root.querySelectorAll(".legend input")[1].click();
        const now = await new Promise(requestAnimationFrame);
        if (last !== null) times.push(now - last);
        last = now;
    }
    return times;
}"""

#: Asked with every frame, for a locator's own waiting looks half a second apart after the first few times; what is
#: inside of components, too. True once the grid shows another page than the one given, with all of its pictures.
SHOWN = """before => {
    const find = (root) => root.querySelector("[data-grid][data-ready]")
        ?? [...root.querySelectorAll("*")].map((e) => e.shadowRoot && find(e.shadowRoot)).find(Boolean);
    const grid = find(document);
    return grid && grid.dataset.ready !== before && [...grid.querySelectorAll("img")].every((image) => image.complete);
}"""


def main() -> None:
    print("| | median | 95 % below |")
    print("|---|---|---|")
    with (
        _browser() as page,
        tempfile.TemporaryDirectory() as home,
        server(home, "benchmarks/viewer_page.py") as (url, _),
    ):
        page.goto(url)
        page.locator("[data-viewer][data-ready]").wait_for()
        for kind, what in (("opacity", "opacity"), ("class", "a class shown and hidden")):
            times = page.locator("[data-viewer]").evaluate(CHANGING, [FRAMES, kind])
            print(f"| frame while changing: {what} | {_spread(times, 'ms', 1)} |", flush=True)
        print(f"| a picture of 4000x3000 opens | {_spread(_opening(page, url), 's', 2)} |", flush=True)
    with _browser() as page, tempfile.TemporaryDirectory() as home:
        os.environ["SEGMODELS_HOME"] = home
        data = add_folder(_write_pictures(Path(home) / "pictures"), "pictures")
        with server(home) as (url, process):
            _grid(page, f"{url}/Browse?data={data}", psutil.Process(process.pid))


def _opening(page: Page, url: str) -> list[float]:
    found = []
    for _ in range(5):
        page.goto(url)
        page.locator('[data-viewer][data-ready="1000 x 1000"]').wait_for()
        began = time.perf_counter()
        page.get_by_role("button", name="Large").click()
        page.locator('[data-viewer][data-ready="3000 x 4000"]').wait_for()
        found.append(time.perf_counter() - began)
    return found


def _grid(page: Page, url: str, process: psutil.Process) -> None:
    page.set_default_timeout(900_000)
    page.goto(url)  # counts the classes, once
    page.locator("[data-grid][data-ready]").wait_for()
    for _ in range(6):
        _turn(page)
    first = []
    for _ in range(5):
        began = time.perf_counter()
        page.goto(url, wait_until="commit")
        page.wait_for_function(SHOWN, arg=None)
        first.append(time.perf_counter() - began)
    print(f"| first page of {PICTURES:,} pictures, browser and session new | {_spread(first, 's', 2)} |", flush=True)
    turns = [_turn(page) for _ in range(5)]
    print(f"| the next page | {_spread(turns, 's', 2)} |", flush=True)
    before = process.memory_full_info().uss
    for _ in range(TURNS):
        _turn(page)
    grown = process.memory_full_info().uss - before
    print(f"| memory of the server after {TURNS} turns more than before | {grown / 1e6:.0f} MB | |", flush=True)


def _turn(page: Page) -> float:
    """Seconds from the click on the next page to its pictures."""
    before = page.locator("[data-grid]").get_attribute("data-ready")
    began = time.perf_counter()
    page.get_by_test_id("stPagination").get_by_role("button", name="Next page", exact=True).click()
    page.wait_for_function(SHOWN, arg=before)
    return time.perf_counter() - began


def _write_pictures(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(PICTURES):
        image = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(image).resize((160, 120)).save(folder / "images" / f"{number:05d}.jpg")
        mask = generator.integers(0, 3, (6, 8), dtype=np.uint8)
        Image.fromarray(mask).resize((160, 120), Image.Resampling.NEAREST).save(folder / "masks" / f"{number:05d}.png")
    return folder


def _spread(values: list[float], unit: str, digits: int) -> str:
    ordered = sorted(values)
    high = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return f"{statistics.median(values):.{digits}f} {unit} | {high:.{digits}f} {unit}"


@contextlib.contextmanager
def _browser() -> Iterator[Page]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield launched.new_page(viewport={"width": 1400, "height": 1000})
        launched.close()
