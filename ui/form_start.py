"""What the form of a new run begins with: first values that suit a data set, or a recipe that somebody took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from segmodels.models.backbones import PLAIN
from segmodels.recipe import Recipe

#: Sensible first values for a set: small where it is generated, so that the first training takes minutes on a laptop.
OF_DATA: dict[str, dict[str, Any]] = {
    "toy-pets": {"image_size": 96, "epochs": 15, "batch_size": 8, "learning_rate": 2e-3},
    "toy-nuclei": {"image_size": 160, "epochs": 15, "batch_size": 4, "learning_rate": 2e-3},
    "oxford-pets": {"image_size": 160, "epochs": 20, "batch_size": 8},
    "monuseg": {"image_size": 256, "augment": "histology"},
    "monuseg-2": {"image_size": 256, "augment": "histology"},
    "camvid": {"image_size": 256},
    "dubai-aerial": {"image_size": 256, "augment": "aerial"},
}
#: First options of an architecture on its own encoder: such as two processor cores can train, unlike most papers' own.
SMALL: dict[str, dict[str, Any]] = {
    "unet": {"width": 16, "depth": 4},
    "unet++": {"widths": (16, 32, 64, 128)},
    "segnet": {"width": 16},
    **{name: {"head_width": 512, "head_kernel": 3} for name in ("fcn32", "fcn16", "fcn8")},
    "pix2pix": {"width": 16},
}
#: Fields that follow from others where a recipe leaves them out.
DERIVED = ("weight_decay", "adversarial_weight", "backbone_rate")


class FormStart:
    """The first values of the form's widgets, and what their keys end with: each new start makes new widgets."""

    def __init__(self) -> None:
        self.recipe: dict[str, Any] = st.session_state.get("form-start", {})
        self.version: int = st.session_state.get("form-version", 0)

    def forget_data(self) -> None:
        """What is of the recipe's own data suits no other."""
        self.recipe = {name: value for name, value in self.recipe.items() if name not in ("form", "split_file", "root")}

    def value(self, field: str, data: str) -> Any:
        """What a field shows first while this data set is chosen."""
        if field in self.recipe:
            return self.recipe[field]
        return OF_DATA.get(data, {}).get(field, Recipe.model_fields[field].default)

    def image_size(self, data: str, least: int) -> int:
        """The same for the side of pictures, which an architecture may need to be larger."""
        taken = self.recipe.get("image_size")
        return taken or max(OF_DATA.get(data, {}).get("image_size", 128), least)

    def options(self, architecture: str, backbone: str) -> dict[str, Any]:
        """The first options of a network that are not its defaults."""
        if self.recipe and (self.recipe["architecture"], self.recipe["backbone"]) == (architecture, backbone):
            return self.recipe["options"]
        return SMALL.get(architecture, {}) if backbone == PLAIN and not self.recipe else {}

    def key(self, field: str, *per: object) -> str:
        """The key of a field's widget, which has a value of its own for each of `per`."""
        return "-".join(map(str, (field, self.version, *per)))


def begin_form_with(recipe: Recipe, said: str) -> None:
    """Let the form begin with the values of a recipe; to be called before it is drawn, as by a button's callback.

    Args:
        said: what the page says of where they come from.
    """
    fields = recipe.model_dump()
    fields["options"] = {key: tuple(v) if isinstance(v, list) else v for key, v in recipe.options.items()}
    leaders = ("architecture", "backbone", "weights", "optimizer")
    usual = Recipe(data=recipe.data, **{name: fields[name] for name in leaders})
    fields |= {name: None for name in DERIVED if fields[name] == getattr(usual, name)}
    st.session_state.update(
        {
            "form-start": fields,
            "form-version": st.session_state.get("form-version", 0) + 1,
            "form-said": said,
            "train-data": recipe.data,
            "train-data-folder": recipe.data if Path(recipe.data).is_absolute() else None,
            f"train-data-root-{recipe.data}": recipe.root or "",
        }
    )


def begin_form_anew() -> None:
    """Forget the start that was taken; the data set that is chosen stays."""
    version = st.session_state.get("form-version", 0) + 1
    st.session_state.update({"form-start": {}, "form-version": version, "form-said": ""})
