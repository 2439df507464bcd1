"""Whether the head of a Ray cluster still answers. Ray itself leaves a process waiting whose cluster is gone, and ends
it after a minute in its own words."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

#: Seconds between two looks, and those that the head may be silent.
LOOK, PATIENCE = 2.0, 15.0


@contextmanager
def watched(address: str, gone: Callable[[str], None]) -> Iterator[None]:
    """Look after a cluster for the block, in a thread.

    Args:
        address: "HOST:PORT" of its head.
        gone: called once from that thread, with what happened in a few words, when the head does not answer any more.
    """
    host, _, port = address.rpartition(":")
    ended = threading.Event()

    def watch() -> None:
        answered = time.monotonic()
        while not ended.wait(LOOK):
            with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), LOOK):
                answered = time.monotonic()
            if time.monotonic() - answered > PATIENCE and not ended.is_set():
                gone(f"the Ray cluster at {address} is gone")
                return

    threading.Thread(target=watch, name="cluster", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
