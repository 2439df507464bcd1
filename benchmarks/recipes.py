"""`python -m benchmarks.recipes [RECIPE …]`: the recipes that have a name, on the data at hand.

Trains each, or those named, evaluates it on the test split, and prints a table; beside the `classic-…` recipes stands
what the system published whose settings they are, on what data, and what differs here. The runs are kept in
`SEGMODELS_HOME` under the names of their recipes: what is done is not done again, and what was interrupted goes on. All
of them together take days on a CPU.
"""

from __future__ import annotations

import sys

import segmodels
from segmodels.errors import UserError, choose
from segmodels.named_recipes import NAMED_RECIPES, named_recipe
from segmodels.terminal import Terminal
from segmodels.training.runs import Run, is_run, runs_folder


def main() -> None:
    chosen = sys.argv[1:] or list(NAMED_RECIPES)
    pictures = "pictures here: training, validation, test"
    columns = ("recipe", "published, and on what", "here, on the test split", pictures, "minutes", "what differs")
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|")
    for name in chosen:
        try:
            print(_row(choose("recipe", name, list(NAMED_RECIPES))), flush=True)
        except UserError as error:  # data or weights that are not there
            print(f"| `{name}` | | {error} | | | |", flush=True)


def _row(name: str) -> str:
    path, terminal = runs_folder() / name, Terminal()
    try:
        if not is_run(path):
            run = segmodels.train(named_recipe(name), run_dir=path, reporter=terminal)
        elif (run := Run(path)).state != "finished":
            run = segmodels.train(resume=run, reporter=terminal)
        report = segmodels.evaluate(run.best, split="test", reporter=terminal)
    finally:
        terminal.close()
    if run.state != "finished":
        raise UserError(f"{run.state} after {run.status().get('epoch', 0)} epochs: the same command goes on")
    dataset, status = run.recipe.dataset(), run.status()
    counts = [f"{len(dataset.samples(split)):,}" for split in ("train", "validation", "test")]
    tiles = f" ({status['images']:,} tiles)" if run.recipe.tiling else ""
    minutes = sum(float(row["seconds"]) for row in run.history()) / 60
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
    return f"| `{name}` | {published} | {found} | {counted} | {minutes:.0f} | {row.differs} |"


if __name__ == "__main__":
    main()
