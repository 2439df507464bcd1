"""Who computes next: one at a time, in the order in which they asked."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class Turns:
    """A lock that is given to whoever waits longest; used as `with turns:`.

    A `threading.Lock` goes to any of those who wait, so that one who always asks again can keep the others out. Here
    whoever needs many turns, such as for the tiles of a slide, has one and stands at the end of the line again: of n
    who ask, each has an n-th of the turns.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._line: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            self._line.append(mine)
        try:
            mine.wait()
        except BaseException:  # a signal while waiting: the place in the line is given up
            with self._guard:
                handed = mine.is_set()
                if not handed:
                    self._line.remove(mine)
            if handed:
                self._next()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._next()

    def _next(self) -> None:
        with self._guard:
            if self._line:
                self._line.popleft().set()  # taken stays so: it is handed on
            else:
                self._taken = False


#: All models of a process compute on the same cores.
COMPUTING = Turns()
