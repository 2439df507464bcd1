"""segmodels: semantic segmentation that people can see, train, compare and use.

The public names load what they need at first use: `import segmodels` itself loads neither TensorFlow nor Keras.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from segmodels.data.datasets import open_dataset
    from segmodels.data.prepare import load_data
    from segmodels.errors import UserError
    from segmodels.evaluation.evaluate import evaluate
    from segmodels.hub.pull import pull
    from segmodels.hub.push import push
    from segmodels.models.architectures import architectures
    from segmodels.models.architectures import backbone_list as backbones
    from segmodels.models.build import build
    from segmodels.prediction.predictor import Predictor
    from segmodels.recipe import Recipe
    from segmodels.training.runs import Run, list_runs
    from segmodels.training.train import train

_PUBLIC = {
    "Predictor": "segmodels.prediction.predictor:Predictor",
    "Recipe": "segmodels.recipe:Recipe",
    "Run": "segmodels.training.runs:Run",
    "UserError": "segmodels.errors:UserError",
    "architectures": "segmodels.models.architectures:architectures",
    "backbones": "segmodels.models.architectures:backbone_list",
    "build": "segmodels.models.build:build",
    "evaluate": "segmodels.evaluation.evaluate:evaluate",
    "list_runs": "segmodels.training.runs:list_runs",
    "load_data": "segmodels.data.prepare:load_data",
    "open_dataset": "segmodels.data.datasets:open_dataset",
    "pull": "segmodels.hub.pull:pull",
    "push": "segmodels.hub.push:push",
    "train": "segmodels.training.train:train",
}

__all__ = [  # noqa: RUF022 (the order of a first look)
    "build", "load_data", "open_dataset", "Recipe", "train", "Run", "list_runs", "evaluate", "Predictor",
    "push", "pull",    "architectures", "backbones", "UserError",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'segmodels' has no attribute {name!r}")
    module, attribute = _PUBLIC[name].split(":")
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
