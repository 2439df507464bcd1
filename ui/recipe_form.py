"""The form of a new run: a widget for every field of `Recipe`, in groups, each shown where it changes something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from segmodels.data.augment import OPERATIONS, PRESETS
from segmodels.data.class_weights import METHODS
from segmodels.data.datasets import DATASETS, default_sampling
from segmodels.errors import UserError
from segmodels.hosted import check_training, limits
from segmodels.models.architectures import (
    ARCHITECTURES,
    PUBLISHED,
    Architecture,
    architecture_row,
    checked_options,
    default_weights,
)
from segmodels.models.backbones import BACKBONES, PLAIN
from segmodels.models.options import option_text
from segmodels.recipe import Recipe
from segmodels.training.losses import LOSSES
from ui.data_choice import choose_data
from ui.field_widgets import KEPT, about, choice, field_widget, open_choice, title
from ui.figures import compact
from ui.form_start import FormStart
from ui.frame import plain
from ui.option_widgets import option_widgets

#: The fields below "More settings"; those above it, and `options`, have widgets of their own.
GROUPS: dict[str, tuple[str, ...]] = {
    "Pictures": ("sampling", "tile_stride", "tile_edge", "tile_foreground", "augment", "limit"),
    "Loss": ("loss", "class_weights", "auxiliary_weight", "teachers", "teacher_weight"),
    "Updates": ("optimizer", "momentum", "weight_decay", "clip_norm", "accumulation", "ema", "norm_momentum"),
    "Learning rate": (
        "schedule", "warm_up_epochs", "plateau_patience", "plateau_factor", "backbone_rate", "layer_decay",
        "freeze_epochs", "fine_tune_rate",
    ),
    "Discriminator": ("adversarial_weight", "discriminator_every", "discriminator_rate"),
    "The run": (
        "start_from", "early_stopping", "snapshots", "precision", "xla", "seed", "split_seed", "split_file",
        "deterministic",
    ),
}  # fmt: skip
_Fields = dict[str, Any]
#: Where a field would change nothing it is not drawn; any other is always.
ONLY_WHERE: dict[str, Callable[[_Fields], Any]] = {
    **dict.fromkeys(("tile_stride", "tile_edge", "tile_foreground"), lambda f: f["sampling"] == "tiles"),
    **dict.fromkeys(("plateau_patience", "plateau_factor"), lambda f: f["schedule"] == "plateau"),
    **dict.fromkeys(("backbone_rate", "layer_decay"), lambda f: f["backbone"] != PLAIN),
    # SegNet's own encoder is VGG16 with batch normalisation, and counts as a backbone in this.
    "norm_momentum": lambda f: f["backbone"] != PLAIN or f["architecture"] == "segnet",
    **dict.fromkeys(
        ("discriminator_every", "discriminator_rate"),
        lambda f: f["architecture"] == "pix2pix" if f["adversarial_weight"] is None else f["adversarial_weight"],
    ),
    "teacher_weight": lambda f: f.get("teachers"),
    "freeze_epochs": lambda f: f["weights"] != "none",
    "fine_tune_rate": lambda f: f.get("freeze_epochs"),
    "warm_up_epochs": lambda f: f["schedule"] != "one_cycle",
}
#: How the form calls them.
ENCODERS = {PLAIN: "its own encoder", **{name: row.title for name, row in BACKBONES.items()}}
WEIGHTS = {"none": "none (random)", **{name: f"{name} (the whole network)" for name in PUBLISHED}}
TITLES = {
    "sampling": {"resize": "whole pictures, resized", "tiles": "tiles of the pictures as they are"},
    "tile_edge": {"pad": "pad by reflection", "shift": "shift back inside", "drop": "drop"},
}


def recipe_form() -> Recipe | None:
    """Draw the form; returns the recipe it stands for, or None after saying what is wrong with it."""
    chosen = choose_data(key="train-data")
    if chosen is None:
        return None
    data, root = chosen
    start = FormStart()
    fields: _Fields = {"data": data, "root": root}
    if start.recipe and start.recipe["data"] != data:
        st.warning(
            f"The recipe is for {plain(start.recipe['data'])}, which is not chosen above: its other values are taken.",
            icon=":material/swap_horiz:",
        )
        start.forget_data()
    elif form := start.recipe.get("form"):
        fields["form"] = form
    try:
        _network(fields, start)
        _first_fields(fields, start)
        with st.expander("More settings", icon=":material/tune:"):
            small = start.options(fields["architecture"], fields["backbone"])
            fields["options"] = option_widgets(
                fields["architecture"], fields["backbone"], fields["weights"], small, start.version
            )
            for group, names in GROUPS.items():
                _group(group, names, fields, start)
        recipe = Recipe(**fields)
        check_training(recipe)
        return recipe
    except UserError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def _network(fields: _Fields, start: FormStart) -> None:
    """Architecture, backbone and weights."""
    data = fields["data"]
    architecture = fields["architecture"] = choice(
        "architecture",
        list(ARCHITECTURES),
        start.value("architecture", data),
        key=start.key("architecture"),
        titles={name: row.title for name, row in ARCHITECTURES.items()},
    )
    row = architecture_row(architecture)
    st.caption(plain(_about(row)), help=plain(row.paper))
    generated = data in DATASETS and not DATASETS[data].needs_files
    backbone = fields["backbone"] = _backbone(architecture, start, generated=generated)
    fields["weights"] = _weights(architecture, backbone, start) if backbone != PLAIN else "none"


def _first_fields(fields: _Fields, start: FormStart) -> None:
    """What everybody looks at."""
    data, architecture, backbone = fields["data"], fields["architecture"], fields["backbone"]
    small = start.options(architecture, backbone)
    least = architecture_row(architecture).stride(checked_options(architecture, backbone, small))
    left, right = st.columns(2)
    size = start.image_size(data, least)
    for column, field, first, per in (
        (left, "image_size", size, size),
        (left, "batch_size", start.value("batch_size", data), ""),
        (right, "epochs", start.value("epochs", data), ""),
        (right, "learning_rate", start.value("learning_rate", data), ""),
    ):
        most = getattr(limits(), field, None)
        if most is not None:  # but a picture may have to be larger for the network: then the recipe is refused
            most = max(most, least) if field == "image_size" else most
            first = min(first, most) if isinstance(first, int) else most
        with column:
            fields[field] = field_widget(field, first, key=start.key(field, data, per), high=most)


def _group(group: str, names: tuple[str, ...], fields: _Fields, start: FormStart) -> None:
    """A heading and the widgets of a group, in two columns; those that would change nothing are left out."""
    st.caption(f"**{group}**")
    columns = st.columns(2)
    drawn = 0
    for field in names:
        if not ONLY_WHERE.get(field, lambda _: True)(fields):
            continue
        with columns[drawn % 2]:
            fields[field] = _one(field, fields, start)
        drawn += 1
    if fields.get("tile_stride") == fields["image_size"]:
        fields["tile_stride"] = None


def _one(field: str, fields: _Fields, start: FormStart) -> Any:
    """The widget of a field."""
    data = fields["data"]
    first = start.value(field, data)
    if field == "sampling":
        usual = default_sampling(data)
        return field_widget(field, first or usual, key=start.key(field, data), titles=TITLES[field])
    if field == "tile_stride":
        size = fields["image_size"]
        return field_widget(field, min(first or size, size), key=start.key(field, data, size), high=size)
    if field == "loss":
        return open_choice(field, ["cross_entropy+dice", *LOSSES], first, key=start.key(field), help=_losses())
    if field == "augment":
        said = f"{about(field)}, or both: light+cutmix. There are {plain(', '.join(OPERATIONS))}"
        return open_choice(field, list(PRESETS), first, key=start.key(field, first), help=said)
    if field == "class_weights":
        shown = "none" if first is None else first if isinstance(first, str) else option_text(first)
        typed = open_choice(field, ["none", *METHODS], shown, key=start.key(field))
        return None if typed == "none" else typed
    return field_widget(field, first, key=start.key(field), titles=TITLES.get(field))


def _about(row: Architecture) -> str:
    """Whose it is, what it is good for, and what it costs."""
    authors = row.paper.partition(f" {row.year}")[0]
    about = f"{authors} {row.year} · {row.strengths}"
    on = "" if row.shown_on == PLAIN else f" on {BACKBONES[row.shown_on].title}"
    parameters = compact(row.parameters).replace(" ", "\N{NO-BREAK SPACE}")  # in a narrow column
    return f"{about} · {parameters} parameters, {row.gflops:.3g} GFLOPs at 256 px{on}"


def _backbone(architecture: str, start: FormStart, *, generated: bool) -> str:
    """What fits the architecture; first its own encoder where a small one is enough, else one that a laptop trains."""
    row = architecture_row(architecture)
    taken = [start.recipe["backbone"]] if start.recipe.get("architecture") == architecture else []
    fitting = [*taken, *[PLAIN] * generated, "mobilenetv2", row.backbones[0]]
    first = next(name for name in fitting if name in row.backbones)
    good_for: dict[str, list[str]] = {}
    for name in row.backbones:
        if name != PLAIN:
            good_for.setdefault(BACKBONES[name].strengths, []).append(BACKBONES[name].title)
    lines = [f"- **{plain(', '.join(titles))}**: {plain(text)}" for text, titles in good_for.items()]
    backbone = st.selectbox(
        title("backbone"),
        row.backbones,
        row.backbones.index(first),
        key=start.key("backbone", architecture, first),
        help="\n".join(["The encoder: the architecture's own, or a network for ImageNet.\n", *lines]),
        format_func=lambda name: ENCODERS[name],
        persist_state=KEPT,
    )
    if note := row.note(backbone):
        st.caption(plain(note))
    return backbone


def _weights(architecture: str, backbone: str, start: FormStart) -> str:
    """The weights that there are for an architecture on a backbone, its default first; a file may be named."""
    whole = [name for name, of in PUBLISHED.items() if (of.architecture, of.backbone) == (architecture, backbone)]
    known = list(dict.fromkeys([default_weights(backbone), *whole, "none"]))
    same = (start.recipe.get("architecture"), start.recipe.get("backbone")) == (architecture, backbone)
    taken = start.recipe.get("weights") if same else None
    return choice(
        "weights",
        list(dict.fromkeys([*known, *([taken] if taken else [])])),
        taken or known[0],
        key=start.key("weights", architecture, backbone),
        titles=WEIGHTS,
    )


def _losses() -> str:
    """What there is to choose of and to add up, with the parameters and where each is from."""
    lines = [f"{plain(about('loss'))}, with parameters where there are some: focal(gamma=3).\n"]
    for name, row in LOSSES.items():
        call = f"{name}({', '.join(row.parameters)})" if row.parameters else name
        source = f" ({row.paper})" if row.paper else ""
        lines.append(f"- **{plain(call)}**: {plain(row.description + source)}")
    return "\n".join(lines)
