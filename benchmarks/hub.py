"""A checkpoint of U-Net/MobileNetV2 (27 MB) and a Hub on this machine: what a pull and a push cost beside the bytes.

In turns, in processes of their own: the network is built, called and answers a picture of 256 x 256; and the same from
the checkpoint that was pulled, checked and read included (aim: under 1 s more). A push is to send each byte once, and
a second pull of a commit to open no connection.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TURNS = 5
NAME = "someone/pets"
BUILD = """
import json, time
import numpy as np
import segmodels
from segmodels.backend import keras
from segmodels.prediction.engines.keras_engine import compiled
picture = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8)
began = time.perf_counter()
{make}
print(json.dumps(time.perf_counter() - began))
"""
BUILT = "compiled(segmodels.build('unet', backbone='mobilenetv2', classes=3, weights='none'))(picture)"
PULLED = f"segmodels.Predictor('hf://{NAME}', engine='keras')(picture[0]).mask"


def main() -> None:
    from tests.hub_server import serving_hub

    with tempfile.TemporaryDirectory() as home, serving_hub() as hub:
        os.environ |= {"SEGMODELS_HOME": home, "HF_ENDPOINT": hub.url}
        checkpoint = _checkpoint(Path(home) / "pets")
        # Only now: huggingface_hub reads the address of the Hub when it is imported.
        from segmodels.hub.pull import pull
        from segmodels.hub.push import push

        sizes = {path.name: path.stat().st_size for path in checkpoint.rglob("*") if path.is_file()}
        began = time.perf_counter()
        pushed = push(checkpoint, NAME, token="hf_of_the_benchmark", endpoint=hub.url)
        push_seconds = time.perf_counter() - began
        received = sum(hub.received.values())
        began = time.perf_counter()
        folder = pull(NAME, endpoint=hub.url)
        pull_seconds = time.perf_counter() - began
        asked = len(hub.requests)
        pull(NAME, pushed.commit, endpoint=hub.url)
        again = len(hub.requests) - asked
        built, pulled = [], []
        for _ in range(TURNS):
            built.append(_seconds(BUILT))
            pulled.append(_seconds(PULLED))
    more = [late - early for early, late in zip(built, pulled, strict=True)]
    print("| | |")
    print("|---|---|")
    print(f"| files | {sum(sizes.values()) / 1e6:.1f} MB |")
    print(f"| push | {push_seconds:.2f} s; the Hub received {received / 1e6:.1f} MB |")
    print(f"| pull, with all checks | {pull_seconds:.2f} s, commit {folder.name[:12]} |")
    print(f"| the same commit once more | {again} connections |")
    print(f"| network built and a picture answered | {statistics.median(built):.2f} s |")
    print(f"| the same from the pulled checkpoint | {statistics.median(pulled):.2f} s |")
    print(f"| more | {statistics.median(more):.2f} s, {max(more):.2f} the slowest of {TURNS} |")


def _checkpoint(folder: Path) -> Path:
    import segmodels
    from segmodels.hub.checkpoint import ArchitectureSpec, ClassSpec, Spec, input_spec, write_checkpoint

    folder.mkdir()
    model = segmodels.build("unet", backbone="mobilenetv2", classes=3, weights="none")
    classes = [ClassSpec(name=name, colour=colour) for name, colour in _CLASSES.items()]
    architecture = ArchitectureSpec(name="unet", backbone="mobilenetv2", classes=3)
    spec = Spec(format=1, architecture=architecture, classes=classes, input=input_spec("resize", 256))
    write_checkpoint(folder, model, spec)
    return folder


_CLASSES = {"pet": "#ff8800", "background": "#000000", "border": "#ffffff"}


def _seconds(make: str) -> float:
    found = subprocess.run(
        [sys.executable, "-c", BUILD.format(make=make)], capture_output=True, text=True, check=True, env=os.environ
    )
    return float(json.loads(found.stdout.strip().splitlines()[-1]))
