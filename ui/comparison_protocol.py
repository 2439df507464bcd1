"""The one recipe by which all architectures of a comparison are trained."""

from __future__ import annotations

from typing import Any

import streamlit as st

from segmodels.data.augment import OPERATIONS, PRESETS
from segmodels.data.class_weights import METHODS
from segmodels.data.datasets import default_sampling
from segmodels.errors import UserError
from segmodels.models.options import option_text
from segmodels.named_recipes import NAMED_RECIPES, named_recipe
from segmodels.recipe import Recipe
from segmodels.training.losses import LOSSES
from segmodels.training.overview import overview
from segmodels.training.runs import find_run
from ui.field_widgets import KEPT, about, field_widget, open_choice
from ui.form_start import OF_DATA
from ui.recipe_form import ONLY_WHERE, TITLES

#: What the recipe itself names as its network, so that what is of encoders in it has a meaning: U-Net on this one.
CARRIER = "mobilenetv2"
#: Fields of a network, which each member has of its own.
NETWORK = (
    "architecture", "backbone", "weights", "options", "start_from", "backbone_rate", "layer_decay", "auxiliary_weight",
    "adversarial_weight", "discriminator_every", "discriminator_rate",
)  # fmt: skip
FIRST = ("image_size", "batch_size", "epochs", "learning_rate", "loss", "augment", "limit")
MORE = (
    "sampling", "tile_stride", "tile_edge", "tile_foreground", "class_weights", "optimizer", "momentum", "weight_decay",
    "schedule", "warm_up_epochs", "plateau_patience", "plateau_factor", "freeze_epochs", "fine_tune_rate", "clip_norm",
    "accumulation", "ema", "early_stopping", "precision", "seed", "split_seed", "deterministic", "teachers",
    "teacher_weight",
)  # fmt: skip
USUAL = "what suits the data set"


def shared_recipe(data: str, root: str | None) -> Recipe:
    """Draw its fields; `UserError` where they do not agree."""
    base, start = _settings(data)
    pretrained = st.toggle(
        "Begin with pretrained encoders", start.get("weights") != "none", key=f"compare-pretrained-{data}-{base}",
        help="Where some are published; else all begin with random weights", persist_state=KEPT,
    )  # fmt: skip
    fields = {name: value for name, value in start.items() if name not in NETWORK}
    fields |= {"data": data, "root": root, "architecture": "unet", "backbone": CARRIER}
    fields["weights"] = "imagenet" if pretrained else "none"
    key = f"{data}-{base}"
    _widgets(FIRST, fields, data, key)
    with st.expander("More settings", icon=":material/tune:"):
        _widgets(MORE, fields, data, key)
    if fields.get("tile_stride") == fields["image_size"]:
        fields["tile_stride"] = None
    return Recipe(**fields)


def _settings(data: str) -> tuple[str, dict[str, Any]]:
    """Where the fields begin: at what suits the data set, or as a recipe or a run has them."""
    named = [name for name, row in NAMED_RECIPES.items() if row.fields.get("data") == data]
    runs = [row.id for row in overview() if row.data == data and row.readable]
    base = st.selectbox(
        "Settings of", [USUAL, *named, *runs], key=f"compare-base-{data}", persist_state=KEPT,
        format_func=lambda name: f"{name} (recipe)" if name in named else f"{name} (run)" if name in runs else name,
        help="Of a recipe or a run, all but its network",
    )  # fmt: skip
    if base == USUAL:
        return base, dict(OF_DATA.get(data, {"image_size": 128}))
    try:
        recipe = named_recipe(base) if base in named else find_run(base).recipe_now
    except UserError as error:
        raise UserError(f"{error}; choose other settings") from None
    fields = recipe.model_dump()
    if recipe.weight_decay == Recipe(optimizer=recipe.optimizer).weight_decay:
        fields["weight_decay"] = None  # it follows from the optimiser
    return base, fields


def _widgets(names: tuple[str, ...], fields: dict[str, Any], data: str, key: str) -> None:
    """The widgets of the fields in two columns, each where it changes something; the others have their defaults."""
    columns = st.columns(2)
    drawn = 0
    fields.setdefault("sampling", default_sampling(data))
    for field in names:
        seen = {**{name: Recipe.model_fields[name].default for name in ("schedule", "freeze_epochs")}, **fields}
        if not ONLY_WHERE.get(field, lambda _: True)(seen):
            fields.pop(field, None)
            continue
        with columns[drawn % 2]:
            fields[field] = _widget(field, fields, f"compare-{field}-{key}")
        drawn += 1


def _widget(field: str, fields: dict[str, Any], key: str) -> Any:
    first = fields.get(field, Recipe.model_fields[field].default)
    if field == "loss":
        return open_choice(field, ["cross_entropy+dice", *LOSSES], first, key=key)
    if field == "augment":
        said = f"{about(field)}. There are {', '.join(OPERATIONS)}"
        return open_choice(field, list(PRESETS), first, key=key, help=said.replace("(", "\\("))
    if field == "class_weights":
        shown = "none" if first is None else first if isinstance(first, str) else option_text(first)
        typed = open_choice(field, ["none", *METHODS], shown, key=key)
        return None if typed == "none" else typed
    if field == "tile_stride":
        size = fields["image_size"]
        return field_widget(field, min(first or size, size), key=f"{key}-{size}", high=size)
    return field_widget(field, first, key=key, titles=TITLES.get(field))
