"""Prediction: one picture of 256 px through U-Net on MobileNetV2 in every engine, beside bare ONNX Runtime and, where
SEGMODELS_PEER_PYTHON names an environment with it (`benchmarks.zoo` says how), segmentation_models.pytorch; a slide in
tiles beside its tiles alone; a photo from its upload to its overlay on the page; twenty who predict at once.

Aims: at least 1.3 times as fast as the peer, at most 1.1 times bare ONNX Runtime; a slide at most 1.2 times its tiles;
upload to overlay under 1 s; of twenty none fails, and the slowest waits no longer than its share.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.served import chromium, server
from benchmarks.timing import PREDICTIONS, SIZE, median_seconds, peak_bytes, run_json

#: How often each is measured, in turns.
TURNS = 5

#: Who predict at once, and how many pictures each.
SESSIONS, PICTURES = 20, 5

#: Asked with every frame: true once there is a viewer that shows a picture.
SHOWN = """() => {
    const find = (root) => root.querySelector("[data-viewer][data-ready]")
        ?? [...root.querySelectorAll("*")].map((e) => e.shadowRoot && find(e.shadowRoot)).find(Boolean);
    return find(document) !== undefined;
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["SEGMODELS_HOME"] = home
        models = run_json([sys.executable, __file__, "models"])
        print("| | |")
        print("|---|---|")
        _one_picture(models["resize"])
        for name in ("slide", "sessions"):
            found = run_json([sys.executable, __file__, name, models["tiles" if name == "slide" else "resize"]])
            for row in found["rows"]:
                print(row)
        print(f"| a photo of 500 x 375, from its upload to its overlay, model warm: median (greatest) of {TURNS} | "
              f"{_uploaded(home, Path(models['resize']))} |")  # fmt: skip


def models() -> dict[str, Any]:
    """A model of whole pictures of 256 px and one of tiles, hardly trained, and their ONNX files."""
    from segmodels.hub.onnx_model import onnx_file
    from segmodels.recipe import Recipe
    from segmodels.training.train import train

    found = {}
    for sampling, data in (("resize", "toy-pets"), ("tiles", "toy-nuclei")):
        recipe = Recipe(
            data=data, backbone="mobilenetv2", weights="none", image_size=SIZE, sampling=sampling, epochs=1, limit=8
        )
        run = train(recipe)
        found[sampling] = str(run.best)
        onnx_file(run.best)
    return found


def _one_picture(model: str) -> None:
    """Every engine, bare ONNX Runtime and the peer in turns, each in a process of its own."""
    peer = os.environ.get("SEGMODELS_PEER_PYTHON")
    commands: dict[str, list[Any]] = {
        name: [sys.executable, __file__, "one", model, name] for name in ("keras", "onnx", "openvino", "bare")
    }
    if peer:
        commands["peer"] = [peer, Path(__file__).with_name("zoo_peer.py"), "Unet", "mobilenet_v2", str(SIZE)]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(TURNS):
        for name, command in commands.items():
            times[name].append(run_json(command)["milliseconds"])
    for name, each in times.items():
        print(f"| one picture of {SIZE} px, {name}: ms, median (least to greatest) | {_spread(each, 1)} |")
    for other, text in (("bare", "ONNX Runtime here to bare"), ("peer", "the peer to ONNX Runtime here")):
        if other in times:
            pairs = zip(times["onnx"], times[other], strict=True)
            ratios = [ours / theirs if other == "bare" else theirs / ours for ours, theirs in pairs]
            print(f"| {text}, turn by turn: median (least to greatest) | {_spread(ratios, 2)} |")


def one(model: str, engine: str) -> dict[str, Any]:
    """Milliseconds of one picture, from pixels to logits."""
    images = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)
    work: Callable[[], object]
    if engine == "bare":
        import onnxruntime

        from segmodels.hub.onnx_model import onnx_file

        session = onnxruntime.InferenceSession(str(onnx_file(model)), providers=["CPUExecutionProvider"])
        work = partial(session.run, None, {session.get_inputs()[0].name: images})
    else:
        from segmodels.prediction.predictor import Predictor

        work = partial(Predictor(model, engine=engine).logits, images)
    return {"milliseconds": 1000 * median_seconds(work, 2 * PREDICTIONS)}


def slide(model: str) -> dict[str, Any]:
    """A slide of 1000 x 1000 pixels in tiles, beside the passes of its tiles alone."""
    from segmodels.prediction.predictor import Predictor

    predictor = Predictor(model, engine="onnx")
    image = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    batches: list[np.ndarray] = []
    logits = predictor.logits
    predictor.logits = lambda images: (batches.append(images), logits(images))[1]  # type: ignore[method-assign]
    predictor(image, tiled=True).mask  # noqa: B018
    predictor.logits = logits  # type: ignore[method-assign]
    ratios = []
    for _ in range(TURNS):
        began = time.perf_counter()
        predictor(image, tiled=True).mask  # noqa: B018
        middle = time.perf_counter()
        for batch in batches:
            logits(batch)
        ratios.append((middle - began) / (time.perf_counter() - middle))
    tiles = sum(len(batch) for batch in batches)
    row = f"| a slide of 1000 x 1000 in {tiles} tiles, to the passes of its tiles: median (least to greatest) | "
    return {"rows": [f"{row}{_spread(ratios, 2)} |"]}


def sessions(model: str) -> dict[str, Any]:
    """Twenty at once, each with photos of its own, over one pool of models as the pages have it."""
    from PIL import Image

    from segmodels.prediction.pool import POOL

    def photo(number: int) -> bytes:
        picture = np.random.default_rng(number).integers(0, 256, (375, 500, 3), dtype=np.uint8)
        Image.fromarray(picture).save(file := io.BytesIO(), "JPEG")
        return file.getvalue()

    photos = [photo(number) for number in range(SESSIONS)]

    def session(number: int) -> list[float]:
        seconds = []
        for _ in range(PICTURES):
            began = time.perf_counter()
            mask = POOL.get(Path(model), "onnx")(photos[number]).mask
            assert mask.shape == (375, 500)
            seconds.append(time.perf_counter() - began)
        return seconds

    session(0)
    alone, before = statistics.median(session(0)), peak_bytes()
    with ThreadPoolExecutor(SESSIONS) as threads:
        waited = [second for each in threads.map(session, range(SESSIONS)) for second in each]
    share = SESSIONS * alone
    return {
        "rows": [
            f"| {SESSIONS} at once, {PICTURES} photos each: failed | {SESSIONS * PICTURES - len(waited)} |",
            f"| the same: the slowest, and {SESSIONS} times one alone | {max(waited):.2f} s, {share:.2f} s |",
            f"| the same: memory more than of one | {(peak_bytes() - before) / 1e6:.0f} MB |",
        ]
    }


def _uploaded(home: str, model: Path) -> str:
    from PIL import Image
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play, server(home) as (url, _):
        browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        seconds = []
        for number in range(TURNS + 2):
            picture = np.random.default_rng(number).integers(0, 256, (375, 500, 3), dtype=np.uint8)
            file = Path(home) / f"photo-{number}.png"
            Image.fromarray(picture).save(file)
            page.goto(f"{url}/Predict?model={model.parent.name}")
            upload = page.locator("input[type=file]").first
            upload.wait_for(state="attached", timeout=60_000)
            page.wait_for_timeout(1500)  # whatever else the page draws
            began = time.perf_counter()
            upload.set_input_files(file)
            page.wait_for_function(SHOWN, polling=16, timeout=60_000)
            seconds.append(time.perf_counter() - began)
        browser.close()
    return f"{statistics.median(seconds[2:]):.2f} s ({max(seconds[2:]):.2f})"


def _spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    print(json.dumps({"models": models, "one": one, "slide": slide, "sessions": sessions}[sys.argv[1]](*sys.argv[2:])))
