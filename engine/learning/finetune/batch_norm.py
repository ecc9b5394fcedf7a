"""Batch norms in training (Ioffe and Szegedy, arXiv 1502.03167); they are folded wherever the network is used.

Their scale begins as a share of the threshold of the neurons that are fed (tdBN: Zheng et al., AAAI 2021, arXiv
2011.05280).

Of a convolution's current y over all pictures, steps and places, channel by channel,

    z = scale * (y - mean) / sqrt(variance + epsilon) + shift

The current that a node of a trained network puts out is z with the mean and the variance of the batch at hand, through
which gradients go, too; what an ordinary network gets are weights and biases with the running ones, which move towards
those of each batch by a share. A node's bias is the shift; it had no meaning before a norm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...graph import CurrentSum, Network, Projection, Shape, Synapses, Value, Weighted
from ...neurons import NeuronModel
from .trainable_arrays import in_kernel_order, with_arrays

Array = NDArray[Any]

EPSILON = 1e-5
MOMENTUM = 0.1
"""Share by which the running statistics move towards those of a batch."""

PARTS = ("norm_scale", "norm_mean", "norm_variance")
"""What a norm adds to a node's weight and bias: trained, and kept."""

_OVER = (0, 1, 2)


class Normalised(NamedTuple):
    """What normalising gives: the current, and what the way back needs."""

    current: Array
    centred: Array
    """(y - mean) / sqrt(variance + epsilon)"""
    deviation: Array
    mean: Array
    variance: Array


def normalise(current: Array, scale: Array, shift: Array, epsilon: float = EPSILON) -> Normalised:
    """Normalise a current (M, H, W, C) by its own mean and variance of each channel; these are (C,) float64."""
    mean = current.mean(_OVER, dtype=np.float64)
    variance = np.square(current - mean.astype(current.dtype)).mean(_OVER, dtype=np.float64)
    deviation = np.sqrt(variance + epsilon)
    centred = (current - mean.astype(current.dtype)) / deviation.astype(current.dtype)
    return Normalised(centred * scale + shift, centred, deviation, mean, variance)


def normalise_backward(found: Normalised, scale: Array, gradient: Array) -> tuple[Array, Array, Array]:
    """Gradients of the current (M, H, W, C) before it was normalised, of the scale and of the shift, (C,)."""
    by_shift = gradient.sum(_OVER, dtype=np.float64)
    by_scale = (gradient * found.centred).sum(_OVER, dtype=np.float64)
    count = math.prod(gradient.shape[:3])
    number = gradient.dtype.type
    level, slope = ((each / count).astype(gradient.dtype) for each in (by_shift, by_scale))
    into = (gradient - level - found.centred * slope) * (scale / found.deviation).astype(number)
    return into, by_scale.astype(number), by_shift.astype(number)


@dataclass(frozen=True, eq=False)
class NormedSynapses(Projection):
    """Synapses with a batch norm behind them, as training sees them; no engine runs them: see `folded`.

    `mean` and `variance` are the running statistics, which `forward` moves on, in place.
    """

    inner: Weighted = field(kw_only=True)
    scale: Array = field(kw_only=True)
    mean: Array = field(kw_only=True)
    variance: Array = field(kw_only=True)

    def output_shape(self, *shapes: Shape) -> Shape:
        """That of the synapses."""
        return self.inner.output_shape(*shapes)

    def channels_out(self, channels: int) -> int:
        """Those of the synapses."""
        return self.inner.channels_out(channels)

    def forward(self, value: Value, kept: dict[str, Any] | None = None) -> Array:  # noqa: ARG002
        """Normalised by the batch at hand; the running statistics are moved on."""
        found = self._normalised(value)
        count = math.prod(found.current.shape[:3])
        # Of a variance without bias, as PyTorch keeps it.
        self.mean[:] += MOMENTUM * (found.mean - self.mean)
        self.variance[:] += MOMENTUM * (found.variance * count / max(count - 1, 1) - self.variance)
        return found.current

    def backward(
        self,
        value: Value,
        gradient: Array,
        into_input: bool = True,
        kept: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> tuple[Array | None, dict[str, Array]]:
        """Through the norm, the statistics of the batch included, and through the synapses."""
        found = self._normalised(value)
        flow, by_scale, by_shift = normalise_backward(found, self.scale, gradient)
        into, arrays = self._plain().backward(value, flow, into_input)
        return into, {"weight": arrays["weight"], "bias": by_shift, "norm_scale": by_scale}

    def _plain(self) -> Weighted:
        """Without the bias, which the norm would take off again."""
        plain: Weighted = with_arrays(self.inner, bias=np.zeros_like(self.inner.bias))
        return plain

    def _normalised(self, value: Value) -> Normalised:
        return normalise(self._plain().forward(value), self.scale, self.inner.bias)


def normed_nodes(network: Network) -> tuple[Weighted, ...]:
    """The nodes that get a batch norm: all with weights that are no scales, but the readout's."""
    readout = set(_summands(network, network.output.source))
    return tuple(
        node
        for node in network.nodes
        if isinstance(node, Weighted) and node.homogeneous and not node.scales_channels and node.name not in readout
    )


def thresholds_behind(network: Network) -> dict[str, float]:
    """The threshold of the neurons that each synapse node feeds; the largest where there are several."""
    found: dict[str, float] = {}
    for neurons in network.neurons:
        for name in _summands(network, neurons.source):
            found[name] = max(found.get(name, 0.0), _threshold(neurons.model))
    return found


def _summands(network: Network, name: str) -> Iterator[str]:
    """The synapses whose currents are that of a node: itself, or what it adds up."""
    node = network[name]
    if isinstance(node, CurrentSum):
        for part in node.sources:
            yield from _summands(network, part)
    elif isinstance(node, Synapses):
        yield name


def _threshold(model: NeuronModel) -> float:
    """What a neuron fires at, the highest of several; 1 of a model that names none."""
    several = getattr(model, "thresholds", ())
    return float(getattr(model, "threshold", several[0] if several else 1.0))


def folded(node: NormedSynapses) -> Weighted:
    """The node with its running statistics in weight and bias: an ordinary one."""
    gain = node.scale.astype(np.float64) / np.sqrt(node.variance.astype(np.float64) + EPSILON)
    weight = node.inner.weight * node.inner.along_outputs(gain)
    bias = node.inner.bias - node.mean * gain
    arrays = {"weight": in_kernel_order(weight.astype(node.inner.weight.dtype)), "bias": bias.astype(node.mean.dtype)}
    made: Weighted = with_arrays(node.inner, **arrays)
    return made


def without_norms(network: Network) -> Network:
    """The network with all batch norms folded."""
    nodes = [folded(node) if isinstance(node, NormedSynapses) else node for node in network.nodes]
    return network.replace(nodes)


def first_arrays(node: Weighted, scale: float, dtype: Any) -> dict[str, Array]:
    """The arrays of a node's norm before training, by `PARTS`; statistics of 0 and 1."""
    channels = node.out_channels
    values = (np.full(channels, scale, dtype), np.zeros(channels, dtype), np.ones(channels, dtype))
    return dict(zip(PARTS, values, strict=True))


def normed(node: Weighted, weight: Array, bias: Array, parts: tuple[Array, ...]) -> NormedSynapses:
    """A node in training, with the arrays themselves and not copies of them; `parts` are those of `PARTS`."""
    inner = with_arrays(node, weight=weight, bias=bias)
    scale, mean, variance = parts
    return NormedSynapses(
        node.name, source=node.source, delay=node.delay, inner=inner, scale=scale, mean=mean, variance=variance
    )
