"""SIGTERM and Ctrl-C as something that is asked for, not as an end in the middle of things."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def asked_by_signal() -> Iterator[Callable[[], str | None]]:
    """Turn SIGTERM and the first Ctrl-C into a request, for whoever is at work to honour with everything saved; what
    comes after that ends the process as ever.

    Yields what tells of it: "signal" of SIGTERM, "stop" of Ctrl-C, else None. Outside of the main thread, which alone
    hears signals, it is always None.
    """
    received: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def handle(number: int, _: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append("signal" if number == signal.SIGTERM else "stop")

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
