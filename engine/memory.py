"""Memory: what is kept between runs because the next one will want it again, and arrays that begin at a cache line.

Large arrays have memory of their own. The C library takes what threads ask it for from heaps of their own (glibc's
arenas), where what was given back lies between what is still in use: neither the system nor another thread gets it
again. In a server of eight threads that was a quarter of its memory, and it grew from call to call.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import mmap
import os
import sys
import weakref
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from .threads import LOCK
from .threads.workers import end_idle_threads

Item = TypeVar("Item")
Number = TypeVar("Number", bound=np.number[Any])


def machine_memory() -> int | None:
    """Bytes of memory that the machine has; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # as on Windows
        return None


# --- What is idle ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Idle:
    """A thing, its bytes, and a number that grows from one to the next."""

    age: int
    nbytes: int
    item: Any


_IDLE: weakref.WeakSet[IdleMemory] = weakref.WeakSet()


class IdleMemory:
    """Things that nobody uses just now, on shelves; the oldest are given up where they take too many bytes in all.

    `clear_caches` gives up all of them.

    Parameters
    ----------
    most_bytes : int
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._shelves: weakref.WeakSet[Shelf[Any]] = weakref.WeakSet()
        self._age = 0
        _IDLE.add(self)

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
            total = self.nbytes
            if total <= most:
                return
            shelves = list(self._shelves)
            for idle in sorted((idle for shelf in shelves for idle in shelf.content), key=lambda idle: idle.age):
                if total <= most:
                    break
                given_up.append(idle)
                total -= idle.nbytes
            # The garbage collector may have put something back meanwhile, and have had this called.
            for shelf in shelves:
                shelf.keep_all_but(set(given_up))


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

    def keep_all_but(self, given_up: Collection[_Idle]) -> None:
        """Keep no longer what is given up; to be called under the lock."""
        self.content = [idle for idle in self.content if idle not in given_up]

    def take(self, fits: Callable[[Item], bool] | None = None) -> Item | None:
        """A thing that fits, the one put back last; nobody else gets it. None where there is none."""
        with LOCK:
            fitting = [idle for idle in self.content if fits is None or fits(idle.item)]
            if not fitting:
                return None
            found = max(fitting, key=lambda idle: idle.age)
            self.keep_all_but({found})
        item: Item = found.item
        return item


# --- Arrays ----------------------------------------------------------------------------------------------------------

CACHE_LINE = 64
"""Bytes. A vector load that straddles two lines takes two accesses: gathering from such weights is half as fast."""

LARGE = 1 << 17
"""Bytes from which on an array has memory of its own."""

_LARGEST_KEPT = 1 << 24
"""Bytes of memory that is worth keeping: an array that is larger takes longer to fill than its memory to be fetched."""

_HUGE_PAGES = 1 << 22
"""Bytes from which on the system may fetch memory in large pages, as NumPy asks it to for its own arrays."""

BLOCKS = IdleMemory(1 << 25)
_blocks: Shelf[NDArray[np.uint8]] = Shelf(BLOCKS)
"""Memory of large arrays that are no more: to fetch as much anew takes about a third of a millisecond a mebibyte."""


class _Block:
    """Memory of a large array, which refers to it; when nobody has the array any more, it is for another one."""

    def __init__(self, whole: NDArray[np.uint8]) -> None:
        self._whole = whole
        self.__array_interface__ = whole.__array_interface__  # That is how NumPy finds the memory.

    def __del__(self, ends: Callable[[], bool] = sys.is_finalizing) -> None:
        # Where the interpreter ends, names of this module may mean nothing any more.
        if not ends() and len(self._whole) <= _LARGEST_KEPT:
            _blocks.put(self._whole, len(self._whole))


def _large(size: int) -> NDArray[np.uint8]:
    """(size,) uint8 or more, with memory of its own."""
    size = _rounded(size)
    idle = _blocks.take(lambda whole: len(whole) == size)
    return np.asarray(_Block(_fetched(size) if idle is None else idle))


def _rounded(size: int) -> int:
    """One of four sizes from a power of two to the next, so that blocks fit arrays that they were not made for."""
    unit = 1 << (size.bit_length() - 3)
    return -(-size // unit) * unit if size <= _LARGEST_KEPT else size


def _fetched(size: int) -> NDArray[np.uint8]:
    """(size,) uint8 of the system's, which gets it back at once when the array is no more."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return _from_c_library(size)
    try:
        # Private: what a process writes after a fork is no business of the other one.
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        BLOCKS.clear()
        return _from_c_library(size)  # or MemoryError, as for any other array
    if size >= _HUGE_PAGES and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


def empty(shape: tuple[int, ...], dtype: type[Number]) -> NDArray[Number]:
    """An array that is not initialised, as `numpy.empty` makes them; a large one has memory of its own."""
    size = math.prod(shape)
    return aligned_bytes(size * np.dtype(dtype).itemsize).view(dtype).reshape(shape)


def aligned_empty(size: int) -> NDArray[np.float32]:
    """(size,) float32 whose first element begins a cache line; not initialised."""
    return aligned_bytes(size * 4).view(np.float32)


def aligned_bytes(size: int) -> NDArray[np.uint8]:
    """(size,) uint8 whose first element begins a cache line; not initialised."""
    return _large(size)[:size] if size >= LARGE else _from_c_library(size)


def _from_c_library(size: int) -> NDArray[np.uint8]:
    whole = np.empty(size + CACHE_LINE, np.uint8)
    begin = -whole.ctypes.data % CACHE_LINE
    return whole[begin : begin + size]


def read_only_copy(array: NDArray[Number]) -> NDArray[Number]:
    """A copy in C order that cannot be made writable again."""
    whole = _large(array.nbytes) if array.nbytes >= LARGE else np.empty(array.nbytes, np.uint8)
    copy = whole[: array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    whole.setflags(write=False)
    copy.setflags(write=False)
    return copy


# --- Giving everything up --------------------------------------------------------------------------------------------

_given_up: list[Callable[[], object]] = [end_idle_threads]


def called_by_clear_caches(function: Callable[[], object]) -> None:
    """Have `clear_caches` call a function."""
    _given_up.append(function)


def worked_out_once(most: int | None = None) -> Callable[[Callable[..., Item]], functools._lru_cache_wrapper[Item]]:
    """Decorate a function of hashable arguments: what it returned is kept, for the `most` that were asked for last.

    `clear_caches` gives it up.
    """

    def decorated(function: Callable[..., Item]) -> functools._lru_cache_wrapper[Item]:
        found = functools.lru_cache(most)(function)
        called_by_clear_caches(found.cache_clear)
        return found

    return decorated


def clear_caches() -> None:
    """Give up all that is kept for later runs: memory, loaded models, networks' tables and packed weights, threads.

    What is in use stays, and so do compiled kernels. The next run makes everything anew, with the same results; the
    first one after this takes longer. Any thread may call it at any time.
    """
    for function in _given_up:
        function()
    for memory in list(_IDLE):
        memory.clear()
    BLOCKS.clear()  # after all others, whose memory has come to it
    _trim()


def _trim() -> None:
    """Have the C library give back to the system what it holds for later, as glibc can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
