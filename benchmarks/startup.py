"""How long one waits: for `import segmodels`, and for the home page once the server answers.

Aims: 0.3 s and 2 s; and the server process has no engine in memory before it predicts.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.served import ROOT, chromium, server

RUNS = 7


def main() -> None:
    bare = median_seconds([sys.executable, "-c", "pass"])
    loaded = median_seconds([sys.executable, "-c", "import segmodels"])
    paints, libraries = zip(*[first_paint() for _ in range(3)], strict=True)
    print("| what | median | aim |")
    print("|---|---|---|")
    print(f"| `import segmodels` | {loaded - bare:.3f} s | 0.3 s |")
    print(f"| first paint of the home page, first visit to a fresh server | {statistics.median(paints):.2f} s | 2 s |")
    print(
        f"| engines in the server's memory after it | {', '.join(sorted(set().union(*libraries))) or 'none'} | none |"
    )


def median_seconds(command: list[str]) -> float:
    """Of a whole process, over some runs."""
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def first_paint() -> tuple[float, set[str]]:
    """Seconds until a fresh server's home page shows its heading and its cards, and the engines it has loaded."""
    with tempfile.TemporaryDirectory() as home, server(home) as (url, process), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto("about:blank")
        began = time.perf_counter()
        page.goto(url)
        page.get_by_role("link", name="Get a mask").wait_for()
        seconds = time.perf_counter() - began
        page.get_by_alt_text("toy-nuclei with its mask", exact=False).last.wait_for()
        regions = Path(f"/proc/{process.pid}/maps").read_text()
        browser.close()
    return seconds, {name for name in ("tensorflow", "jaxlib", "torch") if name in regions}
