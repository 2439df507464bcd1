"""`Predictor`: from any picture to its mask at the picture's own size, at the scale that the model was trained for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from segmodels.data.images import read_image, resize_image, rgb
from segmodels.errors import UserError, choose
from segmodels.files import whole
from segmodels.hub.checkpoint import WEIGHTS, load_checkpoint, read_spec
from segmodels.prediction.engines import ENGINES, Forward, suited
from segmodels.prediction.engines.keras_engine import compiled
from segmodels.prediction.result import Result
from segmodels.prediction.tiling import passes, tiled_logits
from segmodels.prediction.turns import COMPUTING
from segmodels.prediction.views import View, averaged, views_of
from segmodels.training.reporter import Reporter
from segmodels.training.runs import find_checkpoint

if TYPE_CHECKING:
    from segmodels.backend import keras

__all__ = ["Picture", "Predictor", "Result"]

Picture = str | Path | bytes | BinaryIO | np.ndarray | Image.Image

#: Told how many passes are done, and how many there are.
Told = Callable[[int, int], None]

#: A model of tiles sees a picture of no more pixels whole, at once: a U-Net of 64 channels takes some 2 GB for that.
WHOLE_PIXELS = 1_500_000

#: The largest side of a tile that can be asked for: the same U-Net takes some 6 GB for it, however small the picture.
LARGEST_TILE = 2048

#: What `engine` may be: one of `ENGINES`, or the one that is `suited`.
AUTO = "auto"


class Predictor:
    """A model ready to predict; safe to call from several threads, which then take turns.

    Args:
        model: a checkpoint directory, a run or its id (its best epoch), or `hf://owner/name@revision`.
        engine: what computes: "keras", "onnx" (ONNX Runtime on the processor, up to twice as fast there; its file is
            made where there is none, which takes some seconds, and kept) or "openvino" (an extra). "auto" is ONNX
            Runtime on a processor where its file was made before, else Keras.
        reporter: told that a file is made.

    Raises:
        UserError: no such model, or a damaged one; an engine that is unknown or not installed, or cannot take the
            network.
    """

    def __init__(self, model: str | Path, *, engine: str = AUTO, reporter: Reporter | None = None) -> None:
        self.path = find_checkpoint(model, reporter)
        choose("engine", engine, [AUTO, *ENGINES])
        self.spec = read_spec(whole(self.path))
        self.labels = self.spec.labels
        self.engine = suited(self.path) if engine == AUTO else engine
        self._forward = self._opened(self.engine, reporter or Reporter())
        #: Bytes that it holds while it predicts, roughly: weights are there twice, as a file and as they are computed
        #: with, and a half more for features.
        self.memory = 5 * (whole(self.path) / WEIGHTS).stat().st_size // 2

    def _opened(self, engine: str, reporter: Reporter) -> Forward:
        # What Keras loads is kept, since whoever asks for `model` wants the same network.
        return self._keras if engine == "keras" else ENGINES[engine].open(whole(self.path), reporter)

    @cached_property
    def model(self) -> keras.Model:
        """The network in Keras; another engine does without, and it is loaded when it is asked for."""
        return load_checkpoint(self.path)[0]

    @cached_property
    def _keras(self) -> Forward:
        return compiled(self.model)

    def __call__(
        self,
        picture: Picture,
        *,
        name: str | None = None,
        page: int = 0,
        tiled: bool | None = None,
        tile: int | None = None,
        tta: str | Sequence[str] | None = None,
        told: Told | None = None,
    ) -> Result:
        """Predict one picture: a path, the bytes of a file, an open file, a Pillow image or an RGB array.

        By the model's input contract it is resized to the size that the model was trained to see, and the logits back
        to the picture's own; or it is seen as it is, whole or, over `WHOLE_PIXELS`, in tiles, which are predicted when
        the mask is first asked for. `name` is what messages call it.

        Args:
            page: of a file of several pages, such as a TIFF, from 0.
            tiled: whether a model of tiles sees it in tiles, whatever its size; as its size asks for where None.
            tile: the side of the tiles, 32 to `LARGEST_TILE` pixels, where a model of tiles is to see it in others than
                its own.
            tta: test-time augmentation (`prediction.views`): of "flips", "turns" and "scales", with commas between, or
                "none"; the model's own where left out. The logits are then the logarithm of the mean probabilities.
            told: called after each pass of the network, where a picture takes several: how many are done, and how many
                there are. What it raises ends the prediction.

        Raises:
            UserError: it is no picture, or is to be seen in tiles by a model of whole pictures; an augmentation that is
                not known.
        """
        views = self.views(tta)
        image = _as_rgb(picture, name, page)
        if tile is not None and not 32 <= tile <= LARGEST_TILE:
            raise UserError(f"tiles of {tile} pixels: give 32 to {LARGEST_TILE}")
        side = self._tile(image, tiled or (None if tile is None else True), tile)
        overlap = min(self.spec.input.overlap or 0, (side or 0) // 2)
        height, width = image.shape[:2]
        each = 1 if side is None else passes(height, width, side, overlap)
        network = _telling(self.logits, len(views) * each, told)
        if self.spec.input.mode == "tiles":
            network = _filled_up(network, self.spec.architecture.multiple)
        forward = averaged(network, views)
        if side is not None:
            return Result(image, lambda: tiled_logits(forward, image, side, overlap), self.labels)
        size = self.spec.input.size
        seen = resize_image(image, size, size) if self.spec.input.mode == "resize" else image
        return Result(image, forward(seen[None])[0], self.labels)

    def views(self, tta: str | Sequence[str] | None = None) -> tuple[View, ...]:
        """The views in which it sees a picture: those asked for, or those of its input contract where None."""
        return views_of(self.spec.input.tta if tta is None else tta)

    def check_tiled(self, tiled: bool | None) -> None:
        """`UserError` where the model cannot see a picture in tiles."""
        if tiled and self.spec.input.mode == "resize":
            size = self.spec.input.size
            raise UserError(f"{self.path} sees whole pictures, resized to {size} pixels: leave tiled out")

    def _tile(self, image: np.ndarray, tiled: bool | None, tile: int | None) -> int | None:
        """The side of the tiles in which it sees a picture; None where it sees it whole."""
        self.check_tiled(tiled)
        height, width = image.shape[:2]
        if self.spec.input.mode == "resize" or not (height * width > WHOLE_PIXELS if tiled is None else tiled):
            return None
        return tile or self.spec.input.size

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Logits of a batch of any one size: uint8 `(batch, height, width, 3)` to float32 `(…, classes)`.

        It waits until those have been served who asked before, of any model of this process.

        Raises:
            UserError: the engine cannot take them, mostly for want of memory.
        """
        contract = self.spec.input
        other_size = contract.mode == "resize" and images.shape[1:3] != (contract.size, contract.size)
        with COMPUTING:
            forward = self._keras if other_size and ENGINES[self.engine].fixed else self._forward
            try:
                found = forward(images)
            except (UserError, MemoryError):
                raise
            except Exception as error:  # each engine has a class of its own for it
                height, width = images.shape[1:3]
                reason = " ".join(str(error).split())[:200]
                raise UserError(
                    f"{self.engine} cannot predict {len(images)} of {width} x {height} pixels at once ({reason}): give "
                    "a smaller picture, tiles (tile=256), or the engine keras"
                ) from error
        if found.shape != (expected := (*images.shape[:3], len(self.labels))):
            raise UserError(
                f"{self.path}: {self.engine} answers {found.shape} where {expected} belongs: use the engine keras, "
                "or remove the file that another engine takes"
            )
        return found


def _filled_up(forward: Forward, multiple: int) -> Forward:
    """A network that fills the sides of a picture up to a multiple of so many pixels would do so with black, which no
    tile of its training has: here the picture goes on as its mirror image."""

    def seen(images: np.ndarray) -> np.ndarray:
        height, width = images.shape[1:3]
        margins = (0, -height % multiple), (0, -width % multiple)
        if not any(end for _, end in margins):
            return forward(images)
        return forward(np.pad(images, ((0, 0), *margins, (0, 0)), mode="reflect"))[:, :height, :width]

    return seen


def _telling(forward: Forward, passes: int, told: Told | None) -> Forward:
    """A network that tells how far it is the first time that it goes through so many passes."""
    if told is None or passes == 1:
        return forward
    numbers = iter(range(1, passes + 1))

    def seen(images: np.ndarray) -> np.ndarray:
        found = forward(images)
        if (number := next(numbers, None)) is not None:
            told(number, passes)
        return found

    return seen


def _as_rgb(picture: Picture, name: str | None, page: int) -> np.ndarray:
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3 or not picture.size:
            raise UserError(
                f"{name or 'picture'}: an array must be uint8 (height, width, 3), "
                f"but this is {picture.dtype} {picture.shape}"
            )
        return picture
    if isinstance(picture, Image.Image):
        return rgb(picture)
    source = Path(picture) if isinstance(picture, str) else picture
    return read_image(source, name=name, page=page)
