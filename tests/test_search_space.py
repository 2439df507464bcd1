"""Spaces of a search: their grammar, what they draw, and what is said where they are wrong."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.search.space import LARGEST, METRICS, MOST_TRIALS, Space, values_text

TEXT = """
search: {method: asha, trials: 12, grace: 2, reduction: 3}
recipe: {data: toy-pets, epochs: 4}
space:
  learning_rate: {log: [1e-4, 1e-2]}   # text for YAML, without a point
  batch_size: [4, 8, 16]
  options.width: [16, 32]
  clip_norm: [null, 1]
  momentum: {uniform: [0.5, 0.99]}
  early_stopping: {integers: [2, 4]}
"""


def test_values_lie_in_the_space_and_make_recipes() -> None:
    space = Space.parse(TEXT)
    trials = space.trials()
    assert len(trials) == 12
    for values in trials:
        assert 1e-4 <= values["learning_rate"] <= 1e-2
        assert values["batch_size"] in (4, 8, 16)
        assert 0.5 <= values["momentum"] <= 0.99
        assert values["early_stopping"] in (2, 3, 4)
        recipe = space.recipe_of(values)
        assert (recipe.data, recipe.epochs, recipe.learning_rate) == ("toy-pets", 4, values["learning_rate"])
        assert recipe.options == {"width": values["options.width"]}
        assert recipe.clip_norm == values["clip_norm"]
    assert trials == space.trials(), "the same at every call"
    other = Space.of({**space.document, "search": {"method": "random", "trials": 12, "seed": 1}})
    assert other.trials() != trials


def test_a_log_range_is_even_in_its_logarithm_and_a_uniform_one_in_itself() -> None:
    fields = {"learning_rate": {"log": [1e-5, 1e-1]}, "momentum": {"uniform": [0.1, 0.9]}}
    trials = Space.of({"search": {"trials": 600}, "space": fields}).trials()
    for found, low, high in (
        (np.log10([values["learning_rate"] for values in trials]), -5, -1),
        (np.array([values["momentum"] for values in trials]), 0.1, 0.9),
    ):
        counts = np.histogram(found, bins=4, range=(low, high))[0]
        assert counts.sum() == 600
        # Four standard deviations of a binomial with p = 1/4.
        assert np.abs(counts - 150).max() < 4 * math.sqrt(600 * 0.25 * 0.75)


def test_a_grid_is_the_product_in_its_order() -> None:
    fields: dict[str, list[Any]] = {"loss": ["dice", "cross_entropy"], "batch_size": [2, 4, 8]}
    trials = Space.of({"search": {"method": "grid"}, "space": fields}).trials()
    assert [tuple(values.values()) for values in trials] == list(itertools.product(*fields.values()))


def test_a_small_space_is_tried_once_each() -> None:
    trials = Space.of({"search": {"trials": 50}, "space": {"batch_size": [2, 4], "epochs": [1, 2, 3]}}).trials()
    assert sorted((v["batch_size"], v["epochs"]) for v in trials) == list(itertools.product([2, 4], [1, 2, 3]))


def test_what_follows_from_a_searched_network_follows_in_each_trial() -> None:
    space = Space.of({"search": {"method": "grid"}, "space": {"backbone": ["none", "mobilenetv2"]}})
    weights = [space.recipe_of(values).weights for values in space.trials()]
    assert weights == [Recipe(backbone=name).weights for name in ("none", "mobilenetv2")]


def test_a_document_makes_the_same_space_again(tmp_path: Path) -> None:
    space = Space.parse(TEXT)
    for text in (space.yaml(), json.dumps(space.document)):
        again = Space.parse(text)
        assert again.document == space.document
        assert again.trials() == space.trials()
    path = tmp_path / "space.yaml"
    path.write_text(space.yaml(), encoding="utf-8")
    assert Space.load(path).document == space.document
    fixed = Space.load(path, {"epochs": 9, "data": "toy-nuclei"})
    assert {space.recipe["epochs"], fixed.recipe["epochs"]} == {4, 9}


def test_every_metric_is_a_figure_of_an_epoch() -> None:
    from segmodels.evaluation.confusion import ConfusionMatrix

    figures = {f"val_{name}" for name in ConfusionMatrix(2).figures()} | {"val_loss"}
    assert set(METRICS) <= figures
    assert {name for name, mode in METRICS.items() if mode == "min"} == {"val_loss"}


WRONG = {
    "": "hold names and their values",
    "space: {}": "is empty",
    "search: {}\nspace: []": "is empty",
    "spaces: {epochs: [1]}": "unknown part 'spaces'",
    "space: [": "neither YAML nor JSON (line 1)",
    '{"space": ': "neither YAML nor JSON",
    "space: !!python/object/apply:os.getcwd []": "neither YAML nor JSON",
    "a: &a [1]\nspace: {epochs: *a}": "aliases are not allowed",
    "space: {lr: [1]}": "unknown recipe field 'lr'",
    "space: {data: [toy-pets]}": "recipe field data cannot be searched",
    "space: {epochs: 4}": "the values of epochs: write a list",
    "space: {epochs: []}": "the values of epochs: a list of 1 to",
    "space: {epochs: [1, 1]}": "the values of epochs: '1' stands there twice",
    "space: {epochs: {normal: [1, 2]}}": "unknown kind of range for epochs 'normal'",
    "space: {epochs: {integers: [1]}}": "the values of epochs: write integers: [lowest, highest]",
    "space: {epochs: {integers: [1.5, 4]}}": "integers are whole numbers",
    "space: {epochs: {integers: [0, 4]}}": "epochs=0: must be a whole number, at least 1",
    "space: {learning_rate: {log: [0, 1]}}": "a log range begins above 0",
    "space: {learning_rate: {log: [a, 1]}}": "'a' is no number",
    "space: {learning_rate: {log: [.nan, 1]}}": "nan is no number",
    "space: {learning_rate: {uniform: [1, 0.5]}}": "1 is not below 0.5",
    "space: {learning_rate: [0.1, 100]}": "learning_rate=100: must be a number, greater than 0 and at most 10",
    "space: {architecture: [unet, vnet]}": "unknown architecture 'vnet'",
    "space: {options.wdth: [1, 2]}": "unknown unet option 'wdth'",
    "space: {loss: [dice, dicy]}": "the values of loss",
    "space: {freeze_epochs: [0, 2]}": "the values of freeze_epochs",
    "recipe: {epochs: 3}\nspace: {epochs: [1]}": "epochs is searched and fixed at once",
    "recipe: {options: {width: 4}}\nspace: {options.width: [4, 8]}": "options.width is searched and fixed at once",
    "recipe: {epoch: 3}\nspace: {epochs: [1]}": "unknown recipe field 'epoch'",
    "search: {trials: 0}\nspace: {epochs: [1]}": "search field trials=0: must be a whole number",
    "search: {trails: 5}\nspace: {epochs: [1]}": "unknown search field 'trails'; did you mean 'trials'",
    "search: {method: bayes}\nspace: {epochs: [1]}": "search field method='bayes'",
    "search: {metric: iou}\nspace: {epochs: [1]}": "unknown metric 'iou'",
    "search: {grace: 2}\nspace: {epochs: [1]}": "only method asha has it",
    "search: {method: grid, trials: 3}\nspace: {epochs: [1]}": "method grid tries all",
    "search: {method: grid}\nspace: {momentum: {uniform: [0, 1]}}": "method grid needs a list",
    "search: {method: asha, grace: 5}\nspace: {epochs: [2, 5]}": "no trial has more than 5 epochs",
    # Each value fits some other, but not all fit together.
    "search: {method: grid}\nspace: {schedule: [cosine, plateau], plateau_patience: [5, 9]}": "trial 2 (schedule",
}


@pytest.mark.parametrize("text", list(WRONG))
def test_what_is_wrong_is_said_in_a_line(text: str) -> None:
    with pytest.raises(UserError) as caught:
        Space.parse(text).trials()
    assert WRONG[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="over 100,000 bytes"):
        Space.parse(f"space: {{epochs: [{', '.join(map(str, range(1, LARGEST)))}]}}")
    many = {name: list(range(1, 12)) for name in ("epochs", "batch_size", "seed", "snapshots")}
    with pytest.raises(UserError, match=f"the grid has 14,641 trials: up to {MOST_TRIALS}"):
        Space.of({"search": {"method": "grid"}, "space": many}).trials()
    with pytest.raises(UserError, match="cannot be read"):
        Space.load(tmp_path / "none.yaml")


def test_values_are_said_as_a_command_has_them() -> None:
    said = values_text({"learning_rate": 1e-4, "ema": None, "class_weights": [1, 2.5], "options": {"width": 8}})
    assert said == "learning_rate=0.0001, ema=none, class_weights=1,2.5, options=width=8"
