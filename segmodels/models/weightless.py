"""Networks that are built only to be looked at: none of their weights is made, however large they are said to be."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from segmodels.backend import keras

T = TypeVar("T")


def weightless(look: Callable[[], T]) -> T:
    """What `look` finds out of a network that it builds, whose weights have shapes and no values.

    It runs in a thread of its own, because Keras keeps per thread which variables are still to be filled and how many
    layers of a kind there were: both end with it.
    """

    def looked() -> T:
        # Without a stateless scope every weight would be drawn at random, which takes most time and all the memory.
        with keras.StatelessScope(initialize_variables=False):
            return look()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(looked).result()
