"""The training loop: from a recipe and a run directory to weights, figures and samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmodels.backend import backend_name, clear, keras
from segmodels.data.dataset import SPLITS, Dataset
from segmodels.data.datasets import portable_name
from segmodels.data.loader import Loader, in_order
from segmodels.data.prepare import prepare
from segmodels.data.split import write_split
from segmodels.data.tiles import Tiling
from segmodels.errors import UserError
from segmodels.evaluation.confusion import ConfusionMatrix
from segmodels.files import read_json
from segmodels.hub.checkpoint import ArchitectureSpec, ClassSpec, Spec, input_spec
from segmodels.models.architectures import published
from segmodels.models.build import build
from segmodels.recipe import Recipe
from segmodels.training.losses import make_loss
from segmodels.training.optimizers import make_optimizer
from segmodels.training.records import Samples, append_row, copy_history, cut_rows, save_best
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run
from segmodels.training.schedule import learning_rate
from segmodels.training.state import Position, load_state, save_state
from segmodels.training.step import make_step

#: Seconds between two saves of `last/` within an epoch: what a killed process loses at most.
SAVE_EVERY = 45.0


class Interrupted(Exception):
    """The training was asked to end before its last epoch; all is saved. Its text says by what: stop, pause, signal."""


@dataclass
class _Pending:
    """A step that was given to the device and may not be computed yet."""

    step: int
    masks: np.ndarray
    loss: Any
    ids: Any
    learning_rate: float


class Trainer:
    """One training in one process.

    Args:
        recipe: what to train.
        run: the directory to write, locked by the caller.
        update: called with fields for `status.json`.
        wanted: returns "stop", "pause" or "signal" once the training shall end, else None; asked after every step.
        reporter: told how it goes.
        resume: go on from the run's `last/`.
    """

    def __init__(
        self,
        recipe: Recipe,
        run: Run,
        *,
        update: Callable[..., None],
        wanted: Callable[[], str | None],
        reporter: Reporter,
        resume: bool = False,
    ) -> None:
        self.recipe, self.run, self.update, self.wanted, self.reporter = recipe, run, update, wanted, reporter
        self._load_data()
        self._build(resume)
        self.samples = Samples(run, self.validation)
        self.steps = self.loader.steps
        update(steps_per_epoch=self.steps, images=len(self.train), validation_images=len(self.validation))
        cut_rows(run.path / "metrics.csv", self.position.epoch)
        cut_rows(run.path / "steps.csv", self.position.epoch, self.position.step)
        self.step_seconds: list[float] = []
        self.warm = False  # whether this process has compiled its step
        self.epoch_seconds = [float(row["seconds"]) for row in run.history()]

    def fit(self) -> None:
        """Train until the last epoch is done; `Interrupted` where `wanted` ends it before."""
        self.saved = time.monotonic()
        for epoch in range(self.position.epoch, self.recipe.epochs):
            self.update(phase="training", epoch=epoch + 1, step=self.position.step)
            confusion = self._train_epoch(epoch)
            self._close_epoch(epoch + 1, confusion)

    def _load_data(self) -> None:
        recipe = self.recipe
        self.update(phase="preparing the data")
        dataset = self._dataset()
        self.labels = dataset.classes
        size, tiling = recipe.image_size, recipe.tiling
        # Of the tiles to validate on each pixel lies in just one: none counts twice, and what is filled up is ignored.
        once = tiling and Tiling(size, stride=size, edge="pad")
        self.train = prepare(dataset, "train", size, tiling=tiling, limit=recipe.limit, progress=self._progress)
        self.validation = prepare(dataset, "validation", size, tiling=once, progress=self._progress)
        for data in (self.train, self.validation):
            for skipped in data.skipped:
                self.reporter.note(f"skipped in {data.split}: {skipped['reason']}")
        self.loader = Loader(self.train, recipe.batch_size, seed=recipe.seed, augment=recipe.augment)

    def _dataset(self) -> Dataset:
        """The data set in the run's own split, which is kept from the start: a picture that comes to the folder later
        must not move others from one side to the other."""
        path = self.run.path / "split.json"
        if not path.exists():
            dataset = self.recipe.dataset()
            names = [label.name for label in dataset.classes]
            write_split(path, {split: dataset.samples(split) for split in SPLITS}, classes=names)
            return dataset
        try:
            dataset = self.recipe.model_copy(update={"split_file": str(path)}).dataset()
        except UserError as error:
            raise UserError(f"{error} (the data has changed since the run began: begin a new one)") from None
        before, now = read_json(path).get("classes"), [label.name for label in dataset.classes]
        if before is not None and before != now:
            raise UserError(
                f"{self.recipe.data} now has the classes {', '.join(now)}, but when the run began they were "
                f"{', '.join(map(str, before))}: put the labels back, or begin a new run"
            )
        return dataset

    def _build(self, resume: bool) -> None:
        recipe = self.recipe
        self.update(phase="building the network")
        clear()
        keras.utils.set_random_seed(recipe.seed)
        if recipe.deterministic and backend_name() == "tensorflow":
            import tensorflow as tf

            tf.config.experimental.enable_op_determinism()
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16" if recipe.precision == "bfloat16" else "float32")
        try:
            self.model = build(
                recipe.architecture,
                classes=len(self.labels),
                backbone=recipe.backbone,
                weights="none" if resume else recipe.weights or "none",
                norm_momentum=recipe.norm_momentum,
                **recipe.options,
            )
        finally:
            keras.config.set_dtype_policy(policy)
        if published(recipe.weights) and not resume:
            from segmodels.models.voc import unfold_batch_norm

            unfold_batch_norm(self.model, self.train.read(slice(0, 16))[0])
        self.optimizer = make_optimizer(recipe, self.model)
        self.position = load_state(self.run.last, self.model, self.optimizer) if resume else Position()
        loss = make_loss(recipe.loss, recipe.class_weights)
        self.step = make_step(self.model, self.optimizer, loss)
        self.spec = Spec(
            format=1,
            architecture=ArchitectureSpec(
                name=recipe.architecture, backbone=recipe.backbone, classes=len(self.labels), options=recipe.options
            ),
            classes=[ClassSpec(name=label.name, colour=label.colour) for label in self.labels],
            input=input_spec(recipe.sampling, recipe.image_size),
            # A folder of this machine says nothing elsewhere.
            recipe=recipe.model_dump(mode="json")
            | {"root": None, "split_file": None, "data": portable_name(recipe.data)},
        )
        self.update(parameters=self.model.count_params())

    def _train_epoch(self, epoch: int) -> ConfusionMatrix:
        position = self.position
        confusion = ConfusionMatrix(len(self.labels), np.array(position.counts) if position.counts else None)
        total = self.steps * self.recipe.epochs
        pending: _Pending | None = None
        batches = self.loader.epoch(epoch, start=position.step)
        self.mark = time.monotonic()
        if position.step == 0 and epoch == 0:
            self.update(phase="compiling the network")
        try:
            for step, (images, masks) in enumerate(batches, start=position.step):
                rate = learning_rate(self.recipe, epoch * self.steps + step, total)
                loss, ids = self.step.train(images, masks, rate)
                # The step before is read only now, while the device works on this one.
                if pending is not None:
                    self._record(epoch, pending, confusion)
                pending = _Pending(step, masks, loss, ids, rate)
                if reason := self.wanted():
                    self._record(epoch, pending, confusion)
                    self._end_early(epoch, confusion, reason)
                if time.monotonic() - self.saved > SAVE_EVERY:
                    self._record(epoch, pending, confusion)
                    pending = None
                    self._save(confusion)
        finally:
            batches.close()  # type: ignore[attr-defined]
        if pending is not None:
            self._record(epoch, pending, confusion)
        return confusion

    def _record(self, epoch: int, done: _Pending, confusion: ConfusionMatrix) -> None:
        """Read a step's results, which waits for them, and write them down."""
        loss = float(done.loss)
        self._check_finite(loss, f"epoch {epoch + 1}, step {done.step + 1}")
        own = ConfusionMatrix(len(self.labels))
        own.add(done.masks, np.asarray(done.ids))
        confusion.counts += own.counts
        now = time.monotonic()
        seconds, self.mark = now - self.mark, now
        position = self.position
        position.step, position.losses, position.seconds = (
            done.step + 1,
            position.losses + loss,
            position.seconds + seconds,
        )
        figures = own.figures()
        row = {
            "epoch": epoch + 1,
            "step": done.step + 1,
            "loss": loss,
            "pixel_accuracy": figures["pixel_accuracy"],
            "mean_iou": figures["mean_iou"],
            "learning_rate": done.learning_rate,
            "seconds": seconds,
        }
        append_row(self.run.path / "steps.csv", row)
        # The first step of a process also compiles the network, so it says nothing about the others.
        self.step_seconds = [*self.step_seconds[-49:], seconds] if self.warm else []
        self.warm = True
        speed = self.loader.batch_size / float(np.median(self.step_seconds)) if self.step_seconds else None
        left = self._seconds_left(epoch, position.step) if speed else None
        self.update(phase="training", step=position.step, images_per_second=speed, seconds_left=left)
        self.reporter.step(
            {
                **row,
                "running_mean_iou": confusion.figures()["mean_iou"],
                "running_loss": position.losses / position.step,
            },
            self.steps,
        )

    def _check_finite(self, loss: float, where: str) -> None:
        if not np.isfinite(loss):
            raise UserError(
                f"the loss is {loss} at {where}: try a learning_rate below {self.recipe.learning_rate:g} "
                "or precision float32; the best weights so far are kept"
            )

    def _seconds_left(self, epoch: int, step: int) -> float:
        """From the mean step of this epoch; epochs that are through count with what validating them took."""
        a_step = float(np.median(self.step_seconds))
        an_epoch = float(np.median(self.epoch_seconds)) if self.epoch_seconds else a_step * self.steps * 1.1
        return a_step * (self.steps - step) + an_epoch * (self.recipe.epochs - epoch - 1)

    def _validate(self) -> tuple[float, ConfusionMatrix, dict[int, np.ndarray]]:
        """Loss, confusion matrix, and the predictions of the sampled pictures."""
        self.update(phase="validating")
        confusion, losses, sampled, start = ConfusionMatrix(len(self.labels)), 0.0, {}, 0
        for images, masks, real in in_order(self.validation, self.recipe.batch_size):
            loss, ids = self.step.evaluate(images, masks)
            predictions = np.asarray(ids)
            confusion.add(masks[:real], predictions[:real])
            losses += float(loss) * real
            for index in self.samples.indices:
                if start <= index < start + real:
                    sampled[index] = predictions[index - start]
            start += real
        return losses / len(self.validation), confusion, sampled

    def _validate_and_keep_best(self, number: int) -> tuple[float, ConfusionMatrix, dict[int, np.ndarray]]:
        """What `_validate` gives, after the weights were kept if none before them were as good."""
        position = self.position
        val_loss, validation, sampled = self._validate()
        self._check_finite(val_loss, f"the validation of epoch {number}")
        val_figures = validation.figures()
        if val_figures["mean_iou"] > position.best:
            position.best, position.best_epoch = val_figures["mean_iou"], number
            self.step.synchronise()
            metrics = {
                "epoch": number,
                "validation": {"loss": val_loss, **val_figures},
                "classes": validation.by_class([label.name for label in self.labels]),
                "confusion_matrix": validation.counts.tolist(),
                "train_images": len(self.train),
                "validation_images": len(self.validation),
                "data_fingerprint": self.train.fingerprint,
            }
            previews = self.samples.previews(self.validation, sampled)
            save_best(self.run, self.model, self.spec, metrics, previews)
            self.update(best={"epoch": number, "mean_iou": position.best})
        return val_loss, validation, sampled

    def _close_epoch(self, number: int, confusion: ConfusionMatrix) -> None:
        """Validate, write the epoch's row and samples, keep the best weights, and save the state."""
        position, began = self.position, time.monotonic()
        val_loss, validation, sampled = self._validate_and_keep_best(number)
        figures, val_figures = confusion.figures(), validation.figures()
        by_class = validation.by_class([label.name for label in self.labels])
        row = {
            "epoch": number,
            "loss": position.losses / max(1, position.step),
            **{key: figures[key] for key in ("pixel_accuracy", "mean_iou", "mean_dice")},
            "val_loss": val_loss,
            **{f"val_{key}": value for key, value in val_figures.items()},
            **{f"val_iou_{entry['name']}": entry["iou"] for entry in by_class},
            "learning_rate": learning_rate(self.recipe, number * self.steps - 1, self.steps * self.recipe.epochs),
            "images_per_second": self.loader.batch_size * position.step / max(position.seconds, 1e-9),
            "seconds": position.seconds + time.monotonic() - began,
        }
        append_row(self.run.path / "metrics.csv", row)
        self.epoch_seconds.append(row["seconds"])
        self.samples.write(number, sampled)
        copy_history(self.run)
        self.position = Position(epoch=number, best=position.best, best_epoch=position.best_epoch)
        self._save(ConfusionMatrix(len(self.labels)))
        self.reporter.epoch(row, self.recipe.epochs)

    def _end_early(self, epoch: int, confusion: ConfusionMatrix, reason: str) -> None:
        """Save where the training stands; a stopped run always leaves a checkpoint, were it of half an epoch."""
        if reason == "stop" and not self.run.has_best:
            self._validate_and_keep_best(epoch + 1)
        self._save(confusion)
        raise Interrupted(reason)

    def _save(self, confusion: ConfusionMatrix) -> None:
        self.step.synchronise()
        self.position.counts = confusion.counts.tolist() if self.position.step else []
        save_state(self.run.last, self.model, self.optimizer, self.position)
        self.saved = time.monotonic()

    def _progress(self, done: int, total: int, what: str) -> None:
        self.update(phase=f"{what}: {done} of {total}")
        self.reporter.progress(done, total, what)
        if reason := self.wanted():
            raise Interrupted(reason)
