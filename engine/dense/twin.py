"""The quantised twin: the artificial network with activations of as many levels as its neurons have in T steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..graph import Network, Neurons
from ..neurons import LadderModel, NeuronModel, level_table
from ..neurons.firing import checked_constants
from .forward import forward_with

Array = NDArray[np.float32]


def quantised_twin(
    network: Network,
    x: ArrayLike | Mapping[str, ArrayLike],
    steps: int = 1,
    record: Iterable[str] | Literal["all"] = (),
) -> tuple[Any, dict[str, Array]]:
    """Output of the quantised twin: every Neurons node replaced by the stairs that its neurons are in `steps` steps.

    An activation is what a neuron emits on average in so many steps of a constant current, which is the current rounded
    to one of the neuron's levels. Seven thresholds from 1 to 1/64 make 128 levels, 7 bits; T steps make 127 T + 1. In
    one step that is the spiking network itself, but for the order of additions: the same numbers where none is rounded.

    Parameters
    ----------
    network : Network
        Its neurons are ladders of thresholds.
    x, record
        As in `forward`.
    steps : int

    Returns
    -------
    output, activations
        As of `forward`.

    Raises
    ------
    InputError
        As in `forward`; if `steps` is no positive number; or if neurons are no ladders.
    """
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise InputError(f"steps must be a whole number from 1 on (got {steps!r})")
    for node in network.neurons:
        _ladder(node)
    return forward_with(network, x, record, lambda node, current: response(_ladder(node), current, int(steps)))


def twin_bits(model: NeuronModel, steps: int = 1) -> int:
    """Bits of the twin's activations: those that tell apart all levels that a neuron has in `steps` steps."""
    return math.ceil(math.log2(steps * level_table(model).highest + 1))


def response(model: LadderModel, current: Array, steps: int) -> Array:
    """(...) float32: what neurons emit on average in `steps` steps of a constant current (...) float32."""
    constants = checked_constants(model)
    membrane = np.full(current.shape, constants.initial, np.float32)
    emitted = np.zeros(current.shape, np.float32)
    for _ in range(steps):
        membrane = np.float32(constants.decay) * membrane + current
        level = np.zeros(current.shape, np.uint8)
        for bit, (compare, subtract) in enumerate(zip(constants.compare, constants.subtract, strict=True)):
            crossed = membrane > compare
            np.copyto(membrane, np.float32(constants.keep) * membrane - subtract, where=crossed)
            level |= crossed.astype(np.uint8) << np.uint8(bit)
        emitted += constants.emit[level]
    return emitted / np.float32(steps)


def _ladder(node: Neurons) -> LadderModel:
    if not isinstance(node.model, LadderModel):
        raise InputError(f"{node.name}: {type(node.model).__name__} neurons are no ladder and have no quantised twin")
    return node.model
