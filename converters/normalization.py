"""Weight normalisation: scale a network so that its activations stay below the neurons' thresholds.

Every weighted layer l gets a scale lambda_l, or each of its output channels one. Its activations are divided by it:
weights are multiplied by the lambda of each input channel and divided by that of the output channel, the bias is
divided by that, too. The lambda of the network's input and of what the output reads is 1, so the ANN computes the same
function as before. Pools and the like, and concatenations, hand the lambdas of their channels through; layers that are
added up share them (sharing.py).

- Channel by channel: Kim, Park, Na and Yoon, Spiking-YOLO, AAAI 2020, arXiv 1903.06530.
- Connection by connection: a lambda for each layer, each part of a concatenation keeping its own (Li et al., arXiv
  2307.10974).
- Layer by layer, for comparison: layers that meet in a concatenation share one, so that all that a layer reads has one.

How large they are is chosen from the currents on calibration pictures: by least squares (least_squares.py), as a
percentile of the activations (percentile.py), or by threshold iteration (threshold_iteration.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import InputError, first_few
from spikeunet.engine.graph import CurrentSum, Network, Node, Synapses, Weighted
from spikeunet.engine.neurons import rectifies

from .calibration import ScaleRule, activations_of_groups, calibrate
from .least_squares import LeastSquares
from .percentile import Percentiles
from .sharing import HandedOn, Sharing, hand_on
from .threshold_iteration import ThresholdIteration

Float32 = NDArray[np.float32]
Factors = NDArray[np.float64]


LayerScale = float | Factors
Normalization = Literal["channel", "connection", "layer"]
ScaleChoice = Literal["least-squares", "percentile", "iteration"]

DEFAULT_PERCENTILE = 99.9

SMALLEST_SHARE = 1 / 64
"""No channel's scale is smaller than this share of the largest in its layer: what hardly ever fires on the calibration
pictures may fire on others, and finer stairs than these no longer show in sums with those of the other channels."""


def activation_scales(
    network: Network,
    pictures: Sequence[Float32],
    percentile: float | None = None,
    normalization: Normalization = "channel",
    scales: ScaleChoice | None = None,
    steps: int | None = None,
) -> dict[str, LayerScale]:
    """Lambda of each weighted layer that neurons read, or of each of its output channels.

    Parameters
    ----------
    network : Network
        With the neurons that it is to have.
    pictures : sequence of (C, H, W) float32
    percentile : float, optional
        In (0, 100]; 100 is the maximum. 99.9 where scales are percentiles and this is left out.
    normalization : "channel", "connection" or "layer"
        Whether each channel has a lambda of its own, or each layer, or layers that meet in a concatenation share one.
    scales : "least-squares", "percentile" or "iteration", optional
        How lambda is chosen; "least-squares" unless a percentile is given.
    steps : int, optional
        Time steps that least squares and iteration fit the scales for; `fitting_steps` of the neurons where it is left
        out.

    Returns
    -------
    dict of layer name (of nodes with weights) to positive float, or to (out_channels,) float64 channel by channel
        Layers that are added up have the same.

    Raises
    ------
    InputError
        If the network has loops, a layer cannot be scaled because the picture is added to it as it is, or neurons do
        not suit the iteration.
    """
    if network.loops:
        raise InputError(
            "a network with loops has no activations to calibrate with; convert it with normalization='none', or give "
            "normalize() scales"
        )
    sharing = Sharing(network, joined=normalization == "layer", channels=normalization == "channel")
    sharing.check()
    populations = _populations(network, sharing)
    rule: ScaleRule
    if chosen_scales(scales, percentile) == "percentile":
        counts = activations_of_groups(network, pictures, populations, sharing.count)
        rule = Percentiles(counts, DEFAULT_PERCENTILE if percentile is None else percentile)
    else:
        rule = (LeastSquares if scales != "iteration" else ThresholdIteration)(sharing.count, steps)
    values = _for_silent_channels(sharing, calibrate(network, pictures, populations, rule))
    if normalization == "channel":
        return {layer: np.where(groups > 0, values[groups], 1.0) for layer, groups in sharing.groups.items()}
    return {layer: float(values[groups.max()]) for layer, groups in sharing.groups.items()}


def chosen_scales(scales: ScaleChoice | None, percentile: float | None) -> ScaleChoice:
    """How scales are chosen where it may not be said; InputError where a percentile has no meaning."""
    if scales is None:
        return "least-squares" if percentile is None else "percentile"
    if percentile is not None and scales != "percentile":
        raise InputError(
            f"percentile {percentile} has no meaning for scales {scales!r}; leave one of them out "
            "(--percentile, --scales)"
        )
    return scales


def _for_silent_channels(sharing: Sharing, values: Factors) -> Factors:
    """The scales, where those of channels that are nearly silent are raised; 1 where a whole layer is silent."""
    raised = values.copy()
    for groups in sharing.groups.values():
        own = groups[groups > 0]
        largest = float(values[own].max())
        least = np.where(values[own] > 0, largest * SMALLEST_SHARE, largest)
        np.maximum.at(raised, own, least)
    return np.where(raised > 0, raised, 1.0)


def _populations(network: Network, sharing: Sharing) -> dict[str, NDArray[np.int64]]:
    """Groups of the channels of those Neurons nodes whose activations tell the scale of layers.

    Of what has no weights only those that may be larger than what is read.
    """
    found: dict[str, NDArray[np.int64]] = {}
    seen: set[str] = set()
    # Where one layer feeds both, the sizes are what the signed ones see, and no less than what a ReLU lets through.
    for node in sorted(network.neurons, key=lambda node: rectifies(node.model)):
        source = network[node.source]
        tells = isinstance(source, (Weighted, CurrentSum)) or (isinstance(source, Synapses) and source.enlarges)
        groups = sharing.groups_behind(node.source)
        if tells and groups.any() and node.source not in seen:
            seen.add(node.source)
            found[node.name] = groups
    return found


def normalize(network: Network, scales: Mapping[str, LayerScale]) -> Network:
    """The network with each layer's activations divided by its lambda; its output is unchanged.

    Parameters
    ----------
    network : Network
    scales : mapping of layer name to positive float, or to (out_channels,) of them
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


def _factors(network: Network, scales: Mapping[str, LayerScale]) -> HandedOn:
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


def _check(network: Network, scales: Mapping[str, LayerScale]) -> None:
    # Where channels are put together, a layer may have one scale though they cannot have one each.
    allowed = Sharing(network).groups | Sharing(network, channels=True).groups
    for name, value in scales.items():
        if name not in allowed:
            raise InputError(f"{name!r} is no layer that can be scaled; there are {first_few(allowed)}")
        numbers: Any = np.asarray(value, np.float64)
        if numbers.shape not in ((), allowed[name].shape):
            raise InputError(
                f"the scales of {name!r} must be one number or {len(allowed[name])}, one for each output channel (got "
                f"the shape {numbers.shape})"
            )
        if not (np.isfinite(numbers) & (numbers > 0)).all():
            raise InputError(f"the scale of {name!r} must be positive and finite (got {value})")
