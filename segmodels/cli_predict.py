"""The verbs of prediction: `predict` and `engines`."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segmodels.cli_cluster import add_on, is_on_ray
from segmodels.errors import UserError, choose
from segmodels.terminal import Terminal, table


def add_verbs(add: Callable[..., argparse.ArgumentParser], verbs: Any) -> None:
    """Add `predict` and `engines`; `add(group, name, verb, text)` makes one."""
    predict = add(verbs, "predict", _predict, "masks of pictures")
    predict.add_argument("model", metavar="MODEL", help="a checkpoint directory, a run, or hf://owner/name@revision")
    predict.add_argument(
        "images", metavar="IMAGE", nargs="+",
        help="pictures, folders of them and zip archives of them; with --on ray, also of buckets: s3://bucket/folder",
    )  # fmt: skip
    predict.add_argument("--out", metavar="DIR", required=True)
    predict.add_argument(
        "--format", default="png,overlay",
        help="of: png (class ids), colour, overlay, npz (probabilities), geojson, coco, labelme, csv (objects)",
    )  # fmt: skip
    predict.add_argument("--engine", default="auto", help="keras, onnx or openvino (default: the fastest there is)")
    add_tta(predict)
    predict.add_argument("--tile", type=int, metavar="N", help="tiles of N pixels, of a model of tiles")
    predict.add_argument("--page", type=int, default=0, metavar="N", help="of files of several, from 0 (default: 0)")
    predict.add_argument("--threshold", type=float, default=0.0, metavar="P", help="ignore pixels of less confidence")
    predict.add_argument("--smallest", type=int, default=0, metavar="N", help="remove regions of fewer pixels")
    predict.add_argument("--largest-hole", type=int, default=0, metavar="N", help="fill holes of up to N pixels")
    predict.add_argument("--objects", metavar="METHOD", help="how objects are found: border, distance, components")
    predict.add_argument("--micrometres", type=float, metavar="X", help="the side of a pixel, for areas in µm²")
    add_on(predict)

    engines = add(verbs, "engines", _engines, "what can compute a model's answer here; of a MODEL, made ready")
    engines.add_argument("model", metavar="MODEL", nargs="?", help="makes its ONNX file where there is none")


def add_tta(verb: argparse.ArgumentParser) -> None:
    """The option `--tta` of a verb that sees pictures."""
    verb.add_argument(
        "--tta", nargs="?", const="flips", metavar="VIEWS",
        help="see each picture in: flips, turns, scales, with commas between; or none (default: the model's own views)",
    )  # fmt: skip


def _predict(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.prediction.export import FORMATS, Settings
    from segmodels.prediction.postprocess import METHODS
    from segmodels.prediction.result import Refinement

    on_ray = is_on_ray(parsed)
    wanted = [name.strip() for name in parsed.format.split(",") if name.strip()]
    for name in wanted:
        choose("format", name, list(FORMATS))
    if not wanted:
        raise UserError(f"--format names none: choose of {', '.join(FORMATS)}")
    if parsed.micrometres is not None and not 0 < parsed.micrometres < 1e6:
        raise UserError(f"--micrometres {parsed.micrometres}: give the side of a pixel, such as 0.25")
    method = METHODS[choose("method", parsed.objects, list(METHODS))]() if parsed.objects else None
    refinement = Refinement(parsed.threshold, parsed.smallest, parsed.largest_hole)
    settings = Settings(micrometres=parsed.micrometres, method=method)
    terminal = Terminal()
    options = {"page": parsed.page, "tile": parsed.tile, "tta": parsed.tta, "refinement": refinement,
               "settings": settings, "reporter": terminal}  # fmt: skip
    try:
        rows = (_on_ray if on_ray else _here)(parsed, wanted, options)
    finally:
        terminal.close()
    failed = [row["error"] for row in rows if row["error"]]
    if len(rows) == len(failed) == 1:
        raise UserError(failed[0])
    for error in failed:
        print(f"segmodels: {error}", file=sys.stderr)
    parsed.exit_code = 2 if failed else 0
    lines = [f"{row['image']}: {', '.join(row['files'])}" for row in rows if not row["error"]]
    return rows, "\n".join(lines)


def _here(parsed: argparse.Namespace, wanted: list[str], options: dict[str, Any]) -> list[dict[str, Any]]:
    from segmodels.prediction.ready import ready_predictor
    from segmodels.prediction.write import predict_files

    if bucket := next((image for image in parsed.images if "://" in image), None):
        raise UserError(f"{bucket} is no path of this machine: add --on ray, whose workers fetch it")
    predictor = ready_predictor(parsed.model, parsed.engine, options["reporter"])
    return predict_files(predictor, [Path(image) for image in parsed.images], Path(parsed.out), wanted, **options)


def _on_ray(parsed: argparse.Namespace, wanted: list[str], options: dict[str, Any]) -> list[dict[str, Any]]:
    from segmodels.prediction.scale import predict_at_scale

    cluster = {"address": parsed.address, "cpus": parsed.cpus, "gpus": parsed.gpus}
    try:
        return predict_at_scale(
            parsed.model, parsed.images, parsed.out, wanted, engine=parsed.engine, **cluster, **options
        )
    except KeyboardInterrupt:
        options["reporter"].note("what is done is kept: the same call goes on from there")
        raise


def _engines(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.prediction.engines import ENGINES

    if parsed.model is None:
        rows = [
            {
                "name": name,
                "installed": all(importlib.util.find_spec(package) for package in engine.packages),
                "computes with": engine.description,
            }
            for name, engine in ENGINES.items()
        ]
        shown = [{**row, "installed": "yes" if row["installed"] else "no"} for row in rows]
        return rows, table(shown, ["name", "installed", "computes with"])
    from segmodels.hub.onnx_model import onnx_file

    terminal = Terminal()
    try:
        path = onnx_file(parsed.model, reporter=terminal)
    finally:
        terminal.close()
    return {"model": parsed.model, "engine": "onnx", "file": str(path)}, f"{parsed.model}: {path}"
