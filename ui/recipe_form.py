"""The form of a new run: widgets whose names, ranges and help come from `Recipe` itself."""

from __future__ import annotations

import typing
from typing import Any

import streamlit as st

from segmodels.data.augment import OPERATIONS, PRESETS
from segmodels.data.class_weights import METHODS
from segmodels.data.datasets import DATASETS, default_sampling
from segmodels.errors import UserError, bounds
from segmodels.models.architectures import (
    ARCHITECTURES,
    PUBLISHED,
    Architecture,
    architecture_row,
    checked_options,
    default_weights,
)
from segmodels.models.backbones import BACKBONES, PLAIN
from segmodels.recipe import Recipe
from segmodels.training.losses import LOSSES
from ui.data_choice import choose_data
from ui.figures import compact
from ui.frame import plain
from ui.option_widgets import option_widgets

#: Sensible first values for a set: small where it is generated, so that the first training takes minutes on a laptop.
START: dict[str, dict[str, Any]] = {
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
#: What 0 stands for in the form.
OFF = {"limit": " (0 for all)", "early_stopping": " (0 for never)"}
#: How the form calls them.
ENCODERS = {PLAIN: "its own encoder", **{name: row.title for name, row in BACKBONES.items()}}
SAMPLINGS = {"resize": "whole pictures, resized", "tiles": "tiles of the pictures as they are"}
EDGES = {"pad": "pad by reflection", "shift": "shift back inside", "drop": "drop"}
WEIGHTS = {"none": "none (random)", **{name: f"{name} (the whole network)" for name in PUBLISHED}}


def recipe_form() -> Recipe | None:
    """Draw the form; returns the recipe it stands for, or None after saying what is wrong with it."""
    chosen = choose_data(key="train-data")
    if chosen is None:
        return None
    data, root = chosen
    fields: dict[str, Any] = {"data": data, "root": root}
    start = START.get(data, {})

    architecture = fields["architecture"] = _choice(
        "architecture", list(ARCHITECTURES), titles={name: row.title for name, row in ARCHITECTURES.items()}
    )
    row = architecture_row(architecture)
    st.caption(plain(_about(row)), help=plain(row.paper))
    generated = data in DATASETS and not DATASETS[data].needs_files
    backbone = fields["backbone"] = _backbone(architecture, generated=generated)
    if backbone != PLAIN:
        fields["weights"] = _weights(architecture, backbone)
    small = SMALL.get(architecture, {}) if backbone == PLAIN else {}
    least = row.stride(checked_options(architecture, backbone, small))

    left, right = st.columns(2)
    with left:
        size = max(start.get("image_size", 128), least)
        fields["image_size"] = _number("image_size", size, step=32, per=f"{data}-{size}")
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
        fields["options"] = option_widgets(architecture, backbone, fields.get("weights", "none"), small)
        st.caption("**Pictures**")
        fields |= _sampling(data, fields["image_size"])
        st.caption("**Training**")
        fields["loss"] = st.selectbox(
            "Loss", ["cross_entropy+dice", *LOSSES], key="loss", accept_new_options=True, help=_losses()
        )
        fields["augment"] = st.selectbox(
            "Augment",
            list(PRESETS),
            list(PRESETS).index(start.get("augment", Recipe.model_fields["augment"].default)),
            key=f"augment-{start.get('augment', '')}",
            accept_new_options=True,
            help=_help("augment") + ", or both: light+cutmix. There are " + plain(", ".join(OPERATIONS)),
        )
        fields["optimizer"] = _choice("optimizer", _literals("optimizer"))
        fields["schedule"] = _choice("schedule", _literals("schedule"))
        weighted = st.selectbox(
            "Class weights",
            ["none", *METHODS],
            key="class_weights",
            accept_new_options=True,
            help=_help("class_weights"),
        )
        fields["class_weights"] = None if weighted == "none" else weighted
        if backbone != PLAIN:
            fields["freeze_epochs"] = _number("freeze_epochs", 0)
        fields["early_stopping"] = _number("early_stopping", 0, low=0) or None
        fields["accumulation"] = _number("accumulation", 1)
        fields["ema"] = _optional("ema", high=0.9999, step=0.01)
        fields["clip_norm"] = _optional("clip_norm", high=1000.0, step=0.5)
        if architecture == "pix2pix":
            fields["discriminator_every"] = _number("discriminator_every", 1)
        fields["precision"] = _choice("precision", _literals("precision"))
        fields["seed"] = _number("seed", 0)
        limit = _number("limit", 0, low=0)
        fields["limit"] = limit or None
    try:
        return Recipe(**fields)
    except UserError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def _sampling(data: str, size: int) -> dict[str, Any]:
    """How pictures come to the image size: first as suits the data set; tiles with their stride."""
    kinds = _literals("sampling")
    first = kinds.index(default_sampling(data))
    sampling = _choice("sampling", kinds, titles=SAMPLINGS, index=first, per=data)
    if sampling == "resize":
        return {"sampling": sampling}
    stride = _number("tile_stride", size, high=size, per=f"{data}-{size}")
    edge = _choice("tile_edge", _literals("tile_edge"), index=_literals("tile_edge").index("shift"), titles=EDGES)
    return {"sampling": sampling, "tile_stride": None if stride == size else stride, "tile_edge": edge}


def _about(row: Architecture) -> str:
    """Whose it is, what it is good for, and what it costs."""
    authors = row.paper.partition(f" {row.year}")[0]
    about = f"{authors} {row.year} · {row.strengths}"
    on = "" if row.shown_on == PLAIN else f" on {BACKBONES[row.shown_on].title}"
    parameters = compact(row.parameters).replace(" ", "\N{NO-BREAK SPACE}")  # in a narrow column
    return f"{about} · {parameters} parameters, {row.gflops:.3g} GFLOPs at 256 px{on}"


def _backbone(architecture: str, *, generated: bool) -> str:
    """What fits the architecture; first its own encoder where a small one is enough, else one that a laptop trains."""
    row = architecture_row(architecture)
    fitting = [PLAIN] * generated + ["mobilenetv2", row.backbones[0]]
    first = next(name for name in fitting if name in row.backbones)
    good_for: dict[str, list[str]] = {}
    for name in row.backbones:
        if name != PLAIN:
            good_for.setdefault(BACKBONES[name].strengths, []).append(BACKBONES[name].title)
    lines = [f"- **{plain(', '.join(titles))}**: {plain(text)}" for text, titles in good_for.items()]
    backbone = st.selectbox(
        "Backbone",
        row.backbones,
        row.backbones.index(first),
        key=f"backbone-{architecture}-{first}",
        help="\n".join(["The encoder: the architecture's own, or a network for ImageNet.\n", *lines]),
        format_func=lambda name: ENCODERS[name],
    )
    if note := row.note(backbone):
        st.caption(plain(note))
    return backbone


def _weights(architecture: str, backbone: str) -> str:
    """The weights that there are for an architecture on a backbone, its default first."""
    whole = [name for name, of in PUBLISHED.items() if (of.architecture, of.backbone) == (architecture, backbone)]
    known = [default_weights(backbone), *whole, "none"]
    return _choice("weights", list(dict.fromkeys(known)), titles=WEIGHTS, per=f"{architecture}-{backbone}")


def _losses() -> str:
    """What there is to choose of and to add up, with the parameters and where each is from."""
    lines = [f"{plain(_help('loss'))}, with parameters where there are some: focal(gamma=3).\n"]
    for name, row in LOSSES.items():
        call = f"{name}({', '.join(row.parameters)})" if row.parameters else name
        source = f" ({row.paper})" if row.paper else ""
        lines.append(f"- **{plain(call)}**: {plain(row.description + source)}")
    return "\n".join(lines)


def _choice(
    field: str, values: list[str], *, titles: dict[str, str] | None = None, index: int = 0, per: str = ""
) -> str:
    return st.selectbox(
        _title(field),
        values,
        index=index,
        key=f"{field}-{per}",
        help=_help(field),
        format_func=lambda value: (titles or {}).get(value, value),
    )


def _number(
    field: str, value: int, *, step: int = 1, low: int | None = None, high: int | None = None, per: str = ""
) -> int:
    """A whole number within the recipe's own bounds; `per` keeps a value of its own for each data set."""
    limits: dict[str, Any] = bounds(Recipe, field)
    return int(
        st.number_input(
            _title(field),
            low if low is not None else limits.get("ge"),
            high if high is not None else limits.get("le"),
            value,
            step=step,
            key=f"{field}-{per}",
            help=_help(field) + OFF.get(field, ""),
        )
    )


def _optional(field: str, *, high: float, step: float) -> float | None:
    """A number above 0, or 0 for none."""
    value = st.number_input(
        _title(field), 0.0, high, 0.0, step=step, format="%g", key=field, help=_help(field) + " (0 for none)"
    )
    return value or None


def _literals(field: str) -> list[str]:
    return list(typing.get_args(Recipe.model_fields[field].annotation))


def _title(field: str) -> str:
    return field.replace("_", " ").capitalize()


def _help(field: str) -> str:
    return str(Recipe.model_fields[field].description)
