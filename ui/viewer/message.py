"""What a viewer is sent: a picture, masks laid over it, and what their numbers mean, in one piece of bytes.

Four bytes give the length of a JSON document, little-endian; it follows, and then come the files that it points to:
the picture as JPEG, masks, objects and heats as PNGs whose values are the class ids, the object numbers and 255ths
themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from segmodels.data.dataset import IGNORE, ClassLabel
from segmodels.data.images import encoded, fitted, resize_image, resize_mask
from segmodels.errors import UserError
from segmodels.prediction.masks import indexed_mask

#: The longest side at which a picture is sent at first; closer up its parts come as they are asked for.
FIRST_SIDE = 2048
#: The longest side of a mask.
MASK_SIDE = 6000


@dataclass(frozen=True)
class Layer:
    """A mask over a picture.

    Attributes:
        name: what it is called.
        mask: class ids, uint8 `(height, width)`; ids that no class has are shown as unknown.
        truth: what the others are compared with.
        confidence: how sure the mask is of each pixel, 0 to 1, `(height, width)`.
        instances: object numbers, `(height, width)`, 0 where there is none.
    """

    name: str
    mask: np.ndarray
    truth: bool = False
    confidence: np.ndarray | None = None
    instances: np.ndarray | None = None


@dataclass(frozen=True)
class Heat:
    """A map of numbers over a picture, such as how sure a model is.

    Attributes:
        name: what it is called.
        values: 0 to 1, `(height, width)`.
    """

    name: str
    values: np.ndarray


@dataclass(frozen=True)
class Picture:
    """A picture and what lies over it.

    Attributes:
        name: what it is called.
        image: uint8 `(height, width, 3)`.
        layers: masks of the picture's size, any number.
        labels: names and colours of their classes.
        micrometres: width of a pixel, where that is known.
        heats: maps of numbers, of the picture's size too.
    """

    name: str
    image: np.ndarray
    layers: Sequence[Layer]
    labels: Sequence[ClassLabel]
    micrometres: float | None = None
    heats: Sequence[Heat] = ()


def pack(picture: Picture) -> bytes:
    """The message of a whole picture.

    Raises:
        UserError: a mask is not of the picture's size.
    """
    height, width = picture.image.shape[:2]
    files = Files()
    document: dict[str, Any] = {
        "name": picture.name,
        "width": width,
        "height": height,
        "image": files.add(_jpeg(_fit(picture.image)), "image/jpeg"),
        "classes": [{"name": label.name, "colour": label.colour} for label in picture.labels],
        "layers": [_layer(layer, picture, files) for layer in picture.layers],
        "heats": [_heat(heat, picture, files) for heat in picture.heats],
        "ramp": ramp() if picture.heats else [],
        "reduced": max(height, width) > FIRST_SIDE,
        "micrometres": picture.micrometres,
        "eraser": next((i for i, label in enumerate(picture.labels) if label.name == "background"), IGNORE),
    }
    return files.message(document)


def pack_part(picture: Picture, window: tuple[float, float, float, float]) -> bytes:
    """The message of a part of the picture, at its own size or at `FIRST_SIDE`.

    Args:
        window: left, top, width and height in pixels; what lies outside of the picture is left out.
    """
    height, width = picture.image.shape[:2]
    left, right = _within(window[0], window[2], width)
    top, bottom = _within(window[1], window[3], height)
    files = Files()
    part = files.add(_jpeg(_fit(picture.image[top:bottom, left:right])), "image/jpeg")
    detail = {"image": part, "x": left, "y": top, "width": right - left, "height": bottom - top}
    return files.message({"detail": detail})


def with_settings(message: bytes, settings: dict[str, Any]) -> bytes:
    """A message behind a JSON document of its own length: settings change without anything being encoded anew."""
    files = Files()
    files.add(message)
    return files.message(settings)


class Files:
    """Files one after the other, and the document that points to them."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.length = 0

    def add(self, content: bytes, kind: str = "image/png") -> dict[str, Any]:
        """Put a file behind the others; returns what the document says of it."""
        place = {"offset": self.length, "length": len(content), "type": kind}
        self.parts.append(content)
        self.length += len(content)
        return place

    def digest(self, document: dict[str, Any]) -> str:
        """Of a document and the files, without putting them together."""
        digest = hashlib.blake2b(repr(document).encode("utf-8", "surrogateescape"), digest_size=12)
        for part in self.parts:
            digest.update(part)
        return digest.hexdigest()

    def message(self, document: dict[str, Any]) -> bytes:
        """All in one piece of bytes."""
        text = json.dumps(document).encode()
        return b"".join([len(text).to_bytes(4, "little"), text, *self.parts])


def _within(start: float, length: float, side: int) -> tuple[int, int]:
    """The part of a side that a browser asked for, at least a pixel."""
    first, last = (min(max(0, round(value)), side) for value in (start, start + length))
    return min(first, side - 1), max(last, min(first, side - 1) + 1)


def _layer(layer: Layer, picture: Picture, files: Files) -> dict[str, Any]:
    _check_size(layer.mask, f"mask {layer.name}", picture)
    found: dict[str, Any] = {"name": layer.name, "truth": layer.truth}
    found["mask"] = files.add(_png(indexed_mask(_fit_mask(layer.mask.astype(np.uint8)), picture.labels)))
    if layer.confidence is not None:
        found["confidence"] = files.add(_png(_fit_mask(_in_a_byte(layer.confidence))))
    if layer.instances is not None:
        numbers = np.minimum(layer.instances, 65535).astype(np.uint16)
        found["instances"] = files.add(_png(_fit_mask(numbers)))
    return found


def _heat(heat: Heat, picture: Picture, files: Files) -> dict[str, Any]:
    _check_size(heat.values, f"map {heat.name}", picture)
    return {"name": heat.name, "values": files.add(_png(_fit_mask(_in_a_byte(heat.values))))}


def _check_size(values: np.ndarray, what: str, picture: Picture) -> None:
    if values.shape != picture.image.shape[:2]:
        size, own = (f"{shape[1]} x {shape[0]}" for shape in (picture.image.shape, values.shape))
        raise UserError(f"{picture.name}: its {what} is {own} pixels, the picture {size}")


def _in_a_byte(shares: np.ndarray) -> np.ndarray:
    return np.round(255 * np.clip(shares, 0, 1)).astype(np.uint8)


def ramp() -> list[str]:
    """The colour of each value of a heat, 0 to 255: viridis, whose steps look equally large, as `#RRGGBB`."""
    colours = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
    return [f"#{red:02X}{green:02X}{blue:02X}" for red, green, blue in colours.tolist()]


def _fit(image: np.ndarray) -> np.ndarray:
    size = fitted(image.shape[0], image.shape[1], FIRST_SIDE)
    return image if size == image.shape[:2] else resize_image(image, *size)


def _fit_mask(mask: np.ndarray) -> np.ndarray:
    size = fitted(mask.shape[0], mask.shape[1], MASK_SIDE)
    return mask if size == mask.shape else resize_mask(mask, *size)


def _jpeg(image: np.ndarray) -> bytes:
    return encoded(image, "JPEG", quality=90)


def _png(values: np.ndarray | Image.Image) -> bytes:
    return encoded(values, "PNG", compress_level=3)
