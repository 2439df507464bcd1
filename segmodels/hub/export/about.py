"""What an exported file says of itself: classes, input contract, origin and licence."""

from __future__ import annotations

from typing import Any

from segmodels import __version__
from segmodels.data.datasets import DATASETS, dataset_type, portable_name
from segmodels.hub.checkpoint import InputSpec, Spec, input_spec

#: The entry of a file's metadata that holds it, and the name of the file where it is one.
KEY, FILE = "segmodels", "segmodels.json"
#: Changes when the document does.
FORMAT = 1
#: Characters of such a document that are read.
LONGEST = 1_000_000


def contract_at(contract: InputSpec, side: int | None) -> InputSpec:
    """The input contract of a model whose file takes pictures of some side; None leaves it as it is. The file sees each
    picture once."""
    once = contract.model_copy(update={"tta": None})
    return once if side in (None, contract.size) else input_spec(contract.mode, side)


def about(spec: Spec, contract: InputSpec, side: int | None, int8: bool) -> dict[str, Any]:
    """The document. Of a folder of one's own it names no more than what the folder is called."""
    data = portable_name(str(spec.recipe["data"])) if spec.recipe.get("data") else None
    known = dataset_type(data) if data in DATASETS else None
    return {
        "format": FORMAT,
        "segmodels": __version__,
        "architecture": spec.architecture.name,
        "backbone": spec.architecture.backbone,
        "classes": [label.model_dump() for label in spec.classes],
        "input": contract.model_dump(),
        "takes": f"uint8 RGB (batch, {side or 'height'}, {side or 'width'}, 3), 0..255",
        "answers": f"float32 logits (batch, {side or 'height'}, {side or 'width'}, {len(spec.classes)})",
        "computes_in": "int8" if int8 else "float32",
        "data": data,
        "source": known.source if known else None,
        "licence": known.licence if known else None,
    }
