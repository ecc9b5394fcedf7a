"""Weight normalisation: scale a network so that its activations stay below the neurons' thresholds.

Every weighted layer l gets a scale lambda_l, a percentile of its output after ReLU over the calibration pictures, or
of its output's size where it has signed neurons and no ReLU. Its
activations are divided by lambda_l: weights are multiplied by the lambda of each input channel's layer and divided by
lambda_l, the bias is divided by lambda_l (Li et al., arXiv 2307.10974, connection-wise normalisation). The lambda of
the network's input and of the layer that the output reads is 1, so the ANN computes the same function as before.
Average pooling and concatenation hand the lambdas of their channels through; layers that are added up share one.

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
from spikeunet.engine.graph import CurrentSum, Join, Network, Projection, Weighted
from spikeunet.engine.neurons import rectifies

from .calibration import calibrate

Float32 = NDArray[np.float32]
Factors = NDArray[np.float64]


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
        layer = next((part.name for part in network.projections(node.source) if part.name in representatives), None)
        if layer is not None and node.source not in seen:
            seen.add(node.source)
            groups.setdefault(representatives[layer], []).append(node.name)
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
    by_channel = _factors(network, scales)
    nodes = [
        _scaled(node, by_channel[node.source], by_channel[node.name]) if isinstance(node, Weighted) else node
        for node in network.nodes
    ]
    factors = {node.name: by_channel[node.name] for node in network.neurons}
    uniform = {name: float(values[0]) for name, values in factors.items() if (values == values[0]).all()}
    before = network.normalization
    return network.replace(nodes, normalization={name: uniform[name] * before.get(name, 1.0) for name in uniform})


def _factors(network: Network, scales: Mapping[str, float]) -> dict[str, Factors]:
    """By node, what each channel that it puts out is divided by."""
    found: dict[str, Factors] = {}
    for node in network.by_size:
        known = [found[source] for source in node.sources if source in found]
        if isinstance(node, Weighted):
            found[node.name] = np.full(node.out_channels, scales.get(node.name, 1.0))
        elif isinstance(node, Projection):
            found[node.name] = node.pass_on(known[0])
        elif isinstance(node, Join):
            found[node.name] = np.concatenate(known)
        else:
            found[node.name] = known[0] if known else np.ones(network.input.channels)
    for node in network.nodes:
        parts = [found[source] for source in node.sources]
        if isinstance(node, CurrentSum) and any(not np.array_equal(part, parts[0]) for part in parts):
            raise InputError(
                f"what {node.name!r} adds up is scaled differently; put a Scale with weights of 1 in place of what has "
                "no weights there"
            )
    return found


def _scaled(node: Weighted, incoming: Factors, outgoing: Factors) -> Weighted:
    """A layer whose input channels come divided by `incoming` and whose output leaves divided by `outgoing`.

    Computed in float64 and rounded once.
    """
    weight = node.weight.astype(np.float64) * node.along_inputs(incoming) / node.along_outputs(outgoing)
    return replace(
        node,
        weight=_float32(node.name, weight),
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
    parts = [part for node in network.neurons for part in network.projections(node.source)]
    representatives = {part.name: part.name for part in parts if isinstance(part, Weighted) and part.name not in fixed}
    # Of each node one layer that it puts out, if any: once they have met, all others have the same representative.
    member: dict[str, str] = {}
    for node in network.by_size:
        found = [member[source] for source in node.sources if source in member]
        if isinstance(node, Weighted):
            found = [node.name] if node.name in representatives else []
        if found:
            member[node.name] = found[0]
            if shared or isinstance(node, CurrentSum):
                _unite(representatives, found)
    return {layer: _representative(representatives, layer) for layer in representatives}


def _unite(representatives: dict[str, str], layers: list[str]) -> None:
    """Give layers one representative."""
    first = _representative(representatives, layers[0])
    for other in layers[1:]:
        representatives[_representative(representatives, other)] = first


def _representative(representatives: dict[str, str], layer: str) -> str:
    """The layer that a layer's representative has itself, found by way of others; that way is made shorter."""
    while representatives[layer] != layer:
        representatives[layer] = layer = representatives[representatives[layer]]
    return layer


def _read_unscaled(network: Network) -> set[str]:
    """Layers whose activations leave the network as they are: what the output reads, average pooling seen through.

    And what is added to such a layer.
    """
    sums: dict[str, list[str]] = {}
    for node in network.nodes:
        for part in node.sources if isinstance(node, CurrentSum) else ():
            sums.setdefault(part, []).append(node.name)
    seen: set[str] = set()
    waiting = [node.name for node in network.outputs]
    while waiting:
        node = network[waiting.pop()]
        if node.name not in seen:
            seen.add(node.name)
            waiting += () if isinstance(node, Weighted) else node.sources
            waiting += sums.get(node.name, ())
    return seen
