"""Walk a network's graph forward and backward over channels-last batches; the neurons' part comes from outside.

A value is an array (M, H, W, C). M is the number of pictures for what does not change over time, such as the analog
input, and steps times pictures, step by step, for what neurons emit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...graph import CurrentSum, Input, Network, Neurons, Output, Projection, Synapses, Value
from ...layers.dense.joining import split
from ...neurons import Heterogeneous
from ...threads import limited_blas

Array = NDArray[Any]
Kept = dict[str, Any]
"""By node, what its `forward` kept for its `backward`."""

Fire = Callable[[Neurons, Array], Array]
FireBackward = Callable[[Neurons, Array | None], Array | None]


def refuse_untrainable(network: Network) -> None:
    """InputError where a network has encoders, delays or neurons whose parameters differ.

    A pass hands on what is shown, and not the spikes that an encoder makes of it; what synapses with a delay read is
    not there yet when a pass comes to them; a pass takes all neurons of a layer for alike.
    """
    if network.encoded:
        name, encoder = next(iter(network.encoded.items()))
        raise InputError(
            f"a network with encoders cannot be fine-tuned (Input {name!r} has {type(encoder).__name__}); fine-tune it "
            "with encoder=None, and put the encoder back afterwards"
        )
    late = next((node.name for node in network.nodes if isinstance(node, Synapses) and node.delay), None)
    if late is not None:
        raise InputError(
            f"a network with delays cannot be fine-tuned ({late!r} has one); fine-tune it with loops taken out and "
            "delay=0 elsewhere, and put them back afterwards"
        )
    unlike = next((node.name for node in network.neurons if isinstance(node.model, Heterogeneous)), None)
    if unlike is not None:
        raise InputError(
            f"neurons whose parameters differ cannot be fine-tuned ({unlike!r} has such); fine-tune the network with "
            "one model for all, and put theirs back afterwards"
        )


@limited_blas(1)
def run_forward(network: Network, batch: Array, fire: Fire, kept: Kept | None = None) -> tuple[dict[str, Array], Array]:
    """Values of the Input and all Neurons nodes, and the current of the readout.

    Parameters
    ----------
    network : Network
    batch : (N, H, W, C)
        The analog input.
    fire : function of a Neurons node and its current (M, H, W, C)
        What the neurons emit.
    kept : dict, optional
        Receives what `run_backward` can use again.
    """
    readers = Counter(source for node in network.nodes for source in node.sources)
    values: dict[str, Array] = {}
    currents: dict[str, Array] = {}
    for node in network.nodes:
        if isinstance(node, Input):
            values[node.name] = batch
        elif isinstance(node, Projection):
            currents[node.name] = _current(node, read(network, values, node.source), len(batch), kept)
        elif isinstance(node, CurrentSum):
            currents[node.name] = added([currents[part] for part in node.sources])
        elif isinstance(node, Neurons):
            values[node.name] = fire(node, currents[node.source])
        if isinstance(node, (CurrentSum, Neurons, Output)):
            for source in node.sources:
                readers[source] -= 1
                if not readers[source] and source != network.output.source:
                    del currents[source]
    return values, currents[network.output.source]


@limited_blas(1)
def run_backward(
    network: Network,
    values: Mapping[str, Array],
    readout: Array,
    fire_backward: FireBackward,
    kept: Kept | None = None,
) -> dict[str, Array]:
    """Gradients of all weights and biases, by "node.weight" and "node.bias".

    Parameters
    ----------
    network : Network
    values : mapping of str to (M, H, W, C)
        What the Input and the Neurons nodes put out.
    readout : (M, H, W, O)
        Gradient of the current that the Output reads.
    fire_backward : function of a Neurons node and the gradient of what it emits, or None where nothing reads it
        Gradient of the neurons' current, or None where there is none.
    kept : dict, optional
        What `run_forward` kept of the same values.
    """
    outgoing: dict[str, Array] = {}
    currents: dict[str, Array] = {network.output.source: readout}
    found: dict[str, Array] = {}
    for node in reversed(network.nodes):
        if isinstance(node, Neurons):
            flow = fire_backward(node, outgoing.pop(node.name, None))
            if flow is not None:
                _add(currents, node.source, flow)
        elif isinstance(node, CurrentSum) and node.name in currents:
            gradient = currents.pop(node.name)
            for part in node.sources:
                _add(currents, part, gradient)
        elif isinstance(node, Projection) and node.name in currents:
            gradient = currents.pop(node.name)
            spiking = [name for name in network.leaves(node.source) if isinstance(network[name], Neurons)]
            value = read(network, values, node.source)
            gradient = _over_steps(gradient, len(value[0]))  # what does not change over time was added to what does
            steps = len(value[0]) // len(values[network.input.name])
            into, parameters = _gradients(node, value, gradient, bool(spiking), steps, kept)
            found.update({f"{node.name}.{part}": array for part, array in parameters.items()})
            if into is not None:
                _pass_on(network, values, node, into, outgoing)
    return found


def read(network: Network, values: Mapping[str, Array], name: str) -> Value:
    """The parts that a node reads from `name`, all with the same M: constant ones are repeated for every step."""
    parts = [values[leaf] for leaf in network.leaves(name)]
    most = max(len(part) for part in parts)
    return tuple(part if len(part) == most else np.tile(part, (most // len(part), 1, 1, 1)) for part in parts)


def _current(node: Projection, value: Value, pictures: int, kept: Kept | None) -> Array:
    steps = len(value[0]) // pictures
    return node.forward_in_time(value, steps) if node.state_values and steps > 1 else node.forward(value, kept)


def _gradients(
    node: Projection, value: Value, gradient: Array, into_input: bool, steps: int, kept: Kept | None
) -> tuple[Array | None, dict[str, Array]]:
    if node.state_values and steps > 1:
        return node.backward_in_time(value, gradient, steps), {}
    return node.backward(value, gradient, into_input, kept)


def added(currents: list[Array]) -> Array:
    """The sum of several currents (M, H, W, C), of which those that do not change over time count at every step."""
    most = max(len(current) for current in currents)
    every = [np.tile(part, (most // len(part), 1, 1, 1)) if len(part) < most else part for part in currents]
    return np.asarray(sum(every[1:], every[0]))


def _pass_on(
    network: Network, values: Mapping[str, Array], node: Projection, into: Array, outgoing: dict[str, Array]
) -> None:
    """Add a gradient of what a node reads to those of the Neurons nodes that it reads."""
    names = network.leaves(node.source)
    widths = [values[name].shape[3] for name in names]
    for name, part in zip(names, split(into, widths), strict=True):
        if isinstance(network[name], Neurons):
            _add(outgoing, name, part)


def _add(total: dict[str, Array], name: str, part: Array) -> None:
    """Add a gradient; of what does not change over time, one reader's may be for each step and another's for all."""
    if name in total:
        fewest = min(len(part), len(total[name]))
        total[name] = _over_steps(total[name], fewest) + _over_steps(part, fewest)
    else:
        total[name] = part


def _over_steps(gradient: Array, pictures: int) -> Array:
    """Gradients for each step added up, so that as many are left."""
    if len(gradient) == pictures:
        return gradient
    return np.asarray(gradient.reshape(-1, pictures, *gradient.shape[1:]).sum(0))
