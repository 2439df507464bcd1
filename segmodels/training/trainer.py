"""The training loop: from a recipe and a run directory to weights, figures and samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmodels.backend import ops
from segmodels.data.dataset import Dataset
from segmodels.errors import UserError
from segmodels.evaluation.confusion import ConfusionMatrix
from segmodels.files import write_json
from segmodels.recipe import Recipe
from segmodels.training.adversarial import make_adversary
from segmodels.training.averages import Averages
from segmodels.training.changes import WANTED, Change, changes_of, in_force, take_change
from segmodels.training.networks import begin_with, build_networks, freeze, spec_of
from segmodels.training.parallel import Parallel
from segmodels.training.records import (
    Samples,
    append_confusion,
    append_row,
    copy_history,
    keep_rows,
    save_snapshot,
    snapshot_epochs,
)
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run
from segmodels.training.schedule import learning_rate, plateaus
from segmodels.training.settle import open_fields
from segmodels.training.start import kept_start, kept_teachers, known_before
from segmodels.training.state import Position, drop_previous, load_state, save_state
from segmodels.training.step import Result, Step, make_step
from segmodels.training.teachers import Teachers
from segmodels.training.training_set import TrainingSet, in_kept_split, training_set, validation_set
from segmodels.training.validation import Validated, keep_best, validate

#: Seconds between two saves of `last/` within an epoch: what a killed process loses at most.
SAVE_EVERY = 45.0
#: Seconds of work that are saved before a validation, which may take long.
WORTH_SAVING = 10.0


class Interrupted(Exception):
    """The training was asked to end before its last epoch; all is saved. Its text says by what: stop, pause, signal."""


@dataclass
class _Pending:
    """A step that was given to the device and may not be computed yet."""

    step: int
    masks: np.ndarray
    result: Result
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
        parallel: the devices, where there are several. On several hosts each has a trainer of its own, all do the same
            at every step, and what is asked for from outside is what the first of them is asked for.
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
        parallel: Parallel | None = None,
    ) -> None:
        self.parallel = parallel
        self.recipe, self.run, self.update, self.wanted, self.reporter = recipe, run, update, wanted, reporter
        self.step: Step
        self.deferred: str | None = None  # a request to stop that the first validation comes before
        self.warm = False  # whether this process has compiled its step
        self.changes = changes_of(run.path)
        self._load_data()
        self._build(resume)
        update(
            steps_per_epoch=self.steps,
            images=len(self.train),
            validation_images=len(self.validation),
            batch_size=self.loader.batch_size,
            precision=self.recipe.precision,
            xla=self.step.xla,
        )
        if parallel:
            said = parallel.describe(self.loader.batch_size)
            update(parallel=said)
            reporter.note(said)
        for note in keep_rows(run, self.position.epoch, self.position.step):
            reporter.note(note)
        self.step_seconds: list[float] = []
        self.epoch_seconds = [float(row["seconds"]) for row in run.history()]

    def fit(self) -> None:
        """Train until the last epoch is done, or no better one came for long; `Interrupted` where `wanted` ends it."""
        self.saved = time.monotonic()
        self._take_change()
        self.update(ended_early=False)
        while (epoch := self.position.epoch) < self.epochs:
            if self._has_stalled():
                self.reporter.note(
                    f"no better mean IoU in {self.recipe.early_stopping} epochs: ended after epoch {epoch}"
                )
                self.update(ended_early=True)
                break
            if epoch and epoch == self.recipe.freeze_epochs and not self.position.step:
                self.step.store()
                self.step = self._make_step(frozen=False)
                self.reporter.note("the backbone is no longer frozen")
            self.update(phase="training", epoch=epoch + 1, step=self.position.step)
            confusion = self._train_epoch(epoch)
            self._close_epoch(epoch + 1, confusion)
            self._take_change()  # what was asked for during the validation, were it the last
        drop_previous(self.run.last)

    @property
    def epochs(self) -> int:
        """How many there are to be, after all that was changed."""
        return in_force(self.recipe, self.changes).epochs

    def _take_change(self) -> None:
        """Learn from here on as somebody asked for meanwhile."""
        place = self.position.epoch, self.position.step
        changes = self._agreed_changes(take_change(self.run.path, place))
        if changes is None:
            return
        self.changes = changes
        values = {name: value for each in changes if each.place == place for name, value in each.values.items()}
        if "epochs" in values and values["epochs"] < place[0] + (place[1] > 0):
            self.reporter.note(f"epoch {place[0] + 1} has begun: it is the last")
        said = ", ".join(f"{name} {value:g}" for name, value in values.items())
        self.reporter.note(f"changed from epoch {place[0] + 1}, step {place[1] + 1} on: {said or 'nothing'}")
        self.spec = spec_of(in_force(self.recipe, changes), self.labels)
        self.update(epochs=self.epochs)

    def _agreed_changes(self, changes: list[Change] | None) -> list[Change] | None:
        if self.parallel is None:
            return changes
        said = self.parallel.agreed([vars(change) for change in changes] if changes is not None else None)
        return None if said is None else [Change(**change) for change in said]

    def _asked(self) -> tuple[bool, str | None]:
        """Whether a change is asked for, and why to end, if that is."""
        changed, reason = (self.run.path / WANTED).exists(), self.deferred or self.wanted()
        if self.parallel:
            changed, reason = self.parallel.agreed([changed, reason])
        return changed, reason

    def _has_stalled(self) -> bool:
        """Whether so many epochs brought nothing better that the run is to end; frozen ones do not count, nor those
        before somebody asked for another number."""
        position, patience = self.position, self.recipe.early_stopping
        if patience is None or position.step:
            return False
        asked = [change.epoch for change in self.changes if change.epochs and change.place <= (position.epoch, 0)]
        return position.epoch - max(position.best_epoch, self.recipe.freeze_epochs, *asked) >= patience

    def _load_data(self) -> None:
        self.update(phase="preparing the data")
        dataset = in_kept_split(self.recipe, self.run.split)
        self.labels = dataset.classes
        self.validation = validation_set(self.recipe, dataset, self._progress)
        learned = self._training_set(dataset)
        self.recipe, self.train, self.loss, self.loader = learned.recipe, learned.data, learned.loss, learned.loader
        for data in (self.train, self.validation):
            for skipped in data.skipped:
                self.reporter.note(f"skipped in {data.split}: {skipped['reason']}")
        recipe, self.steps = self.recipe, self.loader.steps
        phase = min(recipe.freeze_epochs or recipe.epochs, recipe.epochs - recipe.freeze_epochs)
        if recipe.accumulation > self.steps * phase:
            raise UserError(
                f"recipe field accumulation={recipe.accumulation}: the run has {self.steps * phase} steps, too few for "
                "one update; lower it, or train longer"
            )

    def _training_set(self, dataset: Dataset) -> TrainingSet:
        """What is left open is settled on the first host, were another's memory larger."""
        path, parallel = self.run.path / "settled.json", self.parallel
        devices = parallel.devices if parallel else 1
        learned = training_set(self.recipe, dataset, self._progress, settled=path, devices=devices)
        if parallel is None:
            return learned
        ours = learned.recipe.model_dump(mode="json")
        if (said := parallel.agreed(ours)) != ours:
            write_json(path, {name: said[name] for name in open_fields(self.recipe)})
            learned = training_set(self.recipe, dataset, self._progress, settled=path, devices=devices)
        parallel.check_batch(learned.loader.batch_size, len(learned.data))
        found = [learned.data.fingerprint, self.validation.fingerprint]
        if parallel.agreed(found) != found:
            raise UserError(f"the pictures of {self.recipe.data} here are not those of the first host: copy them")
        return learned

    def _build(self, resume: bool) -> None:
        self.update(phase="building the network")
        self.model, self.whole = build_networks(self.recipe, self.train, resume=resume, parallel=self.parallel)
        recipe = self.recipe
        if recipe.start_from and not resume:
            start = kept_start(self.run, recipe.start_from)
            self._tell_known(recipe.start_from)
            if anew := begin_with(self.model, recipe, start, self.labels):
                self.reporter.note(f"the classes are not those of {recipe.start_from}: {', '.join(anew)} begin anew")
        for name in recipe.teachers or ():
            self._tell_known(name)
        self.teachers = Teachers(kept_teachers(self.run))
        with self.parallel.scope() if self.parallel else nullcontext():
            self.averages = Averages(self.whole, recipe.ema, recipe.accumulation) if recipe.ema else None
            self.adversary = make_adversary(recipe, len(self.labels)) if recipe.adversarial_weight else None
        self.position = Position(recipe=self.run.recipe.model_dump(mode="json"))
        if resume:
            load_state(self.run.last, self._stand_at, self.reporter.note)
            self.step.load()
        else:
            self.step = self._make_step(frozen=recipe.freeze_epochs > 0)
        self.samples = Samples(self.run, self.validation)
        self.spec = spec_of(in_force(recipe, self.changes), self.labels)
        self.update(parameters=self.model.count_params())

    def _tell_known(self, name: str) -> None:
        """Say so where a checkpoint has learned from what is validated on."""
        if known := known_before(self.recipe, name, self.validation.dataset):
            self.reporter.note(
                f"{known} of the validation pictures were trained on by {name}: figures on them are too good, and the "
                "first epoch may stay the best; give it the same split_file"
            )

    def _stand_at(self, position: Position) -> list[Any]:
        """Be where a saved run was; returns the variables that its state fills."""
        now = self.position.recipe
        if changed := [name for name, value in position.recipe.items() if now.get(name) != value]:
            raise UserError(
                f"the recipe of run {self.run.id} was changed since it was saved ({', '.join(changed)}): put it back, "
                "or start a new run"
            )
        self.position = position
        # At the end of the frozen epochs the state is still theirs: the next phase begins with its first epoch.
        frozen = self.recipe.freeze_epochs
        still = position.epoch < frozen or (position.epoch == frozen > 0 and not position.step)
        self.step = self._make_step(frozen=still)
        return self.step.variables

    def _make_step(self, *, frozen: bool) -> Step:
        """The compiled step for what is to learn now: all, or what stands on a frozen backbone."""
        freeze(self.whole, frozen)
        self.warm = False
        return make_step(
            self.whole,
            self.loss,
            self.recipe,
            averages=self.averages,
            adversary=self.adversary,
            parallel=self.parallel,
        )

    def _train_epoch(self, epoch: int) -> ConfusionMatrix:
        position = self.position
        confusion = ConfusionMatrix(len(self.labels), np.array(position.counts) if position.counts else None)
        lowered = self._plateaus()
        pending: _Pending | None = None
        batches = self.loader.epoch(epoch, start=position.step)
        self.mark = time.monotonic()
        if not self.warm:
            self.update(phase="compiling the network")
        try:
            for step, (images, masks, *maps) in enumerate(batches, start=position.step):
                rate = self._rate(epoch, step, lowered)
                result = self.step.train(images, masks, [*maps, *self.teachers.maps(images)], rate)
                # The step before is read only now, while the device works on this one.
                if pending is not None:
                    self._record(epoch, pending, confusion)
                pending = _Pending(step, masks, result, rate)
                changed, reason = self._asked()
                due = time.monotonic() - self.saved > SAVE_EVERY
                if changed or reason or due:
                    self._record(epoch, pending, confusion)
                    pending = None
                if changed:
                    self._take_change()
                if reason:
                    self._end_early(epoch, confusion, reason)
                if due:
                    self._save(confusion)
        finally:
            batches.close()
        if pending is not None:
            self._record(epoch, pending, confusion)
        return confusion

    def _rate(self, epoch: int, step: int, lowered: int) -> float:
        """The learning rate of a step (from 0) of an epoch (from 0)."""
        recipe, begun = in_force(self.recipe, self.changes, (epoch, step)), self.recipe.epochs
        return learning_rate(recipe, epoch * self.steps + step, self.steps, plateaus=lowered, begun=begun)

    def _plateaus(self) -> int:
        """How often the rate was lowered; after the frozen epochs that begins anew."""
        recipe, losses = self.recipe, self.position.validation
        thawed = 0 < recipe.freeze_epochs <= self.position.epoch
        return plateaus(losses[recipe.freeze_epochs if thawed else 0 :], recipe.plateau_patience)

    def _record(self, epoch: int, done: _Pending, confusion: ConfusionMatrix) -> None:
        """Read a step's results, which waits for them, and write them down."""
        loss = float(done.result.loss)
        self._check_finite(loss, f"epoch {epoch + 1}, step {done.step + 1}")
        own = ConfusionMatrix(len(self.labels))
        own.add(done.masks, np.asarray(done.result.ids))
        confusion.counts += own.counts
        now = time.monotonic()
        seconds, self.mark = now - self.mark, now
        position = self.position
        position.step, position.losses, position.seconds = (
            done.step + 1,
            position.losses + loss,
            position.seconds + seconds,
        )
        others = {name: float(value) for name, value in done.result.figures.items()}
        position.figures = {name: position.figures.get(name, 0.0) + value for name, value in others.items()}
        figures = own.figures()
        row = {
            "epoch": epoch + 1,
            "step": done.step + 1,
            "loss": loss,
            "pixel_accuracy": figures["pixel_accuracy"],
            "mean_iou": figures["mean_iou"],
            **others,
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
            also = ", clip_norm 1" if self.recipe.clip_norm is None else ""
            also += " or precision float32" if self.recipe.precision != "float32" else ""
            raise UserError(
                f"the loss is {loss} at {where}: try a learning_rate below {self.recipe.learning_rate:g}{also}"
                + ("; the best weights so far are kept" if self.run.has_best else "")
            )

    def _seconds_left(self, epoch: int, step: int) -> float:
        """From the mean step of this epoch; epochs that are through count with what validating them took."""
        a_step = float(np.median(self.step_seconds))
        an_epoch = float(np.median(self.epoch_seconds)) if self.epoch_seconds else a_step * self.steps * 1.1
        return a_step * (self.steps - step) + an_epoch * max(0, self.epochs - epoch - 1)

    def _validate_and_keep_best(self, number: int, *, whole: bool = True) -> Validated:
        """Validate the network, or the mean of its weights, and keep it if none before was as good.

        What is kept of a part of an epoch (not `whole`) is there for who stops a run; the next epoch takes its place.
        """
        position = self.position
        self.update(phase="validating")
        with self.step.averaged():
            ask = self._ask_validating if whole else lambda: None
            found = validate(
                self.step, self.validation, self.loader.batch_size, self.samples, maps=self.loader.maps, ask=ask
            )
            self._check_finite(found.loss, f"the validation of epoch {number}")
            if whole and number in snapshot_epochs(in_force(self.recipe, self.changes)):
                save_snapshot(self.run, self.model, self.spec, number, found.confusion)
            mean_iou = found.confusion.figures()["mean_iou"]
            if mean_iou > position.best:
                if whole:
                    position.best, position.best_epoch = mean_iou, number
                keep_best(self.run, self.model, self.spec, number, found, self.samples, self.train)
                self.update(best={"epoch": number, "mean_iou": mean_iou})
        return found

    def _close_epoch(self, number: int, confusion: ConfusionMatrix) -> None:
        """Validate, write the epoch's row and samples, keep the best weights, and save the state."""
        position, began = self.position, time.monotonic()
        if began - self.saved > WORTH_SAVING:
            self._save(confusion)
        try:
            found = self._validate_and_keep_best(number)
        except Interrupted:
            self._save(confusion)  # only now: inside, the network may have had other weights
            raise
        figures, val_figures = confusion.figures(), found.confusion.figures()
        by_class = found.confusion.by_class([label.name for label in self.labels])
        steps = max(1, position.step)
        lowered = self._plateaus()
        row = {
            "epoch": number,
            "loss": position.losses / steps,
            **{key: figures[key] for key in ("pixel_accuracy", "mean_iou", "mean_dice")},
            **{name: value / steps for name, value in position.figures.items()},
            "val_loss": found.loss,
            **{f"val_{key}": value for key, value in val_figures.items()},
            **({"val_mse": found.confusion.mean_squared_error()} if self.adversary else {}),
            **{f"val_iou_{entry['name']}": entry["iou"] for entry in by_class},
            "learning_rate": self._rate(number - 1, self.steps - 1, lowered),
            "images_per_second": self.loader.batch_size * position.step / max(position.seconds, 1e-9),
            "seconds": position.seconds + time.monotonic() - began,
        }
        append_row(self.run.path / "metrics.csv", row)
        append_confusion(self.run, number, found.confusion)
        self.epoch_seconds.append(row["seconds"])
        self.samples.write(number, found.sampled)
        copy_history(self.run)
        self.position = Position(
            epoch=number,
            best=position.best,
            best_epoch=position.best_epoch,
            validation=[*position.validation, found.loss],
            recipe=position.recipe,
        )
        self._save(ConfusionMatrix(len(self.labels)))
        self.reporter.epoch(row, self.epochs)

    def _ask(self) -> None:
        """End where that was asked for."""
        if reason := self.wanted():
            raise Interrupted(reason)

    def _ask_validating(self) -> None:
        """End a validation, which a resumed run begins again; but a stopped run leaves a checkpoint, and where there is
        none yet, the validation first makes it."""
        if not self.deferred and (reason := self._asked()[1]):
            if reason != "stop" or self.run.has_best:
                raise Interrupted(reason)
            self.deferred = reason

    def _end_early(self, epoch: int, confusion: ConfusionMatrix, reason: str) -> None:
        """Save where the training stands; a stopped run always leaves a checkpoint, were it of half an epoch."""
        self._save(confusion)
        if reason == "stop" and not self.run.has_best:
            self._validate_and_keep_best(epoch + 1, whole=False)
        raise Interrupted(reason)

    def _save(self, confusion: ConfusionMatrix) -> None:
        self.step.store()
        self.position.counts = confusion.counts.tolist() if self.position.step else []
        # The last update may have ruined the weights, which the loss of the next step tells: the state before stays.
        arrays = [ops.convert_to_numpy(variable) for variable in self.step.variables]
        if not all(np.isfinite(array).all() for array in arrays[: len(self.whole.variables)]):
            return
        save_state(self.run.last, arrays, self.position)
        self.saved = time.monotonic()

    def _progress(self, done: int, total: int, what: str) -> None:
        self.update(phase=f"{what}: {done} of {total}")
        self.reporter.progress(done, total, what)
        self._ask()
