"""The model card: what a checkpoint is, in words, for people and for the Hub.

A checkpoint may be of anybody's making: what comes from it stands in code spans, in which Markdown finds neither HTML
nor links. The same checkpoint gives the same card.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segmodels.data.dataset import SPLITS
from segmodels.data.datasets import DATASETS, dataset_type, portable_name
from segmodels.engines import chosen_engine, engine_versions, package_version
from segmodels.errors import UserError
from segmodels.files import write_text
from segmodels.hub.card_metadata import Figures, all_figures, front_matter, licence_id, one_line
from segmodels.hub.checkpoint import ArchitectureSpec, InputSpec, Spec
from segmodels.hub.contents import PREVIEW
from segmodels.hub.lineage import (
    AVERAGED,
    BEGAN_WITH_MEAN,
    MEMBERS,
    TEACHERS,
    averaged,
    others_of,
    portable,
    with_teachers,
)
from segmodels.hub.names import is_model_name
from segmodels.models.architectures import ARCHITECTURES
from segmodels.models.backbones import BACKBONES
from segmodels.prediction.views import views_of
from segmodels.recipe import Recipe
from segmodels.report.text import count, figure

#: Pictures in the card.
MOST_PICTURES = 3
#: Fields of the recipe that tell most of it.
KEY_FIELDS = (
    "weights", "options", "image_size", "sampling", "epochs", "batch_size", "loss", "class_weights", "optimizer",
    "learning_rate", "schedule", "freeze_epochs", "augment", "precision", "seed",
)  # fmt: skip
#: Squares to stand for colours: the hexadecimal number says which exactly.
SQUARES = {
    "🟥": (221, 46, 68), "🟧": (244, 144, 12), "🟨": (253, 203, 88), "🟩": (120, 177, 89), "🟦": (85, 172, 238),
    "🟪": (170, 142, 214), "🟫": (193, 105, 79), "⬛": (49, 55, 61), "⬜": (230, 231, 232),
}  # fmt: skip
#: Named weights that a training begins with, in words.
BEGINNINGS = {
    "imagenet": "an encoder that had learnt the classes of ImageNet",
    "voc": "the encoder of Google's DeepLabv3 for PASCAL VOC (Apache-2.0), which had seen ImageNet, COCO and VOC",
}
#: Data sets of tissue.
HISTOLOGY = ("monuseg", "monuseg-2", "toy-nuclei")


def write_card(
    folder: Path,
    spec: Spec,
    metrics: Mapping[str, Any],
    *,
    repository: str | None = None,
    report: Mapping[str, Any] | None = None,
    before: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write `README.md` from the spec, the figures in `metrics["validation"]` and the pictures in `previews/`.

    Args:
        folder: of the checkpoint.
        repository: `hf://owner/name` where it will be found; else the card speaks of a folder.
        report: what `evaluate` found on the test split, where it did.
        before: the recipes of the trainings that led to the weights which it began with, the first one first.
    """
    previews = sorted((folder / "previews").glob("*.png"))
    write_text(folder / "README.md", card(spec, metrics, previews, repository=repository, report=report, before=before))


def card(
    spec: Spec,
    metrics: Mapping[str, Any],
    previews: Sequence[Path],
    *,
    repository: str | None = None,
    report: Mapping[str, Any] | None = None,
    before: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The card as Markdown with the Hub's front matter; see `write_card`."""
    figures = all_figures(spec, metrics, report)
    title = f"{_network(spec.architecture)}, trained on {_data(spec)}"
    parts = [
        f"# {title}",
        _purpose(spec),
        *_pictures(previews, spec),
        "## Use",
        *_use(repository),
        "## Classes",
        _table(("id", "class", "colour"), _legend(spec)),
        "## Figures",
        *(paragraph for each in figures for paragraph in _figures(spec, each, metrics)),
        *([] if figures else ["It has not been evaluated yet."]),
        "## Training data",
        _training_data(spec, metrics) + _beginning(spec, before),
        "## Recipe",
        *(_ensemble(metrics) if spec.architecture.is_ensemble else _recipe(spec, before, metrics)),
        *_mean_of(metrics),
        *_taught_by(metrics),
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(spec)),
        "## Versions",
        _versions(),
    ]
    return front_matter(spec, title.replace("`", ""), figures) + "\n" + "\n\n".join(parts) + "\n"


def inert(text: object) -> str:
    """Text of any origin as a code span that also fits into a table. Backticks and bars, which would end them, are
    replaced by their likes."""
    return f"`{one_line(text).replace('`', 'ˋ').replace('|', '¦') or ' '}`"


def _network(architecture: ArchitectureSpec) -> str:
    if architecture.is_ensemble:
        return f"Ensemble of {' and '.join(map(_network, architecture.members))}"
    row, encoder = ARCHITECTURES.get(architecture.name), architecture.backbone
    network = row.title if row else inert(architecture.name)
    if encoder == "none":
        return network
    return f"{network} on {BACKBONES[encoder].title if encoder in BACKBONES else inert(encoder)}"


def _name_of_data(spec: Spec) -> str:
    return str(spec.recipe.get("data", "unknown"))


def _data(spec: Spec) -> str:
    data = _name_of_data(spec)
    return dataset_type(data).title if data in DATASETS else inert(portable_name(data))


def _purpose(spec: Spec) -> str:
    names = [inert(label.name) for label in spec.classes]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    row = ARCHITECTURES.get(spec.architecture.name)
    return (
        f"Semantic segmentation: for every pixel of a picture it says which of {len(names)} classes is there: {shown}."
        + (f" The network is that of {row.paper}." if row else "")
    )


def _pictures(previews: Sequence[Path], spec: Spec) -> list[str]:
    shown = [f"previews/{path.name}" for path in previews if PREVIEW.fullmatch(f"previews/{path.name}")]
    if not shown:
        return []
    lines = [f"![picture, truth, prediction]({path})" for path in shown[:MOST_PICTURES]]
    data = _name_of_data(spec)
    source = f" From {dataset_type(data).title}, {dataset_type(data).licence}." if data in DATASETS else ""
    return [
        "\n\n".join(lines),
        f"Pictures of its data, none of them of the test split: the picture, its true mask, the predicted one.{source}",
    ]


def _use(repository: str | None) -> list[str]:
    name = repository or "path/to/this/folder"
    code = [
        "import segmodels",
        "",
        f'result = segmodels.Predictor("{name}")("photo.jpg")',
        'result.overlay().save("overlay.png")',
    ]
    command = f"python -m segmodels predict {name} photo.jpg --out masks"
    return [_fenced("\n".join(code), "python"), _fenced(command, "bash")]


def _legend(spec: Spec) -> list[tuple[str, ...]]:
    return [
        (str(number), inert(label.name), f"{_square(label.colour)} `{label.colour}`")
        for number, label in enumerate(spec.classes)
    ]


def _square(colour: str) -> str:
    """The square that is nearest to a colour `#RRGGBB`."""
    wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return min(SQUARES, key=lambda square: sum((a - b) ** 2 for a, b in zip(SQUARES[square], wanted, strict=True)))


def _figures(spec: Spec, figures: Figures, metrics: Mapping[str, Any]) -> list[str]:
    pictures = "" if figures.pictures is None else f" ({figures.pictures:,} pictures)"
    size = "each mask's own size" if figures.at == "native" else "the model's size"
    split = figures.split if figures.split in SPLITS else inert(figures.split)
    said = f"On the {split} split of {_data(spec)}{pictures}, compared at {size}"
    if figures.split == "validation":
        epoch = count(metrics.get("epoch"))
        said += " with the weights" + ("" if epoch is None else f" of epoch {epoch}")
        said += ", which were chosen by these figures"
    columns = ("iou", "dice", "precision", "recall")
    rows = [
        (inert(label.name), *(figure(row[key]) for key in columns))
        for label, row in zip(spec.classes, figures.classes, strict=False)
    ]
    means = ("mean_iou", "mean_dice", "precision", "recall")
    rows.append(("**mean**", *(figure(figures.whole.get(key)) for key in means)))
    single = {"pixel_accuracy": "pixel accuracy", "loss": "loss"}
    lines = [f"{name} {figure(figures.whole[key])}" for key, name in single.items() if key in figures.whole]
    objects = {"aji": "AJI", "aji_plus": "AJI+", "pq": "PQ", "dice": "Dice of the foreground"}
    told = [f"{name} {figure(figures.instances[key])}" for key, name in objects.items() if key in figures.instances]
    end = [f"Of all pixels together: {', '.join(lines)}."] if lines else []
    end += [f"Of objects, the mean of the pictures: {', '.join(told)}."] if told else []
    return [f"{said}:", _table(("class", "IoU", "Dice", "precision", "recall"), rows), *end]


def _training_data(spec: Spec, metrics: Mapping[str, Any]) -> str:
    data, pictures = _name_of_data(spec), count(metrics.get("train_images"))
    what = "tiles" if spec.input.mode == "tiles" else "pictures"
    many = "" if pictures is None else f", {pictures:,} {what}"
    if data in DATASETS:
        kind = dataset_type(data)
        text = f"{kind.title}{many}; {kind.source}. Its licence: {kind.licence}."
        if licence_id(data):
            text += " The weights are learnt from it: they are given under the same licence."
        return text
    if (hub := re.fullmatch(r"hf://(datasets/[\w.-]+/[\w.-]+)(@.*)?", data, re.ASCII)) is not None:
        return f"{_data(spec)}{many}; https://huggingface.co/{hub[1]}, whose licence is said there."
    return f"{_data(spec)}{many}. Whoever published the model knows its licence."


def _beginning(spec: Spec, before: Sequence[Mapping[str, Any]]) -> str:
    """What was learnt before, where that has a name."""
    weights = (before[0] if before else spec.recipe).get("weights")
    begun = BEGINNINGS.get(weights) if isinstance(weights, str) and spec.architecture.backbone != "none" else None
    return f" The training began with {begun}." if begun else ""


def _recipe(spec: Spec, before: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any]) -> list[str]:
    """The table of its fields and the commands of all trainings; of a mean the last one needs a name, too."""
    own = with_teachers(spec.recipe, metrics)
    recipe = {**own, "weights": before[0].get("weights")} if before else own  # those of the first one
    told = {key: recipe[key] for key in KEY_FIELDS if recipe.get(key) not in (None, {}, [])}
    rows = [(key.replace("_", " "), inert(_shown(value))) for key, value in told.items()]
    found = [_table(("field", "value"), rows)] if rows else ["It is not known."]
    names = [f"training-{number}" for number in range(1, len(before) + 1)]
    last = f"training-{len(before) + 1}" if averaged(metrics) else ""
    if lines := _one_after_the_other([*before, own], [*names, last]):
        found += ["To train it again:", _fenced("\n".join(lines), "bash")]
    return found


def _mean_of(metrics: Mapping[str, Any]) -> list[str]:
    """What the weights are the mean of, or those that the training began with, where they are one."""
    kinds = {AVERAGED: "Its weights are", BEGAN_WITH_MEAN: "The last training began with"}
    return [
        f"{begins} the mean of those of {len(names)} checkpoints, each a run and an epoch "
        f"(Wortsman et al. 2022, arXiv:2203.05482; `python -m segmodels average`): {', '.join(map(inert, names))}."
        for key, begins in kinds.items()
        if (names := averaged(metrics, key))
    ]


def _taught_by(metrics: Mapping[str, Any]) -> list[str]:
    """What the last training learned from beside the masks, and how that was trained."""
    teachers = others_of(metrics, TEACHERS)
    if not teachers:
        return []
    names = ", ".join(inert(name) for name, _ in teachers)
    told = [
        f"Beside the masks the last training learned from the mean answer of {names} to the same pictures "
        "(distillation, Hinton et al. 2015, arXiv:1503.02531)."
    ]
    lines = _trained_before(teachers)
    return [*told, "Before it:", _fenced("\n".join(lines), "bash")] if lines else told


def _ensemble(metrics: Mapping[str, Any]) -> list[str]:
    """Of which models an ensemble is, and the commands that make it again."""
    members = others_of(metrics, MEMBERS)
    if not members:
        return ["It is not known."]
    names = [one_line(name) for name, _ in members]
    runs = [name.partition("@")[0] for name in names]
    if len(set(runs)) == len(runs):
        names = runs  # each by its best epoch
    joined = f"python -m segmodels ensemble {' '.join(map(shlex.quote, names))} --out ensemble"
    lines = [*_trained_before(members), joined]
    return [
        f"Its answer is the mean of the probabilities of {len(members)} networks that were trained apart "
        f"(Lakshminarayanan et al. 2017, arXiv:1612.01474): {', '.join(inert(name) for name, _ in members)}. To train "
        "it again:",
        _fenced("\n".join(lines), "bash"),
    ]


def _trained_before(models: Iterable[tuple[str, Sequence[Mapping[str, Any]]]]) -> list[str]:
    """The commands of the trainings that led to some models, each once."""
    return list(dict.fromkeys(line for name, recipes in models for line in _trained_so(name, recipes)))


def _trained_so(name: str, recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The commands of the trainings that led to a teacher; none of one of the Hub, which has a card of its own."""
    if is_model_name(name):
        return []
    run = one_line(name).partition("@")[0]
    runs = [*(f"{run}-{number}" for number in range(1, len(recipes))), run]
    return _one_after_the_other(recipes, runs)


def _one_after_the_other(recipes: Sequence[Mapping[str, Any]], runs: Sequence[str]) -> list[str]:
    """The commands of trainings of which each begins with the one before; none where one is not known.

    Args:
        runs: what each is called, or "" where nothing begins with it.
    """
    starts: list[dict[str, Any]] = [{}, *({"start_from": name} for name in runs)]
    commands = [_command({**recipe, **start}) for recipe, start in zip(recipes, starts, strict=False)]
    if not all(commands):
        return []
    ends = [f" --run-dir {shlex.quote(name)}" if name else "" for name in runs]
    return [f"{command}{end}" for command, end in zip(commands, ends, strict=False)]


def _command(recipe: Mapping[str, Any]) -> str | None:
    """The command line of a recipe, without the paths of the machine that it ran on; None where it is of another
    version."""
    # A recipe makes whole paths of what is there by chance; here they are only names.
    names = ("split_file", "start_from", "teachers", "teacher_weight")
    fields = {key: value for key, value in recipe.items() if key not in ("root", *names)}
    named = {key: _portable(recipe[key]) for key in names if isinstance(recipe.get(key), str)}
    try:
        fields["data"] = portable_name(str(recipe.get("data", "unknown")))
        if isinstance(fields.get("weights"), str):
            fields["weights"] = _portable(fields["weights"])
        command = Recipe(**fields).command()
        return " ".join([command, *(f"--{key.replace('_', '-')} {shlex.quote(name)}" for key, name in named.items())])
    except (UserError, TypeError):
        return None


def _shown(value: Any) -> Any:
    """A value of the recipe as people write it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={each}" for key, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return _portable(value)


def _portable(value: Any) -> Any:
    """A value; without the folders, where it is a path."""
    return portable(value) if isinstance(value, str) else value


def _limits(spec: Spec) -> Iterable[str]:
    data = _name_of_data(spec)
    yield f"It has seen {_data(spec)} and nothing else: on pictures of another kind it does worse, without saying so."
    yield _scale(spec.input, spec.recipe.get("image_size"))
    if spec.input.tta:
        yield _seen(spec.input)
    if any(label.name.lower() == "border" for label in spec.classes):
        yield (
            "`border` is a thin class between the others, on which people disagree as well: its figures are the "
            "lowest, and pull the means down."
        )
    if data in HISTOLOGY or any(label.name.lower() in ("nucleus", "nuclei") for label in spec.classes):
        yield "It is for research. It is not for diagnosis: it was never validated for use in a clinic."


def _seen(seen: InputSpec) -> str:
    """What is to be known of its views, where it has some."""
    views = len(views_of(seen.tta))
    return (
        f"It sees every picture in {views} views ({seen.tta}), whose answers are averaged: so its figures were "
        f'measured, and so long it takes. `--tta none` (in Python `tta="none"`) sees it once, in 1/{views} of the '
        "time and a little less well; so does an exported file."
    )


def _scale(seen: InputSpec, trained: Any) -> str:
    size = f"{seen.size} x {seen.size} pixels"
    if seen.mode == "tiles":
        return (
            f"It was trained on tiles of {size} cut from pictures as they are, and sees yours as they are: they should "
            "be of one scale with those."
        )
    at = f" (it was trained at {trained})" if type(trained) is int and trained != seen.size else ""
    return f"It sees every picture as a whole, resized to {size}{at}: what is smaller than a pixel there is lost."


def _versions() -> str:
    from segmodels import __version__

    engine = str(chosen_engine())
    found = {"segmodels": __version__, "Keras": package_version("keras"), engine: engine_versions().get(engine)}
    return "Written by " + ", ".join(f"{name} {version}" for name, version in found.items() if version) + "."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _fenced(text: str, language: str) -> str:
    """A block of code; its fence is longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
