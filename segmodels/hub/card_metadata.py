"""What a model card says for machines: the front matter of the Hub, and the figures that it and the text share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from segmodels.data.datasets import DATASETS, dataset_type, portable_name
from segmodels.hub.checkpoint import Spec
from segmodels.report.text import clean, count, number

#: The figures of a whole split in the order of the card: the Hub's name of the metric, and ours.
WHOLE = {
    "mean_iou": ("mean_iou", "mean IoU"),
    "mean_dice": ("dice", "mean Dice"),
    "pixel_accuracy": ("accuracy", "pixel accuracy"),
    "precision": ("precision", "precision, mean of the classes"),
    "recall": ("recall", "recall, mean of the classes"),
}
#: Those of a class.
OF_CLASS = {"iou": ("iou", "IoU"), "dice": ("dice", "Dice")}

_LICENCE = re.compile(r"CC (BY(?:-NC)?(?:-SA|-ND)?) (\d\.\d)\b")
_HUB_DATA = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)(?:@.*)?", re.ASCII)


@dataclass(frozen=True)
class Figures:
    """What a model scored on a split.

    Attributes:
        split: "test" or "validation".
        pictures: how many; None where that is not known.
        at: "native", each mask's own size, or "model", the model's.
        whole: figures of all pixels together, by their names in a report.
        classes: a row a class, in the order of the ids: `iou`, `dice`, `precision`, `recall`, None where undefined.
        instances: figures of objects, where they were compared.
    """

    split: str
    pictures: int | None
    at: str
    whole: dict[str, float]
    classes: list[dict[str, float | None]]
    instances: dict[str, float] = field(default_factory=dict)


def all_figures(spec: Spec, metrics: Mapping[str, Any], report: Mapping[str, Any] | None) -> list[Figures]:
    """The figures of a test report and of `metrics.json`, as far as they are there; each value is a number."""
    found = []
    if report is not None:
        at = "model" if report.get("at") == "model" else "native"
        objects = _numbers(report.get("instances"))
        split = clean(report.get("split"), 40)
        found.append(Figures(split, count(report.get("images")), at, _numbers(report), _rows(spec, report), objects))
    if whole := _numbers(metrics.get("validation")):
        pictures = count(metrics.get("validation_images"))
        found.append(Figures("validation", pictures, "model", whole, _rows(spec, metrics)))
    return found


def _numbers(document: Any) -> dict[str, float]:
    pairs = document.items() if isinstance(document, Mapping) else ()
    return {str(key): found for key, value in pairs if (found := number(value)) is not None}


def _rows(spec: Spec, document: Mapping[str, Any]) -> list[dict[str, float | None]]:
    """The rows of the classes by the spec's order; empty where they are not those of the spec."""
    rows = document.get("classes")
    rows = rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else []
    if [row.get("name") for row in rows] != [label.name for label in spec.classes]:
        return []
    return [{key: number(row.get(key)) for key in ("iou", "dice", "precision", "recall")} for row in rows]


def front_matter(spec: Spec, title: str, figures: Sequence[Figures]) -> str:
    """The YAML between the two lines of dashes, both with it. Names are values of it, whatever is in them."""
    data = str(spec.recipe.get("data", "unknown"))
    encoder = [] if spec.architecture.backbone == "none" else [one_line(spec.architecture.backbone)]
    tags = ["image-segmentation", "semantic-segmentation", "keras", one_line(spec.architecture.name), *encoder]
    document: dict[str, Any] = {"library_name": "segmodels", "pipeline_tag": "image-segmentation"}
    if licence := licence_id(data):
        document["license"] = licence
    document["tags"] = list(dict.fromkeys(tags))
    if hub_data := _HUB_DATA.fullmatch(data):
        document["datasets"] = [hub_data[1]]
    results = [_result(spec, data, each) for each in figures]
    if results := [each for each in results if each["metrics"]]:
        document["metrics"] = list(dict.fromkeys(each["type"] for result in results for each in result["metrics"]))
        document["model-index"] = [{"name": one_line(title), "results": results}]
    return f"---\n{yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10**6)}---\n"


def _result(spec: Spec, data: str, figures: Figures) -> dict[str, Any]:
    name = dataset_type(data).title if data in DATASETS else one_line(portable_name(data))
    return {
        "task": {"type": "image-segmentation", "name": "Semantic segmentation"},
        "dataset": {"name": name, "type": one_line(portable_name(data)), "split": figures.split},
        "metrics": list(_metrics(spec, figures)),
    }


def _metrics(spec: Spec, figures: Figures) -> Iterator[dict[str, Any]]:
    for key, (kind, name) in WHOLE.items():
        if key in figures.whole:
            yield {"type": kind, "value": round(figures.whole[key], 4), "name": name}
    for label, row in zip(spec.classes, figures.classes, strict=False):
        for key, (kind, name) in OF_CLASS.items():
            if (value := row[key]) is not None:
                yield {"type": kind, "value": round(value, 4), "name": f"{name} of {one_line(label.name)}"}


def licence_id(data: str) -> str | None:
    """What the Hub calls the licence of a data set of ours; None where it has no name for it."""
    licence = dataset_type(data).licence if data in DATASETS else ""
    if licence.startswith("CC0"):
        return "cc0-1.0"
    found = _LICENCE.match(licence)
    return f"cc-{found[1].lower()}-{found[2]}" if found else None


def one_line(text: object) -> str:
    """Text of any origin in a line of its own."""
    return " ".join(clean(text, 200).split())
