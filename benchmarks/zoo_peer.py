"""What `benchmarks.zoo` measures, of segmentation_models.pytorch: `python zoo_peer.py CLASS ENCODER [SIZE]` in its
own environment. Prints one line of JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.library

from benchmarks.timing import BATCH, CLASSES, PREDICTIONS, SIZE, STEPS, median_seconds, peak_bytes


def _lenient(register: Callable) -> Callable:
    """A torchvision without compiled operators cannot register their fakes; segmentation needs none of them."""

    def register_fake(*arguments: Any, **keywords: Any) -> Callable:
        def keep(function: Callable) -> Callable:
            try:
                return register(*arguments, **keywords)(function)
            except RuntimeError:
                return function

        return keep

    return register_fake


def main(name: str, encoder: str, size: str = str(SIZE)) -> None:
    torch.library.register_fake = _lenient(torch.library.register_fake)
    import segmentation_models_pytorch as smp

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = getattr(smp, name)(encoder, encoder_weights=None, classes=CLASSES).to(memory_format=torch.channels_last)
    images = torch.rand(BATCH, 3, int(size), int(size)).to(memory_format=torch.channels_last)
    masks = torch.randint(0, CLASSES, (BATCH, int(size), int(size)))

    def predict() -> None:
        with torch.inference_mode():
            model(images[:1])

    model.eval()
    one = median_seconds(predict, PREDICTIONS)
    model.train()
    optimizer, loss = torch.optim.Adam(model.parameters(), 1e-3), torch.nn.CrossEntropyLoss()

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(model(images), masks).backward()
        optimizer.step()

    batch = median_seconds(train, STEPS)
    print(
        json.dumps(
            {
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "milliseconds": 1000 * one,
                "images_per_second": BATCH / batch,
                "peak_bytes": peak_bytes(),
            }
        )
    )


main(*sys.argv[1:])
