"""Memory: arrays that begin at a cache line, and what is kept between runs because the next one will want it again."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from .threads import LOCK
from .threads.workers import end_idle_threads

Item = TypeVar("Item")

CACHE_LINE = 64
"""Bytes. A vector load that straddles two lines takes two accesses: gathering from such weights is half as fast."""


def aligned_empty(size: int) -> NDArray[np.float32]:
    """(size,) float32 whose first element begins a cache line; not initialised."""
    return aligned_bytes(size * 4).view(np.float32)


def aligned_bytes(size: int) -> NDArray[np.uint8]:
    """(size,) uint8 whose first element begins a cache line; not initialised."""
    whole = np.empty(size + CACHE_LINE, np.uint8)
    begin = -whole.ctypes.data % CACHE_LINE
    return whole[begin : begin + size]


# --- What is idle ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Idle:
    """A thing, its bytes, and a number that grows from one to the next."""

    age: int
    nbytes: int
    item: Any


class IdleMemory:
    """Things that nobody uses just now, on shelves; the oldest are given up where they take too many bytes in all.

    Parameters
    ----------
    most_bytes : int
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._shelves: weakref.WeakSet[Shelf[Any]] = weakref.WeakSet()
        self._age = 0

    def add(self, shelf: Shelf[Any]) -> None:
        """Look after a shelf, for as long as it lives."""
        with LOCK:
            self._shelves.add(shelf)

    def next_age(self) -> int:
        """A number larger than all before; to be called under the lock."""
        self._age += 1
        return self._age

    @property
    def nbytes(self) -> int:
        """Bytes of all that is idle."""
        with LOCK:
            return sum(idle.nbytes for shelf in self._shelves for idle in shelf.content)

    def clear(self) -> None:
        """Give up all that is idle."""
        self.give_up(0)

    def give_up(self, most_bytes: int | None = None) -> None:
        """Give up the oldest things beyond so many bytes, by default those of `most_bytes`."""
        most = self.most_bytes if most_bytes is None else most_bytes
        given_up = []  # They end with this function, when the lock is free again.
        with LOCK:
            places = [(shelf, idle) for shelf in self._shelves for idle in shelf.content]
            places.sort(key=lambda place: place[1].age)
            total = sum(idle.nbytes for _, idle in places)
            for shelf, idle in places:
                if total <= most:
                    break
                shelf.content.remove(idle)
                given_up.append(idle)
                total -= idle.nbytes


class Shelf(Generic[Item]):
    """Idle things of one owner, for all threads; they end with it."""

    def __init__(self, memory: IdleMemory) -> None:
        self._memory = memory
        self.content: list[_Idle] = []
        memory.add(self)

    def __len__(self) -> int:
        return len(self.content)

    def __iter__(self) -> Iterator[Item]:
        return iter([idle.item for idle in self.content])

    def put(self, item: Item, nbytes: int) -> None:
        """Let a thing be used again."""
        with LOCK:
            self.content.append(_Idle(self._memory.next_age(), nbytes, item))
        self._memory.give_up()

    def take(self, fits: Callable[[Item], bool] | None = None, smallest: bool = False) -> Item | None:
        """A thing that fits, the one put back last or the smallest; nobody else gets it. None where there is none."""
        with LOCK:
            fitting = [idle for idle in self.content if fits is None or fits(idle.item)]
            if not fitting:
                return None
            found = min(fitting, key=lambda idle: (idle.nbytes, -idle.age) if smallest else (-idle.age,))
            self.content = [idle for idle in self.content if idle is not found]
        item: Item = found.item
        return item


# --- Giving everything up --------------------------------------------------------------------------------------------

_given_up: list[Callable[[], object]] = [end_idle_threads]


def called_by_clear_caches(function: Callable[[], object]) -> None:
    """Have `clear_caches` call a function."""
    _given_up.append(function)


def clear_caches() -> None:
    """Give up all that is kept for later runs: memory, loaded models, networks' tables and packed weights, threads.

    What is in use stays, and so do compiled kernels. The next run makes everything anew, with the same results; the
    first one after this takes longer. Any thread may call it at any time.
    """
    for function in _given_up:
        function()
    _trim()


def _trim() -> None:
    """Have the C library give back to the system what it holds for later, as glibc can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
