"""State variables over all steps: of all neurons, or of chosen ones without the memory of all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_array
from ..binding import Layer, Program
from ..errors import InputError, first_few
from ..graph import Network, Neurons
from ..neurons import initial_state
from .memory.layer_state import LayerState

TRACES = "traces"
"""What `record` calls all state variables over all steps; with a dot and a name behind it, one of them."""


Probed = Mapping[str, tuple[tuple[str, ...], NDArray[np.int64] | None]]
"""By Neurons node, the names of what is noted after each step, and channel, row and column of each neuron of which it
is, (n, 3); None for all of them."""


def _variables(neurons: Iterable[Neurons]) -> dict[str, tuple[str, ...]]:
    """By Neurons node, the names of its state variables, the membrane potential first."""
    return {node.name: tuple(initial_state(node.model)) for node in neurons}


def trace_names(network: Network) -> list[str]:
    """What `record` can name of a network's state over all steps."""
    names = dict.fromkeys(name for names in _variables(network.neurons).values() for name in names)
    return [TRACES, *(f"{TRACES}.{name}" for name in names)]


def is_trace(kind: object) -> bool:
    """Whether a kind of recording is of state variables over all steps."""
    return isinstance(kind, str) and kind.partition(".")[0] == TRACES


def probed(probes: Mapping[str, ArrayLike] | None, kinds: Collection[str], program: Program) -> Probed | None:
    """What is to be noted, None for nothing; InputError where a layer, a neuron or a variable is not there.

    `kinds` are those of recordings, which have been checked.
    """
    wanted = {kind.partition(".")[2] for kind in kinds if is_trace(kind)}
    if probes is None and not wanted:
        return None
    found = _variables([layer.neurons for layer in program.layers if layer.neurons])
    sites: Mapping[str, NDArray[np.int64] | None]
    sites = dict.fromkeys(found) if probes is None else _check_sites(probes, program)
    every = not wanted or "" in wanted
    noted = {name: tuple(each for each in found[name] if every or each in wanted) for name in sites}
    missing = [name for name in sites if not noted[name]]
    if missing and probes:
        has, named = ", ".join(found[missing[0]]), " or ".join(sorted(wanted))
        raise InputError(
            f"probes names {missing[0]}, whose neurons have no state variable {named}, which record names (got {has})"
        )
    return {name: (noted[name], each) for name, each in sites.items() if noted[name]}


def _check_sites(probes: Mapping[str, ArrayLike], program: Program) -> dict[str, NDArray[np.int64]]:
    if not isinstance(probes, Mapping):
        raise InputError(f"probes must map names of Neurons nodes to neurons (got {type(probes).__name__})")
    if not probes:
        raise InputError("probes must name at least one Neurons node (got {}); leave it out for none, or for all")
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
    """What is noted of neurons, step by step."""

    def __init__(self, program: Program, what: Probed, steps: int) -> None:
        self._what = what
        self.recorded: dict[str, dict[str, NDArray[np.float32]]] = {}
        for layer in program.layers:
            if layer.name in what:
                names, sites = what[layer.name]
                shape = (steps, *layer.outgoing) if sites is None else (steps, len(sites))
                self.recorded[layer.name] = {name: np.zeros(shape, np.float32) for name in names}

    def note(self, step: int, states: list[LayerState]) -> None:
        """Note what neurons carry after a step."""
        for state in states:
            layer, recorded = state.layer, self.recorded.get(state.layer.name)
            if recorded is None or layer.neurons is None:
                continue
            _, sites = self._what[layer.name]
            for name, of_all in zip(initial_state(layer.neurons.model), state.variables, strict=True):
                if name in recorded:
                    recorded[name][step] = of_all if sites is None else of_all[tuple(sites.T)]
