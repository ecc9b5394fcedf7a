"""Share out independent work between threads; kernels release Python's lock."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from ..simulation.simulate import available_threads

Item = TypeVar("Item")
Found = TypeVar("Found")

_SLICE = 1 << 18
"""Elements in a share. Fixed, so that sums over shares do not depend on the number of threads."""


_threads: ContextVar[int | None] = ContextVar("threads", default=None)


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Let `on_threads` take so many threads; None for as many as the process may use processors."""
    token = _threads.set(threads)
    try:
        yield
    finally:
        _threads.reset(token)


def on_threads(work: Callable[[Item], Found], items: Iterable[Item]) -> list[Found]:
    """`work` of each item, in the order of the items; the calling thread is one of the workers."""
    todo = list(items)
    workers = min(_threads.get() or available_threads(), len(todo))
    if workers <= 1:
        return [work(item) for item in todo]
    found: dict[int, Found] = {}
    queue = itertools.count()

    def drain() -> None:
        # next() on a counter is atomic: each item is taken by one worker, in whatever order.
        while (index := next(queue)) < len(todo):
            found[index] = work(todo[index])

    helpers = [_pool(workers - 1).submit(drain) for _ in range(workers - 1)]
    try:
        drain()
    finally:
        # The items are all taken: a helper that has not begun is not needed, one that has is waited for.
        running = [helper for helper in helpers if not helper.cancel()]
        errors = [error for helper in running if (error := helper.exception()) is not None]
    if errors:
        raise errors[0]
    return [found[index] for index in range(len(todo))]


@functools.cache
def _pool(helpers: int) -> ThreadPoolExecutor:
    """Threads that wait for work: a layer's share takes less time than it takes to start one."""
    return ThreadPoolExecutor(helpers, thread_name_prefix="spikeunet")


def slices(size: int) -> list[tuple[int, int]]:
    """First and last + 1 element of each share of `size` elements."""
    return [(first, min(first + _SLICE, size)) for first in range(0, size, _SLICE)]
