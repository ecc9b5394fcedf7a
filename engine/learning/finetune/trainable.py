"""The numbers that training changes, and the network that they stand for.

A scale s of a layer's thresholds (emitted values included) does the same as dividing the weights and biases that feed
the layer by s and multiplying the weights that read it by s. So scales are folded into the weights, neuron models keep
their thresholds, and any trained network is an ordinary one. Scales are trained as logarithms, so that they stay
positive, and belong to the synapses, since all neurons that one node feeds share them; pooling hands its source's on.
What is added up has none: the weights of each part would have to undo those of all.

With `weight_bits` the network has rounded weights and biases (fixed_point.py), while the numbers in training stay as
fine as float32, or many small steps would never add up to a change: gradients of the rounded ones are taken for theirs
(Courbariaux, Bengio and David, BinaryConnect, NeurIPS 2015, arXiv 1511.00363).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...fixed_point import quanta_of_layers, rounded_arrays
from ...graph import FILE_WEIGHTS, Network, Neurons, Node, Output, Projection, Synapses, Weighted, file_shares
from .batch_norm import PARTS, first_arrays, normed, normed_nodes, thresholds_behind, without_norms
from .passes import refuse_untrainable
from .trainable_arrays import in_kernel_order, with_arrays, with_initial

Array = NDArray[Any]
Parameters = dict[str, Array]

SCALES = ("none", "layer", "channel")


class Trainable:
    """Which numbers of a network are trained, and how a network is made of them.

    Parameters
    ----------
    network : Network
    scales : "none", "layer" or "channel"
        Whether thresholds are scaled, by one number for each layer or one for each channel.
    initial : bool
        Whether each layer's initial potential is trained.
    weights, biases : bool
        Whether they are trained.
    weight_bits : int, optional
        Bits that weights are rounded to in `network`, where layers read spikes alone.
    batch_norm : float, optional
        Scale that batch norms behind all weights but the readout's begin with, in thresholds; None for no norms.
        `network` then normalises by the batch at hand, and `ordinary_network` and `export` have the norms folded.

    Raises
    ------
    InputError
        If `scales` is unknown, the network has delays, nothing is left to train, or no weights can be rounded.
    """

    def __init__(
        self,
        network: Network,
        scales: str = "none",
        initial: bool = False,
        weights: bool = True,
        biases: bool = True,
        weight_bits: int | None = None,
        batch_norm: float | None = None,
    ) -> None:
        if scales not in SCALES:
            raise InputError(f"threshold scales must be one of {', '.join(SCALES)} (got {scales!r})")
        refuse_untrainable(network)
        self.source = network
        self.weighted = tuple(node for node in network.nodes if isinstance(node, Weighted))
        self._norms = _norms(network, batch_norm, scales, weight_bits)
        self._scales = scales
        self._free = set[str]() if scales == "none" else _free_synapses(network)
        self._behind = _scales_behind(network, self._free)
        self._initial = initial
        self._zeros = _zeros_of_conversion(network)
        self._bits = weight_bits or 0
        self._quanta = quanta_of_layers(network) if weight_bits else {}
        kept = {"weight": weights, "bias": biases, "log_scale": True, "initial": True, "norm_scale": True}
        names = self.parameters()
        self.trained = tuple(name for name in names if kept.get(name.rpartition(".")[2], False))
        if not self.trained:
            raise InputError("nothing is left to train: choose weights, biases, thresholds or initial potentials")

    def parameters(self, dtype: Any = np.float32) -> Parameters:
        """The source network's numbers by "node.weight", "node.bias", "node.log_scale" and "node.initial"; copies."""
        found: Parameters = {}
        for node in self.weighted:
            found[f"{node.name}.weight"] = in_kernel_order(node.weight.astype(dtype))
            found[f"{node.name}.bias"] = node.bias.astype(dtype)
            if node.name in self._free:
                size = node.out_channels if self._scales == "channel" else 1
                found[f"{node.name}.log_scale"] = np.zeros(size, dtype)
            if node.name in self._norms:
                arrays = first_arrays(node, self._norms[node.name], dtype)
                found |= {f"{node.name}.{part}": array for part, array in arrays.items()}
        if self._initial:
            models = {node.name: node.model for node in self.source.neurons}
            found.update({f"{name}.initial": np.array([model.initial], dtype) for name, model in models.items()})
        return found

    def network(self, parameters: Mapping[str, Array]) -> Network:
        """The network with these parameters, which are neither checked nor copied where nothing has to be folded."""
        nodes: list[Node] = []
        for node in self.source.nodes:
            made: Node = node
            if isinstance(node, Weighted):
                weight, bias = parameters[f"{node.name}.weight"], parameters[f"{node.name}.bias"]
                scales = self._factors(node, parameters)
                weight, bias = _folded(node, weight, bias, scales)
                if node.name in self._quanta:
                    weight, bias = rounded_arrays(node, weight, bias, self._bits, self._quanta[node.name])
                    weight = in_kernel_order(weight)
                made = with_arrays(node, weight=weight, bias=bias)
                if node.name in self._norms:
                    parts = tuple(parameters[f"{node.name}.{part}"] for part in PARTS)
                    made = normed(node, weight, bias, parts)
            elif isinstance(node, Neurons) and f"{node.name}.initial" in parameters:
                made = with_initial(node, parameters[f"{node.name}.initial"])
            nodes.append(made)
        return self.source.replace(nodes)

    def ordinary_network(self, parameters: Mapping[str, Array]) -> Network:
        """As `network`, with batch norms folded: what every engine runs."""
        return without_norms(self.network(parameters)) if self._norms else self.network(parameters)

    def export(self, parameters: Mapping[str, Array]) -> Network:
        """As `network`, with every node checked and its arrays its own."""
        made = self.ordinary_network(parameters)
        whole = made.replace([dataclasses.replace(node) if isinstance(node, Weighted) else node for node in made.nodes])
        return _without_copies(self.source, whole)

    def pull_back(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> Parameters:
        """Gradients of the trained parameters from those of the weights, biases and initial potentials of `network`."""
        found: Parameters = {}
        for node in self.weighted:
            names = weight_name, bias_name = f"{node.name}.weight", f"{node.name}.bias"
            weight, bias = (_or_zeros(gradients, name, parameters) for name in names)
            scales = self._factors(node, parameters)
            if scales[0] is not None or scales[1] is not None:
                self._add_scales(found, node, parameters, weight, bias)
            found[weight_name], found[bias_name] = _folded(node, weight, bias, scales)
            if node.name in self._zeros:
                found[weight_name] = np.where(self._zeros[node.name], 0, found[weight_name])
        for name in self.trained:
            if name.endswith((".initial", ".norm_scale")):
                found[name] = _or_zeros(gradients, name, parameters)
        return {name: _or_zeros(found, name, parameters) for name in self.trained}

    def _add_scales(
        self, found: Parameters, node: Weighted, parameters: Mapping[str, Array], weight: Array, bias: Array
    ) -> None:
        """Add what the gradients of a node's folded weight and bias say about the logarithms of the scales in them."""
        scales = self._factors(node, parameters)
        names = f"{node.name}.weight", f"{node.name}.bias"
        folded = _folded(node, parameters[names[0]], parameters[names[1]], scales)
        by_weight, by_bias = weight * folded[0], bias * folded[1]
        if scales[1] is not None:
            _add_to(found, parameters, f"{node.name}.log_scale", -node.sum_by_output(by_weight) - by_bias)
        if scales[0] is not None:
            by_channel, start = node.sum_by_input(by_weight, node.in_channels), 0
            for name, width in self._scale_sources(node):
                if name is not None:
                    _add_to(found, parameters, name, by_channel[start : start + width])
                start += width

    def _factors(self, node: Weighted, parameters: Mapping[str, Array]) -> tuple[Array | None, Array | None]:
        """Scales of a node's input channels, and of its output channels; None where all of them are 1."""
        out = parameters.get(f"{node.name}.log_scale")
        sources = self._scale_sources(node)
        into = None
        if any(name is not None for name, _ in sources):
            given = ((parameters[name] if name else np.zeros(1), width) for name, width in sources)
            parts = [np.repeat(array, width // len(array)) for array, width in given]
            into = np.exp(np.concatenate(parts)).astype(parameters[f"{node.name}.weight"].dtype)
        return into, None if out is None else np.exp(np.broadcast_to(out, node.out_channels))

    def _scale_sources(self, node: Weighted) -> list[tuple[str | None, int]]:
        """The scale in each part that a node reads, or None, and how many of its input channels the part is."""
        widths = self.source.widths(node)
        if widths is None:  # `_free_synapses` has left no scale there
            return [(None, node.in_channels)]
        found: list[tuple[str | None, int]] = []
        for leaf, width in zip(self.source.leaves(node.source), widths, strict=True):
            items = self._behind[leaf]
            neighbours = width // sum(channels for _, channels in items)
            found += [(name, channels * neighbours) for name, channels in items]
        return found


def _zeros_of_conversion(network: Network) -> dict[str, Array]:
    """Where the weights of the layers that conversion made, or made larger, are 0; by node.

    They stay so: zeros around a kernel are its padding, and those of a layer that moves channels are no connections.
    """
    made = file_shares(network)
    layers = (node for node in network.nodes if isinstance(node, Weighted) and node.name in made)
    return {node.name: in_kernel_order(node.weight == 0) for node in layers if not node.weight.all()}


def _without_copies(source: Network, trained: Network) -> Network:
    """The trained network, where a layer that conversion had put in once more counts as another one now."""
    shares = file_shares(source)
    before = {node.name: node.weight for node in source.nodes if isinstance(node, Weighted)}
    parted = [
        node.name
        for node in trained.nodes
        if isinstance(node, Weighted)
        and shares.get(node.name) == 0
        and np.count_nonzero(node.weight) > node.out_channels
        and not np.array_equal(node.weight, before[node.name])
    ]
    kept = {name: counts for name, counts in trained.metadata.get(FILE_WEIGHTS, {}).items() if name not in parted}
    return trained.replace(metadata={**trained.metadata, FILE_WEIGHTS: kept}) if parted else trained


def _norms(network: Network, alpha: float | None, scales: str, weight_bits: int | None) -> dict[str, float]:
    """For each node that gets a batch norm what its scale begins with; InputError where other choices forbid norms."""
    if alpha is None:
        return {}
    if scales != "none" or weight_bits is not None:
        raise InputError(
            "batch norms scale channels themselves and give weights that are rounded only in the end; leave trained "
            "thresholds and weight bits out, or train with them afterwards"
        )
    thresholds = thresholds_behind(network)
    return {node.name: alpha * thresholds.get(node.name, 1.0) for node in normed_nodes(network)}


def _or_zeros(gradients: Mapping[str, Array], name: str, parameters: Mapping[str, Array]) -> Array:
    return gradients[name] if name in gradients else np.zeros_like(parameters[name])


def _free_synapses(network: Network) -> set[str]:
    """Synapse nodes whose neurons can be scaled: nothing but weights reads what they emit, nor the Output it."""
    bound: set[str] = set()
    for node in reversed(network.nodes):
        folds = isinstance(node, Weighted) and node.homogeneous
        hands_on = folds or (isinstance(node, Synapses) and node.keeps_channels)
        mixes = isinstance(node, Synapses) and not hands_on
        mixes |= isinstance(node, Weighted) and network.widths(node) is None
        if isinstance(node, Output) or mixes or (node.name in bound and not isinstance(node, Weighted)):
            bound.update(node.sources)
        if isinstance(node, Weighted) and not node.homogeneous:
            bound.add(node.name)
    return {node.name for node in network.nodes if isinstance(node, Synapses) and node.name not in bound}


def _scales_behind(network: Network, free: set[str]) -> dict[str, list[tuple[str | None, int]]]:
    """The parts of what Input and Neurons nodes put out, each with its channels and the name of the scale in it.

    Average pools and the like are seen through.
    """
    behind: dict[str, list[tuple[str | None, int]]] = {network.input.name: [(None, network.input.channels)]}
    for node in network.neurons:
        synapses = network[node.source]
        if isinstance(synapses, Projection) and synapses.keeps_channels:
            behind[node.name] = [item for leaf in network.leaves(synapses.source) for item in behind[leaf]]
        elif isinstance(synapses, Weighted):
            scale = f"{synapses.name}.log_scale" if synapses.name in free else None
            behind[node.name] = [(scale, synapses.out_channels)]
        else:
            behind[node.name] = [(None, network.channels[node.name] or 1)]
    return behind


def _folded(
    node: Weighted, weight: Array, bias: Array, scales: tuple[Array | None, Array | None]
) -> tuple[Array, Array]:
    """Weight and bias times the scales of the input channels, divided by those of the output channels."""
    into, out = scales
    if into is not None:
        weight = weight * node.along_inputs(into)
    if out is not None:
        weight, bias = weight / node.along_outputs(out), bias / out
    return in_kernel_order(weight), bias


def _add_to(found: Parameters, parameters: Mapping[str, Array], name: str, by_channel: Array) -> None:
    part = by_channel.reshape(len(parameters[name]), -1).sum(1)
    found[name] = found[name] + part if name in found else part
