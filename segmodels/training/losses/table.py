"""The table of losses: what each is, where it comes from, and what its parameters may be."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from segmodels.expressions import Parameter
from segmodels.training.losses.border import border_cross_entropy, border_weights
from segmodels.training.losses.distance import boundary, signed_distances
from segmodels.training.losses.lovasz_softmax import lovasz
from segmodels.training.losses.overlap import dice, focal_tversky, jaccard, tversky
from segmodels.training.losses.pixelwise import binary_cross_entropy, cross_entropy, focal, l1


@dataclass(frozen=True)
class LossRow:
    """One loss.

    Attributes:
        function: of masks, logits, the map that `target` makes where there is one, class weights, and its parameters as
            keywords.
        paper: author, year, title, arXiv number; empty where it is older than papers on networks.
        description: what it is good for, in one sentence.
        ranges: the least and the largest value of each parameter; its default is that of the function.
        target: makes what the loss needs beside the masks: of masks uint8 `(batch, height, width)` and the number of
            classes a float32 array `(batch, height, width)` or `(batch, height, width, classes)`. In NumPy, so that
            threads can do it while the network computes.
        sorts: whether it sorts the pixels: then it is slower on a CPU where XLA compiled it, as all others are faster.
    """

    function: Callable[..., Any]
    paper: str
    description: str
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    target: Callable[..., Any] | None = None
    sorts: bool = False

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """What may stand in parentheses behind its name."""
        keywords = {**_keywords(self.target), **_keywords(self.function)}
        return {name: Parameter(keywords[name], *limits) for name, limits in self.ranges.items()}

    def call(self, masks: Any, logits: Any, maps: tuple[Any, ...], class_weights: Any, values: Mapping) -> Any:
        """The loss; `maps` is what `make_map` made, alone in a tuple, or empty."""
        return self.function(masks, logits, *maps, class_weights, **_taken_by(self.function, values))

    def make_map(self, masks: Any, classes: int, background: int | None, values: Mapping) -> Any:
        """What `target` makes of masks."""
        assert self.target is not None
        return self.target(masks, classes, **_taken_by(self.target, {**values, "background": background}))


def _keywords(function: Callable[..., Any] | None) -> dict[str, Any]:
    """The keywords of a function with their defaults."""
    known = inspect.signature(function).parameters.values() if function else ()
    return {one.name: one.default for one in known if one.kind is one.KEYWORD_ONLY}


def _taken_by(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that are keywords of a function: some belong to a loss, others to the making of its map."""
    keywords = _keywords(function)
    return {name: value for name, value in values.items() if name in keywords}


#: By the name that recipes use. Adding a loss is a function and an entry here.
LOSSES: dict[str, LossRow] = {
    "cross_entropy": LossRow(
        cross_entropy,
        paper="",
        description="every pixel counts alike; the first to try, and steady",
        ranges={"label_smoothing": (0, 0.5)},
    ),
    "dice": LossRow(
        dice,
        paper="Milletari et al. 2016, V-Net, arXiv:1606.04797",
        description="the overlap of each class, so that small classes count as much as large ones",
    ),
    "binary_cross_entropy": LossRow(
        binary_cross_entropy,
        paper="",
        description="each class against the rest, as if a pixel could be of several",
    ),
    "focal": LossRow(
        focal,
        paper="Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv:1708.02002",
        description="cross-entropy that turns from what is right already to what is hard",
        ranges={"gamma": (0, 10)},
    ),
    "jaccard": LossRow(
        jaccard,
        paper="Rahman and Wang 2016, Optimizing Intersection-Over-Union in Deep Neural Networks, ISVC 2016",
        description="the IoU of each class; like dice, harder on what is far off",
    ),
    "tversky": LossRow(
        tversky,
        paper="Salehi et al. 2017, Tversky loss function for image segmentation, arXiv:1706.05721",
        description="like dice, with a weight each for pixels too many (alpha) and pixels missed (beta)",
        ranges={"alpha": (0.01, 1), "beta": (0.01, 1)},
    ),
    "focal_tversky": LossRow(
        focal_tversky,
        paper="Abraham and Khan 2019, A Novel Focal Tversky loss function, arXiv:1810.07842",
        description="tversky for small objects: classes that are nearly right still count (gamma)",
        ranges={"alpha": (0.01, 1), "beta": (0.01, 1), "gamma": (1, 3)},
    ),
    "lovasz": LossRow(
        lovasz,
        paper="Berman et al. 2018, The Lovász-Softmax loss, arXiv:1705.08790",
        description="the nearest to the mean IoU itself; good for the last epochs, slower than the others",
        sorts=True,
    ),
    "l1": LossRow(
        l1,
        paper="Isola et al. 2017, Pix2Pix, arXiv:1611.07004",
        description="how far the drawn mask is from the true one; for adversarial training: 100*l1",
    ),
    "boundary": LossRow(
        boundary,
        paper="Kervadec et al. 2019, Boundary loss for highly unbalanced segmentation, arXiv:1812.07032",
        description="errors count by their distance from the true border; add it by a small weight: dice+0.01*boundary",
        target=signed_distances,
    ),
    "border_cross_entropy": LossRow(
        border_cross_entropy,
        paper="Ronneberger et al. 2015, U-Net, arXiv:1505.04597",
        description="cross-entropy that keeps objects apart: the background between them counts up to w0 times more",
        ranges={"w0": (0, 100), "sigma": (0.5, 50)},
        target=border_weights,
    ),
}
