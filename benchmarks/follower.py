"""A page that is open in a browser, as its server sees it, without a browser: it asks for what it was told to ask for
again, and throws away what it gets."""

from __future__ import annotations

import asyncio
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect


@contextmanager
def follower(url: str, page: str, query: dict[str, str]) -> Iterator[list[int]]:
    """Keep a page open for the block; yields the bytes of each message that came."""
    sizes: list[int] = []
    done = threading.Event()
    work = threading.Thread(target=lambda: asyncio.run(_follow(url, page, query, sizes, done)), daemon=True)
    work.start()
    try:
        yield sizes
    finally:
        done.set()
        work.join(10)


async def _follow(url: str, page: str, query: dict[str, str], sizes: list[int], done: threading.Event) -> None:
    address = url.replace("http://", "ws://") + "/_stcore/stream"
    async with connect(address, subprotocols=["streamlit"], max_size=None) as socket:  # type: ignore[list-item]
        first = BackMsg()
        first.rerun_script.page_name = page
        first.rerun_script.query_string = urllib.parse.urlencode(query)
        await socket.send(first.SerializeToString())
        timers: dict[str, asyncio.Task] = {}
        while not done.is_set():
            with suppress(TimeoutError):
                data = await asyncio.wait_for(socket.recv(), 0.5)
                sizes.append(len(data))
                message = ForwardMsg.FromString(data)
                if message.WhichOneof("type") == "auto_rerun":
                    again = message.auto_rerun
                    if again.fragment_id not in timers:
                        ask = _ask(socket, again.interval, again.fragment_id, page, first.rerun_script.query_string)
                        timers[again.fragment_id] = asyncio.create_task(ask)
        for timer in timers.values():
            timer.cancel()


async def _ask(socket: ClientConnection, interval: float, fragment: str, page: str, query: str) -> None:
    while True:
        await asyncio.sleep(interval)
        message = BackMsg()
        message.rerun_script.fragment_id = fragment
        message.rerun_script.is_auto_rerun = True
        message.rerun_script.page_name = page
        message.rerun_script.query_string = query
        await socket.send(message.SerializeToString())
