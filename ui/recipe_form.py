"""The form of a new run: widgets whose names, ranges and help come from `Recipe` itself."""

from __future__ import annotations

import typing
from typing import Any

import streamlit as st

from segmodels.data.datasets import DATASETS
from segmodels.errors import UserError
from segmodels.models.architectures import ARCHITECTURES, architecture_row
from segmodels.models.backbones import BACKBONES, PLAIN
from segmodels.recipe import Recipe
from segmodels.training.losses import LOSSES
from ui.data_choice import choose_data
from ui.frame import plain

#: Sensible first values for a set: small where it is generated, so that the first training takes minutes on a laptop.
START: dict[str, dict[str, Any]] = {
    "toy-pets": {"image_size": 96, "epochs": 15, "batch_size": 8, "learning_rate": 2e-3},
    "toy-nuclei": {"image_size": 160, "epochs": 15, "batch_size": 4, "learning_rate": 2e-3},
    "oxford-pets": {"image_size": 160, "epochs": 20, "batch_size": 8},
}
#: The plain U-Net of the form: a sixteenth of the paper's parameters, which two processor cores can train.
SMALL = {"width": 16, "depth": 4}


def recipe_form() -> Recipe | None:
    """Draw the form; returns the recipe it stands for, or None after saying what is wrong with it."""
    chosen = choose_data(key="train-data")
    if chosen is None:
        return None
    data, root = chosen
    fields: dict[str, Any] = {"data": data, "root": root}
    start = START.get(data, {})

    fields["architecture"] = _choice(
        "architecture", list(ARCHITECTURES), titles={n: a.title for n, a in ARCHITECTURES.items()}
    )
    row = architecture_row(fields["architecture"])
    encoders = {PLAIN: "its own plain encoder", **{n: b.title for n, b in BACKBONES.items()}}
    fields["backbone"] = _choice(
        "backbone",
        list(row.backbones),
        titles=encoders,
        index=list(row.backbones).index("mobilenetv2" if DATASETS[data].needs_files else PLAIN),
    )
    if fields["backbone"] != PLAIN:
        fields["weights"] = _choice("weights", ["imagenet", "none"], titles={"none": "none (random)"})

    left, right = st.columns(2)
    with left:
        fields["image_size"] = _number("image_size", start.get("image_size", 128), step=32, per=data)
        fields["batch_size"] = _number("batch_size", start.get("batch_size", 8), per=data)
    with right:
        fields["epochs"] = _number("epochs", start.get("epochs", 20), per=data)
        fields["learning_rate"] = st.number_input(
            "Learning rate",
            1e-6,
            10.0,
            start.get("learning_rate", Recipe.model_fields["learning_rate"].default),
            step=1e-4,
            format="%g",
            key=f"learning_rate-{data}",
            help=_help("learning_rate"),
        )

    with st.expander("More settings", icon=":material/tune:"):
        fields["options"] = _plain_options() if fields["backbone"] == PLAIN else {}
        fields["loss"] = st.selectbox(
            "Loss", ["cross_entropy+dice", *LOSSES], key="loss", accept_new_options=True, help=_help("loss")
        )
        fields["augment"] = _choice("augment", _literals("augment"), index=1)
        fields["optimizer"] = _choice("optimizer", _literals("optimizer"))
        fields["schedule"] = _choice("schedule", _literals("schedule"))
        fields["precision"] = _choice("precision", _literals("precision"))
        fields["seed"] = _number("seed", 0)
        limit = _number("limit", 0, low=0)
        fields["limit"] = limit or None
    try:
        return Recipe(**fields)
    except UserError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def _plain_options() -> dict[str, Any]:
    fields = architecture_row("unet").options_type().model_fields
    left, right = st.columns(2)
    width = left.number_input("Width", 1, 512, SMALL["width"], key="width", help=fields["width"].description)
    depth = right.number_input("Depth", 2, 7, SMALL["depth"], key="depth", help=fields["depth"].description)
    norms = list(typing.get_args(fields["norm"].annotation))
    norm = st.segmented_control(
        "Norm", norms, default="batch", required=True, key="norm", help=fields["norm"].description
    )
    return {"width": int(width), "depth": int(depth), "norm": norm}


def _choice(field: str, values: list[str], *, titles: dict[str, str] | None = None, index: int = 0) -> str:
    return st.selectbox(
        _title(field), values, index=index, key=field, help=_help(field), format_func=lambda v: (titles or {}).get(v, v)
    )


def _number(field: str, value: int, *, step: int = 1, low: int | None = None, per: str = "") -> int:
    """A whole number within the recipe's own bounds; `per` keeps a value of its own for each data set."""
    bounds: dict[str, Any] = {}
    for constraint in Recipe.model_fields[field].metadata:
        bounds |= {kind: getattr(constraint, kind) for kind in ("ge", "le") if hasattr(constraint, kind)}
    return int(
        st.number_input(
            _title(field),
            low if low is not None else bounds.get("ge"),
            bounds.get("le"),
            value,
            step=step,
            key=f"{field}-{per}",
            help=_help(field) + (" (0 for all)" if field == "limit" else ""),
        )
    )


def _literals(field: str) -> list[str]:
    return list(typing.get_args(Recipe.model_fields[field].annotation))


def _title(field: str) -> str:
    return field.replace("_", " ").capitalize()


def _help(field: str) -> str:
    return str(Recipe.model_fields[field].description)
