"""Recipes with a name."""

from __future__ import annotations

import pytest

from segmodels.data.augment import parse_augmentation
from segmodels.errors import UserError
from segmodels.named_recipes import NAMED_RECIPES, named_recipe
from segmodels.recipe import Recipe


@pytest.mark.parametrize("name", NAMED_RECIPES)
def test_each_is_a_recipe_that_says_what_it_is_for(name: str) -> None:
    """Every field is one that differs from its default, so that an entry is as short as it can be."""
    row, recipe = NAMED_RECIPES[name], named_recipe(name)
    assert 15 < len(row.purpose) < 110
    parse_augmentation(recipe.augment)
    assert bool(row.published) == bool(row.used) == name.startswith("classic-")
    assert Recipe(**recipe.model_dump()) == recipe


def test_the_classics_have_the_settings_of_their_systems() -> None:
    dice = named_recipe("classic-pets-unet")
    assert (dice.limit, dice.epochs, dice.image_size, dice.loss, dice.backbone) == (1024, 25, 256, "dice", "none")
    slides = named_recipe("classic-monuseg-unetpp")
    assert (slides.architecture, slides.backbone) == ("unet++", "efficientnetb0")
    assert slides.tiling is not None
    assert len(slides.tiling.grid(1000, 1000)) == 36
    game = named_recipe("classic-aerial-pix2pix")
    assert (game.discriminator_every, game.epochs, game.batch_size, game.adversarial_weight) == (4, 4, 64, 1.0)
    assert (game.learning_rate, game.momentum, game.loss) == (2e-4, 0.5, "100*l1")
    assert len([name for name in NAMED_RECIPES if name.startswith("classic-pets-")]) == 21


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'pets-best'"):
        named_recipe("pet-best")
