"""Channels whose rounding costs most are computed twice, in the place of channels that hardly do anything.

What neurons emit is rounded to the levels of their ladder. Two neurons with the same input whose biases differ by half
a level, each read with half of the weights, are rounded at different places: together they have twice as many levels.
To the artificial network (ANN) nothing has changed. Dead channels, of which trained networks have many, make room for
it, so that the network is as large as it was.

R. Zhao, Y. Hu, J. Dotzel, C. De Sa and Z. Zhang, "Improving neural network quantization without retraining using
outlier channel splitting", ICML 2019, section 3, split channels to halve their largest values, in wider layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.diagnosis import middle_of
from spikeunet.engine.graph import Join, Network, Neurons, Synapses, Weighted
from spikeunet.engine.learning.finetune.passes import run_backward, run_forward
from spikeunet.engine.neurons import NeuronModel, analog_activation, conserves_charge, level_table, rectifies

Array = NDArray[Any]

Copies = Mapping[str, tuple[tuple[int, int], ...]]
"""By layer: (copy, channel), whose rows of weights are the same."""

MARGIN = 2.0
"""How many times more splitting must gain than it costs to take the other channel away: both are estimates."""

LEAST = 1e-3
"""Share of what all rounding costs that a channel must have: each copy causes operations."""

MIXTURES = 20
"""Mixtures of the outputs, at least: of the channels whose effect is estimated the least is taken, and that must not be
little by chance."""

FEWEST_LEVELS = 15
"""Levels of a neuron, silence left out, below which half of one is too much to move a bias by."""

_WON = 0.75
"""Share of its rounding's variance that a channel loses by half as large levels."""


@dataclass
class _Effects:
    """What one layer's channels do to the ANN's output, squared, added up over pictures: (C,) float64 each.

    Parameters
    ----------
    rounding : of rounding them to levels
    absence : of taking them away
    """

    rounding: Array
    absence: Array


def split_channels(network: Network, pictures: Sequence[Array]) -> tuple[Network, Copies]:
    """Put copies of the channels whose rounding costs most in the place of those that matter least.

    Parameters
    ----------
    network : Network
        Converted, with weights that are not rounded yet.
    pictures : sequence of (C, H, W) float32
        What the network will see, noise included; of large ones the middles are looked at.

    Returns
    -------
    Network
        Of the same shapes. As an artificial network it puts out the same but for what the channels did that were
        given up, less than half of what splitting gains.
    Copies
        By layer, pairs of a copy and the channel that it is a copy of. They have the same biases yet: `staggered`.

        Networks with loops, delays or encoders, and of several inputs or outputs, are left alone, and so are layers
        whose neurons have few levels, leak, emit negative values or lose charge, whose currents are added to others',
        or whose neurons are read by anything but convolutions and full connections over all channels.

    Raises
    ------
    InputError
        If a layer has no backward pass.
    """
    layers = _splittable(network)
    effects = _effects(network, pictures, layers) if layers else {}
    least = LEAST * sum(float(each.rounding.sum()) for each in effects.values())
    copies = {name: pairs for name in layers if (pairs := _pairs(effects[name], least))}
    for name, pairs in copies.items():
        network = _with_copies(network, network[name], layers[name], pairs)
    return network, copies


def _splittable(network: Network) -> dict[str, Neurons]:
    """By layer whose channels can be split, its neurons."""
    late = any(isinstance(node, Synapses) and node.delay for node in network.nodes)
    if late or network.loops or network.encoded or len(network.inputs) > 1 or len(network.outputs) > 1:
        return {}
    readers = Counter(source for node in network.nodes for source in node.sources)
    found = {}
    for node in network.neurons:
        layer = network[node.source]
        if isinstance(layer, Weighted) and _whole(layer) and _fine(node.model) and readers[layer.name] == 1:
            # Through joins, which hand channels on as they are.
            nodes = [each for each in network.nodes if not isinstance(each, Join)]
            reading = [each for each in nodes if node.name in _leaves(network, each)]
            if reading and all(isinstance(each, Weighted) and _reads_channels(network, each) for each in reading):
                found[layer.name] = node
    return found


def _fine(model: NeuronModel) -> bool:
    """Whether what neurons emit is a ReLU of what they take in, in levels."""
    return conserves_charge(model) and rectifies(model) and level_table(model).highest >= FEWEST_LEVELS


def _whole(layer: Weighted) -> bool:
    """Whether each output channel reads all input channels."""
    return layer.group_count == 1 and not layer.keeps_channels


def _leaves(network: Network, node: Any) -> tuple[str, ...]:
    return tuple(leaf for source in node.sources for leaf in network.leaves(source))


def _reads_channels(network: Network, node: Weighted) -> bool:
    """Whether each input channel of a node is a channel of what it reads, and all outputs read it."""
    widths = tuple(network.channels[leaf] for leaf in network.leaves(node.source))
    return _whole(node) and network.widths(node) == widths


def _effects(network: Network, pictures: Sequence[Array], layers: Mapping[str, Neurons]) -> dict[str, _Effects]:
    """Effects of each layer's channels, by what a random mixture of the outputs owes to each neuron.

    With signs s at random, the mean of (s . J e)^2 over s is |J e|^2, what errors e of a layer's activations do to the
    output through its derivative J. Each mixture tells all channels of all layers at once; pictures have one each, or
    several where there are few pictures. Errors of rounding have nothing in common with one another: their squares are
    added up.
    """
    names = {node.name: name for name, node in layers.items()}
    found = {name: _Effects(*np.zeros((2, network.channels[name]))) for name in layers}
    signs = np.random.default_rng(0)
    for picture in (each for each in pictures for _ in range(-(-MIXTURES // len(pictures)))):
        batch = np.ascontiguousarray(middle_of(network, np.asarray(picture)).transpose(1, 2, 0))[None]
        kept: dict[str, Any] = {}
        values, output = run_forward(network, batch, lambda node, current: analog_activation(node.model, current), kept)

        def note(node: Neurons, flow: Array | None, values: Mapping[str, Array] = values) -> Array | None:
            if flow is None:
                return None
            value = values[node.name]
            if node.name in names:
                unit, effects = level_table(node.model).unit, found[names[node.name]]
                squares = np.square(flow, dtype=np.float64) * (value > unit / 2)
                effects.rounding += squares.sum((0, 1, 2)) * unit**2 / 12
                effects.absence += np.square((flow * value).sum((0, 1, 2), dtype=np.float64))
            return flow * (value > 0) if rectifies(node.model) else flow

        mixture = signs.choice(np.array([-1, 1], np.float32), output.shape)
        run_backward(network, values, mixture, note, kept)
    return found


def _pairs(effects: _Effects, least: float) -> tuple[tuple[int, int], ...]:
    """(copy, channel), those first that gain most."""
    cheapest = np.argsort(effects.absence, kind="stable").tolist()
    found: list[tuple[int, int]] = []
    for channel in np.argsort(-effects.rounding, kind="stable").tolist():
        given_up = channel not in cheapest
        if given_up or effects.rounding[channel] < least:
            continue
        cheapest.remove(channel)
        if not cheapest or _WON * effects.rounding[channel] <= MARGIN * effects.absence[cheapest[0]]:
            break
        found.append((cheapest.pop(0), channel))
    return tuple(found)


def staggered(network: Network, copies: Copies) -> Network:
    """Move the biases of copies half a level apart, so that they are rounded at different places."""
    made = {}
    for node in network.neurons:
        pairs, layer = copies.get(node.source, ()), network[node.source]
        if pairs and isinstance(layer, Weighted):
            bias, quarter = layer.bias.copy(), level_table(node.model).unit / 4
            for copy, channel in pairs:
                bias[copy] += quarter
                bias[channel] -= quarter
            made[layer.name] = replace(layer, bias=bias)
    return network.replace([made.get(node.name, node) for node in network.nodes])


def _with_copies(network: Network, layer: Any, neurons: Neurons, pairs: Sequence[tuple[int, int]]) -> Network:
    """The network with some channels of a layer in the place of others."""
    rows, bias = layer.by_output(layer.weight).copy(), layer.bias.copy()
    for copy, channel in pairs:
        rows[copy], bias[copy] = rows[channel], bias[channel]
    made: dict[str, Weighted] = {layer.name: replace(layer, weight=layer.from_rows(rows), bias=bias)}
    for node in network.nodes:
        if isinstance(node, Weighted) and neurons.name in (leaves := network.leaves(node.source)):
            edges = np.cumsum([0, *(network.channels[leaf] for leaf in leaves)])
            firsts = [int(edge) for edge, leaf in zip(edges, leaves, strict=False) if leaf == neurons.name]
            made[node.name] = _reading_halves(node, [(first + a, first + b) for first in firsts for a, b in pairs])
    return network.replace([made.get(node.name, node) for node in network.nodes])


def _reading_halves(node: Any, pairs: Sequence[tuple[int, int]]) -> Weighted:
    """A layer that reads a channel and its copy, each with half of the channel's weights."""
    by_input = np.moveaxis(node.weight, _input_axis(node), 0).copy()
    for copy, channel in pairs:
        by_input[channel] /= 2
        by_input[copy] = by_input[channel]
    weight = np.ascontiguousarray(np.moveaxis(by_input, 0, _input_axis(node)))
    made: Weighted = replace(node, weight=weight)
    return made


def _input_axis(node: Any) -> int:
    """The axis of the weight along which input channels lie."""
    numbers = np.broadcast_to(node.along_inputs(np.arange(node.in_channels)), node.weight.shape)
    own = np.broadcast_to(node.along_outputs(np.arange(node.out_channels)), node.weight.shape)
    axes = [axis for axis in range(numbers.ndim) if numbers.shape[axis] == node.in_channels]
    return next(axis for axis in axes if not np.take(numbers, 0, axis).any() and (np.take(own, [0], axis) == own).all())
