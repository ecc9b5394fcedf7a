"""Share out independent work between threads; kernels release Python's lock."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from .processors import available_processors
from .workers import WorkerThreads

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
    """`work` of each item, in the order of the items; the calling thread is one of the workers.

    Work that is shared out inside of `work` is done on one thread: the others are at work already.
    """
    todo = list(items)
    wanted = min(_threads.get() or available_processors(), len(todo))
    if wanted <= 1:
        return [work(item) for item in todo]
    found: dict[int, Found] = {}
    queue = itertools.count()

    def drain() -> None:
        # next() on a counter is atomic: each item is taken by one worker, in whatever order.
        with using_threads(1):
            while (index := next(queue)) < len(todo):
                found[index] = work(todo[index])

    with WorkerThreads(wanted) as workers:
        workers.run([drain] * workers.ready(wanted), give_up=functools.partial(todo.clear))
    return [found[index] for index in range(len(todo))]


def slices(size: int) -> list[tuple[int, int]]:
    """First and last + 1 element of each share of `size` elements."""
    return [(first, min(first + _SLICE, size)) for first in range(0, size, _SLICE)]
