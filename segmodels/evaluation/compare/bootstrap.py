"""Which differences between models are real: a paired bootstrap over the pictures that all were scored on.

Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 13 and 15. Every pixel figure comes from three counts
a picture and class (hits, true pixels, predicted pixels), so a resample is a row of how often each picture is drawn, and
all resamples are matrix products. Pixels are whole numbers: up to 2**53 of them the sums are exact in float64. Pure
NumPy.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from segmodels.errors import UserError, choose
from segmodels.evaluation import instances

#: The pixel figures in the order of a report; the IoU of each class follows, and the instance figures.
FIGURES = ("pixel_accuracy", "mean_iou", "mean_dice", "precision", "recall", "f1", "mse")

#: Numbers in the largest arrays of a chunk of resamples: 2 MB in float64, which a processor's cache holds.
CELLS = 2**18

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

    def pairs(self, figure: str) -> list[Pair]:
        """Compare all models two by two, in the order of `models`; `UserError` for a figure that there is not."""
        column = self.figures.index(choose("figure", figure, self.figures))
        couples = list(itertools.combinations(range(len(self.models)), 2))
        values, resampled = self.values[:, column], self.resampled[:, column]
        differences = [_difference(values[[i]], values[[j]])[0] for i, j in couples]
        tests = [_test(_difference(resampled[i], resampled[j]), self.level) for i, j in couples]
        corrected = holm([p for _, _, p in tests])
        return [
            Pair(
                self.models[i], self.models[j], float(difference), low, high, p, float(p_corrected),
                different=bool(p_corrected < 1 - self.level),
            )
            for (i, j), difference, (low, high, p), p_corrected in zip(
                couples, differences, tests, corrected, strict=True
            )
        ]  # fmt: skip


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

    whole = pictures.figures(np.ones((1, pictures.number)))[:, :, 0]
    resampled = np.empty((len(models), whole.shape[1], resamples))
    for chunk, counts in _draws(pictures, resamples, np.random.default_rng(seed)):
        figures = pictures.figures(counts)
        for model, run in enumerate(runs):
            resampled[model, :, chunk] = figures[run].mean(axis=0)

    interval = np.array([[_interval(values, level) for values in model] for model in resampled])
    names = [*FIGURES, *(f"iou: {name}" for name in class_names)]
    if pictures.instances is not None:
        names += [f"instances: {name}" for name in instances.FIGURES]
    return Bootstrap(
        models=[model.name for model in models],
        figures=names,
        values=np.array([whole[run].mean(axis=0) for run in runs]),
        low=interval[:, :, 0],
        high=interval[:, :, 1],
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
    """What the figures need of every picture, of all runs of all models: float64, `pictures` last.

    `hits` and `predicted` are pixels `(runs, classes, pictures)`, `true` `(classes, pictures)`, and `instances`
    `(runs, figures, pictures)`.
    """

    hits: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    instances: np.ndarray | None

    @classmethod
    def of(cls, models: Sequence[Scores]) -> _Pictures:
        hits = [np.diagonal(model.confusion, axis1=-2, axis2=-1) for model in models]
        predicted = [model.confusion.sum(axis=-2) for model in models]
        objects = [model.instances for model in models if model.instances is not None]
        return cls(
            _pictures_last(np.concatenate(hits)),
            _pictures_last(np.concatenate(predicted)),
            _pictures_last(_true_pixels(models[0])[0]),
            _pictures_last(np.concatenate(objects)) if len(objects) == len(models) else None,
        )

    @property
    def number(self) -> int:
        return self.true.shape[-1]

    def figures(self, counts: np.ndarray) -> np.ndarray:
        """All figures where each picture is there as often as `counts`, `(resamples, pictures)`, says.

        Returns:
            Float64 `(runs, figures, resamples)`.
        """
        drawn = counts.T.astype(np.float64)
        hits, predicted, true = _sums(self.hits, drawn), _sums(self.predicted, drawn), _sums(self.true, drawn)
        figures = _pixel_figures(hits, predicted, true)
        if self.instances is None:
            return figures
        return np.concatenate([figures, _sums(self.instances, drawn) / self.number], axis=1)


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


def _draws(pictures: _Pictures, resamples: int, rng: np.random.Generator) -> Iterator[tuple[slice, np.ndarray]]:
    """Some resamples at a time: which they are, and how often each has each picture, `(resamples, pictures)`."""
    number = pictures.number
    size = max(1, CELLS // max(number, pictures.hits[:, :, 0].size))
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        draws = rng.integers(number, size=(rows, number)) + np.arange(rows)[:, None] * number
        yield slice(start, start + rows), np.bincount(draws.ravel(), minlength=rows * number).reshape(rows, number)


def _pictures_last(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(values, -2, -1), np.float64)


def _sums(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """`(…, pictures)` times `(pictures, resamples)`, as one product of two matrices, which is the fastest."""
    return (values.reshape(-1, len(drawn)) @ drawn).reshape(*values.shape[:-1], -1)


def _spread(runs: np.ndarray) -> np.ndarray:
    return runs.std(axis=0, ddof=1) if len(runs) > 1 else np.full(runs.shape[1], np.nan)


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    difference = first - second
    difference[np.abs(difference) < RESOLUTION] = 0
    return difference


def _interval(values: np.ndarray, level: float) -> tuple[float, float]:
    """The percentile interval of the values that are defined; NaN where none is."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _test(differences: np.ndarray, level: float) -> tuple[float, float, float]:
    """The interval of a difference, and the p-value of there being none.

    What was seen counts as one more resample on either side (Davison & Hinkley 1997, Bootstrap Methods and their
    Application, section 4.2): no p-value is 0.
    """
    low, high = _interval(differences, level)
    if np.isnan(low):
        return low, high, np.nan
    at_most, at_least = np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0)
    defined = np.count_nonzero(~np.isnan(differences))
    return low, high, min(1.0, 2 * (min(at_most, at_least) + 1) / (defined + 1))


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
