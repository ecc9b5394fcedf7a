"""What is done for a band, and what a worker thread has for itself to do it with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...kernels.arguments import Entries, QuantaEntries
from ...kernels.bound_call import PhaseKernel
from ...kernels.decode import MOST_CHUNKS
from ...kernels.entries import CHUNK
from ...kernels.four_arguments import FourEntries
from ...kernels.fours import LANES
from ...kernels.increment_arguments import ChangeEntries
from ...memory import aligned_bytes


class Phase(NamedTuple):
    """A function that is called with the number of a band and these arguments; a kernel, or one in Python."""

    function: Callable[..., None]
    arguments: tuple[Any, ...] = ()

    def bound(self) -> Callable[[int], None]:
        """What is called with the number of a band, from Python."""
        if isinstance(self.function, PhaseKernel):
            return self.function.bound(self.arguments)
        return lambda band: self.function(band, *self.arguments)


class Scratch:
    """A worker's arrays, which grow as needed; they begin at a cache line, or tiles would straddle two."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, type[np.generic]], NDArray[Any]] = {}
        self._parts: list[Scratch] = []

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        own = sum(array.nbytes for array in self._arrays.values())
        return own + sum(part.nbytes for part in self._parts)

    def part(self, number: int) -> Scratch:
        """Memory beside this one, for a part of a sum of that number."""
        self._parts += [Scratch() for _ in range(number + 1 - len(self._parts))]
        return self._parts[number]

    def array(self, name: str, size: int, dtype: type[np.generic] = np.float32) -> NDArray[Any]:
        """(size,) of some type: the memory of all that has asked for this name and type, not initialised."""
        array = self._arrays.get((name, dtype))
        if array is None or array.size < size:
            array = self._arrays[name, dtype] = aligned_bytes(size * np.dtype(dtype).itemsize).view(dtype)
        return array[:size]

    def entries(self, width: int, rows: int, size: int, steps: int) -> Entries:
        """Room for `size` entries of some rows, see engine/kernels/decode.py."""
        size += MOST_CHUNKS * CHUNK
        keys, values = self.array("keys", size, np.int32), self.array("values", size * steps)
        return Entries(self.array("begins", width * (rows + 1), np.int32), keys, values)

    def quanta_entries(self, width: int, rows: int, size: int, steps: int) -> QuantaEntries:
        """The same with levels in quanta, see decode_quanta.py."""
        size += CHUNK
        keys, quanta = self.array("keys", size, np.int32), self.array("quanta", size * steps, np.uint8)
        return QuantaEntries(self.array("begins", width * (rows + 1), np.int32), keys, quanta, size)

    def four_entries(self, width: int, rows: int, size: int, steps: int) -> FourEntries:
        """Room for `size` fours of some rows, see engine/kernels/fours.py."""
        size += LANES
        keys, fours = self.array("keys", size, np.int32), self.array("fours", size * steps, np.uint32)
        return FourEntries(self.array("begins", width * (rows + 1), np.int32), keys, fours, size)

    def change_entries(self, width: int, rows: int, size: int) -> ChangeEntries:
        """The same for changes of a single step."""
        begins, keys, quanta, _ = self.quanta_entries(width, rows, size, 1)
        return ChangeEntries(begins, keys, quanta.view(np.int8), 0, self.array("totals", width * (rows + 1), np.int32))


@dataclass(eq=False)
class WorkerMemory:
    """What a worker thread has for itself: arrays, and where it counts, see `LayerRun`.

    `counts` are those that the dot kernels make; to `fired` is added what its bands fire, by byte of a word where
    levels are masks (see `by_step`) and else by step. `counters` are those of engine/kernels/shared_counter.py.
    """

    scratch: Scratch
    counts: NDArray[np.int64]
    fired: NDArray[np.int64]
    updates: NDArray[np.int64]
    counters: NDArray[np.int64]
