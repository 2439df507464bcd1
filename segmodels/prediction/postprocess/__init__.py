"""From what a network says of pixels to objects: `instance_map`, and the methods that it chooses from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segmodels.data.dataset import ClassLabel
from segmodels.prediction.postprocess.border import BorderWatershed
from segmodels.prediction.postprocess.components import Components
from segmodels.prediction.postprocess.distance import DistanceWatershed
from segmodels.prediction.postprocess.method import Method

__all__ = ["METHODS", "BorderWatershed", "Components", "DistanceWatershed", "Method", "instance_map", "suited_method"]

#: The methods by name; adding one is a file of this folder and an entry here.
METHODS: dict[str, type[Method]] = {kind.name: kind for kind in (BorderWatershed, DistanceWatershed, Components)}

#: Classes of round things that touch, which their shape alone can part.
ROUND = {"nucleus", "nuclei", "cell", "cells"}


def suited_method(labels: Sequence[ClassLabel]) -> Method:
    """The method that suits some classes: `border` where they have background, border and more; `distance` where they
    are background and one of `ROUND`; else `components`."""
    names = {label.name.lower() for label in labels}
    if {"background", "border"} < names:
        return BorderWatershed()
    if "background" in names and len(names) == 2 and names & ROUND:
        return DistanceWatershed()
    return Components()


def instance_map(probabilities: np.ndarray, labels: Sequence[ClassLabel], method: Method | None = None) -> np.ndarray:
    """The objects of a picture by a method, or by the one that suits the classes; see `Method.__call__`."""
    return (method or suited_method(labels))(probabilities, labels)
