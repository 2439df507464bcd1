"""`evaluate`: the report of one model on one split."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segmodels.data.ahead import ahead
from segmodels.data.dataset import IGNORE, SPLITS, ClassLabel, Dataset, Sample
from segmodels.data.images import resize_image, resize_mask
from segmodels.errors import UserError, choose
from segmodels.evaluation.boundary import boundary_counts, boundary_f1, boundary_iou, default_width
from segmodels.evaluation.calibration import Calibration
from segmodels.evaluation.compiled_loss import compiled_loss
from segmodels.evaluation.confusion import ConfusionMatrix
from segmodels.evaluation.evaluated_data import evaluated_recipe
from segmodels.evaluation.instances import MeanFigures, dice, instance_figures
from segmodels.evaluation.picture_counts import PictureCounts
from segmodels.evaluation.reports import report_folder, save_report
from segmodels.hub.checkpoint import SPEC
from segmodels.prediction.masks import foreground
from segmodels.prediction.most_likely import most_likely
from segmodels.prediction.postprocess import instance_map
from segmodels.prediction.predictor import Predictor
from segmodels.prediction.resize import bands, resize_logits
from segmodels.prediction.softmax import softmax
from segmodels.prediction.stored import StoredPredictions
from segmodels.prediction.views import averaged, views_text
from segmodels.recipe import Recipe
from segmodels.training.losses import Loss, make_loss
from segmodels.training.reporter import Reporter

#: Pictures a forward pass, and threads that read them.
BATCH, READERS = 8, 2


def evaluate(
    model: str | Path | Predictor,
    *,
    data: str | None = None,
    root: str | Path | None = None,
    split: str = "test",
    at: Literal["native", "model"] = "native",
    tiled: bool | None = None,
    tta: str | Sequence[str] | None = None,
    boundary_width: int | None = None,
    masks: bool = False,
    keep: bool = True,
    recipe: Recipe | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Evaluate a model on a split of a data set.

    The model sees each picture at the scale of its input contract. At `native` its logits are resized to the mask's own
    size and compared there; at `model` the mask is resized (nearest) to the model's size. A model of tiles sees
    pictures at their own size, where both are the same. One confusion matrix is accumulated over the split, and every
    pixel figure but `loss` comes from it; `loss` is the recipe's, at the size at which the model sees. Samples that
    cannot be read are skipped and named to the reporter. Memory does not grow with the split.

    Where the data set numbers its objects, `instances` are means over the pictures of what `evaluation.instances` says:
    `dice` of everything but background, from the masks; the others of the objects that the method suited to the classes
    (`prediction.postprocess`) finds, whatever class they are of. What is ignored in the mask counts in none.

    The report is kept beside the checkpoint with what was counted in each picture (`evaluation.reports`), for whoever
    wants to look at the worst ones or to compare models.

    Args:
        model: a `Predictor`, a checkpoint directory, a run or its id.
        data: a data set's name; that of the recipe where None.
        root: its folder, where it has files.
        tiled: whether a model of tiles sees each picture in tiles or whole; as its size asks for where None.
        tta: test-time augmentation, as `Predictor` takes it: the model's own where None.
        boundary_width: pixels around an outline within which `evaluation.boundary` compares it; where None 0.75 % of
            each picture's diagonal.
        masks: keep the predicted masks too (`prediction.stored`): at native size, in the model's own views, and where
            `tiled` is None.
        keep: whether the report is kept.
        recipe: in place of `data` and `root`, what `evaluated_recipe` says of the checkpoint that this one was made of.

    Returns:
        model, data, split, images, at, loss, pixel_accuracy, mean_iou, mean_dice, precision, recall, f1,
        classes (name, iou, dice, precision, recall, pixels, boundary_iou, boundary_f1), confusion_matrix,
        instances (dice, aji, aji_plus, pq, dq, sq, f1; None where the data set has none), images_per_second, mse,
        boundary (width, iou, f1: means over the classes that have one), calibration (ece, bins), skipped, tiled, tta
        (the views it saw each picture in; None for none), root, report (its folder; None where it was not kept).

    Raises:
        UserError: an unknown name, classes that do not match, or no usable sample.
    """
    choose("comparison size", at, ("native", "model"))
    if boundary_width is not None and boundary_width < 1:
        raise UserError(f"the boundary width is {boundary_width}: give a number of pixels, 1 or more")
    predictor = model if isinstance(model, Predictor) else Predictor(model, engine="keras", reporter=reporter)
    if tiled is not None:
        predictor.check_tiled(tiled)
    recipe = recipe or evaluated_recipe(predictor.path, predictor.spec.recipe, data, root)
    dataset = recipe.dataset()
    _check_classes(predictor, dataset)
    samples = dataset.samples(choose("split", split, SPLITS))
    reporter = reporter or Reporter()

    classes = len(predictor.labels)
    weights = recipe.class_weights
    if isinstance(weights, str) or (weights is not None and len(weights) != classes):
        raise UserError(f"{predictor.path} has class weights {weights!r} for {classes} classes: train it again")
    loss_of = make_loss(recipe.loss, weights, background=dataset.background)
    is_checkpoint = (predictor.path / SPEC).is_file()
    views, own = views_text(predictor.spec.input.tta if tta is None else tta), predictor.spec.input.tta
    # Masks of other views, or of other tiles, are not those that the model is known by.
    shows_itself = is_checkpoint and at == "native" and views == own and tiled is None
    stored = StoredPredictions(predictor.path, dataset) if masks and shows_itself else None
    tally, losses, images, began = _Tally(predictor.labels, boundary_width, stored), 0.0, 0, time.perf_counter()
    if predictor.spec.input.mode == "tiles":
        passes = _native(predictor, dataset, samples, tiled, tta, loss_of, tally, reporter)
    else:
        passes = _resized(predictor, dataset, samples, at, tta, loss_of, tally, reporter)
    for loss, count in passes:
        losses += loss * count
        images += count
        reporter.progress(images, len(samples), f"evaluating {split}")
    if not images:
        raise UserError(f"no usable picture in the {split} split of {recipe.data}")
    folder = report_folder(predictor.path, recipe.data, recipe.root, split, at) if keep and is_checkpoint else None
    outlines = tally.counts.boundary.sum(axis=0)
    report = {
        "model": str(predictor.path),
        "data": recipe.data,
        "split": split,
        "images": images,
        "at": at,
        "loss": losses / images,
        **tally.confusion.figures(),
        "classes": _by_class(tally.confusion, outlines, predictor.labels),
        "confusion_matrix": tally.confusion.counts.tolist(),
        "instances": tally.instances.figures(),
        "images_per_second": images / (time.perf_counter() - began),
        "mse": tally.confusion.mean_squared_error(),
        "boundary": {
            "width": boundary_width,
            "iou": _mean(boundary_iou(outlines)),
            "f1": _mean(boundary_f1(outlines)),
        },
        "calibration": tally.calibration.figures(),
        "skipped": len(samples) - images,
        "tiled": tiled,
        "tta": views,
        "root": recipe.root,
        "report": str(folder) if folder else None,
    }
    if folder:
        save_report(folder, report, tally.counts)
    return report


def _by_class(confusion: ConfusionMatrix, outlines: np.ndarray, labels: tuple[ClassLabel, ...]) -> list[dict[str, Any]]:
    """A row a class: the figures of its pixels and of its outlines."""
    rows = confusion.by_class([label.name for label in labels])
    for row, iou, f1 in zip(rows, boundary_iou(outlines).tolist(), boundary_f1(outlines).tolist(), strict=True):
        row["boundary_iou"] = None if np.isnan(iou) else iou
        row["boundary_f1"] = None if np.isnan(f1) else f1
    return rows


def _mean(values: np.ndarray) -> float | None:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else None


@dataclass(frozen=True)
class _Truth:
    """What a picture is compared with: its class ids, and its object numbers where the data set has them."""

    mask: np.ndarray
    instances: np.ndarray | None

    def resized(self, size: int) -> _Truth:
        instances = None if self.instances is None else resize_mask(self.instances, size, size)
        return _Truth(resize_mask(self.mask, size, size), instances)


class _Tally:
    """What was counted so far; of the pictures themselves nothing is kept."""

    def __init__(
        self, labels: tuple[ClassLabel, ...], boundary_width: int | None, stored: StoredPredictions | None
    ) -> None:
        self.labels = labels
        self.boundary_width = boundary_width
        self.stored = stored
        self.confusion = ConfusionMatrix(len(labels))
        self.calibration = Calibration()
        self.instances = MeanFigures()
        self.counts = PictureCounts(len(labels))

    @contextmanager
    def picture(self, sample: Sample, truth: _Truth) -> Iterator[Callable[[slice, np.ndarray], None]]:
        """Count a picture: yields what takes its logits, a band of rows after the other, at the size of the truth."""
        predicted, own = np.empty(truth.mask.shape, np.uint8), ConfusionMatrix(len(self.labels))
        classes = len(self.labels) if truth.instances is not None else 0  # what no figure needs is not kept
        probabilities = np.empty((*truth.mask.shape, classes), np.float32)

        def count(rows: slice, logits: np.ndarray) -> None:
            predicted[rows], sure = most_likely(logits)
            own.add(truth.mask[rows], predicted[rows])
            self.calibration.add(truth.mask[rows], predicted[rows], sure)
            if classes:
                probabilities[rows] = softmax(logits)

        yield count
        width = self.boundary_width or default_width(*truth.mask.shape)
        outlines = boundary_counts(truth.mask, predicted, len(self.labels), width)
        figures = None
        if truth.instances is not None:
            ignore, things = truth.mask == IGNORE, foreground(self.labels)
            figures = instance_figures(truth.instances, instance_map(probabilities, self.labels), ignore=ignore)
            # Dice is that of the mask, as it is drawn: objects have lost what was too small to be one.
            figures["dice"] = dice(np.isin(truth.mask, things), np.isin(predicted, things), ignore=ignore)
            self.instances.add(figures)
        self.confusion.counts += own.counts
        self.counts.add(sample.id, own.counts, outlines, figures)
        if self.stored:
            self.stored.keep(sample, truth.mask, predicted, self.labels)


class _Example:
    """A sample as the model sees it, and the truth to compare with."""

    def __init__(self, sample: Sample, image: np.ndarray, truth: _Truth, size: int, at: str) -> None:
        self.sample = sample
        small = truth.resized(size)
        self.image = resize_image(image, size, size)
        self.small_mask = small.mask
        self.truth = truth if at == "native" else small


def _resized(
    predictor: Predictor,
    dataset: Dataset,
    samples: list[Sample],
    at: str,
    tta: str | Sequence[str] | None,
    loss_of: Loss,
    tally: _Tally,
    reporter: Reporter,
) -> Iterator[tuple[float, int]]:
    """Count every picture, seen at the model's size; yields the loss of each batch and its pictures."""
    size, loss = predictor.spec.input.size, compiled_loss(loss_of)
    forward = averaged(predictor.logits, predictor.views(tta))
    examples = _usable(
        dataset, samples, reporter, lambda sample, image, truth: _Example(sample, image, truth, size, at), 2 * BATCH
    )

    def count(batch: list[_Example], logits: np.ndarray) -> None:
        for example, scores in zip(batch, logits, strict=True):
            height, width = example.truth.mask.shape
            with tally.picture(example.sample, example.truth) as take:
                for rows in bands(height, width * scores.shape[-1]):
                    take(rows, resize_logits(scores, height, width, rows=rows))

    # A batch is counted while the next one goes through the network, which seldom keeps all cores busy.
    with ThreadPoolExecutor(1, thread_name_prefix="count") as beside:
        counting: Future[None] | None = None
        while batch := list(itertools.islice(examples, BATCH)):
            pictures = np.stack([example.image for example in batch])
            missing = BATCH - len(pictures)  # every pass of one shape, so that nothing is compiled twice
            logits = forward(np.pad(pictures, [(0, missing), (0, 0), (0, 0), (0, 0)]))[: len(pictures)]
            if counting:
                counting.result()
            counting = beside.submit(count, batch, logits)
            yield loss(np.stack([example.small_mask for example in batch]), logits), len(batch)
        if counting:
            counting.result()


def _native(
    predictor: Predictor,
    dataset: Dataset,
    samples: list[Sample],
    tiled: bool | None,
    tta: str | Sequence[str] | None,
    loss_of: Loss,
    tally: _Tally,
    reporter: Reporter,
) -> Iterator[tuple[float, int]]:
    """Count every picture, seen as it is; yields the loss of each and 1.

    The loss of a picture that goes through the network in tiles is the mean over its bands, by their pixels.
    """
    for sample, image, truth in _usable(dataset, samples, reporter, lambda *read: read, READERS + 1):
        result, loss = predictor(image, tiled=tiled, tta=tta), 0.0
        whole = isinstance(result.scores, np.ndarray)
        with tally.picture(sample, truth) as count:
            for rows, logits in [(slice(None), result.logits)] if whole else result.bands():
                count(rows, logits)
                loss += float(loss_of(truth.mask[None, rows], logits[None])) * len(logits) / len(truth.mask)
        yield loss, 1


def _usable(
    dataset: Dataset, samples: list[Sample], reporter: Reporter, make: Callable[..., Any], waiting: int
) -> Iterator[Any]:
    """What `make` makes of picture and truth, read ahead in threads; what cannot be read is left out and named."""

    def read(sample: Sample) -> Any:
        try:
            image, mask = dataset.read(sample)
            return make(sample, image, _Truth(mask, dataset.read_instances(sample) if dataset.has_instances else None))
        except UserError as error:
            return str(error)

    with closing(ahead(read, samples, threads=READERS, waiting=waiting)) as results:
        for result in results:
            if isinstance(result, str):
                reporter.note(f"skipped: {result}")
            else:
                yield result


def _check_classes(predictor: Predictor, dataset: Dataset) -> None:
    ours = [label.name for label in predictor.labels]
    theirs = [label.name for label in dataset.classes]
    if ours != theirs:
        raise UserError(
            f"the model knows the classes {', '.join(ours)}, but {dataset.name} has {', '.join(theirs)}: "
            "evaluate it on a data set with its own classes"
        )
