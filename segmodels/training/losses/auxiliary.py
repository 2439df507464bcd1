"""The loss of a network with several heads: auxiliary ones, and those of deep supervision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: What the loss of each auxiliary head counts beside that of the answer, as in PSPNet (Zhao et al. 2017,
#: arXiv:1612.01105, section 5.2) and in the trainings of UperNet, FCN and DeepLab after it.
AUXILIARY_WEIGHT = 0.4

#: Architectures whose auxiliary heads are all those of deep supervision, the last one too, and whose answer is made of
#: them: each head learns by itself, and the loss is the mean over them (UNet++, Zhou et al. 2018, arXiv:1807.10165).
DEEPLY_SUPERVISED = ("unet++",)


def loss_of_heads(
    loss: Callable[..., Any],
    architecture: str,
    masks: Any,
    outputs: Any,
    maps: tuple[Any, ...] = (),
    weight: float | None = None,
) -> Any:
    """The loss of all that a network returns.

    Args:
        loss: of masks, logits and maps, as `make_loss` makes it.
        architecture: name of the architecture.
        masks, maps: as the loss takes them.
        outputs: of a network built with `auxiliary=True`: `{"logits": …, "auxiliary": […]}`, all
            `(batch, height, width, classes)`; or logits alone, whose loss this then is.
        weight: of the auxiliary heads; None for what is usual.
    """
    if not isinstance(outputs, dict):
        return loss(masks, outputs, maps)
    auxiliary = [loss(masks, head, maps) for head in outputs["auxiliary"]]
    if auxiliary and weight is None and architecture in DEEPLY_SUPERVISED:
        return sum(auxiliary) / len(auxiliary)
    return loss(masks, outputs["logits"], maps) + (AUXILIARY_WEIGHT if weight is None else weight) * sum(auxiliary)
