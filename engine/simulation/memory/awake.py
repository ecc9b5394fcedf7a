"""Which pixels may fire or change though nothing arrives, by what is known of their neurons' state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...binding import Layer
from ...neurons import LadderModel


def awake_in(layer: Layer, variables: Sequence[NDArray[np.float32]]) -> NDArray[np.bool_]:
    """(pixels,) where a neuron of a layer that leaves some out may not be at rest.

    `variables` are those of a neuron, each (pixels, padded channels). Where else than in its `rest` a registered model
    that is event-driven rests, a step alone tells.
    """
    own = [each[:, : layer.outgoing[0]] for each in variables]
    if layer.event_driven and layer.stepper is None:
        return _wakes(layer, own[0])
    if layer.rest is None:
        return np.ones(len(own[0]), np.bool_)
    return _is_away(own, [each[:, : layer.outgoing[0]] for each in layer.rest])


def _is_away(variables: Sequence[NDArray[np.float32]], rest: Sequence[NDArray[np.float32]]) -> NDArray[np.bool_]:
    """(pixels,) where a bit of a neuron's state is another one than at rest."""
    away = np.zeros(len(variables[0]), np.bool_)
    for each, of_rest in zip(variables, rest, strict=True):
        away |= (each.view(np.uint32) != of_rest.view(np.uint32)).any(axis=1)
    return away


def _wakes(layer: Layer, potentials: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(pixels,) where a ladder without leak fires without a current, or is a zero of which that changes the sign."""
    assert layer.neurons is not None
    assert isinstance(layer.neurons.model, LadderModel)
    negative_zeros = (potentials == 0) & np.signbit(potentials)
    lowest = layer.neurons.model.firing_constants().compare.min()
    return np.asarray(((potentials > lowest) | negative_zeros).any(axis=1))
