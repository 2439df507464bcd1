"""What a training learns from: prepared pictures, the loss for their classes, and the loader between the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segmodels.data.dataset import SPLITS, Dataset
from segmodels.data.loader import Loader
from segmodels.data.prepare import prepare
from segmodels.data.prepared import Prepared
from segmodels.data.split import write_split
from segmodels.data.tiles import Tiling
from segmodels.errors import UserError
from segmodels.files import read_json
from segmodels.recipe import Recipe
from segmodels.training.losses import Loss, make_loss
from segmodels.training.settle import settle

#: Told how far something is, how far it goes, and what it is.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TrainingSet:
    """What `training_set` puts together.

    Attributes:
        recipe: the one that it was made for, with nothing left open.
        data: the pictures or tiles to train on.
        loss: for their classes.
        loader: gives them in batches, with the maps that the loss needs.
    """

    recipe: Recipe
    data: Prepared
    loss: Loss
    loader: Loader


def training_set(
    recipe: Recipe, dataset: Dataset, progress: Progress, *, settled: Path | None = None, devices: int = 1
) -> TrainingSet:
    """Prepare the pictures to train on, settle what the recipe leaves open, and make the loss and the loader.

    Args:
        settled: the file that keeps what is settled, and is read where it is there; none by default.
        devices: between which each batch is split.
    """
    data = prepare(dataset, "train", recipe.image_size, tiling=recipe.tiling, limit=recipe.limit, progress=progress)
    recipe = settle(recipe, data, settled, devices=devices)
    assert isinstance(recipe.batch_size, int)
    assert not isinstance(recipe.class_weights, str)
    loss = make_loss(recipe.loss, recipe.class_weights, background=dataset.background)
    classes = len(dataset.classes)
    loader = Loader(
        data,
        recipe.batch_size,
        seed=recipe.seed,
        augment=recipe.augment,
        maps=lambda masks: loss.maps(masks, classes),
    )
    return TrainingSet(recipe, data, loss, loader)


def validation_set(recipe: Recipe, dataset: Dataset, progress: Progress) -> Prepared:
    """The pictures to validate on, or tiles of them (`validation_tiling`)."""
    return prepare(dataset, "validation", recipe.image_size, tiling=validation_tiling(recipe), progress=progress)


def validation_tiling(recipe: Recipe) -> Tiling | None:
    """Tiles in which each pixel lies just once: none counts twice, and what is filled up is ignored. None where
    pictures are resized."""
    size = recipe.image_size
    return Tiling(size, stride=size, edge="pad") if recipe.tiling else None


def in_kept_split(recipe: Recipe, path: Path) -> Dataset:
    """The recipe's data set in the split that the file `path` keeps, which is written at the first call: a picture that
    comes to a folder later must not move others from one side to the other.

    Raises:
        UserError: the data is not there, or its classes or pictures are no longer those of the split.
    """
    if not path.exists():
        dataset = recipe.dataset()
        names = [label.name for label in dataset.classes]
        write_split(path, {split: dataset.samples(split) for split in SPLITS}, classes=names)
        return dataset
    try:
        dataset = recipe.model_copy(update={"split_file": str(path)}).dataset()
    except UserError as error:
        raise UserError(f"{error} (the data has changed since the run began: begin a new one)") from None
    before, now = read_json(path).get("classes"), [label.name for label in dataset.classes]
    if before is not None and before != now:
        raise UserError(
            f"{recipe.data} now has the classes {', '.join(now)}, but when the run began they were "
            f"{', '.join(map(str, before))}: put the labels back, or begin a new run"
        )
    return dataset
