"""Weight normalisation: scale a network so that its activations stay below the neurons' thresholds.

Every weighted layer l gets a scale lambda_l, a percentile of its output after ReLU over the calibration pictures, or
of its output's size where it has signed neurons and no ReLU. Its activations are divided by lambda_l: weights are
multiplied by the lambda of each input channel's layer and divided by lambda_l, the bias is divided by lambda_l (Li et
al., arXiv 2307.10974, connection-wise normalisation). The lambda of the network's input and of what the output reads is
1, so the ANN computes the same function as before. Pools and the like, and concatenations, hand the lambdas of their
channels through; layers that are added up share one (sharing.py).

Layer-wise normalisation, for comparison, has one lambda for the whole input of a layer: layers that meet in a
concatenation share the percentile of the concatenated activations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import InputError, first_few
from spikeunet.engine.graph import CurrentSum, Network, Node, Synapses, Weighted
from spikeunet.engine.neurons import rectifies

from .calibration import calibrate
from .sharing import HandedOn, Sharing, hand_on

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
    dict of layer name (of nodes with weights) to positive float; layers that are added up have the same

    Raises
    ------
    InputError
        If the network has loops, or a layer cannot be scaled because the picture is added to it as it is.
    """
    if network.loops:
        raise InputError(
            "a network with loops has no activations to calibrate with; convert it with normalization='none', or give "
            "normalize() scales"
        )
    sharing = Sharing(network, joined=normalization == "layer")
    sharing.check()
    values = calibrate(network, pictures, _populations(network, sharing), percentile)
    return {layer: values[first] for layer, first in sharing.scales.items()}


def _populations(network: Network, sharing: Sharing) -> dict[str, list[str]]:
    """The Neurons nodes whose activations tell the scale of a layer, and of those that share it.

    Of what has no weights only those that may be larger than what is read.
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    seen: set[str] = set()
    # Where one layer feeds both, the sizes are what the signed ones see, and no less than what a ReLU lets through.
    for node in sorted(network.neurons, key=lambda node: rectifies(node.model)):
        source = network[node.source]
        tells = isinstance(source, (Weighted, CurrentSum)) or (isinstance(source, Synapses) and source.enlarges)
        layer = sharing.layer_behind(node.source)
        if tells and layer and node.source not in seen:
            seen.add(node.source)
            groups[layer].append(node.name)
    return groups


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
    factors = _factors(network, scales)
    nodes = [
        _scaled(node, factors.incoming[node.name], factors.outgoing[node.name]) if isinstance(node, Weighted) else node
        for node in network.nodes
    ]
    by_neurons = {node.name: factors.outgoing[node.name] for node in network.neurons}
    uniform = {name: float(values[0]) for name, values in by_neurons.items() if (values == values[0]).all()}
    before = network.normalization
    return network.replace(nodes, normalization={name: uniform[name] * before.get(name, 1.0) for name in uniform})


def _factors(network: Network, scales: Mapping[str, float]) -> HandedOn:
    """What each channel is divided by."""
    return hand_on(network, 1.0, lambda layer: scales.get(layer.name, 1.0), _refuse)


def _refuse(node: Node, factors: Factors) -> None:
    first, second = sorted(set(factors.tolist()))[:2]
    raise InputError(
        f"{type(node).__name__} {node.name!r} puts together what is scaled by {first:g} and by {second:g}; give the "
        "layers whose activations it reads one scale"
    )


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
    allowed = Sharing(network).scales
    for name, value in scales.items():
        if name not in allowed:
            raise InputError(f"{name!r} is no layer that can be scaled; there are {first_few(allowed)}")
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"the scale of {name!r} must be positive and finite (got {value})")
