"""The form of a new comparison: on what, who, under which protocol; what it would train, and the same as a command."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import streamlit as st

from segmodels.data.dataset import SPLITS
from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.conduct import begin
from segmodels.evaluation.compare.entries import MOST_SEEDS, Member
from segmodels.evaluation.compare.members import architecture_members, model_members, recipe_members
from segmodels.home import home
from segmodels.hosted import limits
from segmodels.hub.checkpoint import read_spec
from segmodels.models.architectures import ARCHITECTURES, architecture_row, default_backbone
from segmodels.models.backbones import BACKBONES, PLAIN
from segmodels.named_recipes import NAMED_RECIPES
from segmodels.recipe import Recipe
from ui import cached
from ui.compare_links import show_comparison
from ui.comparison_protocol import CARRIER, shared_recipe
from ui.comparison_runs import runs_to_make
from ui.data_choice import choose_data
from ui.field_widgets import KEPT
from ui.finished_view import take_choice
from ui.frame import in_place, plain
from ui.hosted import started
from ui.launcher_choice import choose_launcher
from ui.models import usable_models

PROTOCOLS = {"same": "one recipe, other networks", "own": "each its own named recipe"}
SIZES = {"native": "the pictures' own size", "model": "the model's size"}
#: Small enough for a laptop, and of three kinds.
FIRST = ("unet", "fpn", "deeplabv3+")
ENCODERS = {PLAIN: "each its own", **{name: row.title for name, row in BACKBONES.items()}}


@dataclass
class Asked:
    """What the form stands for: who is compared, and the words of the command for it."""

    members: list[Member]
    words: list[str]


def comparison_form() -> None:
    """Draw it; once it is started the comparison is shown."""
    form, view = st.columns([3, 2], gap="large")
    asked: Asked | None = None
    with form, in_place():
        if (chosen := choose_data(key="compare-data")) is None:
            return
        data, root = chosen
        protocol = "same" if limits().hosted else _choose_protocol()
        with in_place():
            asked = _trained(data, root, protocol)
        models = _models(data, root)
        title = st.text_input("Title", max_chars=200, key="compare-title", placeholder="what it is for")
        left, right = st.columns(2)
        split = left.segmented_control("Split", SPLITS, default="test", required=True, key="compare-split")
        at = right.segmented_control(
            "Compared at", list(SIZES), default="native", required=True, key="compare-at", wrap=True,
            format_func=SIZES.__getitem__,
        )  # fmt: skip
    with view, in_place():
        if asked is None:
            return
        asked.members += model_members(models, asked.members)
        where = {"title": title.strip(), "split": split, "at": at}
        _start(asked, models, data, root, protocol, where)


def _choose_protocol() -> str:
    return st.segmented_control(
        "Protocol", list(PROTOCOLS), default="same", required=True, key="compare-protocol", wrap=True,
        format_func=PROTOCOLS.__getitem__,
        help="One recipe: all but the network is the same, which tells the networks apart. Each its own: what was "
        "chosen for each, which tells whole systems apart",
    )  # fmt: skip


def _trained(data: str, root: str | None, protocol: str) -> Asked:
    """Who is trained for it; `UserError` for what cannot be."""
    if limits().hosted:  # one comparison trains for longer than a visitor may
        st.caption("Hosted demo: models that are there are compared; none is trained for it.")
        return Asked([], ["--data", data, *(["--root", root] if root else [])])
    if protocol == "own":
        return _recipes(data, root)
    names = st.multiselect(
        "Architectures", list(ARCHITECTURES), default=FIRST, key="compare-architectures", persist_state=KEPT,
        format_func=lambda name: ARCHITECTURES[name].title, placeholder="None: only models that are there already",
    )  # fmt: skip
    if not names:
        return Asked([], ["--data", data, *(["--root", root] if root else [])])
    backbone = st.selectbox(
        "Encoder", list(ENCODERS), list(ENCODERS).index(CARRIER), key="compare-backbone", persist_state=KEPT,
        format_func=ENCODERS.__getitem__, help="Of all that can have it; the others have their default",
    )  # fmt: skip
    recipe = shared_recipe(data, root)
    seeds = _seeds()
    texts = [_with_encoder(name, backbone, recipe) for name in names]
    words = [*shlex.split(recipe.command())[4:], "--architectures", ",".join(texts), *_seed_words(seeds)]
    return Asked(_architecture_members(texts, recipe.model_dump_json(), seeds), words)


def _with_encoder(name: str, backbone: str, recipe: Recipe) -> str:
    """An architecture and its encoder as `--architectures` takes it: as short as means the same under the recipe."""
    fitting = architecture_row(name).backbones
    own = backbone if backbone in fitting else default_backbone(name)
    usual = recipe.backbone if recipe.backbone in fitting else default_backbone(name)
    return name if own == usual else f"{name}:{own}"


@st.cache_data(max_entries=64, show_spinner=False, ttl=60)
def _architecture_members(texts: list[str], recipe: str, seeds: int) -> list[Member]:
    """Opening the data set for each takes a while."""
    return architecture_members(texts, Recipe.parse(recipe, "recipe"), seeds)


def _recipes(data: str, root: str | None) -> Asked:
    fitting = [name for name, row in NAMED_RECIPES.items() if row.fields.get("data") == data]
    if not fitting:
        st.info("There is no recipe with a name for this data set.", icon=":material/menu_book:")
    names = st.multiselect(
        "Named recipes", fitting, default=fitting[:2], key=f"compare-recipes-{data}", placeholder="Choose",
        help="Each is trained as it is: size, epochs, loss and all; the table says which",
    )  # fmt: skip
    for name in names:
        st.caption(f"**{plain(name)}**: {plain(NAMED_RECIPES[name].purpose)}")
    seeds = _seeds()
    words = ["--data", data, *(["--root", root] if root else [])]
    words += ["--recipes", ",".join(names), *_seed_words(seeds)] if names else []
    return Asked(recipe_members(names, data, root, seeds), words)


def _seeds() -> int:
    help = "Runs of each: how far a figure hangs on chance. Three or more say something"
    return int(st.number_input("Seeds", 1, MOST_SEEDS, 1, key="compare-seeds", help=help, persist_state=KEPT))


def _seed_words(seeds: int) -> list[str]:
    return ["--seeds", str(seeds)] if seeds > 1 else []


def _models(data: str, root: str | None) -> list[str]:
    """Models that are there already, to be evaluated with the others."""
    titles = {name: model.title for name, model in usable_models().items()}
    classes = tuple(label.name for label in cached.dataset(data, root).classes)
    other = _of_other_classes(str(home()), tuple(titles), classes)
    order = sorted(titles, key=lambda name: name in other)  # stable: newest first among each
    chosen = st.multiselect(
        "Models that are there already", order, key=f"compare-models-{data}",
        format_func=lambda name: f"{titles.get(name, name)}{' · other classes' if name in other else ''}",
        placeholder="None" if titles else "There are none yet",
        help="Best epochs of runs and pulled checkpoints: they are evaluated, not trained",
    )  # fmt: skip
    if wrong := [name for name in chosen if name in other]:
        st.warning(
            f"{plain(', '.join(wrong))}: of other classes than {plain(data)}. In the table this will be a row with "
            "that reason.",
            icon=":material/warning:",
        )
    return [name for name in chosen if name in titles]


@st.cache_data(max_entries=8, show_spinner=False, ttl=15)
def _of_other_classes(of_home: str, names: tuple[str, ...], classes: tuple[str, ...]) -> set[str]:
    """Of the usable models those that know other classes."""
    models, found = usable_models(), set()
    for name in names:
        try:
            theirs = tuple(label.name for label in read_spec(models[name].path).labels)
        except (KeyError, UserError):
            theirs = ()
        if theirs != classes:
            found.add(name)
    return found


def _start(asked: Asked, models: list[str], data: str, root: str | None, protocol: str, where: dict[str, str]) -> None:
    """What it comes to, the button, and the command."""
    runs_to_make(asked.members)
    place = choose_launcher("compare")
    taken = take_choice()
    if st.button(
        "Start the comparison", type="primary", icon=":material/play_arrow:", width="stretch", key="compare-start",
        disabled=not asked.members or place is None,
    ) and place is not None:  # fmt: skip

        def start() -> str:
            comparison = Comparison.create(asked.members, data=data, root=root, protocol=protocol, **where)
            begin(comparison, *place, take_finished=taken)
            return comparison.id

        show_comparison(started(start))
        st.rerun()
    usual = {"title": "", "split": "test", "at": "native"}
    words = ["python", "-m", "segmodels", "compare", *asked.words]
    words += ["--models", ",".join(models)] if models else []
    words += [word for name, value in where.items() if value != usual[name] for word in (f"--{name}", value)]
    words += place[1].words(place[0]) if place is not None else []
    words += ["--finished", "take"] if taken else []
    if asked.members:
        st.caption("The same as a command")
        st.code(shlex.join(words), language="bash", wrap_lines=True)
