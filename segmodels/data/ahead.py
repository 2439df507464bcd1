"""Work done ahead in threads, of which only so much waits: memory does not grow with the number of items."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int | None = None, waiting: int | None = None
) -> Generator[Result, None, None]:
    """Yield `work(item)` for every item in order, worked out in `threads` (one a core that this process may use).

    No more than `waiting` results (twice the threads) are ready or in the making. What `work` raises is raised in its
    place. When the iterator is closed its threads have ended.
    """
    threads = threads or cores()
    most = waiting or 2 * threads
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead")
    queue: deque[Future[Result]] = deque()
    try:
        for item in items:
            queue.append(pool.submit(work, item))
            if len(queue) == most:
                yield queue.popleft().result()
        while queue:
            yield queue.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def decoders() -> int:
    """Threads that decode whole pictures: eight at the most, since each may take 200 MB while it does."""
    return min(cores(), 8)


def cores() -> int:
    """The cores that this process may use: a container or `taskset` may allow fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
