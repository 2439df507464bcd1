"""`python -m benchmarks.recipes [--minutes M] [--from-scratch] [RECIPE …]`: the named recipes on the data at hand.

Trains each, or those named, evaluates it on the test split, and prints a table; beside the `classic-…` recipes stands
what the system published whose settings they are, on what data, and what differs here. The runs are kept in
`SEGMODELS_HOME` under the names of their recipes: what is done is not done again, and what was interrupted goes on. All
of them together take days on a CPU: with `--minutes` each is stopped after so many, and the table says after how many
of its epochs; the same command with more minutes goes on. With `--from-scratch` encoders begin with random weights and
are never frozen: for encoders whose published weights are not at hand. The table says so of each.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import segmodels
from segmodels.errors import UserError, choose
from segmodels.models.backbones import PLAIN
from segmodels.named_recipes import NAMED_RECIPES, named_recipe
from segmodels.recipe import Recipe
from segmodels.terminal import Terminal
from segmodels.training.runs import Run, is_run, runs_folder


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes")
    parser.add_argument("recipes", nargs="*", metavar="RECIPE")
    parser.add_argument("--minutes", type=float, help="stop each after so many minutes of training")
    parser.add_argument("--from-scratch", action="store_true", help="encoders begin with random weights, not frozen")
    given = parser.parse_args()
    chosen = given.recipes or list(NAMED_RECIPES)
    pictures = "pictures here: training, validation, test"
    columns = (
        "recipe",
        "published, and on what",
        "here, on the test split",
        pictures,
        "epochs",
        "minutes",
        "what differs",
    )
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|---|")
    for name in chosen:
        try:
            name = choose("recipe", name, list(NAMED_RECIPES))
            print(_row(name, given.minutes, from_scratch=given.from_scratch), flush=True)
        except UserError as error:  # data or weights that are not there
            print(f"| `{name}` | | {error} | | | | |", flush=True)


def _row(name: str, minutes: float | None, *, from_scratch: bool) -> str:
    recipe, run_id, differs = named_recipe(name), name, NAMED_RECIPES[name].differs
    if from_scratch and recipe.backbone != PLAIN:
        recipe = Recipe(**{**NAMED_RECIPES[name].fields, "weights": "none", "freeze_epochs": 0})
        run_id, differs = f"{name}-from-scratch", "; ".join(filter(None, ("from random weights", differs)))
    terminal = Terminal()
    try:
        run = _trained(recipe, run_id, minutes, terminal)
        report = segmodels.evaluate(run.best, split="test", reporter=terminal)
    finally:
        terminal.close()
    dataset, status = run.recipe.dataset(), run.status()
    counts = [f"{len(dataset.samples(split)):,}" for split in ("train", "validation", "test")]
    tiles = f" ({status['images']:,} tiles)" if run.recipe.tiling else ""
    epochs = run.history()
    taken = sum(float(row["seconds"]) for row in epochs) / 60
    if len(epochs) < status["epoch"]:  # it was stopped within its last one
        taken = (status["ended"] - status["started"]) / 60
    figures = {"loss": report["loss"], "accuracy": report["pixel_accuracy"], "mean IoU": report["mean_iou"]}
    objects = report["instances"] or {}
    figures |= {"Dice": objects.get("dice", report["mean_dice"])} | ({"AJI": objects["aji"]} if objects else {})
    figures |= {"F1": report["f1"], "recall": report["recall"], "precision": report["precision"]}
    if run.recipe.adversarial_weight:
        figures["MSE of 0 to 1"] = report["mse"]
    row = NAMED_RECIPES[name]
    found = ", ".join(f"{key} {value:.3f}" for key, value in figures.items())
    counted = f"{counts[0]}{tiles}, {counts[1]}, {counts[2]}"
    published = f"{row.published}; {row.used}" if row.published else ""
    reached = f"{len(epochs) or 'a part of 1'} of {run.recipe.epochs}"
    return f"| `{name}` | {published} | {found} | {counted} | {reached} | {taken:.0f} | {differs} |"


def _trained(recipe: Recipe, run_id: str, minutes: float | None, terminal: Terminal) -> Run:
    """The run of a recipe, trained to its end or until its minutes were over."""
    run = Run(runs_folder() / run_id)
    begun = is_run(run.path)
    before = sum(float(row["seconds"]) for row in run.history()) / 60 if begun else 0.0
    if begun and (run.state == "finished" or (minutes is not None and run.has_best and before >= minutes)):
        return run
    with _stopped_after(run, None if minutes is None else max(minutes - before, 1)):
        if begun:
            segmodels.train(resume=run, reporter=terminal)
        else:
            segmodels.train(recipe, run_dir=run.path, reporter=terminal)
    if run.state != "finished" and not (minutes and run.has_best):
        raise UserError(f"{run.state} after {run.status().get('epoch', 0)} epochs: the same command goes on")
    return run


@contextmanager
def _stopped_after(run: Run, minutes: float | None) -> Iterator[None]:
    def stop() -> None:
        with suppress(UserError):  # it has ended by itself
            run.request("stop")

    timer = threading.Timer(0 if minutes is None else 60 * minutes, stop)
    timer.daemon = True
    if minutes is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


if __name__ == "__main__":
    main()
