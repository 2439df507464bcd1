"""The command line: `python -m segmodels VERB`.

Results go to standard output (one JSON document with `--json`), progress and messages to standard error. Exit codes: 0
done, 2 the user's mistake in one line, 1 anything else, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import re
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any

from segmodels import (
    __version__,
    cli_compare,
    cli_datasets,
    cli_finished,
    cli_hub,
    cli_models,
    cli_predict,
    cli_recipes,
    cli_runs,
)
from segmodels.errors import LostHost, UserError, choose
from segmodels.models.backbones import CONVOLUTIONAL, PLAIN, TRANSFORMERS
from segmodels.terminal import Terminal, table
from segmodels.training.notes import plain

if typing.TYPE_CHECKING:
    from segmodels.training.hosts import Hosts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    try:
        parsed = parser().parse_args(arguments)
        document, text = parsed.verb(parsed)
        found = json.dumps(_finite(document), indent=2, allow_nan=False) if parsed.json else plain(text)
        print(found, flush=True)
    except UserError as error:
        line = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", str(error))  # names may hold anything
        print(f"segmodels: {line}", file=sys.stderr, flush=True)
        if isinstance(error, LostHost):
            sys.stdout.flush()
            os._exit(1)  # a usual end would wait for the host that is gone
        return 2
    except KeyboardInterrupt:
        print("segmodels: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        return 0
    return parsed.exit_code


def _finite(value: Any) -> Any:
    """The same document with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage text, as every other mistake."""

    def error(self, message: str) -> typing.NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """The whole command line; each verb is one function of this file."""
    root = _Parser(prog="python -m segmodels", description="Semantic segmentation: train, evaluate, predict.")
    root.add_argument("--version", action="version", version=__version__)
    verbs = root.add_subparsers(required=True, metavar="VERB")

    def add(group: Any, name: str, verb: Callable, text: str) -> argparse.ArgumentParser:
        made = group.add_parser(name, help=text, description=text, allow_abbrev=False)
        made.add_argument("--json", action="store_true", help="print one JSON document")
        made.set_defaults(verb=verb, exit_code=0)
        return made

    add(verbs, "architectures", _architectures, "what can be built")
    add(verbs, "backbones", _backbones, "what an architecture can be built on")
    summary = add(verbs, "summary", _summary, "what a network holds and takes: layers, parameters, GFLOPs, memory")
    summary.add_argument("--architecture", default="unet", metavar="NAME")
    summary.add_argument("--backbone", metavar="NAME", help="default: the architecture's first")
    summary.add_argument("--classes", type=int, default=3, metavar="N")
    summary.add_argument("--image-size", type=int, default=256, metavar="S", help="side of the picture (default: 256)")
    cli_recipes.add_option(summary)
    summary.add_argument("--layers", action="store_true", help="a line for every layer, not for every stage")

    datasets = verbs.add_parser("datasets", help="the data sets").add_subparsers(required=True, metavar="VERB")
    cli_datasets.add_verbs(add, datasets)

    train = add(verbs, "train", _train, "train a model; every field of a recipe is an option")
    cli_recipes.add_fields(train)
    train.add_argument("--run-dir", metavar="DIR", help="where to write (default: a new folder in the home's runs/)")
    train.add_argument("--resume", metavar="RUN", help="go on with a run that was paused, stopped or interrupted")
    cli_finished.add_option(train)

    cli_recipes.add_verbs(add, verbs)

    runs = verbs.add_parser("runs", help="runs, wherever they were started").add_subparsers(
        required=True, metavar="VERB"
    )
    cli_runs.add_verbs(add, runs)
    cli_runs.add_devices(train)
    add(verbs, "devices", cli_runs.devices, "what training can run on, and what stands in the way of more")

    evaluate = add(verbs, "evaluate", _evaluate, "figures of a model on a split")
    evaluate.add_argument("model", metavar="MODEL", help="a checkpoint directory, a run, or hf://owner/name@revision")
    evaluate.add_argument("--data", help="name of the data set (default: what it was trained on)")
    evaluate.add_argument("--root", metavar="DIR")
    evaluate.add_argument("--split", default="test")
    evaluate.add_argument("--at", default="native", help="native: at each mask's own size; model: at the model's")
    evaluate.add_argument(
        "--boundary-width", type=int, metavar="N", help="pixels around an outline (default: 0.75 %% of the diagonal)"
    )
    evaluate.add_argument(
        "--tiled", metavar="true|false", help="see pictures in tiles, or whole, of a model of tiles (default: by size)"
    )
    evaluate.add_argument("--masks", action="store_true", help="keep the predicted masks, to look at in the app")
    cli_compare.add_verbs(add, verbs)
    cli_models.add_verbs(add, verbs)
    cli_predict.add_verbs(add, verbs)
    cli_hub.add_verbs(add, verbs)
    return root


def _architectures(_: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.models.architectures import architectures

    rows = architectures()
    shown = [
        {**row, "year": str(row["year"]), "options": " ".join(row["options"]), "needs": _needs(row["backbones"])}
        for row in rows
    ]
    text = table(shown, ["name", "title", "year", "parameters", "gflops", "on", "needs", "options", "strengths"])
    return rows, f"{text}\n\nparameters and GFLOPs: 3 classes, one picture of 256 x 256, on the backbone named"


def _needs(backbones: list[str]) -> str:
    """What an architecture can be built on, in a few words."""
    kinds = {
        "its own encoder": [PLAIN],
        "any CNN": CONVOLUTIONAL,
        f"{TRANSFORMERS[0]} to {TRANSFORMERS[-1]}": TRANSFORMERS,
    }
    return " or ".join(kind for kind, names in kinds.items() if set(names) <= set(backbones))


def _backbones(_: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.models.architectures import backbone_list

    rows = backbone_list()
    return rows, table(rows, ["name", "title", "parameters", "strengths", "paper"])


def _summary(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.models.architectures import checked_options, default_backbone

    options = cli_recipes.options_of(parsed)
    backbone = parsed.backbone or default_backbone(parsed.architecture)
    checked_options(parsed.architecture, backbone, options)  # a mistake is said before Keras is loaded

    from segmodels.models.summary import summarise
    from segmodels.models.summary_text import summary_text

    document = summarise(
        parsed.architecture,
        classes=parsed.classes,
        backbone=backbone,
        image_size=parsed.image_size,
        **options,
    )
    return document, summary_text(document, layers=parsed.layers)


def _train(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.training.hosts import hosts
    from segmodels.training.launch import revive
    from segmodels.training.train import train

    terminal = Terminal()
    if (others := hosts()) and not others.leads:
        return _follow(others, parsed.devices, terminal)
    revive()
    if parsed.resume is not None:
        given = {**cli_recipes.given_fields(parsed), "recipe": parsed.recipe, "option": parsed.option}
        given["finished"] = parsed.finished != "ask"
        if also := [name for name, value in given.items() if value]:
            option = also[0].replace("_", "-")
            raise UserError(f"--resume goes on under the run's own recipe: leave --{option} out")
        work: dict[str, Any] = {"resume": parsed.resume}
    else:
        work = {"recipe": cli_recipes.recipe_of(parsed), "run_dir": parsed.run_dir}
    said = cli_finished.choice(parsed)
    try:
        run = None
        if recipe := work.get("recipe"):
            run = cli_finished.taken_instead(recipe, said, path=parsed.run_dir, reporter=terminal)
        run = run or train(**work, reporter=terminal, devices=parsed.devices)
    finally:
        terminal.close()
    status = run.status()
    best = status.get("best") or {}
    lines = [f"{status['state']}: {run.path}"]
    if best.get("epoch"):
        lines.append(f"best epoch {best['epoch']}, validation mean IoU {best['mean_iou']:.4f}")
        lines.append(f"next: python -m segmodels evaluate {run.id if parsed.run_dir is None else run.path}")
    return {"run": run.id, "path": str(run.path), "status": status}, "\n".join(lines)


def _follow(hosts: Hosts, devices: str | None, terminal: Terminal) -> tuple[Any, str]:
    """`train` on a host that is not the first, which alone says what is trained."""
    from segmodels.training.follow import follow

    try:
        run, state = follow(hosts, devices, terminal)
    finally:
        terminal.close()
    return {"run": run, "state": state, "host": hosts.number}, f"{state}: {run}, which the first host has"


def _evaluate(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.evaluation.evaluate import evaluate

    terminal = Terminal()
    try:
        report = evaluate(
            parsed.model,
            data=parsed.data,
            root=parsed.root,
            split=parsed.split,
            at=parsed.at,
            tiled=None if parsed.tiled is None else choose("--tiled", parsed.tiled, ("true", "false")) == "true",
            boundary_width=parsed.boundary_width,
            masks=parsed.masks,
            reporter=terminal,
        )
    finally:
        terminal.close()
    names = ("loss", "pixel_accuracy", "mean_iou", "mean_dice", "precision", "recall", "f1", "mse", "images_per_second")
    figures = {name: report[name] for name in names}
    outlines = report["boundary"]
    figures |= {"boundary_iou": outlines["iou"], "boundary_f1": outlines["f1"], "ece": report["calibration"]["ece"]}
    head = (
        f"{report['model']} on {report['data']}, {report['split']}, {report['images']} pictures, at {report['at']} size"
    )
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
