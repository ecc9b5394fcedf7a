"""Arrays that worker processes see, too.

On Linux they lie in memory without a name: nothing is left of it where all processes are killed, and its size is not
that of /dev/shm, of which a container often has 64 MiB.
"""

from __future__ import annotations

import mmap
import os
import sys
import weakref
from multiprocessing import reduction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .worker_processes import CONTEXT

Array = NDArray[Any]


class SharedArray:
    """An array of zeros, which a WorkerProcess may be given.

    Parameters
    ----------
    size : int
        At least 1.

    Attributes
    ----------
    numbers : (size,) float32
        The same memory in all processes.

    Raises
    ------
    InputError
        If there is no room for it.
    """

    def __init__(self, size: int) -> None:
        length = size * np.dtype(np.float32).itemsize
        try:
            self._memory = _memory(length)
            self.numbers = self._seen()
        except OSError as error:
            raise InputError(
                f"{length / 2**20:.0f} MiB of memory for worker processes cannot be had ({error.strerror or error}); "
                "take fewer shares, or a machine with more memory"
            ) from None

    def __getstate__(self) -> Any:
        return self._memory

    def __setstate__(self, memory: Any) -> None:
        self._memory = memory
        self.numbers = self._seen()

    def _seen(self) -> Array:
        memory = self._memory
        return np.frombuffer(mmap.mmap(memory.number, 0) if isinstance(memory, _Unnamed) else memory, np.float32)


class _Unnamed:
    """A file in memory, by the number that it is open under."""

    def __init__(self, number: int) -> None:
        self.number = number
        weakref.finalize(self, os.close, number)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (reduction.DupFd(self.number),)


def _opened(descriptor: Any) -> _Unnamed:
    return _Unnamed(descriptor.detach())


def _memory(length: int) -> Any:
    """So many bytes of zeros that can be pickled for a process that starts."""
    if sys.platform != "linux":
        return CONTEXT.RawArray("b", length)
    file = _Unnamed(os.memfd_create("spikeunet"))
    # All of it at once: a process that writes where there is no room any more would be killed.
    os.posix_fallocate(file.number, 0, length)
    return file
