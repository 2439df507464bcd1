"""Every architecture at 256 px: milliseconds a picture, images a second in training, and what it needs.

Each on the backbone that its row of the table is shown on, with 3 classes, float32, on the processor alone: one picture
through the compiled network, and training steps of 8 pictures with Adam and cross-entropy. Where segmentation_models.
pytorch has the same network it is timed too, in turns with ours, each in a process of its own: ours as segmodels runs
it, a compiled graph, the peer as its users run it, eagerly. Aim: at least as fast.

The peer is no requirement of segmodels. It needs an environment of its own, named by SEGMODELS_PEER_PYTHON:
`pip install torch==2.13.0`, then `pip install --no-deps segmentation-models-pytorch timm torchvision==0.28.0`, then
`pip install numpy pillow safetensors huggingface-hub tqdm pyyaml`. Without it the columns stay empty.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.timing import BATCH, CLASSES, PREDICTIONS, SIZE, STEPS, median_seconds, peak_bytes, run_json
from segmodels.models.architectures import ARCHITECTURES

#: How often each is measured, in turns with its peer.
TURNS = 2

#: The peer's class and encoder, and our keywords that make the same network. Its PSPNet stops at stride 8 of the
#: backbone, which is another network; it has no SegNet, FCN or Pix2Pix.
PEERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "unet": ("Unet", "mobilenet_v2", {}),
    "unet++": ("UnetPlusPlus", "mobilenet_v2", {}),
    "deeplabv3": ("DeepLabV3", "mobilenet_v2", {"output_stride": 8}),
    "deeplabv3+": ("DeepLabV3Plus", "mobilenet_v2", {"separable": True}),
    "segformer": ("Segformer", "mit_b0", {}),
    "fpn": ("FPN", "mobilenet_v2", {}),
    "linknet": ("Linknet", "mobilenet_v2", {}),
    "upernet": ("UPerNet", "mobilenet_v2", {}),
}


def main() -> None:
    peer = os.environ.get("SEGMODELS_PEER_PYTHON")
    columns = [
        "architecture", "on", "parameters", "GFLOPs", "ms a picture", "peer", "times as fast", "images/s in training",
        "peer", "times as fast", "peak memory in training", "peer",
    ]  # fmt: skip
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    for name, row in ARCHITECTURES.items():
        options = PEERS[name][2] if name in PEERS else {}
        if options:  # the papers' own settings, which the peer does not have
            print(_row(name, row, {}, None), flush=True)
        print(_row(name, row, options, peer if name in PEERS else None), flush=True)


def _row(name: str, row: Any, options: dict[str, Any], peer: str | None) -> str:
    turns: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
    for _ in range(TURNS):
        turns["ours"].append(run_json([sys.executable, __file__, name, row.shown_on, json.dumps(options)]))
        if peer:
            script = Path(__file__).with_name("zoo_peer.py")
            turns["peer"].append(run_json([peer, script, *PEERS[name][:2]]))
    mine, theirs = turns["ours"], turns["peer"]
    own = mine[0]
    title = name + "".join(f", {key}={value}" for key, value in options.items())
    cells = [title, row.shown_on, f"{own['parameters']:,}", f"{own['gflops']:.2f}"]
    for key, form in (("milliseconds", "{:.0f}"), ("images_per_second", "{:.1f}")):
        cells.append(form.format(statistics.median(turn[key] for turn in mine)))
        if not theirs:
            cells += ["", ""]
            continue
        cells.append(form.format(statistics.median(turn[key] for turn in theirs)))
        ratios = [a[key] / b[key] for a, b in zip(mine, theirs, strict=True)]
        if key == "milliseconds":
            ratios = [1 / ratio for ratio in ratios]
        cells.append(f"{statistics.median(ratios):.2f}")
    cells.append(f"{max(turn['peak_bytes'] for turn in mine) / 1e9:.1f} GB")
    cells.append(f"{max(turn['peak_bytes'] for turn in theirs) / 1e9:.1f} GB" if theirs else "")
    return "| " + " | ".join(cells) + " |"


def measure(name: str, backbone: str, options: dict[str, Any]) -> dict[str, Any]:
    """In this process: our network's figures."""
    import numpy as np

    from segmodels.models.build import build
    from segmodels.models.summary import summarise
    from segmodels.prediction.engines.keras_engine import compiled
    from segmodels.recipe import Recipe
    from segmodels.training.losses import make_loss
    from segmodels.training.step import make_step

    summary = summarise(name, classes=CLASSES, backbone=backbone, image_size=SIZE, **options)
    model = build(name, classes=CLASSES, backbone=backbone, **options)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)
    masks = generator.integers(0, CLASSES, (BATCH, SIZE, SIZE), dtype=np.uint8)
    predict = compiled(model)
    one = median_seconds(lambda: np.asarray(predict(images[:1])), PREDICTIONS)
    step = make_step(model, make_loss("cross_entropy"), Recipe(data="toy-pets"))
    batch = median_seconds(lambda: float(step.train(images, masks, (), 1e-3).loss), STEPS)
    return {
        "parameters": summary["parameters"]["total"],
        "gflops": summary["gflops"],
        "milliseconds": 1000 * one,
        "images_per_second": BATCH / batch,
        "peak_bytes": peak_bytes(),
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))))
