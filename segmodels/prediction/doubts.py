"""What speaks against a prediction: a picture unlike those that the model learned from, and little confidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

#: A pixel is grey where its channels are no further apart than this, of 255, and a picture where this share of it is.
GREY_STEP, GREY_SHARE = 6, 0.99
#: Training pictures are coloured where the channels of a pixel are this far apart in the mean.
COLOURED = 10.0
#: Less confidence than this in more than this share of the pixels is a doubt.
UNSURE, UNSURE_SHARE = 0.6, 0.5
#: Deviations of the training data that the mean of a channel may be away from theirs, and how many times as widely (or
#: as narrowly) its values may be spread.
MOST_AWAY, MOST_SPREAD = 1.0, 3.0
#: How many times smaller than a tile, and larger, a picture may be.
MOST_SMALLER, MOST_LARGER = 2, 16
#: Rows and columns of a picture that its colours are taken from, at most.
SEEN = 512


@dataclass(frozen=True)
class Colours:
    """The colours of some pictures.

    Attributes:
        mean, deviation: of red, green and blue over all pixels, float64 `(3,)`, 0 to 255.
        chroma: how far the channels of a pixel are apart in the mean, 0 (grey) to 255.
    """

    mean: np.ndarray
    deviation: np.ndarray
    chroma: float


def colours_of(pictures: Iterable[np.ndarray]) -> Colours | None:
    """The colours of pictures, uint8 RGB `(height, width, 3)`, each pixel counting once; None without pictures."""
    pixels = [_some(picture).reshape(-1, 3) for picture in pictures]
    if not pixels:
        return None
    together = np.concatenate(pixels)
    return Colours(together.mean(axis=0), together.std(axis=0), float(np.ptp(together, axis=1).mean()))


def doubts(
    image: np.ndarray, confidence: np.ndarray, *, tile: int | None = None, learned: Colours | None = None
) -> list[str]:
    """What speaks against a prediction, a line each; mostly nothing.

    Args:
        image: the picture, uint8 RGB `(height, width, 3)`.
        confidence: of its pixels, `(height, width)`, 0 to 1.
        tile: the size of the tiles that the model was trained on, at the scale of their pictures; None where it sees
            whole pictures, resized, of which any size will do.
        learned: the colours of the pictures that the model was trained on, where they are known.
    """
    found = []
    if learned is not None and learned.chroma >= COLOURED and is_grey(image):
        found.append("The picture is grey, but the model was trained on colours.")
    elif learned is not None and (told := _unlike(image, learned)):
        found.append(f"Its colours are unlike those that the model was trained on: {told}.")
    if tile is not None and (told := _other_size(image.shape[0], image.shape[1], tile)):
        found.append(told)
    unsure = float((confidence < UNSURE).mean())
    if unsure > UNSURE_SHARE:
        share, bound = f"{100 * unsure:.0f} %", f"{100 * UNSURE:.0f} %"
        found.append(f"The model is not sure: for {share} of the pixels the confidence is below {bound}.")
    return found


def is_grey(image: np.ndarray) -> bool:
    """Whether a picture, uint8 RGB `(height, width, 3)`, has no colours but those of noise."""
    return float((np.ptp(_some(image), axis=2) <= GREY_STEP).mean()) >= GREY_SHARE


def _some(image: np.ndarray) -> np.ndarray:
    """The picture, or rows and columns of it at equal distances: its colours are the same."""
    height, width = image.shape[:2]
    return image[:: -(-height // SEEN), :: -(-width // SEEN)]


def _unlike(image: np.ndarray, learned: Colours) -> str:
    """The channel that is furthest from the training data, where one is too far."""
    own = colours_of([image])
    assert own is not None
    scale = np.maximum(learned.deviation, 1.0)
    away = (own.mean - learned.mean) / scale
    spread = np.maximum(own.deviation, 1.0) / scale
    channel = int(np.abs(away).argmax())
    name = ("red", "green", "blue")[channel]
    if abs(away[channel]) > MOST_AWAY:
        return f"{name} is {own.mean[channel]:.0f} in the mean, not {learned.mean[channel]:.0f}"
    if spread.max() > MOST_SPREAD or spread.min() < 1 / MOST_SPREAD:
        channel = int(np.abs(np.log(spread)).argmax())
        name = ("red", "green", "blue")[channel]
        return f"{name} varies by {own.deviation[channel]:.0f}, not {learned.deviation[channel]:.0f}"
    return ""


def _other_size(height: int, width: int, tile: int) -> str:
    size = f"The picture is {width} x {height} pixels, and the model was trained on tiles of {tile}"
    if MOST_SMALLER * min(height, width) < tile:
        return f"{size}: what it looks for may be larger than here."
    if max(height, width) > MOST_LARGER * tile:
        return f"{size}: it may look for smaller things than are here."
    return ""
