"""Pictures one after the other, each from rest: checked as `simulate` checks them, and run by increments."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..binding import Program, allowed_kernels, build_program
from ..binding.bounds import check_counts, watched
from ..errors import InputError
from ..float32 import largest_size
from ..graph import Network
from ..inputs.pictures import check_pictures
from ..memory import machine_memory
from ..results.result import Result
from ..simulation.simulate import check_whole, simulate
from ..threads import WorkerThreads, available_processors
from .kept_layer import check_layer, kept_bytes
from .kept_network import KeptNetwork, Shown
from .layer_increment import LayerIncrement
from .savings import Savings

MOST_CHANGED = 0.25
"""Share of the pixels from which on a full run is sooner done: what changes spreads from layer to layer."""


_GIB = 1 << 30

FIRST = "at the start of a scene"
SEVERAL_STEPS = "of several steps"
BRIGHT = "so bright that a number might leave float32"
CHANGED = "with more than a quarter changed"
"""Why all of a picture was computed."""


class IncrementalRun:
    """A network that is run from rest on one picture after the other.

    Parameters
    ----------
    network : Network
    steps : int
        More than one are run in full.
    threads : int, optional
        By default as many as the process may use processors.

    Raises
    ------
    InputError
        If an Input has an encoder, or `threads` is out of range.

    Attributes
    ----------
    savings : Savings
        Those of the last picture.
    """

    def __init__(self, network: Network, steps: int, threads: int | None) -> None:
        if network.encoded:
            name = next(iter(network.encoded))
            raise InputError(
                f"exact_increments takes pictures as an analog input (got the encoder of {name!r}); leave it out"
            )
        self._network = network
        self._steps = steps
        self._threads = available_processors() if threads is None else check_whole("threads", threads, 1024)
        self._shape: tuple[int, ...] | None = None
        self._increments: KeptNetwork | None = None
        self._kept = self._last = np.zeros(0, np.float32)
        self.savings = Savings()

    def reset(self) -> None:
        """Forget all pictures so far, and give their memory back."""
        self._shape = self._increments = None
        self._kept = self._last = np.zeros(0, np.float32)

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept from picture to picture."""
        return 0 if self._increments is None else self._increments.nbytes

    def show(self, x: ArrayLike | Mapping[str, ArrayLike]) -> tuple[Result, dict[str, LayerIncrement]]:
        """The result of a full run of a picture, (C, H, W), and what was done for it by layer, empty if all of it.

        Raises
        ------
        InputError
            As `simulate`, for a picture of another size than the one before, and for a network that cannot be run so.
        RangeError
            As `simulate`.
        """
        picture = check_pictures(self._network, x)  # which is none of the caller's memory, and can be kept
        if self._shape is not None and picture.shape != self._shape:
            raise InputError(
                f"x must have the shape {self._shape} of the picture before (got {picture.shape}); reset the stream "
                "before pictures of another size"
            )
        program = build_program(self._network, picture.shape, allowed_kernels())
        if self._shape is None:  # Otherwise it was found to be right.
            for layer in program.layers:
                check_layer(layer, picture.shape[0])
            _check_memory(program, picture.shape)
            check_counts(program, self._steps)
        changed = _changed(picture, self._kept) if self._increments else np.ones(picture.shape[1:], np.bool_)
        why = self._why_all(program, picture, float(changed.mean()))
        increments: dict[str, LayerIncrement] = {}
        if why not in ("", FIRST):
            result = simulate(self._network, picture, self._steps, threads=self._threads)
            self.savings = Savings.of_full_run(why, result.operations)
        else:
            shown = self._by_increments(program, picture, changed)
            result, increments = shown.result, shown.increments
            self.savings = Savings(1, {why: 1} if why else {}, shown.done, shown.full)
            self._kept = picture
        self._shape, self._last = picture.shape, picture
        return result, increments

    def _why_all(self, program: Program, picture: NDArray[np.float32], share: float) -> str:
        """Why all of a picture is computed, the FIRST by increments and others by a full run; "" where it is not.

        What leaves float32 is looked for by full runs alone. Where much has changed, increments begin anew only once
        pictures resemble each other: they take longer for the first one than a full run. `share` is that of the pixels
        that are not as they are kept.
        """
        if self._steps > 1:
            return SEVERAL_STEPS
        largest = largest_size(picture)
        if watched(program, self._steps, largest):
            return BRIGHT
        if self._increments is not None and share <= MOST_CHANGED:
            return ""
        begins = not self._last.size or float(_changed(picture, self._last).mean()) <= MOST_CHANGED
        return FIRST if begins else CHANGED

    def _by_increments(self, program: Program, picture: NDArray[np.float32], changed: NDArray[np.bool_]) -> Shown:
        channels, height, width = picture.shape
        found = self._increments or KeptNetwork(program, (height, width, channels), self._threads)
        # What a run leaves that was broken off is not used again.
        self._increments = None
        with WorkerThreads(self._threads) as workers:
            shown = found.show(picture, changed, workers)
        self._increments = found
        return shown


def _check_memory(program: Program, shape: tuple[int, ...]) -> None:
    """InputError where more is kept of a picture than the machine has memory."""
    parts = (part for layer in program.layers for part in layer.parts)
    needed, there = sum(map(kept_bytes, parts)), machine_memory()
    if there is not None and needed > there:
        raise InputError(
            f"exact increments of pictures of {shape[1]}x{shape[2]} keep {needed / _GIB:.1f} GiB, and the machine has "
            f"{there / _GIB:.1f}; leave exact_increments out, or show smaller pictures"
        )


def _changed(picture: NDArray[np.float32], before: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(H, W), which pixels of a picture, (C, H, W), are not as in another one of this shape."""
    return np.asarray((picture != before).any(axis=0))
