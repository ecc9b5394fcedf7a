"""What is done for a band, and what a worker thread has for itself to do it with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...kernels.bound_call import PhaseKernel
from .scratch import Scratch


class Phase(NamedTuple):
    """A function that is called with the number of a band and these arguments; a kernel, or one in Python."""

    function: Callable[..., None]
    arguments: tuple[Any, ...] = ()

    def bound(self) -> Callable[[int], None]:
        """What is called with the number of a band, from Python."""
        if isinstance(self.function, PhaseKernel):
            return self.function.bound(self.arguments)
        return lambda band: self.function(band, *self.arguments)


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
