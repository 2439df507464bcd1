"""The curves of a run: what of `metrics.csv` is drawn, and how."""

from __future__ import annotations

from collections.abc import Iterator

from segmodels.report.charts import MOST_CLASSES, WIDTH, Series, line_chart
from segmodels.report.html_page import Page
from segmodels.report.run_facts import RunFacts
from segmodels.report.svg import Svg

#: Columns that are drawn for training and validation, with their titles and which end is the good one.
CURVES = {
    "loss": ("Loss", "lowest"),
    "pixel_accuracy": ("Pixel accuracy", "highest"),
    "mean_iou": ("Mean IoU", "highest"),
    "mean_dice": ("Mean Dice", "highest"),
}
#: Those of a training against a discriminator.
ADVERSARIAL = {
    "adversarial_loss": "Adversarial loss",
    "discriminator_loss": "Discriminator loss",
    "discriminator_accuracy": "Accuracy of the discriminator",
}
#: Classes whose lines or cells are drawn at half the width of the page.
FEW = 8


def add_curves(page: Page, facts: RunFacts) -> None:
    """Add the charts of all that `metrics.csv` has; nothing where it has nothing."""
    drawings, by_class = list(_drawings(facts)), _by_class(facts)
    if not drawings:
        return
    page.heading("Curves")
    if len(by_class) <= FEW:  # among the others
        drawings += _class_chart(facts, by_class, WIDTH)
    page.figures(drawings)
    if len(by_class) > FEW:
        page.figures(_class_chart(facts, by_class, 2 * WIDTH), across=1)


def _by_class(facts: RunFacts) -> list[str]:
    """The classes whose IoU `metrics.csv` has."""
    columns = facts.history[0] if facts.history else ()
    names = [name.removeprefix("val_iou_") for name in columns if name.startswith("val_iou_")]
    return [name for name in names if _has(facts, f"val_iou_{name}")]


def _class_chart(facts: RunFacts, names: list[str], width: float) -> list[Svg]:
    """The chart of the classes, if there are any."""
    epochs, drawn = facts.column("epoch"), names[:MOST_CLASSES]
    rest = f" ({len(names) - len(drawn)} more classes are in metrics.csv)" if len(names) > len(drawn) else ""
    lines = [Series(name, epochs, facts.column(f"val_iou_{name}")) for name in drawn]
    return [line_chart(lines, title=f"IoU by class, validation{rest}", width=width)] if lines else []


def _has(facts: RunFacts, column: str) -> bool:
    return any(value is not None for value in facts.column(column))


def _drawings(facts: RunFacts) -> Iterator[Svg]:
    """The charts of `metrics.csv` that have something to show, without that of the classes."""
    epochs = facts.column("epoch")

    for name, (title, good) in CURVES.items():
        if _has(facts, name) or _has(facts, f"val_{name}"):
            lines = [
                Series("training", epochs, facts.column(name), "training"),
                Series("validation", epochs, facts.column(f"val_{name}"), "validation", good),  # type: ignore[arg-type]
            ]
            yield line_chart(lines, title=title, from_zero=name == "loss")
    for name, title in ADVERSARIAL.items():
        if _has(facts, name):
            yield line_chart([Series("training", epochs, facts.column(name), "training")], title=title)
    if _has(facts, "val_mse"):
        lines = [Series("validation", epochs, facts.column("val_mse"), "validation", "lowest")]
        yield line_chart(lines, title="Mean squared error of the masks, validation")
    if _has(facts, "learning_rate"):
        yield line_chart([Series("learning rate", epochs, facts.column("learning_rate"))], title="Learning rate")
