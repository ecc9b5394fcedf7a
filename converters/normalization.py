"""Weight normalisation: scale a network so that its activations stay below the neurons' thresholds.

Every weighted layer l gets a scale lambda_l, a percentile of its output after ReLU over the calibration pictures, or
of its output's size where it has signed neurons and no ReLU. Its
activations are divided by lambda_l: weights are multiplied by the lambda of each input channel's layer and divided by
lambda_l, the bias is divided by lambda_l (Li et al., arXiv 2307.10974, connection-wise normalisation). The lambda of
the network's input and of the layer that the output reads is 1, so the ANN computes the same function as before.
Average pooling and concatenation hand the lambdas of their channels through.

Layer-wise normalisation, for comparison, has one lambda for the whole input of a layer: layers that meet in a
concatenation share the percentile of the concatenated activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import InputError, first_few
from spikeunet.engine.graph import Concat, Conv2d, ConvTranspose2d, Linear, Network, Node
from spikeunet.engine.neurons import rectifies

from .calibration import calibrate

Float32 = NDArray[np.float32]
Weighted = Conv2d | ConvTranspose2d | Linear


def activation_scales(
    network: Network,
    pictures: Sequence[Float32],
    percentile: float = 99.9,
    normalization: Literal["connection", "layer"] = "connection",
) -> dict[str, float]:
    """Lambda of each weighted layer that neurons read.

    Parameters
    ----------
    network : Network
    pictures : sequence of (C, H, W) float32
    percentile : float
        In (0, 100]; 100 is the maximum.
    normalization : "connection" or "layer"
        Whether each layer has a lambda of its own, or layers that meet in a concatenation share one.

    Returns
    -------
    dict of layer name (Conv2d, ConvTranspose2d, Linear) to positive float
    """
    representatives = _representatives(network, shared=normalization == "layer")
    groups: dict[str, list[str]] = {}
    seen: set[str] = set()
    # Where one layer feeds both, the sizes are what the signed ones see, and no less than what a ReLU lets through.
    for node in sorted(network.neurons, key=lambda node: rectifies(node.model)):
        if node.source in representatives and node.source not in seen:
            seen.add(node.source)
            groups.setdefault(representatives[node.source], []).append(node.name)
    values = calibrate(network, pictures, groups, percentile)
    return {layer: values[representatives[layer]] for layer in representatives}


def normalize(network: Network, scales: Mapping[str, float]) -> Network:
    """The network with each layer's activations divided by its lambda; its output is unchanged.

    Parameters
    ----------
    network : Network
    scales : mapping of layer name to positive float
        From `activation_scales`; a layer that is not named keeps its scale (lambda 1).

    Returns
    -------
    Network
        Its `normalization` holds the lambda of every Neurons layer whose channels share one, times what was there.

    Raises
    ------
    InputError
        If a lambda is not positive and finite, or belongs to no layer that can be scaled.
    """
    _check(network, scales)
    by_channel: dict[str, NDArray[np.float64]] = {}
    nodes: list[Node] = []
    for node in network.nodes:
        if isinstance(node, Concat):
            nodes.append(node)
            continue
        sources = [by_channel[leaf] for source in node.sources for leaf in network.leaves(source)]
        incoming = np.concatenate(sources) if sources else np.ones(network.input.channels)
        if isinstance(node, (Conv2d, ConvTranspose2d, Linear)):
            outgoing = scales.get(node.name, 1.0)
            by_channel[node.name] = np.full(node.out_channels, outgoing)
            nodes.append(_scaled(node, incoming, outgoing))
        else:
            by_channel[node.name] = incoming
            nodes.append(node)
    factors = {node.name: by_channel[node.name] for node in network.neurons}
    uniform = {name: float(values[0]) for name, values in factors.items() if (values == values[0]).all()}
    before = network.normalization
    return network.replace(nodes, normalization={name: uniform[name] * before.get(name, 1.0) for name in uniform})


def _scaled(node: Weighted, incoming: NDArray[np.float64], outgoing: float) -> Weighted:
    """A layer whose input channels come divided by `incoming` and whose output leaves divided by `outgoing`.

    Computed in float64 and rounded once.
    """
    weight = node.weight.astype(np.float64)
    if isinstance(node, Conv2d):
        grouped = weight.reshape(node.groups, -1, *weight.shape[1:])
        weight = (grouped * incoming.reshape(node.groups, 1, -1, 1, 1)).reshape(weight.shape)
    elif isinstance(node, ConvTranspose2d):
        weight *= incoming[:, None, None, None]
    else:
        weight *= np.repeat(incoming, weight.shape[1] // len(incoming))
    return replace(
        node,
        weight=_float32(node.name, weight / outgoing),
        bias=_float32(node.name, node.bias.astype(np.float64) / outgoing),
    )


def _float32(name: str, values: NDArray[np.float64]) -> Float32:
    if np.abs(values).max() > np.finfo(np.float32).max:
        raise InputError(f"normalising {name!r} overflows float32; check the weights and the calibration pictures")
    return values.astype(np.float32)


def _check(network: Network, scales: Mapping[str, float]) -> None:
    allowed = _representatives(network, shared=False)
    for name, value in scales.items():
        if name not in allowed:
            raise InputError(f"{name!r} is no layer that can be scaled; there are {first_few(allowed)}")
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"the scale of {name!r} must be positive and finite (got {value})")


def _representatives(network: Network, *, shared: bool) -> dict[str, str]:
    """For each layer that can be scaled, the layer whose lambda it takes: itself, or one that it shares with others."""
    fixed = _read_unscaled(network)
    scalable = [node.source for node in network.neurons if isinstance(network[node.source], Weighted)]
    representatives = {layer: layer for layer in scalable if layer not in fixed}
    if not shared:
        return representatives
    # Of each node one layer that it puts out, if any: once they have met, all others have the same representative.
    member: dict[str, str] = {}
    for node in network.nodes:
        found = [member[source] for source in node.sources if source in member]
        if isinstance(node, Weighted):
            found = [node.name] if node.name in representatives else []
        if found:
            member[node.name] = found[0]
            first = _representative(representatives, found[0])
            for other in found[1:]:
                representatives[_representative(representatives, other)] = first
    return {layer: _representative(representatives, layer) for layer in representatives}


def _representative(representatives: dict[str, str], layer: str) -> str:
    """The layer that a layer's representative has itself, found by way of others; that way is made shorter."""
    while representatives[layer] != layer:
        representatives[layer] = layer = representatives[representatives[layer]]
    return layer


def _read_unscaled(network: Network) -> set[str]:
    """Layers whose activations leave the network as they are: what the output reads, average pooling seen through."""
    seen: set[str] = set()
    waiting = [network.output.name]
    while waiting:
        node = network[waiting.pop()]
        if node.name not in seen:
            seen.add(node.name)
            waiting += () if isinstance(node, Weighted) else node.sources
    return seen
