"""`Predictor`: from any picture to its mask at the picture's own size, at the scale that the model was trained for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from segmodels.data.dataset import ClassLabel
from segmodels.data.images import read_image, resize_image, rgb
from segmodels.errors import UserError
from segmodels.hub.checkpoint import load_checkpoint
from segmodels.prediction import masks
from segmodels.prediction.most_likely import most_likely
from segmodels.prediction.resize import bands, resize_logits
from segmodels.prediction.tiling import tiled_logits
from segmodels.training.runs import find_checkpoint

if TYPE_CHECKING:
    from segmodels.backend import keras
    from segmodels.prediction.postprocess import Method

Picture = str | Path | bytes | BinaryIO | np.ndarray | Image.Image

#: Rows of a picture and their logits, float32 `(rows, width, classes)`, from top to bottom.
Bands = Iterator[tuple[slice, np.ndarray]]

#: A model of tiles sees a picture of no more pixels whole, at once: a U-Net of 64 channels takes some 2 GB for that.
WHOLE_PIXELS = 1_500_000


@dataclass(frozen=True)
class Result:
    """What a model sees in a picture.

    Attributes:
        image: the picture, uint8 RGB `(height, width, 3)`.
        scores: logits, float32 `(h, w, classes)`, of the model's size or the picture's; or, where a picture is so large
            that it went through the network in tiles, a function that predicts it anew a band at a time. All below is
            at the picture's size.
        labels: the classes.
    """

    image: np.ndarray
    scores: np.ndarray | Callable[[], Bands]
    labels: tuple[ClassLabel, ...]

    @property
    def mask(self) -> np.ndarray:
        """The most likely class of each pixel: uint8 `(height, width)`."""
        return self._answer[0]

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the most likely class: float32 `(height, width)`, 1 / classes to 1."""
        return self._answer[1]

    @cached_property
    def _answer(self) -> tuple[np.ndarray, np.ndarray]:
        """Mask and confidence, band by band: no array of all classes at the picture's size is made."""
        shape = self.image.shape[:2]
        mask, confidence = np.empty(shape, np.uint8), np.empty(shape, np.float32)
        for rows, logits in self.bands():
            mask[rows], confidence[rows] = most_likely(logits)
        return mask, confidence

    @cached_property
    def logits(self) -> np.ndarray:
        """Float32 `(height, width, classes)`."""
        return np.concatenate([logits for _, logits in self.bands()])

    def bands(self) -> Bands:
        """The logits a band of rows at a time: what a large picture has in memory at once."""
        scores = vars(self).get("logits", self.scores)
        if callable(scores):
            yield from scores()
            return
        height, width = self.image.shape[:2]
        for rows in bands(height, width * scores.shape[-1]):
            yield rows, resize_logits(scores, height, width, rows=rows)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits: float32 `(height, width, classes)`, sums to 1 over the classes."""
        return softmax(self.logits)

    def instances(self, method: Method | None = None) -> np.ndarray:
        """The objects: int32 `(height, width)`, numbered from 1, 0 where there is none.

        They are found by a method of `segmodels.prediction.postprocess`, or by the one that suits the classes. All
        probabilities of the picture are in memory at once, 4 bytes a pixel and class.
        """
        from segmodels.prediction.postprocess import instance_map

        return instance_map(self.probabilities, self.labels, method)

    @property
    def shares(self) -> dict[str, float]:
        """The share of the pixels of each class, by name; they sum to 1."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.labels))
        return {label.name: float(counts[i] / self.mask.size) for i, label in enumerate(self.labels)}

    def overlay(self, *, opacity: float = 0.5, shown: Sequence[int] | None = None) -> Image.Image:
        """The picture under the colours of its classes, at its own size."""
        return Image.fromarray(masks.overlay(self.image, self.mask, self.labels, opacity=opacity, shown=shown))

    def indexed(self) -> Image.Image:
        """The mask as a palette picture: pixel values are class ids."""
        return masks.indexed_mask(self.mask, self.labels)


class Predictor:
    """A model ready to predict; safe to call from several threads, which then take turns.

    Args:
        model: a checkpoint directory, or a run or its id (its best epoch).

    Raises:
        UserError: no such model, or a damaged one.
    """

    def __init__(self, model: str | Path) -> None:
        self.path = find_checkpoint(model)
        self.model, self.spec = load_checkpoint(self.path)
        self.labels = self.spec.labels
        self._turn = threading.Lock()
        self._compiled = _compiled(self.model)

    def __call__(self, picture: Picture, *, name: str | None = None, tiled: bool | None = None) -> Result:
        """Predict one picture: a path, the bytes of a file, an open file, a Pillow image or an RGB array.

        By the model's input contract it is resized to the size that the model was trained to see, and the logits back
        to the picture's own; or it is seen as it is, whole or, over `WHOLE_PIXELS`, in tiles, which are predicted when
        the mask is first asked for. `name` is what messages call it.

        Args:
            tiled: whether a model of tiles sees it in tiles, whatever its size; as its size asks for where None.

        Raises:
            UserError: it is no picture, or is to be seen in tiles by a model of whole pictures.
        """
        image = _as_rgb(picture, name)
        return Result(image, self._scores(image, tiled), self.labels)

    def check_tiled(self, tiled: bool | None) -> None:
        """`UserError` where the model cannot see a picture in tiles."""
        if tiled and self.spec.input.mode == "resize":
            size = self.spec.input.size
            raise UserError(f"{self.path} sees whole pictures, resized to {size} pixels: leave tiled out")

    def _scores(self, image: np.ndarray, tiled: bool | None) -> np.ndarray | Callable[[], Bands]:
        self.check_tiled(tiled)
        contract = self.spec.input
        if contract.mode == "resize":
            return self.logits(resize_image(image, contract.size, contract.size)[None])[0]
        height, width = image.shape[:2]
        if not (height * width > WHOLE_PIXELS if tiled is None else tiled):
            return self.logits(image[None])[0]
        return lambda: tiled_logits(self.logits, image, contract.size, contract.overlap or 0)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Logits of a batch of any one size: uint8 `(batch, height, width, 3)` to float32 `(…, classes)`."""
        with self._turn:
            return np.asarray(self._compiled(images))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, which sum to 1 over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    exponentials /= exponentials.sum(axis=-1, keepdims=True)
    return exponentials


def _as_rgb(picture: Picture, name: str | None) -> np.ndarray:
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3 or not picture.size:
            raise UserError(
                f"{name or 'picture'}: an array must be uint8 (height, width, 3), "
                f"but this is {picture.dtype} {picture.shape}"
            )
        return picture
    if isinstance(picture, Image.Image):
        return rgb(picture)
    return read_image(Path(picture) if isinstance(picture, str) else picture, name=name)


def _compiled(model: keras.Model) -> Callable[[np.ndarray], Any]:
    """The forward pass compiled once a shape: twice as fast as `model.predict` for one picture."""
    from segmodels.backend import backend_name

    if backend_name() == "tensorflow":
        import tensorflow as tf

        from segmodels.models.batch_norm_tensorflow import fused_batch_norm

        def forward(images: Any) -> Any:
            with fused_batch_norm():
                return model(images, training=False)

        function = tf.function(forward, reduce_retracing=True)
        return lambda images: function(tf.constant(images))
    if backend_name() == "jax":
        import jax

        state = ([v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables])
        jitted = jax.jit(lambda state, images: model.stateless_call(*state, images, training=False)[0])
        return lambda images: jitted(state, images)
    return lambda images: model.predict_on_batch(images)
