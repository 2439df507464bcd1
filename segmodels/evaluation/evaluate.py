"""`evaluate`: the report of one model on one split."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segmodels.data.ahead import ahead
from segmodels.data.dataset import IGNORE, SPLITS, ClassLabel, Dataset, Sample
from segmodels.data.datasets import data_name
from segmodels.data.images import resize_image, resize_mask
from segmodels.errors import UserError, choose
from segmodels.evaluation.confusion import ConfusionMatrix
from segmodels.evaluation.instances import MeanFigures, dice, instance_figures
from segmodels.prediction.masks import foreground
from segmodels.prediction.postprocess import instance_map
from segmodels.prediction.predictor import Predictor, softmax
from segmodels.prediction.resize import bands, resize_logits
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

    Args:
        model: a `Predictor`, a checkpoint directory, a run or its id.
        data: a data set's name; that of the recipe where None.
        root: its folder, where it has files.

    Returns:
        model, data, split, images, at, loss, pixel_accuracy, mean_iou, mean_dice, precision, recall, f1,
        classes (name, iou, dice, precision, recall, pixels), confusion_matrix,
        instances (dice, aji, aji_plus, pq, dq, sq, f1; None where the data set has none), images_per_second.

    Raises:
        UserError: an unknown name, classes that do not match, or no usable sample.
    """
    choose("comparison size", at, ("native", "model"))
    predictor = model if isinstance(model, Predictor) else Predictor(model)
    recipe = _recipe(predictor, data, root)
    dataset = recipe.dataset()
    _check_classes(predictor, dataset)
    samples = dataset.samples(choose("split", split, SPLITS))
    reporter = reporter or Reporter()

    classes = len(predictor.labels)
    weights = recipe.class_weights
    if isinstance(weights, str) or (weights is not None and len(weights) != classes):
        raise UserError(f"{predictor.path} has class weights {weights!r} for {classes} classes: train it again")
    loss_of = make_loss(recipe.loss, weights, background=dataset.background)
    tally, losses, images, began = _Tally(predictor.labels), 0.0, 0, time.perf_counter()
    if predictor.spec.input.mode == "tiles":
        passes = _native(predictor, dataset, samples, loss_of, tally, reporter)
    else:
        passes = _resized(predictor, dataset, samples, at, loss_of, tally, reporter)
    for loss, count in passes:
        losses += loss * count
        images += count
        reporter.progress(images, len(samples), f"evaluating {split}")
    if not images:
        raise UserError(f"no usable picture in the {split} split of {recipe.data}")
    return {
        "model": str(predictor.path),
        "data": recipe.data,
        "split": split,
        "images": images,
        "at": at,
        "loss": losses / images,
        **tally.confusion.figures(),
        "classes": tally.confusion.by_class([label.name for label in predictor.labels]),
        "confusion_matrix": tally.confusion.counts.tolist(),
        "instances": tally.instances.figures(),
        "images_per_second": images / (time.perf_counter() - began),
    }


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

    def __init__(self, labels: tuple[ClassLabel, ...]) -> None:
        self.labels = labels
        self.confusion = ConfusionMatrix(len(labels))
        self.instances = MeanFigures()

    @contextmanager
    def picture(self, truth: _Truth) -> Iterator[Callable[[slice, np.ndarray], None]]:
        """Count a picture: yields what takes its logits, a band of rows after the other, at the size of the truth."""
        predicted = np.empty(truth.mask.shape, np.uint8)
        classes = len(self.labels) if truth.instances is not None else 0  # what no figure needs is not kept
        probabilities = np.empty((*truth.mask.shape, classes), np.float32)

        def count(rows: slice, logits: np.ndarray) -> None:
            predicted[rows] = logits.argmax(axis=-1)
            self.confusion.add(truth.mask[rows], predicted[rows])
            if classes:
                probabilities[rows] = softmax(logits)

        yield count
        if truth.instances is not None:
            ignore, things = truth.mask == IGNORE, foreground(self.labels)
            figures = instance_figures(truth.instances, instance_map(probabilities, self.labels), ignore=ignore)
            # Dice is that of the mask, as it is drawn: objects have lost what was too small to be one.
            figures["dice"] = dice(np.isin(truth.mask, things), np.isin(predicted, things), ignore=ignore)
            self.instances.add(figures)


class _Example:
    """A sample as the model sees it, and the truth to compare with."""

    def __init__(self, image: np.ndarray, truth: _Truth, size: int, at: str) -> None:
        small = truth.resized(size)
        self.image = resize_image(image, size, size)
        self.small_mask = small.mask
        self.truth = truth if at == "native" else small


def _resized(
    predictor: Predictor,
    dataset: Dataset,
    samples: list[Sample],
    at: str,
    loss_of: Loss,
    tally: _Tally,
    reporter: Reporter,
) -> Iterator[tuple[float, int]]:
    """Count every picture, seen at the model's size; yields the loss of each batch and its pictures."""
    size = predictor.spec.input.size
    examples = _usable(dataset, samples, reporter, lambda image, truth: _Example(image, truth, size, at), 2 * BATCH)
    while batch := list(itertools.islice(examples, BATCH)):
        pictures = np.stack([example.image for example in batch])
        missing = BATCH - len(pictures)  # every pass of one shape, so that nothing is compiled twice
        logits = predictor.logits(np.pad(pictures, [(0, missing), (0, 0), (0, 0), (0, 0)]))[: len(pictures)]
        for example, scores in zip(batch, logits, strict=True):
            height, width = example.truth.mask.shape
            with tally.picture(example.truth) as count:
                for rows in bands(height):
                    count(rows, resize_logits(scores, height, width, rows=rows))
        yield float(loss_of(np.stack([example.small_mask for example in batch]), logits)), len(batch)


def _native(
    predictor: Predictor,
    dataset: Dataset,
    samples: list[Sample],
    loss_of: Loss,
    tally: _Tally,
    reporter: Reporter,
) -> Iterator[tuple[float, int]]:
    """Count every picture, seen as it is; yields the loss of each and 1.

    The loss of a picture that goes through the network in tiles is the mean over its bands, by their pixels.
    """
    for image, truth in _usable(dataset, samples, reporter, lambda *pair: pair, READERS + 1):
        result, loss = predictor(image), 0.0
        whole = isinstance(result.scores, np.ndarray)
        with tally.picture(truth) as count:
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
            return make(image, _Truth(mask, dataset.read_instances(sample) if dataset.has_instances else None))
        except UserError as error:
            return str(error)

    with closing(ahead(read, samples, threads=READERS, waiting=waiting)) as results:
        for result in results:
            if isinstance(result, str):
                reporter.note(f"skipped: {result}")
            else:
                yield result


def _recipe(predictor: Predictor, data: str | None, root: str | Path | None) -> Recipe:
    """What the model was trained by; the run's own recipe, where there is one, also knows the folder of the data."""
    fields: dict[str, Any] = predictor.spec.recipe
    kept = predictor.path.parent
    run = kept if predictor.path.name == "best" else kept.parent if kept.name == "epochs" else None
    if run and (run / "recipe.json").is_file():
        settled = {name: fields[name] for name in ("class_weights",) if name in fields}
        fields = {**Recipe.load(run / "recipe.json").model_dump(), **settled}
    if data and data_name(data) != fields.get("data"):
        fields = {**fields, "data": data, "root": None, "form": None, "split_file": None}
    elif run and root is None and (run / "split.json").is_file():
        # As it was split for the training: what was trained on must not be tested on.
        fields = {**fields, "split_file": str(run / "split.json")}
    if root is not None:
        fields = {**fields, "root": str(root)}
    # Pretrained weights are not looked for, nor is anything of what they were trained by.
    tuned = ("freeze_epochs", "fine_tune_rate", "backbone_rate", "layer_decay")
    return Recipe(**{**{name: value for name, value in fields.items() if name not in tuned}, "weights": "none"})


def _check_classes(predictor: Predictor, dataset: Dataset) -> None:
    ours = [label.name for label in predictor.labels]
    theirs = [label.name for label in dataset.classes]
    if ours != theirs:
        raise UserError(
            f"the model knows the classes {', '.join(ours)}, but {dataset.name} has {', '.join(theirs)}: "
            "evaluate it on a data set with its own classes"
        )
