"""Very many pictures, on the nodes of a Ray cluster: `predict_at_scale`. Loads no Keras, and Ray when it is used."""

from segmodels.prediction.scale.conduct import predict_at_scale

__all__ = ["predict_at_scale"]
