"""In what two recipes differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segmodels.cli import main
from segmodels.named_recipes import named_recipe
from segmodels.recipe import Recipe
from segmodels.training.recipe_difference import Difference, differences
from segmodels.training.runs import Run

WHOLE = Recipe(data="toy-pets").model_dump(mode="json")


def test_differences_come_in_the_order_of_the_fields() -> None:
    other = {**WHOLE, "limit": 8, "epochs": 3, "architecture": "segnet", "class_weights": [1, 2, 3]}
    assert differences(WHOLE, other) == [
        Difference("architecture", "unet", "segnet"),
        Difference("epochs", 20, 3),
        Difference("class_weights", None, [1.0, 2.0, 3.0]),
        Difference("limit", None, 8),
    ]
    assert differences(other, other) == []


def test_what_means_the_same_is_no_difference() -> None:
    assert differences({"data": "toy-pets"}, WHOLE) == []
    assert differences({"loss": "cross_entropy + 1*dice", "epochs": "20"}, {}) == []
    assert differences({"class_weights": (1, 2)}, {"class_weights": "1,2"}) == []
    assert differences({"optimizer": "adamw"}, {"optimizer": "adamw", "weight_decay": 1e-4}) == []


def test_options_are_compared_by_key_and_with_their_defaults() -> None:
    assert differences({"options": {}}, {"options": {"width": 64, "depth": "5"}}) == []
    assert differences({"options": {"depth": 3, "width": 16}}, {"options": {"width": 8}}) == [
        Difference("options.depth", 3, 5),
        Difference("options.width", 16, 8),
    ]
    strange = {"options": {"width": 8, "dream": [1]}, "epochs": 7}
    assert differences({"options": {"width": 8}}, strange) == [
        Difference("options.dream", None, [1]),
        Difference("epochs", 20, 7),
    ]


def test_unknown_fields_come_last_and_hostile_values_are_values() -> None:
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    strange: Any = {**WHOLE, "zeta": 1, "alpha <b>": deep, 3: "x", "epochs": {"a": 1}, "seed": float("nan")}
    assert differences(WHOLE, strange) == [
        Difference("epochs", 20, {"a": 1}),
        Difference("seed", 0, strange["seed"]),
        Difference("3", None, "x"),
        Difference("alpha <b>", None, deep),
        Difference("zeta", None, 1),
    ]
    assert differences(strange, dict(strange)) == []
    assert differences({"newer": 1}, {"newer": 1}) == []
    assert differences({"options": 3, "architecture": []}, {}) == [
        Difference("architecture", [], "unet"), Difference("options", 3, {}),
    ]  # fmt: skip


def test_the_verb_takes_runs_names_and_files(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run.create(Recipe(data="toy-pets", learning_rate=1e-5, options={"width": 8}))
    newer = Run.create(Recipe(data="toy-pets", learning_rate=1e-5, options={"width": 16}))
    said = json.loads((newer.path / "recipe.json").read_text())
    (newer.path / "recipe.json").write_text(json.dumps({**said, "dream": "two\nlines"}))
    assert main(["runs", "diff", run.id, newer.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "one": run.id,
        "other": newer.id,
        "differences": [
            {"field": "options.width", "one": 8, "other": 16},
            {"field": "dream", "one": None, "other": "two\nlines"},
        ],
    }
    run.recipe.save(tmp_path / "mine.yaml")
    assert main(["runs", "diff", run.id, str(tmp_path / "mine.yaml")]) == 0
    assert capsys.readouterr().out == f"{run.id} and {tmp_path / 'mine.yaml'} have the same recipe\n"
    assert main(["runs", "diff", "pets-quick", run.id]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["field", "pets-quick", run.id]
    assert lines[2].split() == ["data", named_recipe("pets-quick").data, "toy-pets"]
    assert ["learning_rate", "0.002", "1e-05"] in [line.split() for line in lines]
    (newer.path / "changes.json").write_text(
        '[{"epoch": 1, "step": 0, "epochs": 9}, {"epoch": 2, "step": 1, "epochs": 7}]'
    )
    assert main(["runs", "diff", run.id, newer.id, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["differences"]
    assert rows[1] == {"field": "epochs", "one": 20, "other": 7}, "as it stands after what was changed"
    for words in (["nothing", run.id], [run.id, "pets-quik"]):
        assert main(["runs", "diff", *words]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    (newer.path / "recipe.json").write_text("[]")
    assert main(["runs", "diff", run.id, newer.id]) == 2
    assert "damaged" in capsys.readouterr().err
