"""What is done for a band, and what a worker thread has for itself to do it with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...events import channel_type, level_type
from ...kernels.bound_call import PhaseKernel
from ...kernels.decode import MOST_CHUNKS
from ...kernels.entries import CHUNK
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

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self._arrays.values())

    def _array(self, name: str, size: int, dtype: type[np.generic]) -> NDArray[Any]:
        array = self._arrays.get((name, dtype))
        if array is None or array.size < size:
            array = self._arrays[name, dtype] = aligned_bytes(size * np.dtype(dtype).itemsize).view(dtype)
        return array[:size]

    def entries(
        self, width: int, rows: int, size: int, steps: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
        """Where each pixel's entries begin, keys and values of `size` entries; see engine/kernels/decode.py."""
        size += MOST_CHUNKS * CHUNK
        keys, values = self._array("keys", size, np.int32), self._array("values", size * steps, np.float32)
        return self._array("begins", width * (rows + 1), np.int32), keys, values

    def quanta_entries(
        self, width: int, rows: int, size: int, steps: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8], int]:
        """The same with levels in quanta, and how far those of two steps lie apart; see decode_quanta.py."""
        size += CHUNK
        keys, quanta = self._array("keys", size, np.int32), self._array("quanta", size * steps, np.uint8)
        return self._array("begins", width * (rows + 1), np.int32), keys, quanta, size

    def change_entries(
        self, width: int, rows: int, size: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8], int, NDArray[np.int32]]:
        """Changes of a single step, see `ChangeEntries` (engine/kernels/increment_arguments.py)."""
        begins, keys, quanta, _ = self.quanta_entries(width, rows, size, 1)
        return begins, keys, quanta.view(np.int8), 0, self._array("totals", width * (rows + 1), np.int32)

    def packed(
        self, size: int, channels: int, steps: int
    ) -> tuple[NDArray[np.unsignedinteger[Any]], NDArray[np.unsignedinteger[Any]]]:
        """Channel numbers and levels of a band's active neurons."""
        numbers = self._array("packed channels", size, channel_type(channels))
        return numbers, self._array("packed levels", size, level_type(steps))

    def words(self, size: int, steps: int) -> NDArray[np.unsignedinteger[Any]]:
        """Packed levels of a band."""
        return self._array("words", size, level_type(steps))

    def touched(self, rows: int, width: int) -> tuple[NDArray[np.int32], int, NDArray[np.uint16]]:
        """Spans of a band's pixels, how far those of two rows lie apart, and a mark for each pixel; see `Touched`."""
        line = 2 + width
        marks = self._array("marks", rows * width, np.uint16)
        return self._array("spans", rows * line, np.int32), line, marks

    def planes(self, size: int) -> NDArray[np.uint8]:
        """Levels of a band's input, spread out."""
        return self._array("planes", size, np.uint8)

    def sums(self, size: int) -> NDArray[np.int32]:
        """Sums of products of some pixels."""
        return self._array("sums", size, np.int32)

    def groups(self, size: int) -> NDArray[np.int64]:
        """Numbers of groups of pixels."""
        return self._array("groups", size, np.int64)

    def zero_sums(self, size: int) -> NDArray[np.int64]:
        """Where events are counted by channel."""
        return self._array("zero sums", size, np.int64)

    def potentials(self, size: int) -> NDArray[np.float32]:
        """Where the potentials of a pixel's neurons go that nobody needs."""
        return self._array("potentials", size, np.float32)

    def values(self, size: int) -> NDArray[np.float32]:
        """What a band reads, silent neurons included."""
        return self._array("values read", size, np.float32)

    def currents(self, size: int) -> NDArray[np.float32]:
        """Currents of a band."""
        return self._array("currents", size, np.float32)


@dataclass(eq=False)
class WorkerMemory:
    """What a worker thread has for itself.

    Parameters
    ----------
    scratch : Scratch
    counts : (sources, 2, 1 + K, 8) int64
        Those that the dot kernels make, see `LayerRun`.
    fired : (1 + K, 8) int64
        To which the events and spikes that its bands fire are added, by byte of a word where levels are masks (see
        `by_step`), else by step.
    updates : (8,) int64
        To which the pixels of event-driven neurons that were updated at each step are added.
    counters : (>= 2 + threads,) int64
        Those of engine/kernels/shared_counter.py.
    """

    scratch: Scratch
    counts: NDArray[np.int64]
    fired: NDArray[np.int64]
    updates: NDArray[np.int64]
    counters: NDArray[np.int64]
