"""The first minutes with the project: from `git clone` to the mask of a picture in the app, as a person does it.

Aims: 3 minutes with a warm cache of packages; from the start of the server to the first prediction 15 s. Where no model
ships with what is cloned, a small one is trained between the two, which is told apart and not counted.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from benchmarks.served import ROOT, chromium

#: A training of seconds, for where no model ships.
SMALL = ["--data", "toy-pets", "--image-size", "64", "--epochs", "1", "--limit", "32", "--option", "width=8"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "segmodels"
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SEGMODELS_", "PYTHON"))
        }
        began = time.perf_counter()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        cloned = time.perf_counter() - began
        began = time.perf_counter()
        subprocess.run(
            ["make", "--silent", ".venv/.installed", f"PYTHON={Path(sys.base_prefix) / 'bin' / 'python3'}"],
            cwd=clone, env=environment, check=True, stdout=sys.stderr,
        )  # fmt: skip
        installed = time.perf_counter() - began
        ships = any(clone.glob("checkpoints/*/segmodels.json"))
        if not ships:
            words = [clone / ".venv/bin/python", "-m", "segmodels", "train", *SMALL]
            subprocess.run(words, cwd=clone, env=environment, check=True, stdout=sys.stderr)
        served, predicted = first_prediction(clone, environment)
    total = cloned + installed + predicted
    print("| what | seconds | aim |")
    print("|---|---|---|")
    print(f"| `git clone` | {cloned:.1f} | |")
    print(f"| `make app`, installing from a warm cache | {installed:.1f} | |")
    print(f"| start of the server to its first answer | {served:.1f} | |")
    print(f"| start of the server to the mask of a picture that was dropped in | {predicted:.1f} | 15 |")
    print(f"| all of it{'' if ships else ', without the training of a small model'} | {total:.1f} | 180 |")


def first_prediction(clone: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds from `make app` until the server answers, and until the page shows what is in a picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        began = time.perf_counter()
        with app(clone, environment) as url:
            served = time.perf_counter() - began
            page.goto(f"{url}/Predict")
            place = page.locator('input[type="file"]').first
            place.wait_for(state="attached", timeout=120_000)
            place.set_input_files({"name": "photo.png", "mimeType": "image/png", "buffer": photo()})
            page.get_by_text("mean confidence").first.wait_for(timeout=120_000)
            page.locator("canvas").first.wait_for(timeout=120_000)
            predicted = time.perf_counter() - began
        browser.close()
    return served, predicted


@contextlib.contextmanager
def app(clone: Path, environment: dict[str, str]) -> Iterator[str]:
    """`make app` on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = {**environment, "STREAMLIT_SERVER_HEADLESS": "true"}
    process = subprocess.Popen(
        ["make", "--silent", "app", f"PORT={port}"], cwd=clone, env=quiet,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=1)
                break
            time.sleep(0.1)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait()


def photo() -> bytes:
    """A picture of 500 x 375 pixels, as those of the Oxford pets are."""
    noise = np.random.default_rng(0).integers(0, 256, (375, 500, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
