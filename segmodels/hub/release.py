"""`release`: a checkpoint directory to give away, small, measured on the test split, with a card that says so."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from segmodels.errors import UserError
from segmodels.files import read_json, replacing, user_path, write_json, write_text
from segmodels.hub.card import MOST_PICTURES, write_card
from segmodels.hub.checkpoint import LARGEST, SMALLEST, SPEC, WEIGHTS, Spec, input_spec, read_spec
from segmodels.hub.contents import PREVIEW, check_contents, contents_of
from segmodels.hub.half import write_half
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run, find_checkpoint, owner

#: Trainings before the last one that a card tells of.
MOST_BEFORE = 5
#: Of a report, what `metrics.json` keeps.
FIGURES = (
    "split", "images", "at", "loss", "pixel_accuracy", "mean_iou", "mean_dice", "precision", "recall", "f1", "classes",
    "instances",
)  # fmt: skip


def release(
    model: str | Path,
    out: str | Path,
    *,
    half: bool = True,
    size: int | None = None,
    split: str = "test",
    root: str | Path | None = None,
    reporter: Reporter | None = None,
) -> Path:
    """Write what travels of a model into a folder of its own, evaluate just that, and write its card anew.

    What lay there before is replaced at the end; where something goes wrong it stays.

    Args:
        model: a run or its id, a checkpoint directory, or `hf://owner/name@revision`.
        out: the folder.
        half: keep the kernels in float16, which halves the size; the figures are then those of such weights.
        size: side at which it is to see pictures, in place of the one that it was trained at. Where augmentation
            enlarges what is in a picture, as zooming does, a larger one than that of training is often better (Touvron
            et al. 2019, arXiv:1906.06423): try it on the validation split.
        split: of the data that it was trained on, for the figures.
        root: the folder of that data set.
        reporter: told how it goes; by default nobody.

    Returns:
        The folder.

    Raises:
        UserError: no such model, no data to evaluate it on, a size that cannot be, or a folder that holds something
            else.
    """
    from segmodels.evaluation.evaluate import evaluate

    told = reporter or Reporter()
    source, target = find_checkpoint(model, told), user_path(out)
    check_contents(source, str(model))
    spec = read_spec(source)
    if size is not None:
        spec = _at(spec, size)
    if target.exists() and not (target / SPEC).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is there and is no checkpoint directory: name a new folder")
    with replacing(target) as beside:
        beside.mkdir()
        for path in _contents(source):
            (beside / path).parent.mkdir(exist_ok=True)
            if path == WEIGHTS and half:
                write_half(source / path, beside / path)
            else:
                shutil.copyfile(source / path, beside / path)
        write_text(beside / SPEC, spec.model_dump_json(indent=2) + "\n")
        report = evaluate(beside, split=split, root=root, keep=False, reporter=told)
        metrics = _metrics(beside)
        write_json(beside / "metrics.json", {**metrics, split: {name: report[name] for name in FIGURES}})
        write_card(beside, spec, metrics, report=report, before=_before(source))
    return target


def _contents(folder: Path) -> list[str]:
    """What travels, with no more pictures than the card shows."""
    previews = [path for path in contents_of(folder) if PREVIEW.fullmatch(path)]
    return [path for path in contents_of(folder) if path not in previews[MOST_PICTURES:]]


def _at(spec: Spec, size: int) -> Spec:
    """The spec of the same model that sees pictures at another size."""
    if spec.input.mode != "resize":
        raise UserError("a model of tiles sees pictures at their own size: leave the size out")
    if not SMALLEST <= size <= LARGEST:
        raise UserError(f"size {size}: give a number of pixels from {SMALLEST} to {LARGEST}")
    return spec.model_copy(update={"input": input_spec("resize", size)})


def _metrics(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    document = read_json(path) if path.is_file() else {}
    return document if isinstance(document, dict) else {}


def _before(checkpoint: Path) -> list[dict[str, Any]]:
    """The recipes of the trainings that led to what a run began with, the first one first, as far back as they are
    here."""
    found: list[dict[str, Any]] = []
    while len(found) < MOST_BEFORE and (run := owner(checkpoint)) and (run / "start" / SPEC).is_file():
        recipe = read_spec(run / "start").recipe
        if not recipe:
            break
        found.insert(0, recipe)
        try:
            checkpoint = find_checkpoint(Run(run).recipe.start_from or "")
        except UserError:
            break
    return found
