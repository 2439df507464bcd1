"""The progress bars of other libraries, heard instead of drawn."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm


def heard_bar(hear: Callable[[int, int, str], None]) -> type[tqdm]:
    """A class to give to a library as its `tqdm`: it draws nothing and calls `hear`.

    `hear` gets what the bar has counted, its total (0 where unknown) and its description, at every step and in whatever
    thread the library works. What it raises ends the library's work at that step.
    """

    class Bar(tqdm):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **{**settings, "file": io.StringIO()})

        def __iter__(self) -> Iterator[Any]:
            for item in self.iterable:
                yield item
                self.update()

        def update(self, n: float | None = 1) -> bool | None:
            self.n += n or 0
            hear(int(self.n), int(self.total or 0), self.desc or "")
            return None

        def update_transfer(self, n: float) -> None:
            """huggingface_hub counts a file's bytes on the wire here, and what is written of them in `update`."""

        def display(self, *_: Any, **__: Any) -> None:
            """Draw nothing."""

    return Bar
