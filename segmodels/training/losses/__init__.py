"""Losses on logits, alone or as a weighted sum; the ignore label counts in none.

`LOSSES` is the table of them, `parse_loss` reads a recipe's text, `make_loss` makes of it what a training calls. Each
loss is also a function of its own:

- `masks` are class ids `(batch, height, width)` (`IGNORE` where nothing counts) or one-hot
  `(batch, height, width, classes)`, where a pixel without any class is ignored;
- `logits` are `(batch, height, width, classes)`, two classes or more, in any type of float;
- `class_weights`, `(classes,)`, say what each class counts; in the loss alone, never in a score.

They return one float32 number, and their sums run in float32 whatever the network computes in. Where nothing counts
(every pixel ignored) the loss is 0, and so is its gradient. Keras is loaded when a loss is called, not before.
"""

from __future__ import annotations

from segmodels.training.losses.auxiliary import loss_of_heads
from segmodels.training.losses.border import border_cross_entropy
from segmodels.training.losses.distance import boundary
from segmodels.training.losses.loss import Loss, Term
from segmodels.training.losses.lovasz_softmax import lovasz
from segmodels.training.losses.overlap import dice, focal_tversky, jaccard, tversky
from segmodels.training.losses.parse import make_loss, parse_loss
from segmodels.training.losses.pixelwise import binary_cross_entropy, cross_entropy, focal, l1
from segmodels.training.losses.table import LOSSES, LossRow

__all__ = [
    "LOSSES",
    "Loss",
    "LossRow",
    "Term",
    "binary_cross_entropy",
    "border_cross_entropy",
    "boundary",
    "cross_entropy",
    "dice",
    "focal",
    "focal_tversky",
    "jaccard",
    "l1",
    "loss_of_heads",
    "lovasz",
    "make_loss",
    "parse_loss",
    "tversky",
]
