"""`Result`: what a model sees in one picture, at the picture's own size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from segmodels.data.dataset import IGNORE, ClassLabel
from segmodels.errors import UserError
from segmodels.prediction import masks
from segmodels.prediction.most_likely import most_likely
from segmodels.prediction.resize import bands, resize_logits
from segmodels.prediction.softmax import entropy, margin, softmax

if TYPE_CHECKING:
    from segmodels.prediction.postprocess import Method

#: Rows of a picture and their logits, float32 `(rows, width, classes)`, from top to bottom.
Bands = Iterator[tuple[slice, np.ndarray]]

#: Bytes of logits that a result keeps.
KEPT = 200_000_000


@dataclass(frozen=True)
class Refinement:
    """What is done to a mask after the most likely classes were taken.

    Attributes:
        threshold: pixels of less confidence, 0 to 1, are ignored.
        smallest: pieces of a class but background of fewer pixels become background.
        largest_hole: background of up to so many pixels within one piece becomes that class.
    """

    threshold: float = 0.0
    smallest: int = 0
    largest_hole: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise UserError(f"the threshold is {self.threshold}: give a confidence from 0 to 1")
        if self.smallest < 0 or self.largest_hole < 0:
            raise UserError(f"regions of {min(self.smallest, self.largest_hole)} pixels: give 0 or more")


@dataclass(frozen=True)
class Result:
    """What a model sees in a picture.

    Attributes:
        image: the picture, uint8 RGB `(height, width, 3)`.
        scores: logits, float32 `(h, w, classes)`, of the model's size or the picture's; or, where a picture is so large
            that it went through the network in tiles, a function that predicts it anew a band at a time. All below is
            at the picture's size.
        labels: the classes.
        refinement: what was done to the mask, and to nothing else.
    """

    image: np.ndarray
    scores: np.ndarray | Callable[[], Bands]
    labels: tuple[ClassLabel, ...]
    refinement: Refinement = Refinement()

    @cached_property
    def mask(self) -> np.ndarray:
        """The most likely class of each pixel, refined where that was asked for: uint8 `(height, width)`."""
        mask, steps, background = self._answer[0], self.refinement, masks.background(self.labels)
        if (steps.smallest or steps.largest_hole) and background is not None:
            from segmodels.prediction.postprocess.cleaning import clean_mask

            mask = clean_mask(
                mask,
                masks.foreground(self.labels),
                background=background,
                smallest=steps.smallest,
                largest_hole=steps.largest_hole,
            )
        # What is no number is not sure either.
        return np.where(self.confidence >= steps.threshold, mask, np.uint8(IGNORE)) if steps.threshold else mask

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
    def entropy(self) -> np.ndarray:
        """How evenly the probabilities are spread over the classes: float32 `(height, width)`, 0 (one has all) to 1."""
        return self._map(entropy)

    @cached_property
    def margin(self) -> np.ndarray:
        """How far the most likely class is ahead of the second: float32 `(height, width)`, 0 to 1."""
        return self._map(margin)

    def _map(self, of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        found = np.empty(self.image.shape[:2], np.float32)
        for rows, logits in self.bands():
            found[rows] = of(softmax(logits))
        return found

    @cached_property
    def logits(self) -> np.ndarray:
        """Float32 `(height, width, classes)`."""
        parts = [logits for _, logits in self.bands()]
        kept = vars(self).get("logits")  # by `bands`, at its end
        return np.concatenate(parts) if kept is None else kept

    def bands(self) -> Bands:
        """The logits a band of rows at a time: what a large picture has in memory at once.

        Those of a picture that was seen in tiles are kept where they are small enough, so that it is seen once.
        """
        scores, (height, width) = vars(self).get("logits", self.scores), self.image.shape[:2]
        if callable(scores):
            kept: list[np.ndarray] | None = [] if 4 * height * width * len(self.labels) <= KEPT else None
            for rows, logits in scores():
                if kept is not None:
                    kept.append(logits)
                yield rows, logits
            if kept:
                vars(self)["logits"] = np.concatenate(kept)
            return
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

    def refined(self, *, threshold: float = 0.0, smallest: int = 0, largest_hole: int = 0) -> Result:
        """The same with another mask: small regions removed and holes filled, then what is not sure ignored.

        Args:
            threshold: pixels of less confidence, 0 to 1, become `IGNORE`.
            smallest: pieces of a class, background apart, of fewer pixels become background.
            largest_hole: background of up to so many pixels within one piece becomes that class.

        Raises:
            UserError: one of them is out of range; small regions of classes that have no background to become.
        """
        found = replace(self, refinement=Refinement(threshold, smallest, largest_hole))
        for name in ("_answer", "entropy", "margin", "logits", "probabilities"):
            if name in vars(self):  # none of these depends on the refinement
                vars(found)[name] = vars(self)[name]
        if (smallest or largest_hole) and masks.background(self.labels) is None:
            raise UserError(f"the classes {', '.join(label.name for label in self.labels)} have no background: leave "
                            "the size of regions and holes out")  # fmt: skip
        return found

    def sure(self, threshold: float) -> np.ndarray:
        """The mask with `IGNORE` where the confidence is below a threshold, 0 to 1: uint8 `(height, width)`."""
        return self.refined(threshold=threshold).mask

    @property
    def shares(self) -> dict[str, float]:
        """The share of the pixels of each class, by name, of those that are not ignored; they sum to 1."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.labels))[: len(self.labels)]
        total = max(int(counts.sum()), 1)
        return {label.name: float(counts[i] / total) for i, label in enumerate(self.labels)}

    def overlay(self, *, opacity: float = 0.5, shown: Sequence[int] | None = None) -> Image.Image:
        """The picture under the colours of its classes, at its own size."""
        return Image.fromarray(masks.overlay(self.image, self.mask, self.labels, opacity=opacity, shown=shown))

    def indexed(self) -> Image.Image:
        """The mask as a palette picture: pixel values are class ids."""
        return masks.indexed_mask(self.mask, self.labels)
