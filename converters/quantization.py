"""Weights of few bits: each a small integer times its channel's power of two, so that sums over spikes are exact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import InputError
from spikeunet.engine.fixed_point import check_bits, quanta_of_layers, rounded_arrays, rounded_bias
from spikeunet.engine.graph import Network, Neurons, Weighted
from spikeunet.engine.neurons import analog_activation

from .channel_splitting import Copies, split_channels, staggered
from .code_scales import with_full_codes
from .error_compensation import compensated_rows
from .input_moments import InputMoments, input_moments

Array = NDArray[Any]

_SPLIT = "split_channels"
"""What the metadata say it under."""


def quantize_weights(
    network: Network,
    bits: int = 8,
    pictures: Sequence[Array] = (),
    follow: Callable[[Sequence[str]], Iterable[str]] = iter,
    split: bool = False,
) -> Network:
    """Round the weights of the layers that read nothing but spikes to integers times a power of two for each channel.

    Of output channel c, with M = 2**(bits - 1) - 1 and q the quantum of what the layer's sources emit (the largest
    power of two of which all emitted values are multiples, 1/64 for thresholds 1 ... 1/64):

        k[c]         = ceil(log2(max |weight[c]| / M)), or that minus 1
        weight[c, i] = clip(round(weight[c, i] / 2**k[c]), -M, M) * 2**k[c]
        bias[c]      = round(bias[c] / (q * 2**k[c])) * q * 2**k[c]

    Of the two k the one with the smaller squared error is taken: the lower one is twice as fine and cuts the largest
    weights off. Every current is then a whole multiple of q * 2**k[c], so a sum of integers gives it exactly, in any
    order. Initial potentials and thresholds need not be multiples of anything and stay as they are. A bias also makes
    up for what rounding makes of channels that are the same whatever the picture, such as those of ones that stand for
    a shift (docs/converting.md).

    Weights scaled by output channel, symmetrically and without a zero point, are those of Krishnamoorthi 2018 (arXiv
    1806.08342); powers of two as scales those of Jain, Gural, Wu and Dick, MLSys 2020 (arXiv 1903.08066), whose
    thresholds are trained, while these follow from the weights.

    With pictures, weights are not rounded to the nearest integer each, but layer after layer so that what each puts
    out, from what the rounded layers before it give it, is as near as can be to what it put out before:
    `error_compensation.compensated_rows`. Before that, channels are divided by up to 1.26 and what reads them is
    multiplied where each channel's largest weight is then just below a power of two: `with_full_codes`. Thresholds then
    mean a little more, channel by channel.

    With `split`, copies of the channels whose rounding costs most take the place of those that matter least, so that
    both activations and weights are rounded at twice as many places: `channel_splitting.split_channels`.

    Parameters
    ----------
    network : Network
    bits : int
        2 to 8, the sign included.
    pictures : sequence of (C, H, W) float32
        What the network will see, noise included (`calibration_pictures`).
    follow : function of a sequence that goes through it
        Is given the names of the layers, and may show how far it has come.
    split : bool
        Needs pictures.

    Returns
    -------
    Network
        Layers that read the picture are as before, and so are those with a source whose values are no multiples of one
        power of two, or more than 255 of it. Metadata: "weight_bits", and under "weight_snr_db" the rounded layers by
        name, each with the ratio of the squared weights to the squared errors in dB, null where nothing was rounded.
        A network that is rounded already comes back unchanged where no pictures are given. With `split`, under
        "split_channels" the number of copies of each layer that has some.

    Raises
    ------
    InputError
        If `bits` is out of range, there is no layer to round, or channels are to be split without pictures, or in a
        network in which they are already, or cannot be.
    """
    bits = check_bits(bits)
    quanta = quanta_of_layers(network)
    earlier = _earlier_ratios(network.metadata)
    copies: Copies = {}
    if split:
        network, copies = _split(network, pictures)
    if len(pictures):
        network = staggered(with_full_codes(network, quanta, bits), copies)
    made: dict[str, Weighted] = {}
    rounded = network
    for name in follow([node.name for node in network.nodes if node.name in quanta]):
        moments = input_moments(network, rounded, name, pictures) if len(pictures) else None
        if moments is None:
            made[name] = _rounded(network, network[name], bits, quanta[name])
        else:
            made[name] = _compensated(network[name], bits, quanta[name], moments, copies.get(name, ()))
        if len(pictures):
            rounded = network.replace([made.get(node.name, node) for node in network.nodes])
    ratios = {name: _signal_to_noise(network[name], node, earlier.get(name)) for name, node in made.items()}
    nodes = [made.get(node.name, node) for node in network.nodes]
    if _is_recorded(network, ratios) and all(map(_same, network.nodes, nodes)):
        return network
    return network.replace(nodes, metadata={**network.metadata, "weight_bits": bits, "weight_snr_db": ratios})


def _rounded(network: Network, node: Any, bits: int, quantum: float) -> Weighted:
    weight, _ = rounded_arrays(node, node.weight, node.bias, bits, quantum)
    missing = _of_constants(network, node, node.weight.astype(np.float64) - weight)
    _, bias = rounded_arrays(node, node.weight, (node.bias + missing).astype(np.float32), bits, quantum)
    made: Weighted = replace(node, weight=weight, bias=bias)
    return made


def _split(network: Network, pictures: Sequence[Array]) -> tuple[Network, Copies]:
    if not len(pictures):
        raise InputError("splitting channels takes pictures, which say what channels matter")
    if _SPLIT in network.metadata:
        raise InputError(
            "channels of this network have been split already; split those of the network it was rounded from"
        )
    try:
        network, copies = split_channels(network, pictures)
    except InputError as error:
        raise InputError(f"channels cannot be split: {error}") from error
    if not copies:
        raise InputError(
            "no channel of this network can be split: none that matters little on these pictures is in a layer whose "
            "neurons rectify, have many levels, do not leak, and are read by convolutions or full connections alone"
        )
    numbers = {name: len(pairs) for name, pairs in copies.items()}
    return network.replace(metadata={**network.metadata, _SPLIT: numbers}), copies


def _compensated(
    node: Any, bits: int, quantum: float, moments: InputMoments, copies: Sequence[tuple[int, int]]
) -> Weighted:
    codes, exponents, missing = compensated_rows(node.by_output(node.weight), moments, bits, copies)
    weight = np.ldexp(codes, exponents[:, None])
    bias = (node.bias + missing).astype(np.float32)
    bias = rounded_bias(bias, exponents, quantum, (codes == 0).all(1))
    made: Weighted = replace(node, weight=node.from_rows(weight), bias=bias)
    return made


def _of_constants(network: Network, node: Weighted, error: Array) -> Array:
    """What errors of a weight make of the channels that are the same everywhere, such as ones, for each output channel.

    They are there at every step and so are no noise that averages out. 0 where outputs do not see all weights.
    """
    made: Any = node
    padding = getattr(node, "padding", None)
    # Where zeros are put around what it reads, outputs away from the border see all weights.
    inside = node if padding is None else replace(made, padding=0 if isinstance(padding, int) else (0, 0))
    values = np.concatenate([_constant(network, leaf) for leaf in network.leaves(node.source)])
    if not values.any() or not inside.sums_all_weights or len(values) != node.in_channels:
        return np.zeros(node.out_channels)
    return node.sum_by_output(error * node.along_inputs(values))


def _constant(network: Network, leaf: str) -> Array:
    """By channel, what neurons emit on average whatever they read, because all weights before them are 0; else 0."""
    node = network[leaf]
    source = network[node.source] if isinstance(node, Neurons) else node
    if not isinstance(source, Weighted) or source.weight.any():
        return np.zeros(network.channels[leaf] or 1)
    bias = source.bias.astype(np.float64)
    return analog_activation(node.model, bias) if isinstance(node, Neurons) else bias


def _signal_to_noise(node: Any, rounded: Weighted, earlier: float | None) -> float | None:
    """10 log10 of the squared weights over the squared errors, in dB; what it was earlier where there are no errors."""
    before, after = node.weight.astype(np.float64), rounded.weight.astype(np.float64)
    error = float(np.square(after - before).sum())
    return round(10 * float(np.log10(np.square(before).sum() / error)), 2) if error else earlier


def _earlier_ratios(metadata: Mapping[str, Any]) -> dict[str, float]:
    """Ratios that an earlier rounding left in the metadata, where they are numbers."""
    found = metadata.get("weight_snr_db")
    items = found.items() if isinstance(found, dict) else ()
    return {name: value for name, value in items if isinstance(value, float)}


def _is_recorded(network: Network, ratios: Mapping[str, float | None]) -> bool:
    return "weight_bits" in network.metadata and network.metadata.get("weight_snr_db") == ratios


def _same(before: Any, after: Any) -> bool:
    """Whether a node has the same weights and biases as another, bit for bit."""
    if before is after:
        return True
    pairs = ((getattr(before, name), getattr(after, name)) for name in ("weight", "bias"))
    return all(one.tobytes() == other.tobytes() for one, other in pairs)
