"""Arguments of the kernel that runs layers in one call, see sequence.py; those of other kernels are in arguments.py."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class LayerCalls(NamedTuple):
    """What a thread does for each layer, with one set of kernels [0] or another [1].

    Parameters
    ----------
    once : (2, layers, n) CALL
        Before all bands; functions of 0 are left out.
    phases : (2, layers, n) CALL
        For each band, one after the other, up to a function of 0.
    shares : (2, layers, threads + 1) int64
        See `next_band`.
    """

    once: NDArray[np.void]
    phases: NDArray[np.void]
    shares: NDArray[np.int64]


class LayerReads(NamedTuple):
    """What each layer reads.

    Parameters
    ----------
    sources : int64
        Numbers of the layers whose events it reads.
    begins : (layers + 1,) int64
        Where those of each layer begin among the sources.
    least : (layers,) int64
        Active neurons that it has to read for the first set of kernels to be chosen.
    """

    sources: NDArray[np.int64]
    begins: NDArray[np.int64]
    least: NDArray[np.int64]


class SequenceProgress(NamedTuple):
    """How far a thread has come.

    Parameters
    ----------
    bound : (layers,) bool
        Which layers can be run from event to event.
    choices : (layers,) int64
        Receives which calls were made of each layer.
    reached : (1,) int64
        Receives the layer that is not run any more; -1 where a thread has given up.
    """

    bound: NDArray[np.bool_]
    choices: NDArray[np.int64]
    reached: NDArray[np.int64]
