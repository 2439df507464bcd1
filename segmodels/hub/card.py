"""The model card: what a checkpoint is, in words, for people and for the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segmodels.data.datasets import DATASETS, dataset_type
from segmodels.files import write_text
from segmodels.hub.checkpoint import InputSpec, Spec
from segmodels.models.architectures import architecture_row


def write_card(folder: Path, spec: Spec, metrics: dict[str, Any]) -> None:
    """Write `README.md` from the spec, the figures in `metrics["validation"]` and the pictures in `previews/`."""
    write_text(folder / "README.md", card(spec, metrics, sorted((folder / "previews").glob("*.png"))))


def _contract(seen: InputSpec) -> str:
    size = f"{seen.size} x {seen.size} pixels"
    if seen.mode == "tiles":
        return f"Trained on tiles of {size}; pictures are seen as they are, so they should be of one scale with these."
    return f"Pictures are seen at {size} and answered at their own size."


def card(spec: Spec, metrics: dict[str, Any], previews: list[Path]) -> str:
    """The card as Markdown with the Hub's front matter."""
    row = architecture_row(spec.architecture.name)
    backbone = "" if spec.architecture.backbone == "none" else f" on {spec.architecture.backbone}"
    data = str(spec.recipe.get("data", "unknown"))
    figures = metrics.get("validation", {})
    lines = [
        "---",
        "library_name: segmodels",
        "pipeline_tag: image-segmentation",
        "tags: [image-segmentation, keras]",
        "---",
        f"# {row.title}{backbone}, trained on {data}",
        "",
        f"{len(spec.classes)} classes: "
        + ", ".join(f"{label.name} (`{label.colour}`)" for label in spec.classes)
        + ".",
        _contract(spec.input),
        f"{row.title}: {row.paper}.",
        "",
    ]
    lines += [f"![picture, truth, prediction](previews/{path.name})" for path in previews[:2]]
    if figures:
        lines += [
            "",
            f"Validation part of {data}, epoch {metrics.get('epoch', '?')}, at the model's size:",
            "",
            "| figure | value |",
            "|---|---|",
            *(f"| {key.replace('_', ' ')} | {value:.4f} |" for key, value in figures.items()),
        ]
    lines += [
        "",
        "```python",
        "import segmodels",
        "",
        'result = segmodels.Predictor("path/to/this/folder")("photo.jpg")',
        'result.overlay().save("overlay.png")',
        "```",
        "",
    ]
    if data in DATASETS:
        kind = dataset_type(data)
        lines += [f"Training data: {kind.title} ({kind.source}); {kind.licence}.", ""]
    return "\n".join(lines)
