"""`release`: a checkpoint directory to give away, small, measured on the test split, with a card that says so."""

from __future__ import annotations

import shutil
from pathlib import Path

from segmodels.errors import UserError
from segmodels.evaluation.evaluated_data import evaluated_recipe
from segmodels.files import replacing, user_path, write_json, write_text
from segmodels.hub.card import write_card
from segmodels.hub.checkpoint import LARGEST, SMALLEST, SPEC, WEIGHTS, Spec, read_spec
from segmodels.hub.contents import PREVIEW, check_contents, check_target, contents_of
from segmodels.hub.lineage import BEGAN_WITH_MEAN, TRAININGS, mean_before, metrics_of, trainings_before
from segmodels.hub.previews import draw_previews
from segmodels.hub.smaller import Bits, write_smaller
from segmodels.prediction.views import views_text
from segmodels.training.reporter import Reporter
from segmodels.training.runs import find_checkpoint

#: Of a report, what `metrics.json` keeps.
FIGURES = (
    "split", "images", "at", "loss", "pixel_accuracy", "mean_iou", "mean_dice", "precision", "recall", "f1", "classes",
    "instances",
)  # fmt: skip
#: Of `metrics.json`, figures of the training, which are not those of a model that sees in another way.
OF_TRAINING = ("validation", "validation_images", "classes", "confusion_matrix")


def release(
    model: str | Path,
    out: str | Path,
    *,
    bits: Bits = 16,
    size: int | None = None,
    tta: str | None = None,
    split: str = "test",
    root: str | Path | None = None,
    reporter: Reporter | None = None,
) -> Path:
    """Write what travels of a model into a folder of its own, evaluate just that, and write its card anew.

    What lay there before is replaced at the end; where something goes wrong it stays.

    Args:
        model: a run or its id, a checkpoint directory, or `hf://owner/name@revision`.
        out: the folder.
        bits: of the numbers of kernels: 32 as they are, 16 for half the size, 8 for a quarter. The figures are those of
            such weights.
        size: side at which it is to see pictures, in place of the one that it was trained at. Where augmentation
            enlarges what is in a picture, as zooming does, a larger one than that of training is often better (Touvron
            et al. 2019, arXiv:1906.06423): try it on the validation split.
        tta: the views in which it is to see every picture where nobody asks for others, such as "flips"; its own where
            None, "none" for the picture as it is. Each view takes the time of a picture.
        split: of the data that it was trained on, for the figures.
        root: the folder of that data set.
        reporter: told how it goes; by default nobody.

    Returns:
        The folder.

    Raises:
        UserError: no such model, no data to evaluate it on, a size that cannot be, an unknown view, or a folder that
            holds something else.
    """
    from segmodels.evaluation.evaluate import evaluate
    from segmodels.prediction.predictor import Predictor

    told = reporter or Reporter()
    source, target = find_checkpoint(model, told), user_path(out)
    check_contents(source, str(model))
    spec = trained = read_spec(source)
    if size is not None:
        spec = _at(spec, size)
    if tta is not None:
        seen = spec.input.model_copy(update={"tta": views_text(tta)})
        spec = spec.model_copy(update={"input": seen})
    check_target(target)
    with replacing(target) as beside:
        beside.mkdir()
        for path in contents_of(source):
            if PREVIEW.fullmatch(path):
                continue  # they show other weights, and are drawn anew
            if path == WEIGHTS:
                write_smaller(source / path, beside / path, bits)
            else:
                shutil.copyfile(source / path, beside / path)
        write_text(beside / SPEC, spec.model_dump_json(indent=2) + "\n")
        predictor = Predictor(beside, engine="keras", reporter=told)
        # As the run was split: the copy is in no run, and would be measured on what the run has trained on.
        recipe = evaluated_recipe(source, spec.recipe, None, root)
        draw_previews(predictor, recipe, beside)
        report = evaluate(predictor, split=split, recipe=recipe, keep=False, reporter=told)
        before, metrics = trainings_before(source), metrics_of(beside)
        if spec.input != trained.input or split == "validation":
            metrics = {name: value for name, value in metrics.items() if name not in OF_TRAINING}
        metrics |= {key: value for key, value in ((TRAININGS, before), (BEGAN_WITH_MEAN, mean_before(source))) if value}
        write_json(beside / "metrics.json", {**metrics, split: {name: report[name] for name in FIGURES}})
        write_card(beside, spec, metrics, report=report, before=before)
    return target


def _at(spec: Spec, size: int) -> Spec:
    """The spec of the same model that sees pictures at another size."""
    if spec.input.mode != "resize":
        raise UserError("a model of tiles sees pictures at their own size: leave the size out")
    if not SMALLEST <= size <= LARGEST:
        raise UserError(f"size {size}: give a number of pixels from {SMALLEST} to {LARGEST}")
    return spec.model_copy(update={"input": spec.input.model_copy(update={"size": size})})
