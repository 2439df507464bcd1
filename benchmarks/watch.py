"""The Train page in headless Chromium: curves of many runs, many runs in a list, and a run that is followed.

Drawing: ten runs of 200 epochs over each other, from the page's address; aim: 1 s. Listing: 500 runs, from the click on
the tab to the table; aim: 0.5 s. Following: how long after a step was written it is on the screen (aim: 2 s), what of a
core the server takes meanwhile (aim: 10 %), and what it costs the trainer: the median step while the page is open to
that while it is closed, in turns (aim: 1.02). For these two the page is open without a browser (`follower`), as a
person's browser is mostly on another machine.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.follower import follower
from benchmarks.served import chromium, server
from segmodels.recipe import Recipe
from segmodels.training.launch import launch
from segmodels.training.runs import Run

RUNS, DRAWN, EPOCHS, STEPS = 500, 10, 200, 30
#: Seconds of each turn with the page open, and with it closed; and how many turns.
TURN, TURNS = 25, 4
#: Whether three charts are drawn along steps or epochs, each of so many lines or more.
DRAWN_ALONG = """([axis, lines]) =>
    [...document.querySelectorAll(".js-plotly-plot")].filter((plot) =>
        plot._fullData?.length >= lines && plot.layout?.xaxis?.title?.text === axis).length >= 3"""
#: The last step that a chart of steps shows.
SHOWN = """() => {
    const plot = document.querySelector(".js-plotly-plot");
    const lines = plot?._fullData?.filter((line) => line.name === "training");
    return lines?.length ? Number(lines[0].x.at(-1)) : 0;
}"""


def main() -> None:
    print("| | median | the slowest |")
    print("|---|---|---|")
    with _browser() as browser, tempfile.TemporaryDirectory() as home:
        os.environ["SEGMODELS_HOME"] = home
        ids = [_written(Path(home), number) for number in range(RUNS)]
        with server(home) as (url, _):
            _drawing(browser, url, ids[:DRAWN])
            _listing(browser, url)
    with _browser(niceness=19) as browser, tempfile.TemporaryDirectory() as home:
        os.environ["SEGMODELS_HOME"] = home
        fields = {"data": "toy-pets", "backbone": "mobilenetv2", "weights": "none", "image_size": 128}
        run = launch(Recipe(**fields, epochs=1000))
        try:
            with server(home) as (url, process):
                _following(browser, url, run)
                _costs(url, run, psutil.Process(process.pid))
        finally:
            run.request("stop")
            run.wait(60)


def _drawing(browser: Browser, url: str, ids: list[str]) -> None:
    """From the page's address in a new browser, which loads the app and Plotly too; and once these are there."""
    address = f"{url}/Train?part=Watch&run={ids[0]}&{'&'.join(f'beside={run_id}' for run_id in ids[1:])}"
    fresh, again = [], []
    for turn in range(6):
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        began = time.perf_counter()
        page.goto(address)
        page.wait_for_function(DRAWN_ALONG, arg=["epoch", 2 * len(ids)])
        fresh.append(time.perf_counter() - began)
        for along, axis in (("steps", "step"), ("epochs", "epoch")):
            began = time.perf_counter()
            page.get_by_role("radio", name=along).click()
            page.wait_for_function(DRAWN_ALONG, arg=[axis, 2 * len(ids)])
            if turn:  # the first one also warms the server up
                again.append(time.perf_counter() - began)
        page.close()
    print(f"| curves of {len(ids)} runs of {EPOCHS} epochs, from the click | {_spread(again)} |", flush=True)
    print(f"| the same in a new browser, the loading of app and Plotly included | {_spread(fresh[1:])} |", flush=True)


def _listing(browser: Browser, url: str) -> None:
    times = []
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(f"{url}/Train?part=New%20run")
    for turn in range(7):
        page.get_by_role("button", name="Start training").wait_for()
        page.wait_for_timeout(1000)
        began = time.perf_counter()
        page.get_by_role("tab", name="All runs").click()
        page.get_by_text(f"{RUNS} of {RUNS} runs").wait_for()
        page.locator("[data-testid=stDataFrame] canvas").first.wait_for()
        if turn:  # the first one also loads the table's script
            times.append(time.perf_counter() - began)
        page.get_by_role("tab", name="New run").click()
    page.close()
    print(f"| {RUNS} runs in a table, from the click | {_spread(times)} |", flush=True)


def _following(browser: Browser, url: str, run: Run) -> None:
    while len(run.steps()) < 20:
        time.sleep(0.5)
    written: dict[int, float] = {}
    done = threading.Event()
    threading.Thread(target=_watch_file, args=(run, written, done), daemon=True).start()
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(f"{url}/Train?run={run.id}")
    page.get_by_role("radio", name="steps").click()
    page.wait_for_function(f"({SHOWN})() > 0")
    delays = _delays(page, written)
    done.set()
    page.close()
    print(f"| a step is on the screen after it was written | {_spread(delays)} |", flush=True)


def _costs(url: str, run: Run, process: psutil.Process) -> None:
    """Of a page that is open elsewhere: a browser on this machine would take far more than the server."""
    shares: list[float] = []
    medians: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * TURNS):
        is_open = turn % 2 == 1
        with follower(url, "Train", {"part": "Watch", "run": run.id}) if is_open else contextlib.nullcontext():
            time.sleep(2)  # the page is drawn
            first, cpu, began = len(run.steps()), _seconds(process), time.perf_counter()
            time.sleep(TURN)
            if is_open:
                shares.append((_seconds(process) - cpu) / (time.perf_counter() - began))
            medians[is_open].append(statistics.median(row["seconds"] for row in run.steps()[first:]))
    print(f"| share of a core that the server takes | {_spread(shares, '')} |", flush=True)
    ratios = [a / b for a, b in zip(medians[True], medians[False], strict=True)]
    print(f"| the trainer's step with the page open, to one with it closed | {_spread(ratios, '')} |", flush=True)


def _delays(page: Page, written: dict[int, float]) -> list[float]:
    """Seconds from the writing of a step to its being seen, for each new one that is seen."""
    found, last, end = [], 0, time.perf_counter() + TURN
    while time.perf_counter() < end:
        shown = int(page.evaluate(SHOWN))
        if shown > last and last and shown in written:
            found.append(time.perf_counter() - written[shown])
        last = max(last, shown)
        time.sleep(0.1)
    return found


def _watch_file(run: Run, written: dict[int, float], done: threading.Event) -> None:
    while not done.wait(0.05):
        for number in range(len(written) + 1, len(run.steps()) + 1):
            written[number] = time.perf_counter()


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _written(home: Path, number: int) -> str:
    """A finished run with smooth curves, of which nothing was trained."""
    run = Run.create(Recipe(data="toy-pets", seed=number, epochs=EPOCHS), home / "runs" / f"20260101-{number:06d}-run")
    metrics, steps = [], []
    for epoch in range(1, EPOCHS + 1):
        good = 1 - math.exp(-epoch / (20 + number % 40))
        metrics.append(
            {
                "epoch": epoch, "loss": 2 - good, "pixel_accuracy": good, "mean_iou": good * 0.9, "val_loss": 2 - good,
                "val_pixel_accuracy": good * 0.95, "val_mean_iou": good * 0.85, "seconds": 3.0,
            }
        )  # fmt: skip
        if number < DRAWN:
            steps += [
                {"epoch": epoch, "step": n, "loss": 2 - good, "mean_iou": good, "seconds": 0.1}
                for n in range(1, STEPS + 1)
            ]
    for name, rows in (("metrics.csv", metrics), ("steps.csv", steps)):
        if rows:
            with (run.path / name).open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
    best = {"epoch": EPOCHS, "mean_iou": metrics[-1]["val_mean_iou"]}
    run.write_status(state="finished", epoch=EPOCHS, steps_per_epoch=STEPS, best=best)
    (run.path / "notes.json").write_text(
        json.dumps({"note": f"run {number}", "tags": ["even" if number % 2 else "odd"]})
    )
    return run.id


def _spread(values: list[float], unit: str = " s") -> str:
    return f"{statistics.median(values):.2f}{unit} | {max(values):.2f}{unit}"


@contextlib.contextmanager
def _browser(niceness: int = 0) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for process in psutil.process_iter(["name"]):
            if "chrom" in (process.info["name"] or ""):
                with contextlib.suppress(psutil.Error):
                    process.nice(niceness)  # those that it starts later take it over
        yield launched
        launched.close()
