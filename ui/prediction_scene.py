"""What the viewer is given of a prediction: its mask, the truth where that is known, and how sure the model is."""

from __future__ import annotations

import numpy as np

from ui.prediction_picture import Chosen
from ui.prediction_result import Prediction
from ui.viewer import Heat, Layer, Picture

#: What the maps are called.
CONFIDENCE, ENTROPY = "Confidence", "Entropy"


def scene(
    prediction: Prediction, chosen: Chosen, *, instances: np.ndarray | None = None, micrometres: float | None = None
) -> Picture:
    """The picture with its layers.

    Args:
        prediction: of a model.
        chosen: the picture, whose truth is a layer where it is of the model's classes.
        instances: its objects, int32 `(height, width)`, where they are numbered.
        micrometres: the side of a pixel, where that is known.
    """
    result = prediction.refined
    layers = [Layer("Prediction", result.mask, confidence=result.confidence, instances=instances)]
    truth = chosen.truth_for(result.labels)
    if truth is not None and truth.shape == result.mask.shape:
        layers.append(Layer("Truth", truth, truth=True))
    heats = [Heat(CONFIDENCE, result.confidence)]
    if not prediction.is_large:
        heats.append(Heat(ENTROPY, prediction.result.entropy))
    return Picture(chosen.label, result.image, layers, result.labels, micrometres, heats)
