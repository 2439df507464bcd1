"""The table of architectures. Adding one is one file in this folder and one entry here. Loads no Keras."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from segmodels.errors import UserError, choose, explain
from segmodels.models import backbones


@dataclass(frozen=True)
class Architecture:
    """What is known of an architecture without building it."""

    title: str
    paper: str
    strengths: str
    module: str
    function: str
    options: str
    backbones: tuple[str, ...]

    def options_type(self) -> type[BaseModel]:
        return getattr(importlib.import_module(f"segmodels.models.{self.module}"), self.options)

    def builder(self) -> Any:
        return getattr(importlib.import_module(f"segmodels.models.{self.module}"), self.function)

    def stride(self, options: BaseModel) -> int:
        return importlib.import_module(f"segmodels.models.{self.module}").stride(options)


ARCHITECTURES: dict[str, Architecture] = {
    "unet": Architecture(
        title="U-Net",
        paper="Ronneberger et al. 2015, arXiv:1505.04597",
        strengths="sharp edges and few training pictures; the first to try",
        module="unet",
        function="unet",
        options="UNetOptions",
        backbones=(backbones.PLAIN, *backbones.BACKBONES),
    ),
}


def architecture_row(name: str) -> Architecture:
    """The row of an architecture; `UserError` for an unknown name."""
    return ARCHITECTURES[choose("architecture", name, list(ARCHITECTURES))]


def checked_options(architecture: str, backbone: str, options: dict[str, Any]) -> BaseModel:
    """Validate an architecture's own keywords; `UserError` names the keyword, its value and what is allowed."""
    row = architecture_row(architecture)
    choose(f"backbone of {architecture}", backbone, row.backbones)
    if "backbone" in options:
        raise UserError(f"unknown {architecture} option 'backbone': it is a field of its own")
    try:
        return row.options_type()(**options, backbone=backbone)
    except ValidationError as error:
        raise explain(error, f"{architecture} option", row.options_type()) from None


def architectures() -> list[dict[str, Any]]:
    """Every architecture with its paper, strengths, backbones and options: what the app and the command line list."""
    listed = []
    for name, row in ARCHITECTURES.items():
        fields = row.options_type().model_fields
        options = {
            key: {"default": field.default, "description": field.description}
            for key, field in fields.items()
            if not field.exclude
        }
        listed.append(
            {
                "name": name,
                "title": row.title,
                "paper": row.paper,
                "strengths": row.strengths,
                "backbones": list(row.backbones),
                "options": options,
            }
        )
    return listed


def backbone_list() -> list[dict[str, Any]]:
    """Every backbone with its paper, parameter count and the file names of its ImageNet weights."""
    return [
        {
            "name": name,
            "title": row.title,
            "paper": row.paper,
            "parameters": row.parameters,
            "weights": list(row.weights),
        }
        for name, row in backbones.BACKBONES.items()
    ]
