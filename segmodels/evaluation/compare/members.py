"""Who is compared: from names of architectures, recipes and models to the members of a comparison. Loads no Keras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segmodels.data.datasets import dataset_type, open_dataset
from segmodels.errors import UserError
from segmodels.evaluation.compare.entries import Member
from segmodels.hub.checkpoint import read_spec
from segmodels.models.architectures import architecture_row, default_backbone, network_name
from segmodels.models.backbones import PLAIN
from segmodels.named_recipes import named_recipe
from segmodels.recipe import Recipe
from segmodels.training.preflight import check
from segmodels.training.runs import find_checkpoint


def architecture_members(architectures: Sequence[str], recipe: Recipe, seeds: int) -> list[Member]:
    """A member for each architecture, all trained by one recipe but for the network.

    Args:
        architectures: `NAME`, or `NAME:BACKBONE`. Without a backbone the recipe's is taken where the architecture can
            have it, else its own default; the name of the member says which.
        recipe: all other fields.
        seeds: runs of each, whose seeds count up from the recipe's.

    Raises:
        UserError: an unknown name, or a recipe that cannot train.
    """
    members = []
    for text in architectures:
        name, _, backbone = text.strip().partition(":")
        if not backbone:
            backbone = (
                recipe.backbone if recipe.backbone in architecture_row(name).backbones else default_backbone(name)
            )
        members.append(_member(network_name(name, backbone), Recipe(**_for_network(recipe, name, backbone)), seeds))
    return members


def recipe_members(names: Sequence[str], data: str, root: str | None, seeds: int) -> list[Member]:
    """A member for each named recipe, each trained as it is, on one data set.

    Raises:
        UserError: an unknown name, a recipe for other classes, or one that cannot train.
    """
    classes = [label.name for label in open_dataset(data, root).classes]
    members = []
    for name in names:
        fields = named_recipe(name.strip()).model_dump()
        # A class that says them by itself: the files of its own data set need not be here.
        theirs = [label.name for label in dataset_type(fields["data"]).classes]
        if theirs != classes:
            raise UserError(
                f"recipe {name} is for {fields['data']}, whose classes are not those of {data}: leave it out"
            )
        members.append(_member(name.strip(), Recipe(**{**fields, "data": data, "root": root}), seeds))
    return members


def model_members(models: Sequence[str], beside: Sequence[Member] = ()) -> list[Member]:
    """A member for each model that is there already: a run, RUN@EPOCH, or a checkpoint directory.

    It is called by its network, and by its own name too where another member has the same network. Whether its classes
    match is told when it is evaluated, in its row.

    Args:
        beside: the other members.

    Raises:
        UserError: a model that is not there.
    """
    names = list(dict.fromkeys(_lasting(name.strip()) for name in models))
    specs = [read_spec(find_checkpoint(name)).architecture for name in names]
    networks = [network_name(spec.name, spec.backbone) for spec in specs]
    taken = [*networks, *(member.name for member in beside)]
    return [
        Member(network if taken.count(network) == 1 else f"{network} ({name})", None, name, (None,))
        for network, name in zip(networks, names, strict=True)
    ]


def _lasting(model: str) -> str:
    """A model's name that means the same in another working directory: an id stays one, a path is made absolute."""
    path = Path(model).expanduser()
    return str(path.absolute()) if model and path.exists() else model


def _member(name: str, recipe: Recipe, seeds: int) -> Member:
    check(recipe)
    return Member(name, recipe.model_dump(mode="json"), None, (None,) * seeds)


def _for_network(recipe: Recipe, architecture: str, backbone: str) -> dict[str, object]:
    """The recipe's fields with another network: what only its own network has is left to the other's defaults."""
    fields = recipe.model_dump()
    if (architecture, backbone) == (recipe.architecture, recipe.backbone):
        return fields
    fields |= {"architecture": architecture, "backbone": backbone, "options": {}}
    left_to_it = [
        "backbone_rate",
        "auxiliary_weight",
        "adversarial_weight",
        "discriminator_every",
        "discriminator_rate",
    ]
    if recipe.weights != "none" or recipe.backbone == PLAIN:
        left_to_it.append("weights")
    if backbone == PLAIN:
        left_to_it += ["freeze_epochs", "fine_tune_rate", "layer_decay"]
    return {name: value for name, value in fields.items() if name not in left_to_it}
