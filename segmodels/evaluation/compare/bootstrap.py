"""Which differences between models are real: a paired bootstrap over the pictures that all were scored on.

Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 13 and 15. Every pixel figure comes from three
counts a picture and class (hits, true pixels, predicted pixels), so a resample is how often each picture is drawn, and
all resamples are matrix products. Sums of pixels are exact: float64 holds every whole number up to 2**53. Pure NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from segmodels.errors import UserError, choose
from segmodels.evaluation import instances

#: The pixel figures in the order of a report; the IoU of each class follows, and the instance figures.
FIGURES = ("pixel_accuracy", "mean_iou", "mean_dice", "precision", "recall", "f1", "mse")

#: Numbers in the largest arrays of a chunk of resamples: 8 MB in float64.
CELLS = 2**20

#: Figures are 0 to 1 and sums of float64: a difference below this is one of rounding, and taken for none.
RESOLUTION = 1e-12


@dataclass(frozen=True)
class Scores:
    """What one model got on each picture, with each training seed.

    Attributes:
        confusion: pixels by true class (row) and predicted class (column), int64 `(runs, pictures, classes, classes)`.
        instances: `segmodels.evaluation.instances.FIGURES` in that order, float64 `(runs, pictures, figures)`, or None
            where the data set numbers no objects.
    """

    name: str
    confusion: np.ndarray
    instances: np.ndarray | None


@dataclass(frozen=True)
class Pair:
    """Two models and a figure: `difference` is first minus second, `low` to `high` its interval.

    `p` is two-sided; `p_corrected` is Holm's, over all pairs of the figure. Where the figure is undefined, numbers are
    NaN and the two are not different.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    p_corrected: float
    different: bool


class Interval(NamedTuple):
    """A model's figure between the ends of its interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """Figures of every model, how sure they are, and which models differ.

    Attributes:
        models, figures: names; of the rows and the columns of the arrays `(models, figures)`.
        values: on the pictures as they are, means over runs.
        low, high: the percentile interval at `level`.
        spread: standard deviation over runs (with n - 1), NaN for one run. The interval says what other pictures would
            give, the spread what other seeds do.
        resampled: the value in each resample, float64 `(models, figures, resamples)`.
    """

    models: list[str]
    figures: list[str]
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    spread: np.ndarray
    level: float
    resampled: np.ndarray = field(repr=False)

    def intervals(self, figure: str) -> list[Interval]:
        """Each model's figure between the ends of its interval, in the order of `models`; `UserError` as `pairs`."""
        column = self.figures.index(choose("figure", figure, self.figures))
        columns = [values[:, column].tolist() for values in (self.values, self.low, self.high)]
        return [Interval(*row) for row in zip(self.models, *columns, strict=True)]

    def pairs(self, figure: str) -> list[Pair]:
        """Compare all models two by two, in the order of `models`; `UserError` for a figure that there is not."""
        column = self.figures.index(choose("figure", figure, self.figures))
        first, second = np.triu_indices(len(self.models), 1)
        differences = _difference(self.values[first, column], self.values[second, column])
        resampled = _difference(self.resampled[first, column], self.resampled[second, column])
        low, high = _interval(resampled, self.level)
        p = _p(resampled)
        corrected = holm(p)
        names = [(self.models[i], self.models[j]) for i, j in zip(first, second, strict=True)]
        columns = [each.tolist() for each in (differences, low, high, p, corrected, corrected < 1 - self.level)]
        return [Pair(*couple, *row) for couple, row in zip(names, zip(*columns, strict=True), strict=True)]


def bootstrap(
    models: Sequence[Scores],
    *,
    class_names: Sequence[str],
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Bootstrap:
    """Resample the pictures, with replacement, and score every model on each resample.

    A model's figure is the mean over its runs of what the sum of the run's confusion matrices gives, as
    `ConfusionMatrix` defines it; `instances: …` are means over the pictures, and are there where all models have them.
    The IoU of a class is undefined in a resample in which a run of the model has it in neither truth nor prediction; a
    resample without it is left out of that interval, and NaN remains where there is no other.

    The draws hang on `seed` and the number of pictures alone: what else is compared changes no model's interval. A
    p-value is at least 2 / (`resamples` + 1); with M pairs, models can differ only where M times that is below
    1 - `level`. Memory grows with models x figures x resamples, and not with pictures x resamples.

    Raises:
        UserError: no models or pictures, names given twice, models not scored on the same pictures and classes (the
            true pixels of each picture and class tell), `resamples` below 1, or `level` not between 0 and 1.
    """
    if resamples < 1:
        raise UserError(f"resamples={resamples}: must be at least 1")
    if not 0 < level < 1:
        raise UserError(f"level={level}: must be between 0 and 1, such as 0.95")
    _check(models, class_names)
    pictures = _Pictures.of(models)
    ends = np.cumsum([len(model.confusion) for model in models])
    runs = [slice(end - len(model.confusion), end) for model, end in zip(models, ends, strict=True)]

    whole = pictures.figures(np.ones((1, pictures.number), np.int64))[:, :, 0]
    resampled = np.empty((len(models), whole.shape[1], resamples))
    for chunk, counts in _draws(pictures, resamples, seed):
        figures = pictures.figures(counts)
        for model, run in enumerate(runs):
            resampled[model, :, chunk] = figures[run].mean(axis=0)

    low, high = _interval(resampled, level)
    names = [*FIGURES, *(f"iou: {name}" for name in class_names)]
    if pictures.objects:
        names += [f"instances: {name}" for name in instances.FIGURES]
    return Bootstrap(
        models=[model.name for model in models],
        figures=names,
        values=np.array([whole[run].mean(axis=0) for run in runs]),
        low=low,
        high=high,
        spread=np.array([_spread(whole[run]) for run in runs]),
        level=level,
        resampled=resampled,
    )


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Correct p-values for their number (Holm 1979, Scandinavian Journal of Statistics 6): float64 of the same order.

    The smallest of n is multiplied by n, the next by n - 1 and so on, at most 1; none ends below a smaller one. NaN is
    no test: it stays NaN and does not count.
    """
    p = np.asarray(p, np.float64)
    corrected = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.maximum.accumulate(np.minimum(p[order] * factors, 1))
    return corrected


def higher_is_better(figure: str) -> bool:
    """Whether more of a figure is better: of all but the mean squared error."""
    return figure != "mse"


@dataclass(frozen=True)
class _Pictures:
    """What the figures need of every picture, of all runs of all models.

    `rows` is float64 `(…, pictures)`: the hits of each run and class, the predicted pixels of each run and class, the
    true pixels of each class, and, if there are `objects`, the instance figures of each run.
    """

    rows: np.ndarray
    runs: int
    classes: int
    objects: bool

    @classmethod
    def of(cls, models: Sequence[Scores]) -> _Pictures:
        parts = [np.diagonal(model.confusion, axis1=-2, axis2=-1) for model in models]
        parts += [model.confusion.sum(axis=-2) for model in models]
        parts += [_true_pixels(models[0])[:1]]
        objects = [model.instances for model in models if model.instances is not None]
        if complete := len(objects) == len(models):
            parts += objects
        number, classes = parts[0].shape[1:]
        rows = [np.moveaxis(part, 1, 2).reshape(-1, number) for part in parts]
        return cls(
            np.concatenate(rows, dtype=np.float64), sum(len(model.confusion) for model in models), classes, complete
        )

    @property
    def number(self) -> int:
        return self.rows.shape[1]

    def figures(self, counts: np.ndarray) -> np.ndarray:
        """All figures, `(runs, figures, resamples)`, of pictures that are there as often as `counts` says.

        `counts` is int64 `(resamples, pictures)`. One product does it all: each wakes the threads of BLAS, which on a
        busy machine takes longer than the product itself.
        """
        pixels = self.runs * self.classes
        sums = self.rows @ counts.T.astype(np.float64)
        hits, predicted, true, objects = np.split(sums, [pixels, 2 * pixels, 2 * pixels + self.classes])
        shape = (self.runs, -1, len(counts))
        figures = _pixel_figures(hits.reshape(shape), predicted.reshape(shape), true)
        return np.concatenate([figures, objects.reshape(shape) / self.number], axis=1) if self.objects else figures


def _pixel_figures(hits: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """`FIGURES` and the IoU of each class: `(runs, figures, resamples)`.

    A class that is not in the truth has no hits. Divided by 1 where there is nothing to divide by, its ratios are 0 and
    add nothing to a sum over classes: only the number of classes in the truth is needed for a mean.
    """
    total, right = true.sum(axis=0), hits.sum(axis=1)
    some = np.maximum(total, 1)
    present = np.maximum((true > 0).sum(axis=0), 1)
    union = true + predicted - hits
    iou = hits / np.maximum(union, 1)
    precision = (hits / np.maximum(predicted, 1)).sum(axis=1) / present
    recall = (hits / np.maximum(true, 1)).sum(axis=1) / present
    both = precision + recall
    figures = {
        "pixel_accuracy": right / some,
        "mean_iou": iou.sum(axis=1) / present,
        "mean_dice": (2 * hits / np.maximum(true + predicted, 1)).sum(axis=1) / present,
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / np.where(both > 0, both, 1),
        "mse": np.where(total > 0, 2 * (total - right) / (some * len(true)), np.nan),
    }
    by_class = np.where(union > 0, iou, np.nan)
    return np.concatenate([np.stack([figures[name] for name in FIGURES], axis=1), by_class], axis=1)


def _draws(pictures: _Pictures, resamples: int, seed: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Some resamples at a time: which they are, and how often each has each picture, int64 `(resamples, pictures)`."""
    rng, number = np.random.default_rng(seed), pictures.number
    size = max(1, CELLS // max(number, pictures.runs * pictures.classes))
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        draws = rng.integers(number, size=(rows, number))
        draws += np.arange(rows)[:, None] * number
        yield slice(start, start + rows), np.bincount(draws.ravel(), minlength=rows * number).reshape(rows, number)


def _spread(runs: np.ndarray) -> np.ndarray:
    return runs.std(axis=0, ddof=1) if len(runs) > 1 else np.full(runs.shape[1], np.nan)


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    difference = first - second
    return np.where(np.abs(difference) < RESOLUTION, 0, difference)


def _interval(values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The percentile interval of the values that are defined: low and high of `(…, resamples)`; NaN where none is."""
    ordered = np.sort(values, axis=-1)  # NaN come last
    last = np.maximum(np.count_nonzero(~np.isnan(values), axis=-1, keepdims=True) - 1, 0)

    def quantile(share: float) -> np.ndarray:
        below = np.floor(share * last).astype(np.int64)
        one = np.take_along_axis(ordered, below, axis=-1)
        next_one = np.take_along_axis(ordered, np.minimum(below + 1, last), axis=-1)
        return (one + (share * last - below) * (next_one - one))[..., 0]

    return quantile((1 - level) / 2), quantile((1 + level) / 2)


def _p(differences: np.ndarray) -> np.ndarray:
    """The two-sided p-value of there being no difference, of `(…, resamples)`; NaN where none is defined.

    What was seen counts as one more resample on either side (Davison & Hinkley 1997, Bootstrap Methods and their
    Application, section 4.2): no p-value is 0.
    """
    at_most = np.count_nonzero(differences <= 0, axis=-1)
    at_least = np.count_nonzero(differences >= 0, axis=-1)
    defined = np.count_nonzero(~np.isnan(differences), axis=-1)
    p = np.minimum(2 * (np.minimum(at_most, at_least) + 1) / (defined + 1), 1)
    return np.where(defined > 0, p, np.nan)


def _true_pixels(model: Scores) -> np.ndarray:
    """Of each class in each picture: int64 `(runs, pictures, classes)`."""
    return model.confusion.sum(axis=-1)


def _check(models: Sequence[Scores], class_names: Sequence[str]) -> None:
    if not models:
        raise UserError("there are no models to compare: give at least one")
    first, truth = models[0], None
    for i, model in enumerate(models):
        if any(model.name == other.name for other in models[:i]):
            raise UserError(f"two models are called {model.name!r}: give each a name of its own")
        runs, pictures, classes = model.confusion.shape[:3]
        if not runs:
            raise UserError(f"{model.name} has no runs: give at least one")
        if classes != len(class_names):
            raise UserError(f"{model.name} knows {classes} classes, the data {len(class_names)}: leave it out")
        if pictures != first.confusion.shape[1]:
            raise UserError(
                f"{first.name} was scored on {first.confusion.shape[1]} pictures and {model.name} on {pictures}: "
                "score both on the same ones"
            )
        if not pictures:
            raise UserError("there are no pictures to compare the models on: choose a split that has some")
        expected = (runs, pictures, len(instances.FIGURES))
        if model.instances is not None and model.instances.shape != expected:
            raise ValueError(f"{model.name}: instances are {model.instances.shape}, and must be {expected}")
        true = _true_pixels(model)
        truth = true[0] if truth is None else truth
        if (unlike := np.argwhere(true != truth)).size:
            run, picture, which = unlike[0]
            raise UserError(
                f"{first.name} and {model.name} were not scored on the same truth: picture {picture + 1} has "
                f"{truth[picture, which]} and {true[run, picture, which]} pixels of {class_names[which]}: "
                "score both again, at the same size"
            )
