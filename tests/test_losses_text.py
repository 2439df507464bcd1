"""Losses as recipes write them: what is read, what is refused and in which words, and the one way to write each."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training.losses import LOSSES, Term, parse_loss


def test_parsing() -> None:
    assert parse_loss("dice").terms == (Term(1.0, "dice"),)
    assert parse_loss(" .25*dice + 2 * jaccard").terms == (Term(0.25, "dice"), Term(2.0, "jaccard"))
    assert parse_loss("0*dice+jaccard").terms == (Term(0.0, "dice"), Term(1.0, "jaccard"))
    focal, tversky = parse_loss("focal(gamma=3) + 0.5*tversky( alpha = 1e-1 , beta=0.9 )").terms
    assert focal == Term(1.0, "focal", {"gamma": 3.0})
    assert tversky == Term(0.5, "tversky", {"alpha": 0.1, "beta": 0.9})
    assert parse_loss("focal_tversky").terms[0].parameters == {"alpha": 0.3, "beta": 0.7, "gamma": 4 / 3}
    assert parse_loss("focal").terms[0].parameters == {"gamma": 2.0}


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("cross_entropy+dice", "cross_entropy+dice"),
        (" cross_entropy + .50*dice ", "cross_entropy+0.5*dice"),
        ("1*dice", "dice"),
        ("2.0 * focal ( gamma = 2.0 )", "2*focal"),
        ("focal(gamma=3.0)", "focal(gamma=3)"),
        ("tversky(beta=0.8,alpha=0.2)", "tversky(alpha=0.2,beta=0.8)"),
        ("cross_entropy(label_smoothing=1e-1)", "cross_entropy(label_smoothing=0.1)"),
        ("0.000001*boundary+dice()", "0.000001*boundary+dice"),
    ],
)
def test_there_is_one_way_to_write_each(text: str, canonical: str) -> None:
    assert parse_loss(text).text == canonical
    assert Recipe(data="toy-pets", loss=text).loss == canonical


@st.composite
def sums(draw: Any) -> str:
    terms = []
    for name in draw(st.lists(st.sampled_from(sorted(LOSSES)), min_size=1, max_size=5)):
        row = LOSSES[name]
        chosen = draw(st.lists(st.sampled_from(sorted(row.parameters)), unique=True)) if row.parameters else []
        given = [f"{key}={draw(st.floats(row.parameters[key].low, row.parameters[key].high))}" for key in chosen]
        weight = draw(st.decimals(0, 1000, places=6, allow_nan=False))
        terms.append(f"{weight:f}*{name}({','.join(given)})")
    return "+".join([*terms, "dice"])


@settings(max_examples=100, deadline=None)
@given(text=sums())
def test_a_text_means_what_its_canonical_form_means(text: str) -> None:
    loss = parse_loss(text)
    assert parse_loss(loss.text) == loss
    assert parse_loss(loss.text).text == loss.text


def test_rows_say_where_a_loss_is_from_and_what_it_may_be_given() -> None:
    for name, row in LOSSES.items():
        assert row.function.__name__ == name
        assert 20 < len(row.description) < 110
        assert "\n" not in row.description + row.paper
        assert not row.paper or "arXiv:" in row.paper or "ISVC" in row.paper
        for parameter in row.parameters.values():
            assert parameter.low <= parameter.default <= parameter.high
    assert {name: list(row.parameters) for name, row in LOSSES.items() if row.parameters} == {
        "cross_entropy": ["label_smoothing"],
        "focal": ["gamma"],
        "tversky": ["alpha", "beta"],
        "focal_tversky": ["alpha", "beta", "gamma"],
        "border_cross_entropy": ["w0", "sigma"],
    }
    border = LOSSES["border_cross_entropy"].parameters
    assert (border["w0"].default, border["sigma"].default) == (10.0, 5.0)
    assert math.isclose(LOSSES["focal_tversky"].parameters["gamma"].default, 4 / 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["loss ''", "write a name or a weighted sum", "cross_entropy+0.5*dice"]),
        ("+", ["weighted sum"]),
        ("dice+", ["weighted sum"]),
        ("dice*2", ["weighted sum"]),
        ("-1*dice", ["weighted sum"]),
        ("1e3*dice", ["weighted sum"]),
        ("2*3*dice", ["weighted sum"]),
        ("*dice", ["weighted sum"]),
        ("dice;x", ["unknown loss"]),
        ("a b", ["unknown loss 'a b'"]),
        ("cross_entropy+dise", ["did you mean 'dice'", "focal_tversky"]),
        ("0*dice", ["every weight is 0"]),
        ("2000000*dice", ["loss dice", "weight=2000000.0", "at most 1e+06"]),
        ("9" * 400 + "*dice", ["weight=inf"]),
        ("focal(2)", ["loss focal(2)", "name the parameter", "gamma=…"]),
        ("focal(gama=2)", ["unknown parameter of loss focal", "did you mean 'gamma'"]),
        ("focal(gamma=-1)", ["loss focal: gamma=-1", "at least 0 and at most 10"]),
        ("focal(gamma=nan)", ["gamma=nan"]),
        ("focal(gamma=true)", ["gamma=True", "a number"]),
        ("focal(gamma=much)", ["gamma='much'", "a number"]),
        ("focal(gamma=1,gamma=2)", ["gamma is given twice"]),
        ("dice(smooth=1)", ["loss dice has no parameters"]),
        ("tversky(alpha=0,beta=0)", ["alpha=0", "at least 0.01"]),
        ("cross_entropy(label_smoothing=0.6)", ["label_smoothing=0.6", "at most 0.5"]),
        ("focal(gamma=2", ["weighted sum"]),
        ("+".join(["dice"] * 51), ["more than 50 terms"]),
        ("dice+" * 1000, ["more than 2000 characters"]),
        ("(" * 1999, ["weighted sum"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_with_a_text_is_said_in_one_line(text: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse_loss(text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    for word in words:
        assert word in message


def test_a_saved_recipe_keeps_its_loss(tmp_path: Path) -> None:
    recipe = Recipe(data="toy-pets", loss="focal( gamma=3 ) + 0.01*boundary")
    recipe.save(tmp_path / "recipe.json")
    assert Recipe.load(tmp_path / "recipe.json").loss == "focal(gamma=3)+0.01*boundary"
    assert "--loss 'focal(gamma=3)+0.01*boundary'" in recipe.command()
