"""The verb `evaluate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from segmodels.cli_cluster import add_on, is_on_ray
from segmodels.cli_predict import add_tta
from segmodels.errors import choose
from segmodels.terminal import Terminal, table


def add_verbs(add: Callable[..., argparse.ArgumentParser], verbs: Any) -> None:
    """Add `evaluate`; `add(group, name, verb, text)` makes a verb."""
    made = add(verbs, "evaluate", evaluate, "figures of a model on a split")
    made.add_argument("model", metavar="MODEL", help="a checkpoint directory, a run, or hf://owner/name@revision")
    made.add_argument("--data", help="name of the data set (default: what it was trained on)")
    made.add_argument("--root", metavar="DIR")
    made.add_argument("--split", default="test")
    made.add_argument("--at", default="native", help="native: at each mask's own size; model: at the model's")
    made.add_argument(
        "--boundary-width", type=int, metavar="N", help="pixels around an outline (default: 0.75 %% of the diagonal)"
    )
    made.add_argument(
        "--tiled", metavar="true|false", help="see pictures in tiles, or whole, of a model of tiles (default: by size)"
    )
    add_tta(made)
    made.add_argument("--masks", action="store_true", help="keep the predicted masks, to look at in the app")
    add_on(made)


def evaluate(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`evaluate`."""
    from segmodels.prediction.views import views_of

    tiled = None if parsed.tiled is None else choose("--tiled", parsed.tiled, ("true", "false")) == "true"
    wanted = {
        "data": parsed.data,
        "root": parsed.root,
        "split": parsed.split,
        "at": parsed.at,
        "tiled": tiled,
        "tta": parsed.tta,
        "boundary_width": parsed.boundary_width,
        "masks": parsed.masks,
    }
    terminal = Terminal()
    try:
        if is_on_ray(parsed):
            from segmodels.cluster.evaluation import evaluate_on_ray

            report = evaluate_on_ray(
                parsed.model, wanted, address=parsed.address, cpus=parsed.cpus, gpus=parsed.gpus, reporter=terminal
            )
        else:
            from segmodels.evaluation.evaluate import evaluate

            report = evaluate(parsed.model, **wanted, reporter=terminal)
    finally:
        terminal.close()
    names = ("loss", "pixel_accuracy", "mean_iou", "mean_dice", "precision", "recall", "f1", "mse", "images_per_second")
    figures = {name: report[name] for name in names}
    outlines = report["boundary"]
    figures |= {"boundary_iou": outlines["iou"], "boundary_f1": outlines["f1"], "ece": report["calibration"]["ece"]}
    head = (
        f"{report['model']} on {report['data']}, {report['split']}, {report['images']} pictures, at {report['at']} size"
    )
    if report["tta"]:
        head += f", each seen in {len(views_of(report['tta']))} views ({report['tta']})"
    if report["report"]:
        head += f"\nkept in {report['report']}"
    whole = table([{"figure": name, "value": value} for name, value in figures.items()], ["figure", "value"])
    columns = ["name", "iou", "dice", "precision", "recall", "boundary_iou", "boundary_f1", "pixels"]
    by_class = table(report["classes"], columns)
    text = f"{head}\n\n{whole}\n\n{by_class}"
    if report["instances"] is not None:
        objects = [{"of objects": name, "value": value} for name, value in report["instances"].items()]
        text += f"\n\n{table(objects, ['of objects', 'value'])}"
    return report, text
