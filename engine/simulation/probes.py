"""State variables of chosen neurons over all steps, without the memory of all neurons at all steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_array
from ..binding import Layer, Program
from ..errors import InputError, first_few
from ..neurons import initial_state
from .layer_state import LayerState

Sites = dict[str, NDArray[np.int64]]
"""By Neurons node, (n, 3) channel, row and column of each neuron."""


def check_probes(probes: Mapping[str, ArrayLike], program: Program) -> Sites:
    """Sites of neurons; InputError where a layer or a neuron is not there."""
    if not isinstance(probes, Mapping):
        raise InputError(f"probes must map names of Neurons nodes to neurons (got {type(probes).__name__})")
    layers = {layer.name: layer for layer in program.layers if layer.neurons is not None}
    unknown = sorted(map(str, set(probes) - set(layers)))
    if unknown:
        raise InputError(f"probes can name {first_few(layers)} (got {first_few(unknown)})")
    return {name: _sites(name, sites, layers[name]) for name, sites in probes.items()}


def _sites(name: str, given: ArrayLike, layer: Layer) -> NDArray[np.int64]:
    array = as_array(given, f"probes[{name!r}]")
    if array.dtype.kind not in "iu" or array.ndim != 2 or array.shape[1:] != (3,) or not len(array):
        raise InputError(
            f"probes[{name!r}] must list (channel, row, column) of neurons (got {array.dtype} {array.shape})"
        )
    beyond = ((array < 0) | (array >= np.array(layer.outgoing))).any(axis=1)
    if beyond.any():
        site = tuple(map(int, array[beyond.argmax()]))
        raise InputError(f"probes[{name!r}] names the neuron {site} of a layer of the shape {layer.outgoing}")
    return array.astype(np.int64)


class Traces:
    """What is noted of the neurons at `sites`, step by step."""

    def __init__(self, program: Program, sites: Sites, steps: int) -> None:
        self._sites = sites
        self.recorded: dict[str, dict[str, NDArray[np.float32]]] = {}
        for layer in program.layers:
            if layer.name in sites and layer.neurons is not None:
                shape = steps, len(sites[layer.name])
                variables = initial_state(layer.neurons.model)
                self.recorded[layer.name] = {name: np.zeros(shape, np.float32) for name in variables}

    def note(self, step: int, states: list[LayerState]) -> None:
        """Note what neurons carry after a step."""
        for state in states:
            if state.layer.name in self._sites:
                channels, rows, columns = self._sites[state.layer.name].T
                _, height, width = state.layer.outgoing
                for values, array in zip(self.recorded[state.layer.name].values(), state.arrays, strict=True):
                    values[step] = array.reshape(height, width, -1)[rows, columns, channels]


def joined_traces(traces: list[Any]) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Those of several pictures, stacked."""
    first = traces[0]
    return {
        layer: {name: np.stack([each[layer][name] for each in traces]) for name in variables}
        for layer, variables in first.items()
    }
